"""A study in one database, and an empty database of the other kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from tuner.storage import Lease, Storage, Update, open_storage

KINDS = {"x": FloatDistribution(0.0, 1.0), "norm": CategoricalDistribution([True, None, "a"])}


def propose(number: int, fixed: Mapping[str, Any] | None) -> FrozenTrial:
    params = {"x": 1 / (number + 3), "norm": "a"} | dict(fixed or {})
    return create_trial(
        state=TrialState.RUNNING,
        params=params,
        distributions=dict(KINDS),
        user_attrs={"seed": number},
    )


def join(storage: Storage, name: str = "study", budget: int = 12) -> int:
    return storage.join(
        name, direction="minimize", metric="loss", spec="{}", fingerprint="f", budget=budget
    )


def claim(storage: Storage, study_id: int) -> Lease:
    lease = storage.claims.claim(study_id, "me", propose)
    assert lease is not None
    return lease


def train(storage: Storage, study_id: int, trials: int) -> None:
    """So many trials, one of them pruned, one with values that are no numbers."""
    for _ in range(trials):
        lease = claim(storage, study_id)
        odd = {2: float("nan"), 3: float("inf")} if lease.number == 1 else {}
        state = TrialState.PRUNED if lease.number == 2 else TrialState.COMPLETE
        reports = {1: 0.1 + lease.number} | odd
        storage.writer.write([Update(lease, reports, {"ended": "so"}, state=state, value=0.1)])


@pytest.fixture(params=["sqlite", "postgresql"])
def pair(
    request: pytest.FixtureRequest, sqlite_url: str, postgres_url: str
) -> Iterator[tuple[Storage, Storage]]:
    """Two databases, of which the first is of this kind."""
    urls = (sqlite_url, postgres_url)
    first, second = map(open_storage, urls if request.param == "sqlite" else urls[::-1])
    yield first, second
    first.close()
    second.close()


@pytest.fixture
def storage(database_url: str) -> Iterator[Storage]:
    opened = open_storage(database_url)
    yield opened
    opened.close()


@pytest.fixture
def make() -> Callable[..., int]:
    """Makes a study of 12 trials with so many trained; of another one's trainings, if said."""

    def made(storage: Storage, name: str = "study", trials: int = 0, of: str | None = None) -> int:
        study_id = join(storage, name)
        if of is not None:
            storage.set_study_user_attr(study_id, "tuner:replicates", of)
        train(storage, study_id, trials)
        return study_id

    return made


@pytest.fixture(name="claim")
def _claim() -> Callable[[Storage, int], Lease]:
    return claim


@pytest.fixture(name="train")
def _train() -> Callable[[Storage, int, int], None]:
    return train


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"
