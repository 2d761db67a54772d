"""The winner on the test rows: confusion, calibration, residuals; where `confirm` kept them."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go

from tuner.reports.axes import shortened
from tuner.reports.facts import Facts
from tuner.reports.outcomes import Outcome
from tuner.reports.style import BEST, COMPLETE, FADED, blank

NUMBERED = 15
"""Classes up to which the cells show their counts."""


def confusion(facts: Facts) -> go.Figure:
    """Share of each actual class by what was predicted; the counts in the cells."""
    found = _of(facts)
    counts = np.array(found.confusion, float).reshape(len(found.confusion), -1)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = len(found.classes)
    figure = blank("predicted", "actual", height=min(720, 190 + 30 * size))
    names, places = [shortened(name, 16) for name in found.classes], list(range(size))
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
    bins = _of(facts).calibration
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
    found = _of(facts)
    figure = blank("predicted", "residual (actual − predicted)")
    figure.add_hline(y=0, line={"color": FADED, "dash": "dash", "width": 1.5})
    figure.add_scatter(
        x=np.array(found.predicted, "f4"),
        y=np.array(found.residuals, "f4"),
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


def _of(facts: Facts) -> Outcome:
    return facts.answers.outcome or Outcome(0)
