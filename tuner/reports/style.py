"""The look of every figure: colours that read on light and dark, no background of their own."""

from __future__ import annotations

import plotly.graph_objects as go

from tuner.reports.axes import shortened

COMPLETE, BEST, PRUNED, FAILED, FADED = "#2f7fc1", "#d9691e", "#8f96a3", "#b0489b", "#7d8590"
SHADES = ((0.0, "#b9bec8"), (0.5, "#6fa3d0"), (1.0, "#d9691e"))
"""From the worst to the best value."""
LETTERS = 48
"""Of an axis' title at most."""
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
