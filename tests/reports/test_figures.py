"""Where values stand on an axis, which trials are drawn, and what is in view."""

from __future__ import annotations

import math

import pytest

from tuner.reports.figures import apart, axis, in_view, spread
from tuner.space import Choice, Range


def test_a_switch_is_off_below_its_range() -> None:
    found = axis(Range(1e-4, 1e-1, log=True, off=0.0), [0.0, 1e-4, 1e-2])
    off, low, middle = found.positions
    assert off < low == -4
    assert middle == -2
    assert found.texts[0] == "off"
    assert found.ticks[0] == off


def test_names_stand_beside_each_other() -> None:
    found = axis(Choice((True, False)), [False, True])
    assert found.positions == (1.0, 0.0)
    assert found.texts == ("true", "false")
    assert found.named


@pytest.mark.parametrize(
    "span", [Range(1, 4), Range(1, 1), Range(0.5, 0.5), Range(2e-3, 5e-3, log=True), Range(1, 512)]
)
def test_ticks_lie_within_their_range(span: Range) -> None:
    found = axis(span, [span.low])
    assert found.ticks
    assert len(found.ticks) <= 6
    ends = axis(span, [span.low, span.high]).positions
    assert all(ends[0] <= tick <= ends[1] for tick in found.ticks)


def test_marks_are_moved_a_little() -> None:
    moved = apart([0, 1, 2], [1.0, 1.0, 1.0])
    assert len(set(moved)) == 3
    assert all(abs(each - 1.0) <= 0.18 for each in moved)


def test_a_choice_of_many_keeps_the_ends() -> None:
    assert spread(range(1000), 3) == [0, 500, 999]
    assert spread([1, 2], 5) == [1, 2]
    assert spread([1, 2], 1) == [1]


def test_the_view_leaves_out_the_worst_only_where_they_press_the_rest() -> None:
    values = [0.1, 0.90, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97, 0.98]
    view = in_view(values, "maximize")
    assert view is not None
    assert 0.1 < view[0] < 0.9
    assert view[1] > 0.98
    assert in_view(values[1:], "maximize") is None
    assert in_view([1.0, 2.0], "maximize") is None
    least = in_view([-value for value in values], "minimize")
    assert least == pytest.approx((-view[1], -view[0]))


def test_choices_that_read_alike_stand_apart() -> None:
    values = (1.2341e-4, 1.2342e-4, 0.12345671, 0.12345672)
    found = axis(Choice(values), list(reversed(values)))
    assert found.positions == (3.0, 2.0, 1.0, 0.0)
    assert len(set(found.texts)) == 4


def test_a_choice_is_known_by_its_type() -> None:
    found = axis(Choice(("1", "1.0", "true", "None")), ["true", "1", "None", "1.0"])
    assert found.positions == (2.0, 0.0, 3.0, 1.0)
    whole = axis(Choice((1, 2)), [2.0, True, "1", None])
    assert whole.positions[0] == 1.0
    assert all(math.isnan(at) for at in whole.positions[1:])


@pytest.mark.parametrize("value", [0, 0.0, -1.0, "0.1", None, True, math.nan])
def test_what_has_no_place_on_an_axis_is_not_drawn(value: object) -> None:
    found = axis(Range(1e-4, 1e-1, log=True), [value, 1e-2])
    assert math.isnan(found.positions[0])
    assert found.positions[1] == -2


def test_off_is_known_whatever_its_type() -> None:
    found = axis(Range(3, 9, off=0), [0, 0.0, 3])
    assert found.positions[0] == found.positions[1] < found.positions[2]
