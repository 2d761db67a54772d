"""Embeddings of numbers, a scale and members through a whole search, and what becomes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest

import tuner
from tuner.errors import StudyFileError
from tuner.models.inputs import Numbers, Scale
from tuner.run.replicate import ablate
from tuner.run.retrain import retrain

WAVES = {"name": "periodic", "frequencies": 4, "size": tuner.Range(2, 4), "form": "pbld"}
CHOICE = {"choices": ["plain", {"name": "piecewise-linear", "bins": 5}, WAVES]}


@pytest.fixture
def tides(tmp_path: Path) -> pd.DataFrame:
    """A height that rises and falls with the time; heights are above 0."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"time": rng.uniform(0, 9, 200), "port": rng.choice(list("abcd"), 200)})
    frame["wind"] = np.where(rng.random(200) < 0.1, np.nan, rng.normal(size=200))
    frame["height"] = np.exp(np.sin(3 * frame["time"]) + (frame["port"] == "a"))
    frame.to_csv(tmp_path / "tides.csv", index=False)
    return frame


def _study(folder: Path, **changes: object) -> tuner.Study:
    data = {"path": str(folder / "tides.csv"), "target": "height", "target_scale": "log"}
    switches = {"input_scale": {"choices": [True, False]}, "members": tuner.Range(2, 4, off=1)}
    model = {"family": "mlp", "numbers": CHOICE, **switches}
    waves = {"numbers": "periodic", "periodic.size": 3, "input_scale": True, "members": 3}
    return tuner.define_study(
        "tides",
        data={**data, "target_clip": True, "preprocessing": "robust", "validation": {"folds": 2}},
        model={**model, **changes},
        training={"epochs": 4, "learning_rate": 0.02},
        search={
            "trials": 4,
            "sampler": "random",
            "pruner": "none",
            "enqueue": [waves, {"numbers": "piecewise-linear"}],
        },
    )


def test_folds_retrain_confirm_ablate_export_and_predict(
    tides: pd.DataFrame, tmp_path: Path
) -> None:
    options = tuner.RunOptions(f"sqlite:///{tmp_path}/tuner.db", workers=1, device="cpu")
    assert tuner.optimize(_study(tmp_path), options).progress.met
    trials = optuna.load_study(study_name="tides", storage=options.storage).trials
    names = [trial.params["numbers"] for trial in trials[:3]]
    assert names == ["plain", "periodic", "piecewise-linear"]
    assert len({trial.value for trial in trials[:3]}) == 3
    assert all(retrain("tides", number, options).equal for number in (1, 2))
    measured = tuner.confirm("tides", options, top=4, seeds=2, full=True)
    assert all(each.test is not None for each in measured.rows)
    effects = {each.technique for each in ablate("tides", options, seeds=2, views=("off",)).effects}
    assert effects & {"numbers", "input_scale", "members"}
    for number, inner in ((1, "periodic"), (2, "piecewise-linear")):
        model = tmp_path / inner
        tuner.export("tides", model, options, trial=number, final=True)
        first, *rest = tuner.load(model).children()
        assert isinstance(first, Numbers)
        assert isinstance(rest[0], Scale) == (number == 1)
        found = tuner.predict(model, tides.drop(columns="height"))["value"]
        assert bool(found.between(tides["height"].min(), tides["height"].max()).all())


def test_data_without_numbers_is_refused_before_anything_is_written(
    tides: pd.DataFrame, tmp_path: Path
) -> None:
    tides[["port", "height"]].to_csv(tmp_path / "tides.csv", index=False)
    options = tuner.RunOptions(f"sqlite:///{tmp_path}/tuner.db", workers=1)
    with pytest.raises(StudyFileError, match=r"tides: model\.numbers: needs a column of numbers"):
        tuner.optimize(_study(tmp_path), options)
    assert not (tmp_path / "tuner.db").exists()
