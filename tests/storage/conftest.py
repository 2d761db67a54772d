"""Fixtures for the storage's tests: a study to claim trials of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from tuner.storage import Propose, Storage, open_storage

KINDS = {
    "rate": FloatDistribution(1e-5, 1.0, log=True),
    "depth": IntDistribution(1, 8),
    "norm": CategoricalDistribution([True, False, None, "x"]),
}


def propose(number: int, fixed: Mapping[str, Any] | None) -> FrozenTrial:
    params = {"rate": 0.1 / (number + 1), "depth": 1 + number % 8, "norm": None}
    return create_trial(
        state=TrialState.RUNNING,
        params=params | dict(fixed or {}),
        distributions=dict(KINDS),
        user_attrs={"seed": number},
    )


def join(storage: Storage, name: str = "study", budget: int = 3) -> int:
    return storage.join(
        name,
        direction="maximize",
        metric="accuracy",
        spec="[search]",
        fingerprint="abc",
        budget=budget,
    )


@pytest.fixture
def storage(database_url: str) -> Iterator[Storage]:
    opened = open_storage(database_url)
    yield opened
    opened.close()


@pytest.fixture(name="propose")
def _propose() -> Propose:
    """Makes a trial of three parameters that depend on its number alone."""
    return propose


@pytest.fixture(name="join")
def _join() -> Callable[..., int]:
    """Makes or joins the study `name` with a `budget`."""
    return join


@pytest.fixture
def study_id(storage: Storage) -> int:
    return join(storage)
