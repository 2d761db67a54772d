"""Snapshots that were made up, and how a view looks as text."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial
from rich.console import Console, RenderableType

from tuner.results.best import Best, Ended, Running
from tuner.show.snapshot import Snapshot, snapshot
from tuner.storage import Progress, Storage, open_storage
from tuner.study import Study
from tuner.study.parse import parse

RATE = FloatDistribution(1e-4, 1e-1, log=True)

PLAIN = {"depth": 2, "width": 64, "dropout": 0.0, "optimizer": "adam", "epochs": 30}
BETTER = {**PLAIN, "width": 128, "optimizer": "sgd", "sgd.momentum": 0.9}


def made(**changes: Any) -> Snapshot:
    """In the middle of a run: baseline and best are known, two trials are in training."""
    counts = {"budget": 60, "complete": 19, "pruned": 4, "failed": 1, "running": 2, "waiting": 0}
    counts |= {key: changes.pop(key) for key in list(changes) if key in counts.keys() - {"running"}}
    found = Snapshot(
        study="digits",
        metric="accuracy",
        direction="maximize",
        storage="sqlite:///tuner.db",
        progress=Progress(**counts, state=changes.pop("state", "open")),
        baseline=Best(0, 0.9556, PLAIN),
        best=Best(17, 0.9806, BETTER),
        running=(Running(24, 12, 30, 0.9611, BETTER), Running(25, 0, 30, None, PLAIN)),
        elapsed=41.0,
        left=65.0,
        searched=frozenset({"width", "dropout", "optimizer", "sgd.momentum"}),
        ended=(
            Ended(22, "complete", 0.97, 30, "all epochs", (17, 0.9806)),
            Ended(23, "pruned", 0.51, 3, "pruned", (17, 0.9806)),
        ),
    )
    return replace(found, **changes)


def small(metric: str = "accuracy") -> Study:
    rate = {"low": 1e-4, "high": 1e-1, "log": True}
    training = {"epochs": 3, "learning_rate": rate}
    document = {"metric": metric, "data": {"source": "a:b"}, "training": training}
    return parse("small", document)


class Database:
    """A study in a database, to which trials are added."""

    def __init__(self, url: str, direction: str) -> None:
        self.storage: Storage = open_storage(url)
        self.metric = "accuracy" if direction == "maximize" else "cross_entropy"
        self.study_id = self.storage.join(
            "small",
            direction=direction,
            metric=self.metric,
            spec="{}",
            fingerprint="",
            budget=10,
        )
        self.optuna = optuna.load_study(study_name="small", storage=self.storage)

    def add(self, state: str, value: float | None, *values: float, **attrs: object) -> None:
        trial = create_trial(
            state=TrialState[state],
            value=value,
            params={"learning_rate": 0.01},
            distributions={"learning_rate": RATE},
            intermediate_values={step + 1: each for step, each in enumerate(values)},
            user_attrs=attrs,
        )
        self.optuna.add_trial(trial)

    def look(self, before: int = 0) -> Snapshot:
        started = time.monotonic() - 10
        return snapshot(self.storage, small(self.metric), self.study_id, started, before)


@pytest.fixture
def a_database(sqlite_url: str) -> Callable[[str], Database]:
    """Makes a database for a direction."""
    return lambda direction: Database(sqlite_url, direction)


@pytest.fixture
def database(a_database: Callable[[str], Database]) -> Database:
    """More is better in its study."""
    return a_database("maximize")


@pytest.fixture(name="snapshot")
def make_snapshot() -> Callable[..., Snapshot]:
    """Makes a snapshot; keyword arguments change it."""
    return made


@pytest.fixture
def shown() -> Callable[..., str]:
    """What a view looks like, without colours."""

    def show(view: RenderableType, width: int = 100) -> str:
        console = Console(file=io.StringIO(), width=width, markup=False, highlight=False)
        console.print(view)
        return console.file.getvalue()  # type: ignore[attr-defined]  # it is a StringIO

    return show
