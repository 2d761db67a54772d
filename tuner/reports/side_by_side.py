"""A comparison as a table for the terminal: a study a column."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from tuner.reports.compare import Comparison, Side
from tuner.views.format import difference, duration, number, several
from tuner.views.tables import plain_table


def view(found: Comparison) -> RenderableType:
    """What there is to see of each study, then the notes."""
    names = [side.study + (" (best)" if side.study == found.best else "") for side in found.sides]
    table = plain_table("", *names)
    lines = [_lines(side) for side in found.sides]
    for i, (title, _) in enumerate(lines[0]):
        table.add_row(Text(title), *(Text(column[i][1]) for column in lines))
    return Group(table, Text(), *(Text(note.replace("`", "")) for note in found.notes))


def _lines(side: Side) -> list[tuple[str, str]]:
    split = "test split" if side.measured == "test" else side.split
    search = side.measured == "search"
    measured = f"{split}, {'one training *' if search else several(side.seeds, 'seed')}"
    gain = "–" if side.gain is None else difference(side.gain, 0.0)
    counts = f"{side.complete} complete, {side.pruned} pruned, {side.failed} failed"
    return [
        ("metric", f"{side.metric}, {side.direction}"),
        ("measured on", measured),
        ("best", _value(side.value, side.low, side.high)),
        ("of trial", "–" if side.number is None else str(side.number)),
        ("baseline", _value(side.baseline, side.baseline_low, side.baseline_high)),
        ("gain", gain),
        ("parameters", "–" if side.parameters is None else f"{side.parameters:,}"),
        ("trials", counts + (f", {side.running} running" if side.running else "")),
        ("training", duration(side.seconds)),
        ("wall-clock time", duration(side.wall)),
    ]


def _value(value: float | None, low: float | None, high: float | None) -> str:
    """A mean with its interval, or a single number."""
    if value is None:
        return "–"
    if low is None or high is None:
        return number(value)
    return f"{number(value)} ({number(low)} to {number(high)})"
