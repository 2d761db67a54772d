"""What techniques contribute, and how the confirmed configurations compare."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from tuner.reports.answers import Estimate
from tuner.reports.axes import apart, shortened
from tuner.reports.facts import Facts
from tuner.reports.style import BEST, COMPLETE, FADED, PRUNED, blank

VIEWS = {
    "off": ("switched off alone", COMPLETE),
    "on": ("switched on alone", BEST),
    "path": ("on the path from the baseline", PRUNED),
}


def ablation(facts: Facts) -> go.Figure:
    """Each technique's gain with its interval, in each view; only where `ablate` has run."""
    effects = facts.answers.ablation.effects if facts.answers.ablation else ()
    names = list(dict.fromkeys(effect.technique for effect in effects))
    figure = blank(f"gain in {facts.metric}", "", _height(len(names), 54))
    for view, (title, colour) in VIEWS.items():
        mine = [e for e in effects if e.view == view]
        if mine:
            figure.add_scatter(
                x=[e.difference.mean for e in mine],
                y=[names.index(e.technique) + 0.2 * (list(VIEWS).index(view) - 1) for e in mine],
                error_x=_bars([e.difference for e in mine]),
                mode="markers",
                name=title,
                marker={"color": colour, "size": 9},
            )
    return _named(figure, names)


def mains(facts: Facts) -> go.Figure:
    """Raw main effects with their intervals."""
    mine = [e for e in facts.pooled.effects if e.gain is not None]
    figure = blank(f"gain in {facts.metric}", "", _height(len(mine)))
    figure.add_scatter(
        x=[e.gain for e in mine],
        y=list(range(len(mine))),
        error_x={
            "type": "data",
            "array": [0 if e.high is None else e.high - (e.gain or 0) for e in mine],
            "arrayminus": [0 if e.low is None else (e.gain or 0) - e.low for e in mine],
        },
        mode="markers",
        marker={"color": COMPLETE, "size": 9},
        hovertemplate="%{x:+.4g}<extra></extra>",
    )
    return _named(figure, [e.technique for e in mine])


def importance(facts: Facts) -> go.Figure:
    """Importances by PED-ANOVA, the largest on top."""
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
    """Names down the side, the first on top; a line where nothing is gained."""
    if zero:
        figure.add_vline(x=0, line={"color": FADED, "width": 1.5})
    texts = [shortened(name) for name in names]
    places = list(range(len(names)))
    return figure.update_yaxes(
        tickvals=places, ticktext=texts, range=[len(names) - 0.4, -0.6], showgrid=False
    )


def _height(rows: int, each: int = 36) -> int:
    return 110 + each * max(rows, 1)
