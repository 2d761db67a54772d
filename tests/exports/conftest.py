"""A small study of each kind of data, trained once, and exports of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tuner
from tuner.models import FAMILIES
from tuner.run.prepare import load_job, stored_study
from tuner.worker.job import course_of


def table(count: int = 90) -> pd.DataFrame:
    """Numbers with gaps, whole numbers, categories with gaps and booleans, and two targets."""
    rng = np.random.default_rng(0)
    size = rng.normal(1e6, 5, count)
    frame = pd.DataFrame(
        {
            "size": np.where(rng.random(count) < 0.2, np.nan, size),
            "count": rng.integers(0, 9, count),
            "kind": np.where(rng.random(count) < 0.1, None, rng.choice(list("xyz"), count)),
            "on": rng.random(count) < 0.5,
            "text": [
                " ".join(rng.choice(["good", "bad", "film", "it"], 1 + i % 6)) for i in range(count)
            ],
        }
    )
    frame["label"] = np.where(size > 1e6, "big", np.where(frame["count"] > 5, "many", "small"))
    frame["price"] = 1000 + size - 1e6 + 3 * frame["count"]
    return frame


@pytest.fixture(scope="session")
def frame() -> pd.DataFrame:
    """The table of the studies."""
    return table()


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the table."""
    folder = tmp_path_factory.mktemp("exports")
    table().to_csv(folder / "table.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def data(place: Path) -> Callable[[str], dict[str, Any]]:
    """What a study says of data that a family can learn from."""

    def find(family: str) -> dict[str, Any]:
        if FAMILIES[family].images:
            return {"source": "sklearn.datasets:load_digits", "shape": [1, 8, 8]}
        found = {"path": str(place / "table.csv"), "target": "label"}
        if FAMILIES[family].text:
            return {**found, "text": "text"}
        return {**found, "drop": ["price", "text"]}

    return find


@pytest.fixture(scope="session")
def trained(place: Path, _sqlite_file: Path) -> Callable[..., tuner.RunOptions]:
    """Trains a study, in a database of its name."""

    def train(name: str, **sections: Any) -> tuner.RunOptions:
        sections.setdefault("search", {"trials": 1, "pruner": "none"})
        study = tuner.define_study(name, **sections)
        shutil.copy(_sqlite_file, place / f"{name}.db")
        options = tuner.RunOptions(f"sqlite:///{place}/{name}.db", workers=1, device="cpu")
        assert tuner.optimize(study, options).progress.met
        return options

    return train


@pytest.fixture(scope="session")
def again() -> Callable[..., Any]:
    """A trial's own trainer, at its end and with the weights that it was measured with."""
    return _again


def _again(options: tuner.RunOptions, study: str, number: int = 0) -> Any:
    storage = tuner.open_storage(options.storage)
    found, study_id = stored_study(storage, study)
    trial = storage.get_all_trials(study_id)[number]
    [trainer] = course_of(load_job(found), trial, "cpu").parts
    for _ in trainer.epochs():
        pass
    weights = trainer.weights()
    trainer.network.load_state_dict(weights)
    return trainer
