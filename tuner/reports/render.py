"""Renders a report as HTML, Markdown or JSON, and writes its file whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from html import escape
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from tuner import output
from tuner.errors import UsageError
from tuner.reports.facts import Entry, Facts
from tuner.reports.parts import Chart, Code, Grid, Part, Section, Words
from tuner.reports.reproduce import commands, versions
from tuner.reports.time_spent import wall_seconds
from tuner.reports.verdict import verdict
from tuner.results.pooled import METHOD
from tuner.show.text import code, fenced, plain, table

if TYPE_CHECKING:
    import plotly.graph_objects as go


# The look and the behaviour of the page: light, dark, on a phone, on paper.


STYLE = """
:root { --paper: #fff; --ink: #1b1f24; --soft: #57606a; --line: #d5dae1; --box: #f4f6f8;
  --link: #1d5fa3; --mark: #d9691e }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #e4e8ed;
  --soft: #a3adb8; --line: #343c46; --box: #1d232a; --link: #7db5ea; --mark: #ec8b4a } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1.5rem clamp(.8rem, 4vw, 2.5rem) 4rem; max-width: 72rem;
  background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; overflow-wrap: anywhere }
h2 { font-size: 1.25rem; margin: 0 0 .8rem }
header p { color: var(--soft); margin: 0; overflow-wrap: anywhere }
a { color: var(--link) }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1rem; padding: 0;
  margin: 1rem 0 0; font-size: .92rem }
section { border-top: 1px solid var(--line); margin-top: 1.6rem; padding-top: 1.3rem }
.parts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr));
  gap: .9rem 1.4rem; align-items: start }
.parts > * { grid-column: 1 / -1; min-width: 0; margin: 0 }
.parts > figure.small { grid-column: auto }
p { max-width: 48rem }
.verdict { font-size: 1.15rem; font-weight: 600; border-left: 4px solid var(--mark);
  padding-left: .8rem }
figcaption, caption { color: var(--soft); font-size: .9rem; text-align: left;
  overflow-wrap: anywhere }
caption { padding-bottom: .3rem }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: .94rem }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line) }
thead th { color: var(--soft); font-weight: 500 }
tbody th { font-weight: 500 }
td, tbody th { overflow-wrap: break-word; max-width: 40rem }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
pre { background: var(--box); border: 1px solid var(--line); border-radius: 6px;
  padding: .7rem .9rem; overflow-x: auto; margin: .3rem 0; font-size: .86rem; line-height: 1.45 }
code { font-family: ui-monospace, monospace; font-size: .93em; overflow-wrap: anywhere }
pre code { overflow-wrap: normal; font-size: 1em }
summary { cursor: pointer; color: var(--soft); font-size: .92rem }
.plot { width: 100% }
.across { overflow-x: auto }
.parcoords .axis .domain, .parcoords .axis line { stroke: var(--soft) !important }
.parcoords text { text-shadow: none !important }
@page { margin: 15mm 14mm }
@media print {
  :root { --paper: #fff; --ink: #000; --soft: #444; --line: #bbb; --box: #f6f6f6;
    --link: #000; --mark: #d9691e }
  body { font-size: 11pt; max-width: none; padding: 0 }
  nav { display: none }
  figure, tr { break-inside: avoid }
  figure:has(pre) { break-inside: auto }
  .scroll:not(:has(tr:nth-child(20))) { break-inside: avoid }
  h2 { break-after: avoid }
  pre { white-space: pre-wrap; overflow-wrap: anywhere }
}
"""

SCRIPT = """
'use strict';
const plots = [...document.querySelectorAll('.plot')];
const dark = matchMedia('(prefers-color-scheme: dark)');
const PAPER = 660, AXES = 84;
function colours(layout, isDark) {
  const ink = isDark ? '#d3d9e0' : '#24292f', line = isDark ? '#5b6672' : '#8a939e';
  const patch = {'font.color': ink};
  for (const key of Object.keys(layout))
    if (/^[xy]axis/.test(key)) patch[key + '.linecolor'] = line;
  return patch;
}
function paint(div, isDark, more) {
  const patch = colours(div.layout, isDark);
  if (div.data[0] && div.data[0].type === 'heatmap')
    Plotly.restyle(div, {'textfont.color': patch['font.color']});
  return Plotly.relayout(div, {...patch, ...more});
}
async function draw(div) {
  const spec = JSON.parse(div.nextElementSibling.textContent), layout = spec.layout;
  const parallel = spec.data.find(trace => trace.type === 'parcoords');
  if (parallel) {
    const least = parallel.dimensions.length * AXES;
    if (div.clientWidth < least) {
      div.parentNode.classList.add('across');
      div.style.width = least + 'px';
    }
  }
  const options = {responsive: true, displaylogo: false,
    modeBarButtonsToRemove: ['select2d', 'lasso2d', 'autoScale2d']};
  await Plotly.newPlot(div, spec.data, layout, options);
  return paint(div, dark.matches, {});
}
function all(change) { for (const div of plots) if (div.layout) change(div); }
(async () => { for (const div of plots) try { await draw(div); } catch (error) {
  div.textContent = 'This figure cannot be drawn here: ' + error; } })();
dark.addEventListener('change', () =>
  all(div => paint(div, dark.matches, {})));
let folded = [];
addEventListener('beforeprint', () => {
  folded = [...document.querySelectorAll('details:not([open])')];
  for (const each of folded) each.open = true;
  all(div => {
    const small = div.parentNode.classList.contains('small');
    const width = small ? PAPER / 2 - 20 : PAPER;
    paint(div, false, {width});
  });
});
addEventListener('afterprint', () => {
  for (const each of folded) each.open = false;
  const back = {width: null, autosize: true};
  all(div => paint(div, dark.matches, back));
});
"""


# A report as one page that needs nothing else: no network, no second file.


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
    parts = "\n".join(_html_part(part, figures) for part in section.parts)
    heading = f'<h2 id="{section.key}-title">{escape(section.title)}</h2>'
    opening = f'<section id="{section.key}" aria-labelledby="{section.key}-title">'
    return f"{opening}\n{heading}\n<div class=parts>\n{parts}\n</div>\n</section>"


def _html_part(part: Part, figures: Figures) -> str:
    if isinstance(part, Words):
        return f"<p{' class=verdict' if part.strong else ''}>{_words(part.text)}</p>"
    if isinstance(part, Grid):
        return _html_grid(part)
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


def _html_grid(grid: Grid) -> str:
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


# A report as Markdown: words, tables and code; figures are left to the page.


def markdown(title: str, description: str, found: Sequence[Section]) -> str:
    """The whole report; everything that a user wrote stands there as text."""
    blocks = [f"# {plain(title)}", *([plain(description)] if description else [])]
    for section in found:
        blocks.append(f"## {section.title}")
        written = [text for part in section.parts if (text := _markdown_part(part))]
        blocks += written or [plain(_alternative(section))]
    return "\n\n".join(blocks) + "\n"


def _markdown_part(part: Part) -> str:
    if isinstance(part, Words):
        text = words(part.text)
        return f"**{text}**" if part.strong and "`" not in text else text
    if isinstance(part, Grid):
        return _markdown_grid(part)
    if isinstance(part, Code):
        caption = f"{plain(part.caption)}:\n\n" if part.caption else ""
        return caption + fenced(part.text.rstrip(), part.language)
    assert isinstance(part, Chart)
    return ""


def _alternative(section: Section) -> str:
    """What the figures say, for a section that has nothing else."""
    said = (f"{part.caption} {part.alternative}" for part in section.parts if type(part) is Chart)
    return " ".join(said) or "Nothing to show."


def _markdown_grid(grid: Grid) -> str:
    rows = table(grid.columns, grid.rows, grid.first_number)
    return f"{plain(grid.caption)}:\n\n{rows}"


def words(text: str) -> str:
    """A sentence with commands between backticks."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return plain(text)
    return "".join(code(each) if i % 2 else plain(each) for i, each in enumerate(pieces))


# A report as plain values for JSON.


def document(facts: Facts) -> dict[str, Any]:
    """Everything that is known; NaN and infinity are still in it."""
    return {
        "study": facts.study.name,
        "description": facts.study.description,
        "metric": facts.metric,
        "direction": facts.direction,
        "storage": facts.storage,
        "verdict": list(verdict(facts)),
        "progress": asdict(facts.progress) | {"finished": facts.progress.finished},
        "baseline": _trial(facts.baseline),
        "best": _trial(facts.best),
        "chosen": _trial(facts.chosen),
        "confirmation": _plain(facts.answers.confirmation),
        "ablation": _plain(facts.answers.ablation),
        "outcome": _plain(facts.answers.outcome),
        "time": {
            "seconds": sum(entry.seconds for entry in facts.entries),
            "wall": wall_seconds(facts),
        },
        "main_effects": [asdict(effect) for effect in facts.pooled.effects],
        "importances": {"method": METHOD, "shares": dict(facts.pooled.importances)},
        "commands": commands(facts),
        "versions": versions(),
        "spec": facts.study.document,
        "left_out": [asdict(each) for each in facts.left_out],
        "trials": [_trial(entry) for entry in facts.entries],
    }


def _trial(entry: Entry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    return {
        "number": entry.number,
        "state": entry.state,
        "value": entry.value,
        "seconds": entry.seconds,
        "epochs": entry.epochs,
        "started": None if entry.started is None else entry.started.isoformat(),
        "ended": None if entry.ended is None else entry.ended.isoformat(),
        "error": entry.facts.get("error"),
        "configuration": entry.config,
    }


def _plain(found: Any) -> Any:
    """A frozen object and all in it as tables and lists."""
    if is_dataclass(found) and not isinstance(found, type):
        return {each.name: _plain(getattr(found, each.name)) for each in fields(found)}
    if isinstance(found, Mapping):
        return {str(key): _plain(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [_plain(each) for each in found]
    return found if isinstance(found, str | int | float | None) else str(found)


# A report's file: whole or not at all.


def check_place(path: Path) -> None:
    """Raises UsageError where no file could be written."""
    if output.is_stream(path):
        return
    where, folder = str(path), path.absolute().parent
    if path.is_dir():
        hint = f"name a file: {path / 'report.html'}"
        raise UsageError("is a folder, not a file", where=where, hint=hint)
    if not folder.is_dir():
        hint = f"mkdir -p {quote(str(path.parent))}"
        raise UsageError("its folder does not exist", where=where, hint=hint)
    if not os.access(folder, os.W_OK):
        hint = "change its permissions, or give another place"
        raise UsageError("cannot be written", where=str(folder), hint=hint)


def write(path: Path, text: str) -> Path:
    """Writes a report's file.

    Raises:
        UsageError: it cannot be written.
    """
    check_place(path)
    try:
        output.write(path, text)
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=str(path)) from None
    return path
