"""Where values stand on an axis, which trials are drawn, and what is in view."""

from __future__ import annotations

import pytest

from tuner.reports.axes import apart, axis, in_view, spread
from tuner.space import Choice, Leaf, Node, Range


def node(value: Range | Choice, kind: type = float) -> Node:
    return Node("x", Leaf("x", kind, None), value)


def test_a_switch_is_off_below_its_range() -> None:
    found = axis(node(Range(1e-4, 1e-1, log=True, off=0.0)), [0.0, 1e-4, 1e-2])
    off, low, middle = found.positions
    assert off < low == -4
    assert middle == -2
    assert found.texts[0] == "off"
    assert found.ticks[0] == off


def test_names_stand_beside_each_other() -> None:
    found = axis(node(Choice((True, False)), bool), [False, True])
    assert found.positions == (1.0, 0.0)
    assert found.texts == ("true", "false")
    assert found.named


@pytest.mark.parametrize(
    "span", [Range(1, 4), Range(1, 1), Range(0.5, 0.5), Range(2e-3, 5e-3, log=True), Range(1, 512)]
)
def test_ticks_lie_within_their_range(span: Range) -> None:
    found = axis(node(span), [span.low])
    assert found.ticks
    assert len(found.ticks) <= 6
    ends = axis(node(span), [span.low, span.high]).positions
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
