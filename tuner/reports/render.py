"""Renders a report as HTML, Markdown or JSON, and writes its file whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from tuner import output
from tuner.errors import UsageError
from tuner.reports.facts import Entry, Facts
from tuner.reports.parts import Chart, Code, Grid, Part, Section, Words
from tuner.reports.reproduce import commands, versions
from tuner.reports.space_figures import sliced
from tuner.reports.time_spent import wall_seconds
from tuner.reports.verdict import verdict
from tuner.results.surrogate import ENOUGH, METHOD
from tuner.show.text import code, fenced, plain, table

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from jinja2 import Template


# A report as one page that needs nothing else: no network, no second file.


Figures = Mapping[str, "go.Figure"]


def page(title: str, description: str, sections: Sequence[Section], figures: Figures) -> str:
    """The page, with plotly's JavaScript in it once."""
    from plotly.offline import get_plotlyjs

    return _template().render(
        title=title,
        description=description,
        sections=sections,
        figures={name: _drawn(figure) for name, figure in figures.items()},
        plotly=get_plotlyjs(),
    )


def _template() -> Template:
    """The template of the page; whatever it is given is escaped, unless it is marked `safe`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tuner", "reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html")


def _drawn(figure: go.Figure) -> dict[str, Any]:
    """A figure's height, and its data, which no tag can end."""
    data = figure.to_json(remove_uids=True).replace("<", "\\u003c")
    return {"height": figure.layout.height, "data": data}


# A report as Markdown: words, tables and code; figures are left to the page.


def markdown(title: str, description: str, sections: Sequence[Section]) -> str:
    """The whole report; what a user wrote is escaped."""
    blocks = [f"# {plain(title)}", *([plain(description)] if description else [])]
    for section in sections:
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
    """The texts of the figures, for a section that has nothing else."""
    texts = (f"{part.caption} {part.alternative}" for part in section.parts if type(part) is Chart)
    return " ".join(texts) or "Nothing to show."


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
    """The whole report; NaN and infinity are still in it."""
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
        "predicted": _predicted(facts),
        "commands": commands(facts),
        "versions": versions(),
        "spec": facts.study.document,
        "left_out": [asdict(each) for each in facts.left_out],
        "trials": [_trial(entry) for entry in facts.entries],
    }


def _predicted(facts: Facts) -> dict[str, Any] | None:
    """What a model of the trials expects to be best, and its slices; None with too few results."""
    if facts.model is None or facts.results < ENOUGH or not facts.pooled.importances:
        return None
    [belief] = facts.model([facts.model.best])
    slices = [asdict(facts.model.slice(name)) for name in sliced(facts)]
    return {
        "results": facts.results,
        "best": {"parameters": facts.model.best, **asdict(belief)},
        "slices": [{k: v for k, v in each.items() if k != "distribution"} for each in slices],
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


def _plain(value: Any) -> Any:
    """A frozen object and all in it as tables and lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | None) else str(value)


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
