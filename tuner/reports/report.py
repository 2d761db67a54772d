"""The report as an object, and the Python functions that make one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from tuner.errors import UsageError, nearest
from tuner.hidden import DEFAULT_STORAGE, storage_option
from tuner.output import to_json
from tuner.reports import figures, space_figures
from tuner.reports.compare import Comparison, compare_studies
from tuner.reports.facts import Facts, read_facts
from tuner.reports.figures import trials_frame
from tuner.reports.parts import Chart, Section
from tuner.reports.render import document, markdown, page, write
from tuner.reports.sections import sections
from tuner.reports.verdict import verdict

if TYPE_CHECKING:
    import pandas as pd

    from tuner.results.best import Recommendation
    from tuner.run.options import RunOptions
    from tuner.storage import Storage
    from tuner.study import Study


# The figures of a report by their names.


SLICE, BELIEF = "slice-", "belief-"
FIGURES: dict[str, Callable[[Facts], go.Figure]] = {
    "history": figures.history,
    "seconds": figures.over_seconds,
    "curves": figures.curves,
    "time": figures.time_spent,
    "parallel": space_figures.parallel,
    "mains": figures.main_effects,
    "importances": figures.importances,
    "confirmed": figures.confirmed,
    "ablation": figures.ablation,
    "confusion": figures.confusion,
    "calibration": figures.calibration,
    "residuals": figures.residuals,
}


def draw(facts: Facts, names: Sequence[str]) -> dict[str, go.Figure]:
    """The figures of these names; a slice's name is ``slice-`` and its parameter's name, that of
    the model's slice ``belief-`` and its parameter's name."""
    makers = {SLICE + n.name: partial(space_figures.slice_of, node=n) for n in facts.searched}
    shares = facts.pooled.importances
    makers |= {BELIEF + name: partial(space_figures.belief_of, name=name) for name in shares}
    return {name: (makers.get(name) or FIGURES[name])(facts) for name in names}


# A report as an object: words, figures and tables, written in one of three formats.


FORMATS = ("html", "md", "json")
_ENDINGS = {".html": "html", ".htm": "html", ".md": "md", ".json": "json"}


@dataclass(frozen=True)
class Report:
    """The report of a study at one moment.

    Attributes:
        study, metric, direction: "maximize" or "minimize".
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
        """Writes it, in the format of the path's ending unless one is given; replaces the file.

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
        return to_json(self.document()) + "\n"

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
        hint = f"use a file name that ends in {', '.join(_ENDINGS)}, or give --format"
        raise UsageError(f"a report cannot be written as {ending}", where=path, hint=hint)
    return _ENDINGS.get(ending, "html")


def build(storage: Storage, study: Study, study_id: int, option: str = "") -> Report:
    """Reads a study and makes its report.

    Args:
        option: what commands in the report need besides ``--study``.

    Raises:
        UsageError: it has no trial yet.
    """
    return report_of(read_facts(storage, study, study_id, option))


def report_of(facts: Facts) -> Report:
    study = facts.study.name
    return Report(study, facts.metric, facts.direction, verdict(facts), sections(facts), facts)


# The Python API: a study by its name or as an object, in the database of the options.


def report(study: str | Study, options: RunOptions) -> Report:
    """Reads a study from the database; nothing is trained and no test row is read.

    Args:
        study: its name, or itself.
        options: of which only ``storage`` is used.

    Raises:
        StorageError: there is no such database.
        UsageError: it holds no such study, or one without a trial.
    """
    from tuner.run.prepare import stored_study
    from tuner.storage import opened

    storage = opened(options.storage)
    option = "" if options.storage == DEFAULT_STORAGE else storage_option(options.storage)
    return build(storage, *stored_study(storage, study), option)


def compare(studies: Sequence[str | Study], options: RunOptions) -> Comparison:
    """Compares studies of one database.

    Raises:
        StorageError, UsageError: as ``report`` does; also for fewer than two studies.
    """
    from tuner.run.prepare import stored_study
    from tuner.storage import opened

    storage = opened(options.storage)
    return compare_studies(storage, [stored_study(storage, study) for study in studies])


def best(study: str | Study, options: RunOptions) -> Recommendation:
    """The configuration to use: the winner of ``confirm``, else the best of the search.

    Raises:
        StorageError, UsageError: as ``report`` does; also where no trial is complete.
    """
    from tuner.results.best import recommended
    from tuner.run.prepare import stored_study
    from tuner.storage import opened

    storage = opened(options.storage)
    return recommended(storage, *stored_study(storage, study))
