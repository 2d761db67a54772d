"""A temperature is a part of the exported network, and its predictions have it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import tuner
from tuner.cli import app
from tuner.errors import UsageError
from tuner.exports.folder import CARD, ONNX, PREPROCESSING, PROGRAM
from tuner.exports.network import Calibrated
from tuner.exports.read import read
from tuner.results import confirm as confirming
from tuner.results.calibration import Calibration
from tuner.results.ensemble import Ensemble, Member
from tuner.run.prepare import load_job, stored_study
from tuner.worker.job import data_of

KNOWN = Calibration(2.5, 0.1, 0.01, 72, 0.5, 0.4)
SINGLE = replace(KNOWN, temperature=0.4)


@pytest.fixture(scope="module")
def options(trained: Any, place: Path) -> Any:
    """A confirmed study with temperatures, whatever they are worth, and an ensemble that helps."""
    made = trained(
        "tempered",
        metric="log_loss",
        data={"path": str(place / "table.csv"), "target": "label", "drop": ["price", "text"]},
        model={"family": "mlp", "depth": 1, "width": tuner.Choice([4, 8])},
        training={"epochs": 3, "learning_rate": 0.01},
        search={"trials": 3, "pruner": "none", "enqueue": [{"width": 4}, {"width": 8}]},
    )
    found = tuner.confirm("tempered", made, top=1, seeds=2, yardsticks=False, full=True)
    storage = tuner.open_storage(made.storage)
    held = storage.get_study_id_from_name("tempered:confirm")
    asked = storage.get_study_user_attrs(held)["tuner:asked"]
    keys = [(row.label, row.number, seed) for row in found.rows for seed in (0, 1)]
    members = tuple(Member(*key, 0.25) for key in keys)
    together = Ensemble(16, members, 4, 0.5, 0.1, 72, calibration=KNOWN)
    of = {row.label: asdict(SINGLE) for row in found.rows}
    for key, record in (
        (confirming.ENSEMBLE, asdict(together)),
        (confirming.CALIBRATIONS, {"of": of}),
    ):
        storage.set_study_user_attr(held, key, {"request": asked, **record})
    return made


@pytest.mark.parametrize(("single", "known"), [(False, KNOWN), (True, SINGLE)])
def test_probabilities_of_module_program_and_onnx_file(
    options: Any, single: bool, known: Calibration, frame: pd.DataFrame, tmp_path: Path
) -> None:
    made = tuner.export("tempered", tmp_path / "with", options, single=single, onnx=True)
    tuner.export("tempered", tmp_path / "without", options, single=single, uncalibrated=True)
    plain, found = (tuner.predict(tmp_path / name, frame) for name in ("without", "with"))
    assert list(plain["class"]) == list(found["class"])
    logits = torch.tensor(plain.drop(columns="class").to_numpy()).log()
    expected = (logits / known.temperature).softmax(1).numpy()
    np.testing.assert_allclose(found.drop(columns="class").to_numpy(), expected, rtol=1e-5)
    network = tuner.load(tmp_path / "with")
    assert isinstance(network, Calibrated)
    size = read(tmp_path / "with").recipe.shape[0]
    x = torch.randn(6, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        of_network = network(x)
        program = torch.export.load(tmp_path / "with" / PROGRAM).module()(x)
    session = onnxruntime.InferenceSession(tmp_path / "with" / ONNX)
    (onnx,) = session.run(["outputs"], {"rows": x.numpy()})
    for outputs in (program.numpy(), onnx):
        np.testing.assert_allclose(outputs, of_network.numpy(), rtol=1e-6, atol=1e-6)
    assert f"the temperature {known.temperature}" in made.probabilities
    assert made.probabilities[1:] in (tmp_path / "with" / CARD).read_text()


def test_the_value_is_that_of_the_calibrated_predictions(
    options: Any, frame: pd.DataFrame, tmp_path: Path
) -> None:
    made = tuner.export("tempered", tmp_path / "model", options, single=True, final=False)
    plain = tuner.export(
        "tempered", tmp_path / "plain", options, single=True, final=False, uncalibrated=True
    )
    storage = tuner.open_storage(options.storage)
    study, study_id = stored_study(storage, "tempered")
    trial = storage.get_all_trials(study_id)[made.number]
    rows = frame.iloc[data_of(load_job(study, study_id), trial).positions[1]]
    for folder, export in (("model", made), ("plain", plain)):
        shares = tuner.predict(tmp_path / folder, rows)
        own = [shares.loc[i, f"probability {name}"] for i, name in rows["label"].items()]
        assert export.value == pytest.approx(-np.log(own).mean(), rel=1e-5)
    assert made.value != plain.value


def test_without_it_the_export_is_that_of_before(options: Any, tmp_path: Path) -> None:
    """Off is the identity: no file knows of a temperature."""
    made = tuner.export("tempered", tmp_path / "model", options, single=True, uncalibrated=True)
    assert "temperature" not in (tmp_path / "model" / PREPROCESSING).read_text()
    assert not isinstance(tuner.load(tmp_path / "model"), Calibrated)
    assert made.probabilities == "probabilities are as the network gives them (--uncalibrated)"
    alone = tuner.export("tempered", tmp_path / "alone", options, trial=made.number)
    assert alone.probabilities.startswith("probabilities have the temperature 0.4, which on rows")


def test_the_command_says_it(options: Any, tmp_path: Path) -> None:
    line = [
        "export",
        "--study",
        "tempered",
        "--storage",
        options.storage,
        "--out",
        str(tmp_path / "m"),
    ]
    shown = CliRunner().invoke(app, line)
    assert shown.exit_code == 0, shown.output
    assert "probabilities have the temperature 2.5, which on rows" in shown.stdout
    again = CliRunner().invoke(app, [*line, "--force", "--uncalibrated", "--json"])
    assert json.loads(again.stdout)["probabilities"].endswith("(--uncalibrated)")


def test_before_confirm_there_is_none(trained: Any, place: Path, tmp_path: Path) -> None:
    data = {"path": str(place / "table.csv"), "target": "label", "drop": ["price", "text"]}
    new = trained("unconfirmed", data=data, training={"epochs": 1})
    made = tuner.export("unconfirmed", tmp_path / "model", new)
    assert made.probabilities == (
        "probabilities are not calibrated: `tuner confirm --study unconfirmed` finds a temperature "
        "for them"
    )


@pytest.mark.parametrize("damage", [0, -1, "Infinity", '"x"', "[1]"])
def test_a_damaged_temperature_is_named(options: Any, damage: Any, tmp_path: Path) -> None:
    tuner.export("tempered", tmp_path / "model", options, single=True)
    file = tmp_path / "model" / PREPROCESSING
    file.write_text(file.read_text().replace('"temperature": 0.4', f'"temperature": {damage}'))
    with pytest.raises(UsageError, match=r"preprocessing\.json: is damaged"):
        tuner.load(tmp_path / "model")
