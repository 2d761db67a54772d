"""Draws the search space: values of the best trials, parallel coordinates, slices of the trials and
of the model of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tuner.reports.facts import Entry, Facts
from tuner.reports.figures import (
    BEST,
    COMPLETE,
    DRAWN,
    PRUNED,
    SHADES,
    Axis,
    apart,
    axis,
    blank,
    in_view,
    shortened,
    spread,
)
from tuner.reports.parts import Grid
from tuner.space import Choice, Node, Range, format_value

MOST_AXES, MOST_SLICES = 12, 24
MOST_BELIEFS, LEAST_SHARE = 6, 0.01
"""The most parameters along which the model is drawn, and the least share of each."""
BAND = "rgba(47,127,193,.22)"
BEST_SHARE = 0.25
MOST_PARAMETERS, MOST_VALUES, LETTERS = 40, 3, 40
"""The most rows, values of a choice and letters of a value in the table of the best regions."""


def ranked(facts: Facts) -> list[Node]:
    """Searched parameters, the most important first; those without an importance in their order."""

    def weight(node: Node) -> float:
        return -(facts.pooled.importance(node.name) or 0.0)

    return sorted(facts.searched, key=weight)


def drawn(facts: Facts) -> list[Entry]:
    """The complete trials that are drawn: all, or an even sample with the best among them."""
    entries = spread(facts.complete, DRAWN - 1)
    if facts.best is not None and facts.best not in entries:
        entries.append(facts.best)
    return entries


def parallel(facts: Facts) -> go.Figure:
    """A line for each complete trial through its parameters, coloured by its value."""
    entries = drawn(facts)
    values = np.array([e.value for e in entries], "f4")
    nodes = [n for n in ranked(facts) if all(n.name in e.config for e in entries)]
    dimensions = [_dimension(node, entries) for node in nodes[:MOST_AXES]]
    dimensions.append({"label": shortened(facts.metric, 18), "values": values})
    low, high = in_view(values.tolist(), facts.direction) or (values.min(), values.max())
    figure = blank("", "", height=460)
    figure.add_parcoords(
        dimensions=dimensions,
        labelangle=-20,
        line={
            "color": values,
            "colorscale": SHADES,
            "reversescale": facts.direction != "maximize",
            "cmin": float(low),
            "cmax": float(high),
        },
    )
    return figure.update_layout(margin={"l": 70, "r": 60, "t": 60, "b": 30})


def _dimension(node: Node, entries: list[Entry]) -> dict[str, Any]:
    line = _axis(node, [entry.config[node.name] for entry in entries])
    ends = [*line.ticks, *(at for at in line.positions if not math.isnan(at))]
    return {
        "label": shortened(node.name, 18),
        "values": np.array(line.positions, "f4"),
        "tickvals": line.ticks,
        "ticktext": line.texts,
        "range": [min(ends), max(ends)] if min(ends) < max(ends) else None,
    }


def slice_of(facts: Facts, node: Node) -> go.Figure:
    """The values over a parameter's range."""
    figure = blank(node.name, facts.metric, height=300)
    pruned = [e for e in facts.entries if e.state == "pruned" and e.value is not None]
    _dots(figure, node, spread(pruned, DRAWN // 3), "pruned", PRUNED, 0.35, 5)
    _dots(figure, node, drawn(facts), "complete", COMPLETE, 0.7, 6)
    if facts.best is not None:
        _dots(figure, node, [facts.best], "best", BEST, 1.0, 11)
    ticks = _axis(node, [])
    figure.update_xaxes(tickvals=ticks.ticks, ticktext=ticks.texts)
    figure.update_yaxes(range=_value_range(facts))  # pruned trials would press the rest
    return figure.update_layout(showlegend=False, margin={"l": 56, "r": 8, "t": 8, "b": 44})


def _axis(node: Node, values: Sequence[Any]) -> Axis:
    assert isinstance(node.value, Range | Choice)
    return axis(node.value, values)


def _value_range(facts: Facts) -> tuple[float, float]:
    """The range of the complete trials' values, with a margin."""
    values = [e.value for e in facts.complete if e.value is not None]
    low, high = min(values, default=0.0), max(values, default=1.0)
    pad = 0.08 * ((high - low) or abs(high) or 1.0)
    return in_view(values, facts.direction) or (low - pad, high + pad)


def _dots(
    figure: go.Figure,
    node: Node,
    entries: list[Entry],
    name: str,
    colour: str,
    opacity: float,
    size: int,
) -> None:
    having = [entry for entry in entries if node.name in entry.config]
    if not having:
        return
    line = _axis(node, [entry.config[node.name] for entry in having])
    numbers = [entry.number for entry in having]
    places = apart(numbers, line.positions) if line.named else line.positions
    figure.add_scatter(
        x=np.array(places, "f4"),
        y=np.array([entry.value for entry in having], "f4"),
        customdata=np.array(numbers, "i4"),
        mode="markers",
        name=name,
        marker={"color": colour, "opacity": opacity, "size": size},
        hovertemplate="trial %{customdata}: %{y:.4g}<extra></extra>",
    )


def sliced(facts: Facts) -> list[str]:
    """The parameters along which the model is drawn: the most important ones."""
    shares = facts.pooled.importances.items()
    return [name for name, share in shares if share >= LEAST_SHARE][:MOST_BELIEFS]


def belief_of(facts: Facts, name: str) -> go.Figure:
    """The model's mean along a parameter with its 95% interval; a diamond where it is best."""
    assert facts.model is not None
    found = facts.model.slice(name)
    space = _space_of(found.distribution)
    line = axis(space, found.values)
    mean = [belief.mean for belief in found.beliefs]
    figure = blank(name, facts.metric, height=260)
    if line.named:
        above = [belief.high - belief.mean for belief in found.beliefs]
        below = [belief.mean - belief.low for belief in found.beliefs]
        bars = {"type": "data", "array": above, "arrayminus": below}
        marks = {"color": COMPLETE, "size": 9}
        figure.add_scatter(x=line.positions, y=mean, error_y=bars, mode="markers", marker=marks)
    else:
        for edge in ([b.low for b in found.beliefs], [b.high for b in found.beliefs]):
            figure.add_scatter(
                x=line.positions,
                y=edge,
                mode="lines",
                line={"width": 0},
                fill="tonexty" if figure.data else None,
                fillcolor=BAND,
                hoverinfo="skip",
            )
        lines = {"color": COMPLETE, "width": 2}
        figure.add_scatter(x=line.positions, y=mean, mode="lines", line=lines)
    figure.update_traces(hovertemplate="%{y:.4g}<extra></extra>", selector={"hoverinfo": None})
    if name in facts.model.best:
        [at] = axis(space, [facts.model.best[name]]).positions
        [best] = facts.model([facts.model.best])
        diamond = {"color": BEST, "size": 11, "symbol": "diamond"}
        figure.add_scatter(x=[at], y=[best.mean], mode="markers", marker=diamond)
    ends = [min(line.ticks) - 0.5, max(line.ticks) + 0.5] if line.named else None
    figure.update_xaxes(tickvals=line.ticks, ticktext=line.texts, range=ends)
    return figure.update_layout(showlegend=False, margin={"l": 56, "r": 8, "t": 8, "b": 44})


def _space_of(given: BaseDistribution) -> Range | Choice:
    """The values of a parameter of which only Optuna's distribution is known."""
    if isinstance(given, CategoricalDistribution):
        return Choice(tuple(given.choices))  # type: ignore[arg-type]
    assert isinstance(given, FloatDistribution | IntDistribution)
    return Range(given.low, given.high, given.log)


def best_regions(facts: Facts) -> Grid | None:
    """The values of each parameter in the best quarter of the complete trials, beside those in
    all of them; None where they have no parameter."""
    names = _names(facts)
    if not names:
        return None
    trials = facts.best_first
    best = trials[: max(1, math.ceil(BEST_SHARE * len(trials)))]
    groups = {f"all {len(trials):,} complete trials": trials}
    if len(best) > 1:
        groups[f"best {len(best):,}"] = best
    groups["best trial"] = trials[:1]
    rows = tuple(
        (name, *(_values(group, name) for group in groups.values()))
        for name in names[:MOST_PARAMETERS]
    )
    columns = ("parameter", *groups)
    return Grid("Values in the best complete trials", columns, rows, len(columns))


def _names(facts: Facts) -> list[str]:
    """The searched parameters by importance; where the complete trials have none of them, as with
    a user's own objective, the parameters of the trials."""
    searched = [n.name for n in ranked(facts) if any(n.name in e.config for e in facts.complete)]
    return searched or list(dict.fromkeys(name for e in facts.complete for name in e.config))


def _values(entries: Sequence[Entry], name: str) -> str:
    """A range of numbers, or the most frequent values with their counts."""
    values = [entry.config[name] for entry in entries if name in entry.config]
    if not values:
        return "–"
    if all(_is_number(value) for value in values):
        low, high = min(values), max(values)
        return shown_value(low) if low == high else f"{shown_value(low)} to {shown_value(high)}"
    counts = Counter(shown_value(value) for value in values).most_common()
    if len(counts) == 1:
        return counts[0][0]
    more = len(counts) - MOST_VALUES
    text = ", ".join(f"{value} ({count:,})" for value, count in counts[:MOST_VALUES])
    return f"{text} and {more} more" if more > 0 else text


def _is_number(value: Any) -> bool:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return known and math.isfinite(value)


def shown_value(value: Any) -> str:
    """A value of a parameter in a table."""
    text = format_value(float(f"{value:.4g}") if isinstance(value, float) else value)
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"
