"""A report as one page that needs nothing else: no network, no second file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from tuner.reports.page import SCRIPT, STYLE
from tuner.reports.parts import Chart, Code, Grid, Part, Section, Words

if TYPE_CHECKING:
    import plotly.graph_objects as go

Figures = Mapping[str, "go.Figure"]


def page(title: str, description: str, found: Sequence[Section], figures: Figures) -> str:
    """The page, with plotly's javascript in it once."""
    from plotly.offline import get_plotlyjs

    links = "".join(f'<li><a href="#{s.key}">{escape(s.title)}</a></li>' for s in found)
    about = f"<p>{escape(description)}</p>" if description else ""
    body = "\n".join(_section(section, figures) for section in found)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header><h1>{escape(title)}</h1>{about}</header>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<main>
{body}
</main>
<script>{get_plotlyjs()}</script>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _section(section: Section, figures: Figures) -> str:
    parts = "\n".join(_part(part, figures) for part in section.parts)
    heading = f'<h2 id="{section.key}-title">{escape(section.title)}</h2>'
    opening = f'<section id="{section.key}" aria-labelledby="{section.key}-title">'
    return f"{opening}\n{heading}\n<div class=parts>\n{parts}\n</div>\n</section>"


def _part(part: Part, figures: Figures) -> str:
    if isinstance(part, Words):
        return f"<p{' class=verdict' if part.strong else ''}>{_words(part.text)}</p>"
    if isinstance(part, Grid):
        return _grid(part)
    if isinstance(part, Code):
        caption = f"<figcaption>{escape(part.caption)}</figcaption>" if part.caption else ""
        code = f"<pre tabindex=0><code>{escape(part.text)}</code></pre>"
        return f"<figure>{caption}{code}</figure>"
    return _chart(part, figures)


def _chart(part: Chart, figures: Figures) -> str:
    """A place for the figure, and the figure as data that the script draws there."""
    figure = figures[part.name]
    height = figure.layout.height
    kind = "wide" if part.wide else "small"
    label = escape(f"{part.caption} {part.alternative}")
    spec = figure.to_json(remove_uids=True).replace("<", "\\u003c")
    return (
        f'<figure class={kind}><div class=plot role=img aria-label="{label}" '
        f'style="height:{height}px"></div>'
        f"<script type=application/json>{spec}</script>"
        f"<figcaption>{escape(part.caption)}</figcaption></figure>"
    )


def _grid(grid: Grid) -> str:
    def cell(tag: str, i: int, text: str, more: str = "") -> str:
        number = " class=n" if i >= grid.first_number else ""
        return f"<{tag}{more}{number}>{escape(text)}</{tag}>"

    head = "".join(cell("th", i, text, " scope=col") for i, text in enumerate(grid.columns))
    rows = "".join(
        "<tr>"
        + "".join(
            cell("td", i, text) if i else cell("th", i, text, " scope=row")
            for i, text in enumerate(row)
        )
        + "</tr>"
        for row in grid.rows
    )
    caption = escape(grid.caption)
    inner = f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"
    if grid.folded:
        summary = f"<details><summary>{caption}</summary>"
        return f"{summary}<div class=scroll><table>{inner}</table></div></details>"
    return f"<div class=scroll><table><caption>{caption}</caption>{inner}</table></div>"


def _words(text: str) -> str:
    """A sentence, with commands between backticks."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return escape(text)
    return "".join(
        f"<code>{escape(each)}</code>" if i % 2 else escape(each) for i, each in enumerate(pieces)
    )
