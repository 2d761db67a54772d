"""Where values of a leaf stand on an axis, which of many trials are drawn, and what is in view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, TypeVar

from tuner.space import Choice, Node, Range, matches, same, told_apart
from tuner.views.trials import better

T = TypeVar("T")
DRAWN = 1000
"""Trials at most in a figure that has a mark for each trial and leaf."""
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Axis:
    """Positions on a linear axis, and what stands at its ticks.

    Attributes:
        positions: one for each value; NaN for a value that does not belong there.
        ticks, texts: where the ticks are and what they say; escaped for plotly.
        named: each value is a name, so that marks at one place want to be apart.
    """

    positions: tuple[float, ...]
    ticks: tuple[float, ...]
    texts: tuple[str, ...]
    named: bool = False


def axis(node: Node, values: Sequence[Any]) -> Axis:
    """The axis of a searched leaf; a switch's off stands below its range."""
    if isinstance(node.value, Range):
        return _numbers(node.value, values)
    assert isinstance(node.value, Choice)
    labels = node.value.labels
    found = tuple(_choice(labels, value) for value in values)
    texts = tuple(shortened(name) for name in told_apart(labels))
    return Axis(found, tuple(map(float, range(len(labels)))), texts, named=True)


def _choice(labels: Sequence[Any], value: Any) -> float:
    """The place of a value among choices; NaN, which is not drawn, for one that is none."""
    return next((float(i) for i, known in enumerate(labels) if same(known, value)), math.nan)


def _numbers(span: Range, values: Sequence[Any]) -> Axis:
    def place(value: Any) -> float:
        """NaN, which is not drawn, for what has no place."""
        if not matches(float, value) or (span.log and value <= 0):
            return math.nan
        return math.log10(value) if span.log else float(value)

    low, high = place(span.low), place(span.high)
    off = low - 0.15 * ((high - low) or 1.0)
    ticks = _ticks(span)
    places, texts = [place(tick) for tick in ticks], told_apart(ticks)
    if span.off is not None:
        places, texts = [off, *places], ["off", *texts]
    positions = (off if span.off is not None and same(v, span.off) else place(v) for v in values)
    return Axis(tuple(positions), tuple(places), tuple(texts))


def _ticks(span: Range) -> list[float]:
    """Powers of ten, or the ends and three between them."""
    if span.log:
        first, last = math.ceil(math.log10(span.low)), math.floor(math.log10(span.high))
        powers = [10.0**power for power in range(first, last + 1, max(1, (last - first) // 4))]
        return [int(p) if span.integer else p for p in powers] or [span.low, span.high]
    if span.integer:
        step = max(1, math.ceil((span.high - span.low) / 5))
        return list(range(int(span.low), int(span.high) + 1, step))
    return [float(f"{span.low + (span.high - span.low) * i / 4:.3g}") for i in range(5)]


def shortened(text: str, most: int = 24) -> str:
    """Short enough for an axis, and escaped: plotly reads tags in its texts."""
    return escape(text if len(text) <= most else f"{text[: most - 1]}…")


def apart(numbers: Sequence[int], positions: Sequence[float]) -> list[float]:
    """Positions of marks that would lie on each other, moved by up to 0.18 to either side."""
    moves = ((number * GOLDEN % 1 - 0.5) * 0.36 for number in numbers)
    return [at + move for at, move in zip(positions, moves, strict=True)]


def spread(found: Sequence[T], most: int) -> list[T]:
    """At most so many, evenly over the whole sequence, the first and the last among them."""
    if len(found) <= most:
        return list(found)
    if most < 2:
        return list(found[:most])
    return [found[round(i * (len(found) - 1) / (most - 1))] for i in range(most)]


def in_view(
    values: Sequence[float], direction: str, share: float = 0.1
) -> tuple[float, float] | None:
    """Where to look: from the best value to the one that leaves out the worst ``share``.

    None where there are fewer than five values, or all of them fit well: an axis is cut only
    where the worst ones would press the others together.
    """
    if len(values) < 5:
        return None
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    cut = int(len(ordered) * share)
    low_kept, high_kept = ordered[cut], ordered[-1 - cut]
    if better(high, low, direction):
        high_kept = high
    else:
        low_kept = low
    pad = 0.08 * ((high_kept - low_kept) or abs(high_kept) or 1.0)
    if high_kept - low_kept > 0.5 * (high - low):
        return None
    return low_kept - pad, high_kept + pad
