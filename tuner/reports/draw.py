"""The figures of a report by their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import plotly.graph_objects as go

from tuner.reports import effect_figures, figures, outcome_figures, space_figures
from tuner.reports.facts import Facts

SLICE = "slice-"
FIGURES: dict[str, Callable[[Facts], go.Figure]] = {
    "history": figures.history,
    "seconds": figures.over_seconds,
    "curves": figures.curves,
    "time": figures.time_spent,
    "parallel": space_figures.parallel,
    "mains": effect_figures.mains,
    "importances": effect_figures.importance,
    "confirmed": effect_figures.confirmed,
    "ablation": effect_figures.ablation,
    "confusion": outcome_figures.confusion,
    "calibration": outcome_figures.calibration,
    "residuals": outcome_figures.residuals,
}


def draw(facts: Facts, names: Sequence[str]) -> dict[str, go.Figure]:
    """Those of these names; a slice's is ``slice-`` and its parameter's."""
    nodes = {SLICE + node.name: node for node in facts.searched}
    return {
        name: space_figures.slice_of(facts, nodes[name]) if name in nodes else FIGURES[name](facts)
        for name in names
    }
