"""Fixtures for the storage's tests: a study to claim trials of."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from tuner.storage import Propose, Storage, open_storage
from tuner.storage.database import parse_url

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


@pytest.fixture(scope="session")
def _sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that has its tables: copying it takes a hundredth of the time."""
    path = tmp_path_factory.mktemp("template") / "tuner.db"
    open_storage(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def _postgres_template(_postgres_server: Any) -> str:
    url = str(_postgres_server.create())
    open_storage(url).close()
    return str(parse_url(url).database)


@pytest.fixture
def sqlite_url(tmp_path: Path, _sqlite_file: Path) -> str:
    """The URL of an SQLite database that holds no study."""
    shutil.copy(_sqlite_file, tmp_path / "tuner.db")
    return f"sqlite:///{tmp_path}/tuner.db"


@pytest.fixture
def postgres_url(_postgres_server: Any, _postgres_template: str) -> str:
    """The URL of a PostgreSQL database that holds no study."""
    return str(_postgres_server.create(_postgres_template))


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """The URL of a file that does not exist yet."""
    return f"sqlite:///{tmp_path}/tuner.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, empty_sqlite_url: str) -> str:
    """The URL of a database without tables, once of each kind."""
    if request.param == "sqlite":
        return empty_sqlite_url
    return str(request.getfixturevalue("_postgres_server").create())


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
