"""What people see of a study in optuna-dashboard without doing anything."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults
from xml.etree import ElementTree

import optuna
import pytest
import torch
from optuna.trial import TrialState, create_trial
from optuna_dashboard import get_note, wsgi
from safetensors import safe_open
from safetensors.torch import load
from torch import Tensor

import tuner
from tuner.run.optimize import train
from tuner.run.options import RunOptions
from tuner.run.places import place_of
from tuner.run.prepare import join, load_job, stored_study
from tuner.storage import Storage, artifact_store, open_storage
from tuner.storage.artifacts import orphans
from tuner.training.evaluate import evaluate
from tuner.worker import keep
from tuner.worker.job import course_of
from tuner.worker.keep import PREDICTIONS
from tuner.worker.run import ATTEMPTS

KNOWN = {"seed", "seconds", "epochs", "worker", "device", "parameters", "ended"}
LOSSES = {"train_loss", "validation_loss", "best_epoch"}


def study(name: str = "small", **changes: Any) -> tuner.Study:
    document = {
        "data": {"source": "sklearn.datasets:load_iris"},
        "model": {"family": "mlp", "depth": 1, "width": 8},
        "training": {
            "epochs": 3,
            "batch_size": 32,
            "learning_rate": tuner.Range(1e-4, 1e-1, log=True),
        },
        "search": {"trials": 6, "sampler": "random", "pruner": "none"},
    }
    return tuner.define_study(name, **{**document, **changes})


def searched(url: str, made: tuner.Study, **options: Any) -> Storage:
    tuner.optimize(made, RunOptions(url, workers=1, device="cpu", **options))
    return open_storage(url)


class Dashboard:
    """optuna-dashboard's own application over a database and its artifacts."""

    def __init__(self, storage: Storage, artifacts: str | None = None) -> None:
        self._app = wsgi(storage, artifact_store=artifact_store(storage, artifacts))

    def get(self, path: str) -> tuple[Mapping[str, str], bytes]:
        environ: dict[str, Any] = {"PATH_INFO": path, "wsgi.input": io.BytesIO()}
        setup_testing_defaults(environ)
        answered: dict[str, str] = {}

        def start(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            assert status.startswith("200"), status
            answered.update(headers)

        return answered, b"".join(self._app(environ, start))

    def study(self, study_id: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get(f"/api/studies/{study_id}")[1])
        return found

    def file(self, study_id: int, trial: Mapping[str, Any], meta: Mapping[str, Any]) -> bytes:
        path = f"/artifacts/{study_id}/{trial['trial_id']}/{meta['artifact_id']}"
        headers, body = self.get(path)
        assert headers["Content-Type"] == meta["mimetype"]
        return body


def names(trial: Mapping[str, Any]) -> set[str]:
    return {meta["filename"] for meta in trial["artifacts"]}


@pytest.mark.parametrize("place", ["database", "folder"])
def test_the_dashboard_shows_it_all(database_url: str, tmp_path: Path, place: str) -> None:
    artifacts = None if place == "database" else str(tmp_path / "files")
    storage = searched(database_url, study(), artifacts=artifacts)
    shown = Dashboard(storage, artifacts).study(1)
    assert shown["objective_names"] == ["accuracy"]
    assert "**6 of 6 trials** (finished)" in shown["note"]["body"]
    for trial in shown["trials"]:
        assert {attr["key"] for attr in trial["user_attrs"]} >= KNOWN | LOSSES
    best = sorted(shown["trials"], key=lambda t: (-t["values"][0], t["number"]))[: keep.KEEP]
    kept = [trial for trial in shown["trials"] if keep.WEIGHTS in names(trial)]
    assert {t["number"] for t in kept} == {t["number"] for t in best}
    assert all(keep.CONFUSION in names(trial) for trial in kept)
    store = artifact_store(storage, artifacts)
    assert orphans(storage, store, 0.0) == []
    assert (tmp_path / "files").exists() == (place == "folder")


def test_weights_and_picture_are_of_the_value(sqlite_url: str, tmp_path: Path) -> None:
    training = {"epochs": 8, "learning_rate": tuner.Range(1e-3, 1e-1)}
    stops = {"early_stopping": 2}  # the best epoch counts, and not the last
    storage = searched(sqlite_url, study(training=training, regularization=stops))
    dashboard = Dashboard(storage)
    best = dashboard.study(1)["best_trials"][0]
    files = {meta["filename"]: dashboard.file(1, best, meta) for meta in best["artifacts"]}
    (tmp_path / "weights").write_bytes(files[keep.WEIGHTS])
    with safe_open(tmp_path / "weights", "pt") as file:
        said = json.loads(file.metadata()["tuner"])
    assert (said["trial"], said["accuracy"]) == (best["number"], best["values"][0])

    found, study_id = stored_study(storage, "small")
    job, trial = load_job(found, study_id), storage.get_trial(best["trial_id"])
    [trainer] = course_of(job, trial, "cpu").parts
    trainer.network.load_state_dict(load(files[keep.WEIGHTS]))
    rows, loss_function = job.data.validation, trainer.recipe.loss
    value, loss = evaluate(trainer.network, rows, job.data, job.metric, loss_function)
    assert value == trial.value
    assert loss == pytest.approx(trial.user_attrs["validation_loss"])

    page = ElementTree.fromstring(files[keep.CONFUSION])
    words = [each.text for each in page.iter("{http://www.w3.org/2000/svg}text")]
    counts = [int(word) for word in words if word and word.isdigit()]
    assert sum(counts) == len(job.data.validation)  # and so no row of the test


def test_folds_have_the_weights_of_each_and_one_picture(sqlite_url: str) -> None:
    data = {"source": "sklearn.datasets:load_iris", "validation": {"folds": 3}}
    storage = searched(
        sqlite_url, study(data=data, search={"trials": 1, "pruner": "none", "sampler": "random"})
    )
    dashboard = Dashboard(storage)
    (trial,) = dashboard.study(1)["trials"]
    files = {meta["filename"]: dashboard.file(1, trial, meta) for meta in trial["artifacts"]}
    weights = load(files[keep.WEIGHTS])
    assert {name.split(".")[0] for name in weights} == {"fold0", "fold1", "fold2"}
    page = ElementTree.fromstring(files[keep.CONFUSION])
    said = [each.text for each in page.iter("{http://www.w3.org/2000/svg}text")]
    job = load_job(*stored_study(storage, "small"))
    rows = sum(len(fold.validation) for fold in job.data.folds)
    assert sum(int(word) for word in said if word and word.isdigit()) == rows


def test_a_quantity_has_a_plot_of_its_residuals(sqlite_url: str) -> None:
    data = {"source": "sklearn.datasets:load_diabetes"}
    search = {"trials": 1, "sampler": "random", "pruner": "none"}
    storage = searched(sqlite_url, study(data=data, search=search))
    dashboard = Dashboard(storage)
    (trial,) = dashboard.study(1)["trials"]
    files = {meta["filename"]: dashboard.file(1, trial, meta) for meta in trial["artifacts"]}
    assert files.keys() == {keep.WEIGHTS, keep.RESIDUALS}
    page = ElementTree.fromstring(files[keep.RESIDUALS])
    said = [each.text for each in page.iter("{http://www.w3.org/2000/svg}text")]
    assert "residual (actual − predicted)" in said


def test_weights_that_are_too_large_are_named(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.storage.artifacts.DatabaseArtifacts.limit", 100)
    storage = searched(
        sqlite_url, study(search={"trials": 1, "sampler": "random", "pruner": "none"})
    )
    (trial,) = storage.get_all_trials(1)
    assert optuna.artifacts.get_all_artifact_meta(trial, storage=storage) == []
    assert "the database takes" in trial.user_attrs["not_kept"]


def test_a_place_that_is_away_fails_no_trial(sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    search = {"trials": 2, "sampler": "random", "pruner": "none"}
    storage = searched(sqlite_url, study(search=search), artifacts=str(tmp_path / "file" / "x"))
    assert storage.progress(1).complete == 2
    assert "NotADirectoryError" in storage.get_all_trials(1)[0].user_attrs["not_kept"]
    assert "2 of 2 trials" in get_note(optuna.load_study(study_name="small", storage=storage))


def test_confirmed_is_in_the_note_and_replicas_keep_predictions_alone(sqlite_url: str) -> None:
    storage = searched(sqlite_url, study())
    tuner.confirm("small", RunOptions(sqlite_url, workers=1, device="cpu"), top=1, seeds=1)
    dashboard = Dashboard(storage)
    assert "**Confirmed**" in dashboard.study(1)["note"]["body"]
    replicas = dashboard.study(2)
    assert replicas["objective_names"] == ["accuracy"]
    assert "configurations of small, for `tuner confirm`" in replicas["note"]["body"]
    assert all(names(trial) == {PREDICTIONS} for trial in replicas["trials"])
    for trial in replicas["trials"]:
        assert {attr["key"] for attr in trial["user_attrs"]} >= KNOWN | LOSSES


def test_an_own_objective_has_its_name_its_note_and_its_attributes(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bowls.py").write_text(
        "def bowl(trial):\n    x = trial.suggest_float('x', -1, 1)\n    trial.report(x, 0)\n"
        "    if trial.number == 1:\n        raise KeyError('x')\n    return x * x\n"
    )
    text = 'objective = "bowls:bowl"\ndirection = "minimize"\nmetric = "height"\n'
    (tmp_path / "bowl.toml").write_text(f"{text}[search]\ntrials = 2\n")
    tuner.optimize("bowl.toml", RunOptions(sqlite_url, workers=1, device="cpu"))
    shown = Dashboard(open_storage(sqlite_url)).study(1)
    assert shown["objective_names"] == ["height"]
    assert "`bowls:bowl` suggests" in shown["note"]["body"]
    assert "1 more failed" in shown["note"]["body"]
    for trial in shown["trials"]:
        attrs = {attr["key"]: attr["value"] for attr in trial["user_attrs"]}
        assert {"seed", "seconds", "worker", "device", "ended"} <= attrs.keys()
        assert trial["state"] != "Fail" or "KeyError" in attrs["error"]


def test_pruned_and_failed_trials_say_why(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    training = {"epochs": 3, "optimizer": "sgd", "learning_rate": tuner.Range(1e-3, 1e30, log=True)}
    made = study(training=training, search={"trials": 4, "sampler": "random", "seed": 1})
    storage = searched(sqlite_url, made)
    trials = storage.get_all_trials(1)
    assert {trial.user_attrs["ended"] for trial in trials} >= {"all epochs", "diverged"}
    for trial in trials:
        assert trial.user_attrs.keys() >= KNOWN
    monkeypatch.setattr("tuner.training.trainer.Trainer.evaluate", _fails_later())
    job = join(storage, load_job(study("failing", search={"trials": 1, "pruner": "none"})), None)
    options = RunOptions(sqlite_url, workers=1, device="cpu")
    failing = pytest.raises(tuner.TunerError, match="10 trials failed")
    with failing, place_of(options, lambda _: None) as place:
        train(job, storage, options, place, lambda _: None, {})
    for trial in storage.get_all_trials(job.study_id):
        facts = trial.user_attrs
        assert facts.keys() >= KNOWN | {"train_loss", "error", "traceback"}
        assert (facts["ended"], facts["epochs"]) == ("failed", 1)


def test_a_trial_on_which_ten_workers_died_says_why(sqlite_url: str) -> None:
    made = study(search={"trials": 1, "sampler": "random", "pruner": "none"})
    storage = open_storage(sqlite_url)
    study_id = join(storage, load_job(made), None).study_id
    running = create_trial(state=TrialState.RUNNING, user_attrs={"seed": 7})
    for i in range(ATTEMPTS):
        assert storage.claims.claim(study_id, f"worker {i}", lambda *_: running) is not None
        with storage.database.write() as connection:  # it dies, and its lease runs out
            connection.exec_driver_sql("UPDATE tuner_leases SET expires = 0")
    shown = Dashboard(searched(sqlite_url, made)).study(study_id)["trials"]
    assert [trial["state"] for trial in shown] == ["Fail", "Complete"]
    attrs = {attr["key"]: attr["value"] for attr in shown[0]["user_attrs"]}
    assert attrs.keys() == {"seed", "seconds", "worker", "device", "ended", "error"}
    assert attrs["ended"] == "failed"
    assert attrs["error"] == "10 workers left or died before its first epoch ended"


def _fails_later() -> Any:
    count = iter(range(1000))

    def evaluate(self: Any) -> tuple[Tensor, Tensor]:
        if next(count) % 2:
            raise ValueError("no more")
        return torch.tensor(0.5), torch.tensor(0.5)

    return evaluate
