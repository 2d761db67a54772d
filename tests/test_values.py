from __future__ import annotations

import math

import pytest

from tuner.values import Range, format_value, matches, same, shown


@pytest.mark.parametrize(
    ("span", "inside", "outside"),
    [
        (Range(1, 4), [1, 4, 3.0], [0, 5, 2.5, True, "2", None, math.nan, math.inf, -math.inf]),
        (Range(0.5, 1.5), [0.5, 1.5, 1], [0.49, 1.51, True, "1", math.nan, 10**400]),
        (Range(0.05, 0.6, off=0.0), [0.0, 0, 0.05, 0.6], [0.01, False, -0.1]),
        (Range(3, 10, off=0), [0, 3, 10], [1, 2, 11, False]),
        (Range(0.1, 0.5, step=0.1), [0.1, 0.3, 0.1 + 2 * 0.1, 0.5], [0.15, 0.35]),
        (Range(16, 64, step=16), [16, 32, 48, 64], [20, 65]),
    ],
)
def test_range_contains_what_it_may_give(span, inside, outside):
    assert [v for v in inside if not span.contains(v)] == []
    assert [v for v in outside if span.contains(v)] == []


@pytest.mark.parametrize(
    ("span", "count"),
    [
        (Range(1, 4), 4),
        (Range(1, 4, log=True), 4),
        (Range(1, 10, step=4), 3),
        (Range(3, 10, off=0), 9),
        (Range(0.1, 0.5, step=0.1), 5),
        (Range(0.1, 0.5, step=0.1, off=0.0), 6),
        (Range(0.0, 1.0), math.inf),
        (Range(0.5, 0.5), 1),
        (Range(0.5, 0.5, off=0.0), 2),
        (Range(0.0, 1e300, step=1e-300), math.inf),
    ],
)
def test_count(span, count):
    assert span.count() == count


def listed(span):
    """Every value of a range, each found again at its place."""
    found = [span.number(i) for i in range(int(span.count()) - (span.off is not None))]
    assert [span.place(value) for value in found] == list(range(len(found)))
    return found


def test_numbers_are_listed_as_one_would_write_them():
    assert listed(Range(0.1, 0.5, step=0.1)) == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert listed(Range(0.05, 0.25, step=0.1, off=0.0)) == [0.05, 0.15, 0.25]
    whole = listed(Range(2, 9, step=3))
    assert whole == [2, 5, 8]
    assert all(type(number) is int for number in whole)


@pytest.mark.parametrize(
    ("span", "wanted", "nearest"),
    [
        (Range(1, 4), 9, 4),
        (Range(1, 4), 3, 3),
        (Range(16, 64, step=16), 50, 48),
        (Range(1, 10, step=4), 99, 9),
        (Range(0.1, 0.5), 0.0, 0.1),
        (Range(0.1, 0.5), 0.2, 0.2),
        (Range(0.1, 0.5, step=0.1), 0.32, 0.3),
        (Range(1e-5, 1e-3, log=True), 1e-1, 1e-3),
    ],
)
def test_nearest_is_within_the_range(span, wanted, nearest):
    assert span.nearest(wanted) == nearest
    assert type(span.nearest(wanted)) is type(span.low)
    assert span.contains(span.nearest(wanted))


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (Range(1, 4), "1 to 4"),
        (Range(1e-4, 1e-1, log=True), "0.0001 to 0.1, log"),
        (Range(0.1, 0.5, step=0.1), "0.1 to 0.5, step 0.1"),
        (Range(0.05, 0.6, off=0.0), "0, or 0.05 to 0.6"),
    ],
)
def test_range_in_words(span, text):
    assert str(span) == text


@pytest.mark.parametrize(
    ("kind", "yes", "no"),
    [
        (float, [1, 1.5, -0.0], [True, "1", None]),
        (int, [1, -3], [True, 1.0, "1"]),
        (bool, [True, False], [0, 1, "true"]),
        (str, ["", "x"], [1, None]),
        (list, [[]], [(), {}, "x"]),
    ],
)
def test_matches(kind, yes, no):
    assert all(matches(kind, v) for v in yes)
    assert not any(matches(kind, v) for v in no)


def test_true_is_not_one():
    assert same(1, 1.0)
    assert same(True, True)
    assert not same(True, 1)
    assert not same(0, False)


def test_values_in_messages_are_short():
    assert (shown(True), shown("x"), shown(0.1)) == ("true", "'x'", "0.1")
    assert len(shown("x" * 1000)) == 80
    assert (format_value(False), format_value(1e-7), format_value("a")) == ("false", "1e-07", "a")
