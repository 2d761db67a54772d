"""A report as Markdown: words, tables and code; figures are left to the page."""

from __future__ import annotations

from collections.abc import Sequence

from tuner.reports.parts import Chart, Code, Grid, Part, Section, Words
from tuner.views.markup import code, fenced, plain, table


def markdown(title: str, description: str, found: Sequence[Section]) -> str:
    """The whole report; everything that a user wrote stands there as text."""
    blocks = [f"# {plain(title)}", *([plain(description)] if description else [])]
    for section in found:
        blocks.append(f"## {section.title}")
        written = [text for part in section.parts if (text := _part(part))]
        blocks += written or [plain(_alternative(section))]
    return "\n\n".join(blocks) + "\n"


def _part(part: Part) -> str:
    if isinstance(part, Words):
        text = words(part.text)
        return f"**{text}**" if part.strong and "`" not in text else text
    if isinstance(part, Grid):
        return _grid(part)
    if isinstance(part, Code):
        caption = f"{plain(part.caption)}:\n\n" if part.caption else ""
        return caption + fenced(part.text.rstrip(), part.language)
    assert isinstance(part, Chart)
    return ""


def _alternative(section: Section) -> str:
    """What the figures say, for a section that has nothing else."""
    said = (f"{part.caption} {part.alternative}" for part in section.parts if type(part) is Chart)
    return " ".join(said) or "Nothing to show."


def _grid(grid: Grid) -> str:
    rows = table(grid.columns, grid.rows, grid.first_number)
    return f"{plain(grid.caption)}:\n\n{rows}"


def words(text: str) -> str:
    """A sentence with commands between backticks."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return plain(text)
    return "".join(code(each) if i % 2 else plain(each) for i, each in enumerate(pieces))
