"""A report as an object: words, figures, tables, and the three ways to write it down."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.errors import UsageError, nearest
from tuner.reports.document import document
from tuner.reports.draw import draw
from tuner.reports.facts import Facts, read_facts
from tuner.reports.frames import trials_frame
from tuner.reports.html import page
from tuner.reports.markdown import markdown
from tuner.reports.parts import Chart, Section
from tuner.reports.sections import sections
from tuner.reports.verdict import verdict
from tuner.reports.write import finite, write

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from tuner.storage import Storage
    from tuner.study import Study

FORMATS = ("html", "md", "json")
_ENDINGS = {".html": "html", ".htm": "html", ".md": "md", ".json": "json"}


@dataclass(frozen=True)
class Report:
    """A study at one moment.

    Attributes:
        study, metric, direction: what was searched for, and whether more or less is better.
        verdict: sentences that say what is best, by how much and how sure that is.
        sections: what the page shows, in its order.
        figures: by name, as plotly figures that a notebook shows.
    """

    study: str
    metric: str
    direction: str
    verdict: tuple[str, ...]
    sections: tuple[Section, ...] = field(repr=False)
    facts: Facts = field(repr=False)

    @cached_property
    def figures(self) -> dict[str, go.Figure]:
        """The figures of the page, by name: "history", "seconds", "curves", "parallel", …"""
        names = [p.name for s in self.sections for p in s.parts if isinstance(p, Chart)]
        return draw(self.facts, names)

    def to_frame(self) -> pd.DataFrame:
        """One row for each trial: number, state, value, seconds, epochs, and every parameter."""
        return trials_frame(self.facts)

    def html(self) -> str:
        """One page that needs no network."""
        return page(self._title, self.facts.study.description, self.sections, self.figures)

    def markdown(self) -> str:
        """Words and tables."""
        return markdown(self._title, self.facts.study.description, self.sections)

    def document(self) -> dict[str, Any]:
        """Everything as plain values for JSON."""
        return document(self.facts)

    def save(self, path: str | Path, format: str | None = None) -> Path:
        """Writes it, by the path's ending if no format is given; a file that is there is replaced.

        Raises:
            UsageError: the format is unknown, or the place cannot be written.
        """
        return write(Path(path), self.text(format or format_of(str(path))))

    def text(self, format: str) -> str:
        """The report as "html", "md" or "json".

        Raises:
            UsageError: another format.
        """
        check_format(format)
        if format == "html":
            return self.html()
        if format == "md":
            return self.markdown()
        return json.dumps(finite(self.document()), indent=2, allow_nan=False) + "\n"

    @property
    def _title(self) -> str:
        return f"{self.study}: report"


def check_format(format: str) -> None:
    """Raises UsageError for a format that is not known."""
    if format not in FORMATS:
        raise UsageError(
            f"unknown format {format!r}", where="--format", hint=nearest(format, FORMATS)
        )


def format_of(path: str) -> str:
    """The format that a path's ending names; "html" for none.

    Raises:
        UsageError: it names another.
    """
    ending = Path(path).suffix.lower()
    if ending and ending not in _ENDINGS:
        hint = f"name a file that ends in {', '.join(_ENDINGS)}, or say --format"
        raise UsageError(f"a report cannot be written as {ending}", where=path, hint=hint)
    return _ENDINGS.get(ending, "html")


def build(storage: Storage, study: Study, study_id: int, option: str = "") -> Report:
    """Reads a study and says what is known about it.

    Args:
        option: what commands in the report need besides ``--study``.

    Raises:
        UsageError: it has no trial yet.
    """
    return report_of(read_facts(storage, study, study_id, option))


def report_of(facts: Facts) -> Report:
    study = facts.study.name
    return Report(study, facts.metric, facts.direction, verdict(facts), sections(facts), facts)
