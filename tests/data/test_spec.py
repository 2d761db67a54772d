from __future__ import annotations

from typing import Any

import pytest

from tuner.data import DataSpec
from tuner.errors import DataError


@pytest.mark.parametrize(
    ("change", "where", "says"),
    [
        ({"validation": 0.5, "test": 0.5}, "data", "leave nothing to train on"),
        ({"shape": ()}, "data.shape", "is not a shape"),
        ({"source": None}, "data", "neither source nor path"),
        ({"path": "a.csv"}, "data", "both source and path"),
        ({"source": None, "path": "a.csv"}, "data.target", "no target"),
        ({"source": None, "path": "a.npz", "collate": "m:f"}, "data.collate", "for the items of"),
    ],
)
def test_what_cannot_be(change: dict[str, Any], where: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        DataSpec(**({"source": "m:f"} | change))
    assert caught.value.where == where


def test_defaults() -> None:
    spec = DataSpec(source="m:f")
    assert (spec.validation, spec.test, spec.seed, spec.task) == (0.2, 0.2, 0, "auto")
    assert DataSpec(source="m:f", test=0.0).test == 0
