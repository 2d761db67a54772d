"""Vectors of categories through a whole search, and what becomes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from torch import nn

import tuner
from tuner.errors import StudyFileError
from tuner.models.categories import Categories
from tuner.run.retrain import retrain

CHOICE = {"choices": ["one-hot", {"name": "embedding", "size": tuner.Range(2, 4)}]}


@pytest.fixture
def towns(tmp_path: Path) -> pd.DataFrame:
    """What is predicted depends on the town and the sign of a number; one town is rare."""
    rng = np.random.default_rng(0)
    town = rng.choice(list("abcdefgh"), 240)
    frame = pd.DataFrame({"town": town, "pet": rng.choice(["cat", "dog"], 240)})
    frame["number"] = rng.normal(size=240)
    frame["label"] = np.where(frame["town"].isin(list("abcd")) ^ (frame["number"] > 0), "in", "out")
    frame.loc[7, "town"] = "rare"
    frame.to_csv(tmp_path / "towns.csv", index=False)
    return frame


def _study(folder: Path, **changes: object) -> tuner.Study:
    return tuner.define_study(
        "towns",
        data={
            "path": str(folder / "towns.csv"),
            "target": "label",
            "validation": {"folds": 2},
        },
        model={"family": {"choices": ["mlp", "linear"]}, "categories": CHOICE, **changes},
        training={"epochs": 4, "learning_rate": 0.02},
        search={
            "trials": 4,
            "sampler": "random",
            "pruner": "none",
            "enqueue": [
                {"categories": "embedding", "embedding.size": 3},
                {"categories": "embedding", "family": "linear"},
            ],
        },
    )


def test_folds_workers_retrain_confirm_export_and_predict(
    towns: pd.DataFrame, tmp_path: Path
) -> None:
    """A town that some fold's training rows lack changes the length of a row, not of its vector."""
    options = tuner.RunOptions(f"sqlite:///{tmp_path}/tuner.db", workers=2, device="cpu")
    assert tuner.optimize(_study(tmp_path), options).progress.met
    trials = optuna.load_study(study_name="towns", storage=options.storage).trials
    assert [trial.params["categories"] for trial in trials[:3]] == ["one-hot"] + ["embedding"] * 2
    assert [trial.params.get("embedding.size") for trial in trials[:2]] == [None, 3]
    assert trials[1].value != trials[0].value
    assert all(retrain("towns", number, options).equal for number in (1, 2))
    measured = tuner.confirm("towns", options, top=3, seeds=2, full=True)
    assert all(each.test is not None for each in measured.rows)

    tuner.export("towns", tmp_path / "model", options, trial=1, final=True, uncalibrated=True)
    first, *_ = tuner.load(tmp_path / "model").children()
    assert isinstance(first, Categories)
    linear = [layer for layer in first.layers if isinstance(layer, nn.Linear)]
    assert [layer.out_features for layer in linear] == [3]
    unseen = towns.drop(columns="label").assign(town="elsewhere")
    found = tuner.predict(tmp_path / "model", pd.concat((towns, unseen)))
    assert len(found) == 2 * len(towns)
    assert bool(np.isfinite(found["probability in"]).all())


def test_data_without_such_columns_is_refused_before_anything_is_written(
    towns: pd.DataFrame, tmp_path: Path
) -> None:
    towns.drop(columns="town").to_csv(tmp_path / "towns.csv", index=False)
    options = tuner.RunOptions(f"sqlite:///{tmp_path}/tuner.db", workers=1)
    message = "towns: model.categories: needs a column of more than two categories"
    with pytest.raises(StudyFileError, match=message):
        tuner.optimize(_study(tmp_path), options)
    assert not (tmp_path / "tuner.db").exists()


OWN = """\
from torch import nn


def net(shape, outputs, hidden=4):
    return nn.Sequential(nn.Linear(shape[0], hidden), nn.ReLU(), nn.Linear(hidden, outputs))
"""


def test_a_network_of_ones_own_is_given_the_vectors(
    towns: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "nets_of_towns.py").write_text(OWN)
    options = tuner.RunOptions(f"sqlite:///{tmp_path}/tuner.db", workers=1, device="cpu")
    own = _study(tmp_path, family={"choices": ["nets_of_towns:net", "linear"]})
    assert tuner.optimize(own, options).progress.met
    trials = optuna.load_study(study_name="towns", storage=options.storage).trials
    assert trials[1].params["family"] == "nets_of_towns:net"
    tuner.export("towns", tmp_path / "model", options, trial=1, final=True, uncalibrated=True)
    first, own_network = tuner.load(tmp_path / "model").children()
    assert next(own_network.parameters()).shape == (4, first.width)
