"""Draws predictions as SVG: a confusion matrix or a plot of residuals."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from html import escape

NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot contain."""
SIDE, LEFT, TOP = 480, 110, 60
INK, FADED, FILL = "#1f2933", "#9aa5b1", "#2f7fc1"
NUMBERED = 15
"""With at most this many classes, the cells show their counts."""
LONGEST = 14
"""Characters of a class name that are shown."""


def confusion(classes: Sequence[str], counts: Sequence[Sequence[int]], title: str) -> str:
    """A row for each actual class, a column for each predicted one; dark is a large row share."""
    size, cell = len(classes), SIDE / max(len(classes), 1)
    parts = [_text(LEFT + (i + 0.5) * cell, TOP - 8, _short(n)) for i, n in enumerate(classes)]
    if size > NUMBERED:
        parts = [_text(LEFT + SIDE / 2, TOP - 8, f"{size} classes, in the order of the rows")]
    for i, row in enumerate(counts):
        total, y = max(sum(row), 1), TOP + i * cell
        if cell >= 11:
            parts.append(_text(LEFT - 6, y + cell / 2 + 4, _short(classes[i]), "end"))
        for j, count in enumerate(row):
            if count:
                parts += _cell(LEFT + j * cell, y, cell, count, count / total, size <= NUMBERED)
    return _page([*parts, _frame()], title, "predicted", "actual")


def _cell(x: float, y: float, side: float, count: int, share: float, numbered: bool) -> list[str]:
    parts = [
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{side:.1f}" height="{side:.1f}" '
        f'fill="{FILL}" fill-opacity="{0.04 + 0.96 * share:.2f}"/>'
    ]
    if numbered:
        fill = "#fff" if share > 0.55 else INK
        parts.append(_text(x + side / 2, y + side / 2 + 4, str(count), fill=fill))
    return parts


def residuals(actual: Sequence[float], predicted: Sequence[float], title: str) -> str:
    """Actual minus predicted value against the predicted one, in the target's unit; a line marks 0.

    Rows without a finite residual are left out; the title says how many.
    """
    pairs = [(p, a - p) for a, p in zip(actual, predicted, strict=True) if math.isfinite(a - p)]
    missing = len(actual) - len(pairs)
    title += f", {missing} of {len(actual)} rows without a finite residual" if missing else ""
    (left, right), (low, high) = _ends(p for p, _ in pairs), _ends((0.0, *(r for _, r in pairs)))

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT + SIDE * (x - left) / (right - left), TOP + SIDE * (high - y) / (high - low)

    zero = f'd="M{LEFT} {at(left, 0.0)[1]:.1f}h{SIDE}"'
    points = (at(*pair) for pair in pairs)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points]
    group = [f'<g fill="{FILL}" fill-opacity="0.45">', *dots, "</g>"]
    marks = [
        f'<path {zero} stroke="{FADED}" stroke-dasharray="6"/>',
        _text(LEFT, TOP + SIDE + 16, f"{left:.4g}", "start"),
        _text(LEFT + SIDE, TOP + SIDE + 16, f"{right:.4g}", "end"),
        _text(LEFT - 6, TOP + SIDE, f"{low:.4g}", "end"),
        _text(LEFT - 6, TOP + 12, f"{high:.4g}", "end"),
    ]
    return _page([_frame(), *marks, *group], title, "predicted", "residual (actual − predicted)")


def _ends(values: Iterable[float]) -> tuple[float, float]:
    """The least and the largest value, moved apart where they are equal."""
    known = list(values) or [0.0]
    low, high = min(known), max(known)
    around = max(0.5, abs(low) / 2)
    return (low, high) if low < high else (low - around, high + around)


def _page(parts: Sequence[str], title: str, across: str, down: str) -> str:
    width, height = LEFT + SIDE + 20, TOP + SIDE + 40
    middle = TOP + SIDE / 2
    axis = f'<g transform="rotate(-90 14 {middle})">{_text(14, middle, down)}</g>'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="12">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>'
    )
    around = [_text(LEFT, 22, title, "start"), _text(LEFT + SIDE / 2, height - 10, across), axis]
    return "\n".join([head, *around, *parts, "</svg>\n"])


def _frame() -> str:
    place = f'x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}"'
    return f'<rect {place} fill="none" stroke="{FADED}"/>'


def _text(x: float, y: float, words: str, anchor: str = "middle", fill: str = INK) -> str:
    escaped = escape(NO_XML.sub("\N{REPLACEMENT CHARACTER}", words))
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}">{escaped}</text>'


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
