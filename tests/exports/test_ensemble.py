"""An ensemble is exported as one network that predicts what its trainings predicted."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score, root_mean_squared_error
from typer.testing import CliRunner

import tuner
from tuner.cli import app
from tuner.errors import DataError, UsageError
from tuner.exports.folder import CARD, ENSEMBLE, ONNX, PROGRAM, STUDY
from tuner.exports.network import Average
from tuner.exports.read import read
from tuner.results import confirm as confirming
from tuner.results.confirm import ConfirmRequest
from tuner.results.ensemble import Ensemble, Member
from tuner.results.estimate import OfRows
from tuner.results.predictions import read_predictions
from tuner.results.replicas import finished_replicas
from tuner.run.prepare import load_job, stored_study
from tuner.storage import artifact_store
from tuner.worker.job import data_of

WEIGHTS = (0.4, 0.2, 0.15, 0.15, 0.05, 0.05)


class Together(NamedTuple):
    name: str
    options: Any
    ensemble: Ensemble

    @property
    def study(self) -> tuple[Any, int]:
        return stored_study(tuner.open_storage(self.options.storage), self.name)

    def expected(self, final: bool) -> tuple[Any, Any]:
        """The weighted mean of what `confirm` kept of its trainings' predictions; their data."""
        storage, (study, study_id) = tuner.open_storage(self.options.storage), self.study
        done = finished_replicas(storage, study, "confirm")
        total: Any = 0
        for each in self.ensemble.members:
            trial = done[each.label, each.seed, final][1]
            known = read_predictions(artifact_store(storage), trial)
            assert known is not None
            total = total + each.weight * known.outputs.double()
        return total.numpy(), data_of(load_job(study, study_id), trial)


def confirmed(
    trained: Any,
    place: Path,
    name: str,
    target: str,
    model: dict[str, Any] | None = None,
    other: str = "quantile",
    **data: Any,
) -> Together:
    """A study whose best are of two families and two preprocessings, with an ensemble of all the
    trainings of `confirm`, whatever they are worth."""
    drop = [{"label": "price", "price": "label"}[target], "text"]
    columns = {"path": str(place / "table.csv"), "target": target, "drop": drop}
    options = trained(
        name,
        data={**columns, "preprocessing": tuner.Choice(["standard", other]), **data},
        model={"family": tuner.Choice(["mlp", "linear"]), "depth": 1, "width": 4, **(model or {})},
        training={"epochs": 3, "learning_rate": 0.01},
        search={
            "trials": 3,
            "pruner": "none",
            "enqueue": [{"family": "linear", "preprocessing": other}, {"family": "linear"}],
        },
    )
    return stored(name, options, tuner.confirm(name, options, top=2, seeds=2, full=True))


def stored(name: str, options: Any, found: tuner.Confirmation) -> Together:
    """The study with an ensemble of all its trainings in place of the one that was chosen."""
    storage = tuner.open_storage(options.storage)
    study = stored_study(storage, name)[0]
    held = storage.get_study_id_from_name(f"{name}:confirm")
    keys = [(row.label, row.number, seed) for row in found.rows for seed in (0, 1)]
    members = tuple(Member(*key, weight) for key, weight in zip(keys, WEIGHTS, strict=True))
    tests = found.winner.test is not None
    spreads = (OfRows(0.5, 0.4, 0.6), OfRows(0.1, 0.0, 0.2)) if tests else (None, None)
    made = Ensemble(16, members, 6, 0.5, 0.1, 72, *spreads)
    asked = storage.get_study_user_attrs(held)["tuner:asked"]
    assert ConfirmRequest(**asked).record == asked
    storage.set_study_user_attr(held, confirming.ENSEMBLE, {"request": asked, **asdict(made)})
    again = confirming.read(tuner.open_storage(options.storage), study)
    assert again is not None
    assert again.answer == made
    return Together(name, options, made)


@pytest.fixture(scope="session")
def label(trained: Any, place: Path) -> Together:
    return confirmed(trained, place, "together-label", "label")


@pytest.fixture(scope="session")
def price(trained: Any, place: Path) -> Together:
    return confirmed(trained, place, "together-price", "price")


SEVERAL = {"labels": ["wet", "cold"], "quantities": ["rain", "heat"]}


@pytest.fixture(scope="session")
def days(place: Path) -> pd.DataFrame:
    """A table with two labels, two quantities and weights."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(90, 3))
    frame = pd.DataFrame(x, columns=list("abc"))
    noisy = x @ rng.normal(size=(3, 2)) + rng.normal(size=(90, 2)) / 3
    frame["wet"], frame["cold"] = np.where(noisy[:, 0] > 0, "yes", "no"), (noisy[:, 1] > 0) + 0
    frame["rain"], frame["heat"] = 5 + noisy[:, 0], 1000 + 300 * noisy[:, 1]
    frame["often"] = rng.uniform(0.5, 3.0, 90)
    frame.to_csv(place / "days.csv", index=False)
    return frame


@pytest.mark.parametrize("kind", SEVERAL)
def test_several_targets(
    kind: str, trained: Any, place: Path, days: pd.DataFrame, tmp_path: Path
) -> None:
    """An export of one network, and of an ensemble, says what their trainings did."""
    name, targets = f"several-{kind}", SEVERAL[kind]
    drop = [each for names in SEVERAL.values() for each in names if each not in targets]
    about = {"path": str(place / "days.csv"), "target": targets, "drop": drop, "weight": "often"}
    clip = {"target_clip": True} if kind == "quantities" else {}
    options = trained(
        name,
        data={**about, **clip},
        model={"members": 3, "depth": 1},
        training={"epochs": 4, "learning_rate": tuner.Range(0.001, 0.03)},
        search={"trials": 3, "pruner": "none"},
    )
    found = tuner.export(name, tmp_path / "one", options)
    together = stored(name, options, tuner.confirm(name, options, top=2, seeds=2, full=True))
    made = tuner.export(name, tmp_path / "all", options, final=False, onnx=True)
    expected, data = together.expected(final=False)
    rows = days.iloc[data.positions[1]]
    predictions = tuner.predict(tmp_path / "all", rows[["c", "b", "a"]])
    one = tuner.predict(tmp_path / "one", rows)
    if kind == "labels":
        assert list(one) == ["wet", "cold", "probability wet", "probability cold"]
        shares = predictions[["probability wet", "probability cold"]].to_numpy()
        alone = one[["probability wet", "probability cold"]].to_numpy()
        actual = np.column_stack([rows["wet"] == "yes", rows["cold"]])
        score = partial(average_precision_score, sample_weight=rows["often"])
        assert (predictions[["wet", "cold"]].to_numpy() == (shares > 0.5)).all()
    else:
        assert list(one) == ["rain", "heat"]
        shares, alone, actual = predictions.to_numpy(), one.to_numpy(), rows[targets].to_numpy()
        score = partial(root_mean_squared_error, sample_weight=rows["often"])
    for each, value in ((alone, found.value), (shares, made.value)):
        expected_value = np.mean([score(actual[:, k], each[:, k]) for k in range(2)])
        assert value == pytest.approx(expected_value, rel=1e-5)
    np.testing.assert_allclose(shares, expected, rtol=1e-5, atol=1e-5)
    card = (tmp_path / "all" / CARD).read_text()
    assert f"targets `{targets[0]}`, `{targets[1]}`; rows of shape [3], which have weights" in card
    assert {"labels": "multilabel of 2 labels", "quantities": "of 2 quantities"}[kind] in card
    program = torch.export.load(tmp_path / "one" / PROGRAM).module()
    network = tuner.load(tmp_path / "one")
    x = torch.randn(5, 3)
    torch.testing.assert_close(program(x), network(x))
    network = tuner.load(tmp_path / "all")
    assert isinstance(network, Average)
    session = onnxruntime.InferenceSession(tmp_path / "all" / ONNX)
    (onnx,) = session.run(["outputs"], {"rows": x.numpy()})
    np.testing.assert_allclose(onnx, network(x).detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="session")
def exported(label: Together, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    out = tmp_path_factory.mktemp("ensemble") / "model"
    return out, tuner.export(label.name, out, label.options, onnx=True)


@pytest.mark.parametrize("target", ["label", "price"])
@pytest.mark.parametrize("final", [False, True])
def test_predictions_are_those_of_the_study(
    target: str, final: bool, frame: pd.DataFrame, request: Any, tmp_path: Path
) -> None:
    together: Together = request.getfixturevalue(target)
    made = tuner.export(together.name, tmp_path / "model", together.options, final=final)
    assert made.members == 6
    assert len(read(tmp_path / "model").recipes) == 2
    expected, data = together.expected(final)
    rows = frame.iloc[data.positions[1]]
    predictions = tuner.predict(tmp_path / "model", rows)
    numbers = predictions.drop(columns="class", errors="ignore").to_numpy().reshape(expected.shape)
    np.testing.assert_allclose(numbers, expected, rtol=1e-6, atol=1e-6)
    if target == "label":
        right = predictions["class"].to_numpy() == rows["label"].to_numpy()
        assert made.value == pytest.approx(right.mean())
    else:
        error = predictions["value"].to_numpy() - rows["price"].to_numpy()
        assert made.value == pytest.approx(float(np.sqrt((error**2).mean())), rel=1e-5)


def test_one_module_one_program_one_onnx_file(exported: tuple[Path, Any]) -> None:
    out, made = exported
    network = tuner.load(out)
    assert isinstance(network, Average)
    assert not network.training
    assert made.parameters == sum(p.numel() for p in network.parameters())
    assert made.slowdown > 0
    size = sum(learned.shape[0] for learned in read(out).recipes)
    rows = torch.randn(7, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network(rows)
        program = torch.export.load(out / PROGRAM).module()(rows)
    session = onnxruntime.InferenceSession(out / ONNX)
    (onnx,) = session.run(["outputs"], {"rows": rows.numpy()})
    for found in (program.numpy(), onnx):
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-6, atol=1e-6)
    assert torch.allclose(expected.exp().sum(1), torch.ones(7))  # logarithms of probabilities


def test_the_files_name_every_member(exported: tuple[Path, Any], label: Together) -> None:
    out, made = exported
    assert {path.name for path in out.iterdir()} == set(made.files)
    members = json.loads((out / ENSEMBLE).read_text())["members"]
    assert [each["weight"] for each in members] == list(WEIGHTS)
    assert [each["trial"] for each in members] == [each.number for each in label.ensemble.members]
    for name in {each["study"] for each in members}:
        fixed = tuner.load_study(str(out / name))
        assert fixed.config({})["epochs"] == 3
    card = (out / CARD).read_text()
    assert "the average of 6 networks, an ensemble" in card
    assert "times as long as its heaviest member alone" in card
    assert "0.5000 (0.4000 to 0.6000) on the test rows" in card
    assert "`study.toml`, `study-2.toml`, `study-3.toml`" in card
    assert card.count("## Configuration of trial") == 3


def test_the_command_prints_the_cost(label: Together, tmp_path: Path) -> None:
    line = ["export", "--study", label.name, "--storage", label.options.storage, "--out"]
    shown = CliRunner().invoke(app, [*line, str(tmp_path / "model")])
    assert shown.exit_code == 0, shown.output
    assert "an ensemble of 6 networks of together-label: accuracy" in shown.stdout
    assert "parameters; a batch of rows took" in shown.stdout
    again = CliRunner().invoke(app, [*line, str(tmp_path / "model"), "--single", "--force"])
    assert again.exit_code == 0, again.output
    assert "trial " in again.stdout.split(" of ")[0]
    assert not (tmp_path / "model" / ENSEMBLE).exists()


def test_a_single_configuration_on_request(label: Together, tmp_path: Path) -> None:
    alone = tuner.export(label.name, tmp_path / "alone", label.options, single=True)
    given = tuner.export(label.name, tmp_path / "given", label.options, trial=alone.number)
    assert alone.members == given.members == 1
    assert alone.number == label.ensemble.members[0].number
    assert (tmp_path / "alone" / STUDY).read_text() == (tmp_path / "given" / STUDY).read_text()


def test_a_damaged_ensemble_is_named(exported: tuple[Path, Any], tmp_path: Path) -> None:
    for path in exported[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for damage in (
        "{",
        '{"members": []}',
        '{"members": [{"study": "../x", "input": 0, "weight": 1}]}',
    ):
        (tmp_path / ENSEMBLE).write_text(damage)
        with pytest.raises(UsageError, match=r"ensemble\.json"):
            tuner.load(tmp_path)


def test_of_folds_the_networks_of_all_rows(
    trained: Any, place: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    folds = confirmed(trained, place, "folded", "label", validation={"folds": 3})
    given = tuner.export("folded", tmp_path / "model", folds.options, final=False)
    assert (given.final, given.all_rows) == (True, False)  # a trial has no single network
    expected, data = folds.expected(final=True)
    found = tuner.predict(tmp_path / "model", frame.iloc[data.positions[1]])
    np.testing.assert_allclose(found.drop(columns="class"), expected, rtol=1e-6, atol=1e-6)


def test_on_all_rows(trained: Any, place: Path, frame: pd.DataFrame, tmp_path: Path) -> None:
    together = confirmed(trained, place, "used", "label")
    final = tuner.export("used", tmp_path / "final", together.options, final=True)
    made = tuner.export("used", tmp_path / "model", together.options)
    assert (made.value, made.members) == (final.value, final.members)
    assert (final.all_rows, made.all_rows) == (False, True)  # as `confirm` has measured it
    given = tuner.export("used", tmp_path / "given", together.options, trial=made.number)
    assert (given.final, given.all_rows) == (False, False)
    options = together.options
    with pytest.raises(UsageError, match="--no-final: --all-rows measures a final training"):
        tuner.export("used", tmp_path / "neither", options, final=False, all_rows=True)
    assert not (tmp_path / "neither").exists()
    data = together.expected(final=True)[1]
    rows = len(data.train) + len(data.validation)
    assert f"on all {rows} rows, those for the test too" in (tmp_path / "model" / CARD).read_text()
    ours, others = (
        tuner.predict(tmp_path / each, frame).drop(columns="class") for each in ("model", "final")
    )
    assert np.abs(ours.to_numpy() - others.to_numpy()).max() > 1e-4


def test_of_embedded_numbers_and_a_logarithm_within_limits(
    trained: Any, place: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    model = {"members": 3, "numbers": {"name": "periodic", "frequencies": 4}, "input_scale": True}
    scale = {"target_scale": "log", "target_clip": True}
    together = confirmed(
        trained, place, "scaled", "price", model, "robust", validation={"folds": 3}, **scale
    )
    made = tuner.export("scaled", tmp_path / "model", together.options, final=True, onnx=True)
    expected, data = together.expected(final=True)
    rows = frame.iloc[data.positions[1]]
    values = tuner.predict(tmp_path / "model", rows)["value"].to_numpy()
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    error = values - rows["price"].to_numpy()
    assert made.value == pytest.approx(float(np.sqrt((error**2).mean())), rel=1e-5)
    target = read(tmp_path / "model").target
    assert (target.form, target.limits) == ("linear", data.target.limits)
    assert data.target.form == "log"
    card = (tmp_path / "model" / CARD).read_text()
    assert f"`outputs.clamp{data.target.limits!r}` is the value in the target's unit" in card
    x = torch.randn(5, sum(each.shape[0] for each in read(tmp_path / "model").recipes))
    with torch.inference_mode():
        of_network = tuner.load(tmp_path / "model")(x)
        program = torch.export.load(tmp_path / "model" / PROGRAM).module()(x)
    session = onnxruntime.InferenceSession(tmp_path / "model" / ONNX)
    (onnx,) = session.run(["outputs"], {"rows": x.numpy()})
    for outputs in (program.numpy(), onnx):
        np.testing.assert_allclose(outputs, of_network.numpy(), rtol=1e-6)


def test_without_test_rows(trained: Any, place: Path, tmp_path: Path) -> None:
    none = confirmed(trained, place, "untested", "label", test=0)
    assert tuner.export("untested", tmp_path / "model", none.options).members == 6
    assert "over one network" in (tmp_path / "model" / CARD).read_text()
    with pytest.raises(DataError, match="there are no test rows"):
        tuner.export("untested", tmp_path / "final", none.options, final=True)
