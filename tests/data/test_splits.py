from __future__ import annotations

import hashlib

import numpy as np
import pytest

from tuner.data import DataSpec
from tuner.data.labels import Labels
from tuner.data.splits import Rows, split
from tuner.errors import DataError


def _classes(*sizes: int) -> Labels:
    y = np.repeat(np.arange(len(sizes)), sizes)
    np.random.default_rng(0).shuffle(y)
    return Labels("classification", y, tuple("abcdefghijklmnop"[: len(sizes)]))


def _numbers(count: int) -> Labels:
    return Labels("regression", np.arange(count, dtype=np.float64), ())


def _split(
    labels: Labels, validation: float = 0.2, test: float = 0.2, seed: int = 0, division: int = 2
) -> Rows:
    spec = DataSpec(source="m:f", validation=validation, test=test, seed=seed, division=division)
    return split(labels, spec, "here")


@pytest.mark.parametrize("labels", [_classes(50, 30, 17), _numbers(97)], ids=["classes", "numbers"])
def test_every_row_is_in_exactly_one_split(labels: Labels) -> None:
    rows = _split(labels)
    together = np.concatenate([rows.train, rows.validation, rows.test])
    assert sorted(together.tolist()) == list(range(97))
    assert [len(rows.validation), len(rows.test)] == pytest.approx([19, 19], abs=3)  # of 3 classes
    assert len(_split(labels, test=0.0).test) == 0


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.2, 1 / 3])
def test_classes_keep_their_proportions(fraction: float) -> None:
    sizes = (400, 211, 97, 35)
    labels = _classes(*sizes)
    rows, first = (_split(labels, fraction, fraction, division=rule) for rule in (2, 1))
    for held, most in ((rows.test, 1), (rows.validation, 1.5), (first.test, 1)):
        counts = np.bincount(labels.values[held], minlength=4)
        assert np.abs(counts - np.array(sizes) * fraction).max() < most
    assert len(first.validation) == len(first.test) == round(sum(sizes) * fraction)


@pytest.mark.parametrize(("validation", "test"), [(0.2, 0.2), (0.05, 0.2), (0.6, 0.39)])
def test_a_small_class_is_in_every_split(validation: float, test: float) -> None:
    labels = _classes(200, 3)
    rows = _split(labels, validation, test)
    for part in (rows.train, rows.validation, rows.test):
        assert set(labels.values[part]) == {0, 1}


@pytest.mark.parametrize("labels", [_classes(50, 47), _numbers(97)], ids=["classes", "numbers"])
def test_the_seed_alone_decides(labels: Labels) -> None:
    first, again, other = _split(labels), _split(labels), _split(labels, seed=1)
    np.testing.assert_array_equal(first.validation, again.validation)
    np.testing.assert_array_equal(first.test, again.test)
    assert first.test.tolist() != other.test.tolist()


@pytest.mark.parametrize(
    ("rule", "first", "known"),
    [(1, [2, 3, 11, 13, 15], "72fcf875ec436a93"), (2, [0, 3, 13, 18, 21], "76809453e177215d")],
)
def test_the_same_rows_on_every_machine(rule: int, first: list[int], known: str) -> None:
    rows = _split(_numbers(1000), division=rule)
    digest = hashlib.sha256(np.concatenate([rows.validation, rows.test]).astype("<i8").tobytes())
    assert rows.test[:5].tolist() == first
    assert digest.hexdigest()[:16] == known


def test_another_validation_share_never_touches_the_test_rows() -> None:
    labels = _classes(60, 30, 9)
    tests = [_split(labels, validation).test.tolist() for validation in (0.1, 0.2, 0.5)]
    assert tests[0] == tests[1] == tests[2]


@pytest.mark.parametrize(
    ("labels", "validation", "test", "says"),
    [
        (_classes(50, 2), 0.2, 0.2, "class 'b' is too small: it has 2 rows.*3 .*\n.*set test = 0"),
        (_classes(50, 1), 0.2, 0.2, "class 'b' is too small: it has 1 row,.*\n.*at least 3 rows"),
        (_classes(50, 1), 0.2, 0.0, "it has 1 row, and each of 2 splits.*\n.*at least 2 rows"),
        (_classes(50, 2, 1), 0.2, 0.2, r"class 'c' is too small \(so are 1 more\)"),
        (
            _classes(*[20] * 10),
            0.02,
            0.2,
            "validation = 0.02 of 200 rows is 4 rows.*10 classes\n.*set validation = 0.05 or more",
        ),
        (_classes(*[20] * 10), 0.2, 0.02, "test = 0.02 of 200 rows is 4 rows"),
        (_numbers(50), 0.01, 0.2, "is 1 row, and it needs two\n.*validation = 0.04 or more"),
        (_numbers(5), 0.2, 0.2, "5 rows cannot be divided"),
    ],
)
def test_too_few_rows(labels: Labels, validation: float, test: float, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        _split(labels, validation, test)
    assert caught.value.where == "here"


def test_the_suggested_shares_are_enough() -> None:
    assert len(_split(_classes(*[20] * 10), 0.05).validation) == 10
    assert len(_split(_numbers(50), 0.04).validation) == 2
    assert len(_split(_classes(50, 2), test=0.0).validation) == 11  # one of the rare class


def test_places_are_small_where_they_fit() -> None:
    fits, large = np.array([0, 2**31 - 1]), np.array([0, 2**31])
    none = np.empty(0, dtype=np.int64)
    found = Rows(fits, none, none).small()
    assert all(part.dtype == np.int32 for part in (found.train, found.validation, found.test))
    assert found.train.tolist() == fits.tolist()
    assert Rows(none, large, none).small().validation.tolist() == large.tolist()
