from __future__ import annotations

import tomllib
from collections.abc import Callable

import pytest

from tuner.study import Study
from tuner.study.parse import parse

DATA = '[data]\nsource = "sklearn.datasets:load_digits"\n'


@pytest.fixture(scope="session")
def read() -> Callable[[str], Study]:
    """A study named x from TOML text, which [data] precedes."""
    return lambda text: parse("x", tomllib.loads(DATA + text))
