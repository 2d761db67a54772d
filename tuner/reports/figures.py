"""How the search went: trials, the best so far, learning curves, and where the time went."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from tuner.reports.axes import in_view, spread
from tuner.reports.facts import INTERRUPTED, Entry, Facts
from tuner.reports.style import BEST, COMPLETE, FADED, FAILED, PRUNED, blank
from tuner.reports.time_spent import ended_in_order
from tuner.views.trials import better

CURVES, POINTS = 200, 60
"""Learning curves at most, and epochs of each."""
MARKED = {"pruned": (PRUNED, 0.6), "complete": (COMPLETE, 0.8)}
CURVED = {
    "pruned": (PRUNED, 0.45),
    "complete": (COMPLETE, 0.55),
    "running": (FAILED, 0.6),
    INTERRUPTED: (FAILED, 0.6),
}
"""States whose values are marked, and whose curves are drawn: with their colours and opacity."""
Series = list[tuple[float, float, int]]


def best_so_far(entries: Sequence[Entry], direction: str) -> list[Entry]:
    """The new best trials: each better than all before it, in the order given."""
    found: list[Entry] = []
    for entry in entries:
        value = entry.value
        if entry.state == "complete" and value is not None:
            last = found[-1].value if found else None
            if last is None or better(value, last, direction):
                found.append(entry)
    return found


def history(facts: Facts) -> go.Figure:
    """Value over the trial's number, and the best so far."""
    entries = [entry for entry in facts.entries if entry.value is not None]
    figure = blank("trial", facts.metric)
    _marks(figure, facts, [(float(e.number), e) for e in entries])
    last = float(max((e.number for e in facts.entries), default=0))
    _steps(figure, facts, [(float(e.number), e) for e in entries], last)
    return _framed(figure, facts)


def over_seconds(facts: Facts) -> go.Figure:
    """Value over the wall-clock time in which trials ran, and the best so far."""
    timed = ended_in_order(facts)
    figure = blank("wall-clock seconds, without pauses", facts.metric)
    _marks(figure, facts, timed)
    _steps(figure, facts, timed, timed[-1][0] if timed else 0.0)
    return _framed(figure, facts)


def _marks(figure: go.Figure, facts: Facts, placed: Sequence[tuple[float, Entry]]) -> None:
    for state, (colour, opacity) in MARKED.items():
        mine = [(x, e) for x, e in placed if e.state == state]
        if mine:
            figure.add_scatter(
                x=np.array([x for x, _ in mine], "f4"),
                y=np.array([e.value for _, e in mine], "f4"),
                customdata=np.array([e.number for _, e in mine], "i4"),
                mode="markers",
                name=state,
                marker={"color": colour, "opacity": opacity, "size": 6},
                hovertemplate="trial %{customdata}: %{y:.4g}<extra></extra>",
            )


def _steps(
    figure: go.Figure, facts: Facts, placed: Sequence[tuple[float, Entry]], last: float
) -> None:
    """The best so far as steps, to the last trial."""
    at = {entry.number: x for x, entry in placed}
    found = best_so_far([entry for _, entry in placed], facts.direction)
    if not found:
        return
    xs, ys = [at[e.number] for e in found], [e.value for e in found]
    figure.add_scatter(
        x=[*xs, max(last, xs[-1])],
        y=[*ys, ys[-1]],
        mode="lines",
        name="best so far",
        line={"color": BEST, "width": 2.5, "shape": "hv"},
        hovertemplate="best so far: %{y:.4g}<extra></extra>",
    )


def _framed(figure: go.Figure, facts: Facts) -> go.Figure:
    """With the baseline as a line, and the axis cut where a few bad trials would press the rest."""
    values = [e.value for e in facts.entries if e.value is not None]
    if facts.baseline is not None and facts.baseline.value is not None:
        figure.add_hline(
            y=facts.baseline.value,
            line={"color": FADED, "dash": "dash", "width": 1.5},
            annotation={"text": "baseline", "yshift": 0},
            annotation_position="bottom right",
        )
        values += [facts.baseline.value]
    view = in_view(values, facts.direction, share=0.25)
    return figure.update_yaxes(range=view) if view else figure


def curves(facts: Facts) -> go.Figure:
    """The metric after each epoch: pruned trials faded, the best and the baseline on top."""
    figure = blank(facts.study.step, facts.metric)
    special = {e.number: e for e in (facts.baseline, facts.best) if e is not None}
    for state, (colour, opacity) in CURVED.items():
        mine = [e for e in facts.entries if e.state == state and e.number not in special]
        _lines(figure, [e for e in spread(mine, CURVES) if e.curve], state, colour, opacity)
    if facts.baseline is not None:
        _lines(figure, [facts.baseline], "baseline", FADED, 1.0, width=2.5, dash="dash")
    if facts.best is not None and facts.best is not facts.baseline:
        _lines(figure, [facts.best], f"best (trial {facts.best.number})", BEST, 1.0, width=2.5)
    values = [v for e in spread(facts.entries, CURVES) for v in e.curve.values()]
    view = in_view(values, facts.direction)
    return figure.update_yaxes(range=view) if view else figure


def _lines(
    figure: go.Figure,
    entries: Sequence[Entry],
    name: str,
    colour: str,
    opacity: float,
    width: float = 1.0,
    dash: str = "solid",
) -> None:
    """Curves of several trials as one trace with gaps, which is drawn faster than many."""
    points: Series = []
    for entry in entries:
        kept = spread(list(entry.curve.items()), POINTS)
        points += [(float(x), y, entry.number) for x, y in kept]
        points.append((math.nan, math.nan, entry.number))
    if not points:
        return
    figure.add_scatter(
        x=np.array([x for x, _, _ in points], "f4"),
        y=np.array([y for _, y, _ in points], "f4"),
        customdata=np.array([n for _, _, n in points], "i4"),
        mode="lines+markers" if len(entries) == 1 and len(points) <= 2 else "lines",
        name=name,
        opacity=opacity,
        line={"color": colour, "width": width, "dash": dash},
        hovertemplate="trial %{customdata}, at %{x}: %{y:.4g}<extra></extra>",
    )


def time_spent(facts: Facts) -> go.Figure:
    """Seconds of training by how the trial ended."""
    figure = blank("seconds of training", "")
    colours = {"complete": COMPLETE, "pruned": PRUNED, "failed": FAILED}
    for state, colour in colours.items():
        seconds = sum(e.seconds for e in facts.entries if e.state == state)
        if facts.count(state):
            figure.add_bar(
                x=[seconds],
                y=["training"],
                name=state,
                orientation="h",
                marker={"color": colour},
                hovertemplate=f"{state}: %{{x:.1f}} s<extra></extra>",
            )
    return figure.update_layout(barmode="stack", height=180).update_yaxes(visible=False)
