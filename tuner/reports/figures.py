"""Draws the figures of a report, in one style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import plotly.graph_objects as go

from tuner.metrics import better
from tuner.pictures import NUMBERED
from tuner.reports.facts import Entry, Facts, Outcome
from tuner.reports.time_spent import ended_in_order
from tuner.results.ablate import OFF, ON, PATH
from tuner.results.best import INTERRUPTED, PAUSED
from tuner.results.estimate import Estimate
from tuner.space import Choice, Range, distinguishable, matches, same

if TYPE_CHECKING:
    import pandas as pd


# Trials as a table of pandas.


COLUMNS = ("number", "state", "value", "seconds", "epochs")


def trials_frame(facts: Facts) -> pd.DataFrame:
    """One row for each trial; a parameter that a trial does not have is missing in its row."""
    import pandas as pd

    rows = [
        {**{name: getattr(entry, name) for name in COLUMNS}, **entry.config}
        for entry in facts.entries
    ]
    return pd.DataFrame(rows)


# Axes: positions of a parameter's values, the sample of trials that is drawn, the visible range.


T = TypeVar("T")
DRAWN = 1000
"""The most trials in a figure that has a mark for each trial and parameter."""
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Axis:
    """Positions on a linear axis, and what stands at its ticks.

    Attributes:
        positions: one for each value; NaN for a value that does not belong there.
        ticks, texts: positions and texts of the ticks; the texts are escaped for plotly.
        named: each value is a name, so that marks at one position are moved apart.
    """

    positions: tuple[float, ...]
    ticks: tuple[float, ...]
    texts: tuple[str, ...]
    named: bool = False


def axis(space: Range | Choice, values: Sequence[Any]) -> Axis:
    """The axis of a searched parameter; a switch's off value is below its range."""
    if isinstance(space, Range):
        return _numbers(space, values)
    labels = space.labels
    positions = tuple(_choice(labels, value) for value in values)
    texts = tuple(shortened(name) for name in distinguishable(labels))
    return Axis(positions, tuple(map(float, range(len(labels)))), texts, named=True)


def _choice(labels: Sequence[Any], value: Any) -> float:
    """The position of a value among choices; NaN, which is not drawn, for any other value."""
    return next((float(i) for i, known in enumerate(labels) if same(known, value)), math.nan)


def _numbers(span: Range, values: Sequence[Any]) -> Axis:
    def place(value: Any) -> float:
        """The position of a value; NaN, which is not drawn, for one that has none."""
        if not matches(float, value) or (span.log and value <= 0):
            return math.nan
        return math.log10(value) if span.log else float(value)

    low, high = place(span.low), place(span.high)
    off = low - 0.15 * ((high - low) or 1.0)
    ticks = _ticks(span)
    places, texts = [place(tick) for tick in ticks], distinguishable(ticks)
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
    """Positions of marks that would overlap, moved by up to 0.18 to either side."""
    moves = ((number * GOLDEN % 1 - 0.5) * 0.36 for number in numbers)
    return [at + move for at, move in zip(positions, moves, strict=True)]


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most `most` items, spread evenly over the sequence, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    if most < 2:
        return list(items[:most])
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def in_view(
    values: Sequence[float], direction: str, share: float = 0.1
) -> tuple[float, float] | None:
    """The visible range: from the best value to the one that leaves out the worst ``share``.

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


# The look of every figure: colours that read on light and dark, no background of their own.


COMPLETE, BEST, PRUNED, FAILED, FADED = "#2f7fc1", "#d9691e", "#8f96a3", "#b0489b", "#7d8590"
SHADES = ((0.0, "#b9bec8"), (0.5, "#6fa3d0"), (1.0, "#d9691e"))
"""From the worst to the best value."""
LETTERS = 48
"""The most letters of an axis' title."""
CLEAR = "rgba(0,0,0,0)"


def blank(x: str, y: str, height: int = 380) -> go.Figure:
    """An empty figure with titled axes, whose titles are text and no tags.

    Plotly's own template would be 6 kB in each figure.
    """
    figure = go.Figure()
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 60, "r": 16, "t": 24, "b": 48},
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        hovermode="closest",
        font={"family": "system-ui, sans-serif", "size": 13},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "xanchor": "left"},
    )
    grid = {"gridcolor": "rgba(128,136,150,.25)", "zeroline": False, "automargin": True}
    figure.update_xaxes(title={"text": shortened(x, LETTERS)}, **grid)
    figure.update_yaxes(title={"text": shortened(y, LETTERS), "standoff": 8}, **grid)
    return figure


# How the search went: trials, the best so far, learning curves, and where the time went.


CURVES, POINTS = 200, 60
"""Learning curves at most, and epochs of each."""
MARKED = {"pruned": (PRUNED, 0.6), "complete": (COMPLETE, 0.8)}
CURVED = {
    "pruned": (PRUNED, 0.45),
    "complete": (COMPLETE, 0.55),
    "running": (FAILED, 0.6),
    INTERRUPTED: (FAILED, 0.6),
    PAUSED: (PRUNED, 0.45),
}
"""States whose values are marked, and whose curves are drawn: with their colours and opacity."""
Series = list[tuple[float, float, int]]


def best_so_far(entries: Sequence[Entry], direction: str) -> list[Entry]:
    """The new best trials: each better than all before it, in the order given."""
    best: list[Entry] = []
    for entry in entries:
        value = entry.value
        if entry.state == "complete" and value is not None:
            last = best[-1].value if best else None
            if last is None or better(value, last, direction):
                best.append(entry)
    return best


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
        marked = [(x, e) for x, e in placed if e.state == state]
        if marked:
            figure.add_scatter(
                x=np.array([x for x, _ in marked], "f4"),
                y=np.array([e.value for _, e in marked], "f4"),
                customdata=np.array([e.number for _, e in marked], "i4"),
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
    best = best_so_far([entry for _, entry in placed], facts.direction)
    if not best:
        return
    xs, ys = [at[e.number] for e in best], [e.value for e in best]
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
        entries = [e for e in facts.entries if e.state == state and e.number not in special]
        _lines(figure, [e for e in spread(entries, CURVES) if e.curve], state, colour, opacity)
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
        drawn = spread(list(entry.curve.items()), POINTS)
        points += [(float(x), y, entry.number) for x, y in drawn]
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


# What techniques contribute, and how the confirmed configurations compare.


VIEW_STYLES = {
    OFF: ("switched off alone", COMPLETE),
    ON: ("switched on alone", BEST),
    PATH: ("on the path from the baseline", PRUNED),
}


def ablation(facts: Facts) -> go.Figure:
    """Each technique's gain with its interval, in each view; only where `ablate` has run."""
    effects = facts.answers.ablation.effects if facts.answers.ablation else ()
    names = list(dict.fromkeys(effect.technique for effect in effects))
    figure = blank(f"gain in {facts.metric}", "", _height(len(names), 54))
    for view, (title, colour) in VIEW_STYLES.items():
        shown = [e for e in effects if e.view == view]
        if shown:
            figure.add_scatter(
                x=[e.difference.mean for e in shown],
                y=[
                    names.index(e.technique) + 0.2 * (list(VIEW_STYLES).index(view) - 1)
                    for e in shown
                ],
                error_x=_bars([e.difference for e in shown]),
                mode="markers",
                name=title,
                marker={"color": colour, "size": 9},
            )
    return _named(figure, names)


def main_effects(facts: Facts) -> go.Figure:
    """Raw main effects with their intervals."""
    effects = [e for e in facts.pooled.effects if e.gain is not None]
    figure = blank(f"gain in {facts.metric}", "", _height(len(effects)))
    figure.add_scatter(
        x=[e.gain for e in effects],
        y=list(range(len(effects))),
        error_x={
            "type": "data",
            "array": [0 if e.high is None else e.high - (e.gain or 0) for e in effects],
            "arrayminus": [0 if e.low is None else (e.gain or 0) - e.low for e in effects],
        },
        mode="markers",
        marker={"color": COMPLETE, "size": 9},
        hovertemplate="%{x:+.4g}<extra></extra>",
    )
    return _named(figure, [e.technique for e in effects])


def importances(facts: Facts) -> go.Figure:
    """Importances by the model, the largest on top."""
    shares = list(facts.pooled.importances.items())[:20]
    figure = blank("share", "", _height(len(shares), 26))
    figure.add_bar(
        x=[share for _, share in shares],
        y=list(range(len(shares))),
        orientation="h",
        marker={"color": COMPLETE},
        hovertemplate="%{x:.1%}<extra></extra>",
    )
    figure.update_xaxes(tickformat=".0%")
    return _named(figure, [name for name, _ in shares], zero=False)


def confirmed(facts: Facts) -> go.Figure:
    """Every seed's value and the mean with its interval; only where `confirm` has run."""
    rows = facts.answers.confirmation.rows if facts.answers.confirmation else ()
    names = [row.label for row in rows]
    figure = blank(facts.metric, "", _height(len(names), 54))
    for split, colour, shift in (("validation", FADED, 0.15), ("test", BEST, -0.15)):
        placed = [
            (i - shift, estimate)
            for i, row in enumerate(rows)
            if (estimate := row.test if split == "test" else row.validation) is not None
        ]
        if placed:
            _estimates(figure, f"{split} split", colour, placed)
    return _named(figure, names, zero=False)


def _estimates(
    figure: go.Figure, name: str, colour: str, placed: list[tuple[float, Estimate]]
) -> None:
    """Faint dots for the seeds, a diamond with an interval for each mean."""
    seeds = [(value, at, n) for at, each in placed for n, value in enumerate(each.values)]
    moved = apart([n for _, _, n in seeds], [0.0] * len(seeds))
    figure.add_scatter(
        x=[value for value, _, _ in seeds],
        y=[at + 0.3 * move for (_, at, _), move in zip(seeds, moved, strict=True)],
        mode="markers",
        marker={"color": colour, "opacity": 0.4, "size": 6},
        showlegend=False,
        hovertemplate="%{x:.4g}<extra></extra>",
    )
    figure.add_scatter(
        x=[each.mean for _, each in placed],
        y=[at for at, _ in placed],
        error_x=_bars([each for _, each in placed]),
        mode="markers",
        name=name,
        marker={"color": colour, "size": 10, "symbol": "diamond"},
    )


def _bars(estimates: list[Estimate]) -> dict[str, Any]:
    return {
        "type": "data",
        "array": [each.high - each.mean for each in estimates],
        "arrayminus": [each.mean - each.low for each in estimates],
    }


def _named(figure: go.Figure, names: list[str], zero: bool = True) -> go.Figure:
    """Names down the side, the first on top; with `zero`, a line at a gain of 0."""
    if zero:
        figure.add_vline(x=0, line={"color": FADED, "width": 1.5})
    texts = [shortened(name) for name in names]
    places = list(range(len(names)))
    return figure.update_yaxes(
        tickvals=places, ticktext=texts, range=[len(names) - 0.4, -0.6], showgrid=False
    )


def _height(rows: int, each: int = 36) -> int:
    return 110 + each * max(rows, 1)


# The winner on the test rows: confusion, calibration, residuals; where `confirm` kept them.


def confusion(facts: Facts) -> go.Figure:
    """The share of each predicted class in each actual class; the cells show counts."""
    outcome = _outcome(facts)
    counts = np.array(outcome.confusion, float).reshape(len(outcome.confusion), -1)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = len(outcome.classes)
    figure = blank("predicted", "actual", height=min(720, 190 + 30 * size))
    names, places = [shortened(name, 16) for name in outcome.classes], list(range(size))
    figure.add_heatmap(
        z=np.round(shares, 4).astype("f4"),
        text=[[str(int(n)) if n else "" for n in row] for row in counts],
        texttemplate="%{text}" if size <= NUMBERED else "",
        colorscale=[[0.0, "rgba(47,127,193,0.04)"], [1.0, COMPLETE]],
        zmin=0,
        zmax=1,
        colorbar={"tickformat": ".0%", "thickness": 12, "outlinewidth": 0},
        hovertemplate="actual %{y}, predicted %{x}: %{text} (%{z:.1%})<extra></extra>",
    )
    figure.update_xaxes(tickvals=places, ticktext=names, showgrid=False)
    return figure.update_yaxes(
        tickvals=places, ticktext=names, showgrid=False, autorange="reversed"
    )


def calibration(facts: Facts) -> go.Figure:
    """Observed accuracy over the predicted probability."""
    bins = _outcome(facts).calibration
    most = max((count for count, _, _ in bins), default=1)
    figure = blank("predicted probability", "observed accuracy")
    _diagonal(figure, 0.0, 1.0, "perfectly calibrated")
    figure.add_scatter(
        x=[sure for _, sure, _ in bins],
        y=[right for _, _, right in bins],
        customdata=[count for count, _, _ in bins],
        mode="lines+markers",
        name="test rows",
        line={"color": BEST},
        marker={"size": [6 + 14 * math.sqrt(count / most) for count, _, _ in bins]},
        hovertemplate="%{customdata} rows: predicted %{x:.1%}, observed %{y:.1%}<extra></extra>",
    )
    return figure.update_layout(xaxis_range=[0, 1.03], yaxis_range=[-0.03, 1.05])


def residuals(facts: Facts) -> go.Figure:
    """Actual less predicted value over the predicted one, with the line on which it is 0."""
    outcome = _outcome(facts)
    figure = blank("predicted", "residual (actual − predicted)")
    figure.add_hline(y=0, line={"color": FADED, "dash": "dash", "width": 1.5})
    figure.add_scatter(
        x=np.array(outcome.predicted, "f4"),
        y=np.array(outcome.residuals, "f4"),
        mode="markers",
        name="test rows",
        marker={"color": COMPLETE, "opacity": 0.45, "size": 6},
        hovertemplate="predicted %{x:.4g}, residual %{y:.4g}<extra></extra>",
    )
    return figure


def _diagonal(figure: go.Figure, low: float, high: float, name: str) -> None:
    line = {"color": FADED, "dash": "dash", "width": 1.5}
    figure.add_scatter(
        x=[low, high], y=[low, high], mode="lines", name=name, line=line, hoverinfo="skip"
    )


def _outcome(facts: Facts) -> Outcome:
    return facts.answers.outcome or Outcome(0)
