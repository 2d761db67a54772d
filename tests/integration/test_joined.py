"""What other programs queue and tell fails or is left out with its reason, and all else goes on.

And a grid, which is covered whoever takes part."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from typer.testing import CliRunner

from tuner.cli import app
from tuner.run.optimize import optimize
from tuner.run.options import RunOptions
from tuner.run.prepare import load_job, stored_study
from tuner.search.overlay import Overlay
from tuner.show.snapshot import snapshot
from tuner.storage import Lease, Storage, Update, open_storage
from tuner.study import load_study
from tuner.study.trials import Own, all_tried
from tuner.worker.propose import Proposer
from tuner.worker.run import Clock

STUDY = """\
[data]
source = "sklearn.datasets:load_iris"
[model]
depth = 1
width = {{ choices = [8, 16] }}
[regularization]
dropout = {{ off = 0.0, low = 0.05, high = 0.5 }}
[training]
epochs = 2
learning_rate = {{ low = 1e-3, high = 1e-1, log = true }}
[search]
trials = {trials}
sampler = "{sampler}"
pruner = "none"
"""
GRID = """\
[data]
source = "sklearn.datasets:load_iris"
[model]
depth = 1
width = 8
[regularization]
early_stopping = {{ off = 0, low = 3, high = 4 }}
[training]
epochs = 2
[[training.optimizer.choices]]
name = "adam"
[[training.optimizer.choices]]
name = "sgd"
momentum = {{ low = 0.0, high = 0.9, step = 0.3 }}
[search]
trials = {trials}
sampler = "grid"
pruner = "none"
{search}
"""
SIZE = 3 * 5
OWN = {"width": 16, "dropout.on": False, "learning_rate": 0.01}


class Desk:
    """A worker that knows at once what a trial's training would give."""

    def __init__(self, url: str, name: str) -> None:
        self.storage: Storage = open_storage(url)
        study, study_id = stored_study(self.storage, name)
        self.job = load_job(study, study_id)
        own = Own(study)
        view = Overlay(self.storage, name, select=own.learned)
        self.name = f"worker {id(self)}"
        device = torch.device("cpu")
        self.propose = Proposer(view, own, self.job, study.pruner(), Clock(), self.name, device)

    def claim(self) -> Lease | None:
        return self.storage.claims.claim(self.job.study_id, self.name, self.propose)

    def tell(self, lease: Lease, state: TrialState = TrialState.COMPLETE) -> None:
        value = 0.5 if state == TrialState.COMPLETE else None
        facts = {"worker": self.name, "ended": "all epochs"}
        self.storage.writer.write([Update(lease, state=state, value=value, user_attrs=facts)])

    def trials(self) -> list[FrozenTrial]:
        return self.storage.get_all_trials(self.job.study_id)

    def places(self) -> Counter[int]:
        grid = self.propose.grid
        assert grid is not None
        return Counter(grid.place(t.params) for t in self.trials() if t.params)


def submitted(folder: Path, url: str, text: str, **values: Any) -> Path:
    from tuner.run.prepare import submit

    path = folder / "small.toml"
    path.write_text(text.format(**({"trials": 4, "sampler": "random", "search": ""} | values)))
    submit(str(path), url)
    return path


def joined(url: str) -> optuna.Study:
    """Over a storage that lets scripts do more than Optuna's own."""
    return optuna.load_study(study_name="small", storage=open_storage(url))


BAD = [
    {"width": 100},
    {"width": "8"},
    {"width": True},
    {"width": None},
    {"learning_rate": "abc"},
    {"learning_rate": -1.0},
    {"learning_rate": None},
    {"learning_rate": float("nan")},
    {"learning_rate": float("inf")},
    {"dropout.on": "yes"},
    {"dropout": 7.0},
    {"foo": 1},
    {**OWN, "foo": 1},
]


def test_the_baseline_is_not_proposed_twice_where_trials_are_not_read_yet(
    tmp_path: Path, database_url: str
) -> None:
    submitted(tmp_path, database_url, STUDY)
    joined(database_url).add_trial(create_trial(value=1.0))
    desk = Desk(database_url, "small")
    baseline = desk.job.study.fixed_params(0)
    assert desk.propose._prescribed_params(1) == baseline
    assert (
        desk.propose._prescribed_params(2) is None
    )  # trial 1 is another worker's, with the baseline


def test_what_cannot_be_searched_fails_with_its_reason(tmp_path: Path, database_url: str) -> None:
    submitted(tmp_path, database_url, STUDY)
    study = joined(database_url)
    for params in BAD:
        study.enqueue_trial(params)
    study.add_trial(
        create_trial(state=TrialState.WAITING, system_attrs={"fixed_params": "width=8"})
    )
    study.enqueue_trial({"width": 16})
    study.enqueue_trial({"dropout": 0.25})
    study.enqueue_trial(OWN, user_attrs={"seconds": "long", "seed": "x", "epochs": None})
    desk = Desk(database_url, "small")
    leases = [desk.claim() for _ in range(3)]
    for lease in leases:
        assert lease is not None
        desk.tell(lease)
    trials = desk.trials()
    refused, trained = trials[: len(BAD)], trials[len(BAD) + 1 :]
    assert trials[len(BAD)].state == TrialState.FAIL
    assert "fixed_params: the study has no such parameter" in trials[len(BAD)].user_attrs["error"]
    assert {trial.state for trial in refused} == {TrialState.FAIL}
    for trial, params in zip(refused, BAD, strict=True):
        assert trial.user_attrs["error"].startswith("queued with what the study does not search: ")
        assert next(reversed(params)) in trial.user_attrs["error"]
    assert trained[0].params["width"] == 16
    assert (trained[1].params["dropout.on"], trained[1].params["dropout"]) == (True, 0.25)
    assert trained[2].params == OWN
    fourth = desk.claim()  # the baseline, whose number another program had
    assert fourth is not None
    assert fourth.trial.params == desk.job.study.baseline()
    desk.tell(fourth)
    assert desk.claim() is None
    last = snapshot(desk.storage, desk.job.study, desk.job.study_id, 0.0, 0)
    assert last.baseline is not None
    assert last.baseline.number == fourth.number


def told(study: optuna.Study) -> int:
    """Trials that other programs told, in every wrong way that Optuna lets them; how many."""
    rate = FloatDistribution(1e-6, 10.0)
    trial = study.ask()
    trial.suggest_float("foo", 0, 1)
    study.tell(trial, 0.999)
    found = [
        ({"learning_rate": 5.0}, {"learning_rate": rate}, 0.998),
        ({}, {}, 0.997),
        ({**OWN, "foo": 1.0}, None, 0.996),
        ({**OWN, "learning_rate": 5.0}, None, 0.995),
        ({**OWN, "learning_rate": 0.0}, None, 0.995),
        ({**OWN, "width": "16"}, None, 0.994),
        ({**OWN, "width": None}, None, 0.994),
        ({**OWN, "dropout.on": 1}, None, 0.993),
    ]
    for params, kinds, value in found:
        known = {
            name: FloatDistribution(-10.0, 10.0)
            if isinstance(each, float)
            else CategoricalDistribution([each, "other"])
            for name, each in params.items()
        }
        study.add_trial(create_trial(params=params, distributions=kinds or known, value=value))
    study.add_trial(create_trial(state=TrialState.PRUNED, value=0.9))
    return 1 + len(found) + 1


def test_what_others_told_is_left_out_everywhere(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNER_STORAGE", sqlite_url)
    path = submitted(tmp_path, sqlite_url, STUDY.replace("off = 0.0, ", ""))  # always on
    optimize(load_study(str(path)), RunOptions(sqlite_url, trials=4, workers=1, device="cpu"))
    study = joined(sqlite_url)
    count = told(study)
    study.ask()  # runs, and has no parameters yet
    storage = open_storage(sqlite_url)
    found, study_id = stored_study(storage, "small")
    storage.set_trial_state_values(study.ask()._trial_id, TrialState.COMPLETE, [0.1, 0.2])
    count += 1
    words = f"{count} trials of another program are left out: trial 4 ("
    more = ["--workers", "1", "--seeds", "1"]

    def run(*command: str) -> Any:
        outcome = CliRunner().invoke(app, list(command))
        assert outcome.exit_code == 0, outcome.output
        return outcome

    assert words in run("optimize", "--study", str(path), "--trials", "18", "--workers", "1").stdout
    best = json.loads(run("best", "--study", "small", "--json").stdout)
    assert best["value"] < 0.99
    assert len(best["left_out"]) == count
    assert words in run("best", "--study", "small").stdout
    assert words in run("confirm", "--study", "small", "--top", "1", *more).stdout
    ablated = run("ablate", "--study", "small", "--view", "off", *more[:2], "--seeds", "1")
    assert words in ablated.stdout
    assert words in run("export", "--study", "small", "--out", "m").stdout
    assert words in run("report", "--study", "small", "--out", "r.html").stdout
    note = "".join(map(str, storage.get_study_system_attrs(study_id).values()))
    assert f"{count} trials of another program are left out" in note
    run("status", "--study", "small")
    for number in (4, 6):
        words = ["export", "--study", "small", "--out", "x", "--trial", str(number)]
        refused = CliRunner().invoke(app, words)
        assert refused.exit_code == 2
        assert f"trial {number} is another program's: " in refused.stderr
    assert len(Own(found).left_out(storage.get_all_trials(study_id))) == count


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes", "qmc", "random"])
def test_samplers_learn_from_the_studys_own_trials_alone(
    sampler: str, tmp_path: Path, sqlite_url: str
) -> None:
    submitted(tmp_path, sqlite_url, STUDY, sampler=sampler, trials=40)
    told(joined(sqlite_url))
    desk = Desk(sqlite_url, "small")
    for _ in range(12):
        lease = desk.claim()
        assert lease is not None
        desk.tell(lease)
    seen = desk.propose.view.get_all_trials(desk.job.study_id, deepcopy=False)
    assert [trial.number for trial in seen] == list(range(10, 22))


def test_a_trial_with_other_distributions_is_learned_from_as_the_study_has_them(
    tmp_path: Path, sqlite_url: str
) -> None:
    submitted(tmp_path, sqlite_url, STUDY)
    kinds = {
        "width": CategoricalDistribution([16.0, 3]),
        "dropout.on": CategoricalDistribution([False]),
        "learning_rate": FloatDistribution(0.0, 1.0),
    }
    params = {**OWN, "width": 16.0}
    joined(sqlite_url).add_trial(create_trial(params=params, distributions=kinds, value=0.7))
    desk = Desk(sqlite_url, "small")
    lease = desk.claim()
    assert lease is not None
    (learned, mine) = desk.propose.view.get_all_trials(desk.job.study_id)
    assert learned.params == OWN
    assert learned.distributions["learning_rate"] == mine.distributions["learning_rate"]
    assert learned.distributions["width"] == CategoricalDistribution([8, 16])


def test_several_workers_cover_a_grid_whatever_happens(tmp_path: Path, database_url: str) -> None:
    """Trials that fail, are given back, told by a script or queued: every configuration once."""
    submitted(tmp_path, database_url, GRID, trials=100)
    study = joined(database_url)
    adam = {"early_stopping.on": True, "early_stopping": 3, "optimizer": "adam"}
    kinds = {name: CategoricalDistribution([each]) for name, each in adam.items()}
    study.add_trial(create_trial(params=adam, distributions=kinds, value=0.3))
    study.enqueue_trial({"optimizer": "sgd", "sgd.momentum": 0.3})
    desks = [Desk(database_url, "small") for _ in range(3)]
    for desk in desks:
        desk.storage.mirrors.refresh_interval = 60.0  # what a worker remembers is old
    held = [(desk, desk.claim()) for desk in desks]
    assert all(lease is not None for _, lease in held)
    failed = held[0]
    failed[0].tell(failed[1], TrialState.FAIL)  # type: ignore[arg-type]
    held[1][0].storage.claims.release([held[1][1]])  # type: ignore[list-item]
    desks[2].tell(held[2][1])  # type: ignore[arg-type]
    for turn in range(100):
        desk = desks[turn % 3]
        lease = desk.claim()
        if lease is None:
            assert desk.propose.exhausted
            break
        desk.tell(lease)
    assert desks[0].places() == Counter(range(SIZE))
    assert [desk.claim() for desk in desks] == [None] * 3
    assert desks[0].storage.claims.held(desks[0].job.study_id) == 0


def test_a_grid_of_real_workers_ends_with_a_word(
    tmp_path: Path, make: Any, until: Any, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is killed: what it had is trained by another; and the next run says the same."""
    shared = make(database_url)
    submitted(tmp_path, database_url, GRID, trials=100)
    first, second = shared.worker(), shared.worker()
    until(lambda: shared.progress.finished >= 2)
    os.kill(first.pid, signal.SIGKILL)
    second.join(60)
    assert second.exitcode == 0, shared.said()
    desk = Desk(database_url, "small")
    assert desk.places() == Counter(range(SIZE))
    url = shared.storage.database.url.render_as_string(hide_password=False)
    monkeypatch.setenv("TUNER_STORAGE", url)
    again = CliRunner().invoke(app, ["optimize", "--study", str(shared.path), "--workers", "1"])
    assert again.exit_code == 0, again.output
    assert f"small: {SIZE} of 100 trials" in again.stdout
    assert f"the space is exhausted: all {SIZE} configurations tried" in again.stdout
    assert "continue the study" not in again.stdout


def test_a_sampler_that_repeats_nothing_ends_when_nothing_is_left(
    tmp_path: Path, sqlite_url: str
) -> None:
    text = GRID.replace('sampler = "grid"', 'sampler = "auto"')
    submitted(tmp_path, sqlite_url, text, trials=100)
    desks = [Desk(sqlite_url, "small") for _ in range(2)]
    for turn in range(SIZE):
        lease = desks[turn % 2].claim()
        assert lease is not None
        desks[turn % 2].tell(lease)
    assert [desk.claim() for desk in desks] == [None] * 2
    assert all(desk.propose.exhausted for desk in desks)
    assert len({repr(sorted(trial.params.items())) for trial in desks[0].trials()}) == SIZE
    assert all_tried(Own(desks[0].job.study), desks[0].trials()) == SIZE


@pytest.mark.parametrize("sampler", ["auto", "tpe"])
def test_workers_that_ask_at_once_get_different_configurations(
    tmp_path: Path, database_url: str, sampler: str
) -> None:
    submitted(tmp_path, database_url, STUDY, trials=100, sampler=sampler)
    desks = [Desk(database_url, "small") for _ in range(8)]
    for _ in range(12):
        lease = desks[0].claim()
        assert lease is not None
        desks[0].tell(lease)
    together = threading.Barrier(len(desks))

    def claim(desk: Desk) -> Lease | None:
        desk.storage.get_all_trials(desk.job.study_id)
        together.wait(30)
        return desk.claim()

    with ThreadPoolExecutor(len(desks)) as pool:
        leases = list(pool.map(claim, desks))
    assert len({repr(lease.trial.params) for lease in leases if lease is not None}) == len(desks)


def test_a_grid_begins_again_where_duplicates_are_wanted(tmp_path: Path, sqlite_url: str) -> None:
    submitted(tmp_path, sqlite_url, GRID, trials=100, search="duplicates = true")
    desk = Desk(sqlite_url, "small")
    for _ in range(SIZE + 4):
        lease = desk.claim()
        assert lease is not None
        desk.tell(lease)
    assert Counter(desk.places().values()) == {1: SIZE - 4, 2: 4}
