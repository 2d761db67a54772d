"""The commands about study files: ``init``, ``check``, ``studies``, ``techniques``."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuner import output
from tuner.cli.options import Allow, Json, StorageUrl, brief, show, show_json
from tuner.errors import UsageError
from tuner.hidden import DEFAULT_STORAGE

if TYPE_CHECKING:
    from tuner.study import Study
    from tuner.study.init import Survey


# ``check``, ``studies``, ``techniques``: what a study searches, which studies and techniques exist.


Schema = Annotated[
    bool, typer.Option("--schema", help="Print the JSON schema of a study file for your editor.")
]
OptionalStudy = Annotated[
    str | None,
    typer.Option(
        "--study",
        envvar="TUNER_STUDY",
        metavar="NAME",
        help="A file in studies/, a path, a study that ships with tuner, or one in the database.",
    ),
]


def check(
    study: OptionalStudy = None,
    storage: StorageUrl = DEFAULT_STORAGE,
    schema: Schema = False,
    allow: Allow = None,
    as_json: Json = False,
) -> None:
    """Check a study and its data; print the search space, its size and its cost."""
    if schema:
        return _schema()
    if study is None:
        raise typer.BadParameter("give --study NAME, or --schema")
    from tuner.imports import allowing, of_person, read_packages
    from tuner.run.prepare import find_study
    from tuner.show import tables

    definition = find_study(study, storage)
    with allowing(of_person(read_packages(allow or ()), definition.folder)):
        checked = _checked_record(definition)
    for warning in checked["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
    return show_json(checked) if as_json else show(tables.check(checked))


@brief
def _schema() -> None:
    from tuner.study.schema import schema

    show_json(schema())


def _checked_record(study: Study) -> dict[str, Any]:
    """The record of a study; TunerError if its data or its trials' parts cannot be made."""
    from tuner.run.prepare import prepared
    from tuner.show.search import search_words

    job = prepared(study)
    study = job.study
    study.pruner()
    return {
        "name": study.name,
        "description": study.description,
        "metric": job.metric.name,
        "warnings": list(study.warnings()),
        "search": search_words(study),
        **job.describe(),
    }


@brief
def studies(storage: StorageUrl = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """List the studies that ship with tuner, those in studies/ and those in the database."""
    from tuner.show.tables import studies_table, with_stored
    from tuner.storage import open_existing
    from tuner.study.describe import files

    database = open_existing(storage)
    records = files() if database is None else with_stored(files(), database)
    return show_json({"studies": records}) if as_json else show(studies_table(records))


@brief
def techniques(as_json: Json = False) -> None:
    """List techniques, optimizers, schedules, families, losses and metrics, with their sources."""
    from tuner.show import tables
    from tuner.study import describe

    entries = describe.catalogue()
    return show_json(entries) if as_json else show(tables.catalogue(entries))


# ``init``: a study file for a user's data.


NAME = re.compile(r"[A-Za-z0-9][\w.-]*")

Name = Annotated[str, typer.Argument(metavar="NAME", envvar="TUNER_NAME", help="The study's name.")]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        envvar="TUNER_DATA",
        metavar="FILE",
        help="A table, an archive of arrays, or a folder of images.",
    ),
]
Target = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        envvar="TUNER_TARGET",
        metavar="COLUMN",
        help="The column to predict; repeatable, for several targets.",
    ),
]
GivenMetric = Annotated[
    str | None,
    typer.Option(
        "--metric",
        envvar="TUNER_METRIC",
        metavar="NAME",
        help="What to optimize.  [default: by the sizes of the classes; rmse for numbers]",
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        envvar="TUNER_INIT_BUDGET",
        metavar="DURATION",
        help="How long a search may take, such as 10m.  [default: a number of trials]",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        envvar="TUNER_INIT_OUT",
        metavar="FILE",
        help="Where to write.  [default: studies/NAME.toml]",
    ),
]
Force = Annotated[
    bool, typer.Option("--force", envvar="TUNER_INIT_FORCE", help="Replace an existing file.")
]


def init(
    name: Name,
    data: Data,
    target: Target = None,
    metric: GivenMetric = None,
    budget: Budget = None,
    out: Out = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Inspect a data set and write a study file for it."""
    if not NAME.fullmatch(name):
        hint = "allowed: letters and digits; also _ . - after the first character"
        raise UsageError(f"{name!r} cannot name a study", where="NAME", hint=hint)
    file = out or Path("studies") / f"{name}.toml"
    if file.exists() and not force:
        raise UsageError("already exists", where=str(file), hint="use --force to replace it")
    if file.exists() and not file.is_file():
        raise UsageError("exists and is not a file", where=str(file), hint="name another")
    from tuner.data.memory import uncollected
    from tuner.data.sources import find_path
    from tuner.show.tables import init_lines
    from tuner.study.init import survey
    from tuner.study.settings import seconds

    if budget is not None:
        seconds("--budget", budget)
    with uncollected():  # with 100,000 columns, garbage collection would take long
        facts = survey(find_path(data, "--data", Path()), _targets(target or []))
        record = _write_study(name, file, facts, metric, budget)
        return show_json(record) if as_json else show(init_lines(record))


def _targets(names: list[str]) -> str | tuple[str, ...] | None:
    """One column or several. The variable has one a line: a name may contain spaces, by which it
    was split."""
    variable = os.environ.get("TUNER_TARGET", "")
    distinct = tuple(dict.fromkeys(variable.splitlines() if names == variable.split() else names))
    return distinct[0] if len(distinct) == 1 else distinct or None


def _write_study(
    name: str, file: Path, survey: Survey, metric: str | None, budget: str | None
) -> dict[str, Any]:
    """Writes the study file if it is valid and fits the data, and returns its record."""
    from tuner.study import NetworkStudy, describe
    from tuner.study.init import draft, file_text
    from tuner.study.parse import parse

    lines = draft(survey, lambda path: _portable_path(Path(path), file), metric, budget)
    text = file_text(name, survey, lines)
    study = parse(file.stem, tomllib.loads(text), file.parent)
    assert isinstance(study, NetworkStudy)  # a draft has data
    study.check_fit(survey.data)
    _write(file, text)
    return {
        "name": name,
        "file": str(file),
        "rows": survey.rows,
        "missing": dict(survey.missing),
        "data": describe.data_set(survey.data),
        "decided": [
            {"key": f"{each.section}.{each.key}".removeprefix("."), "value": each.value}
            | {"why": each.why, "suggested": not each.active}
            for each in lines
        ],
    }


def _portable_path(data: Path, study: Path) -> str:
    """The path relative to the study's project, or absolute if it is outside."""
    folder = study.resolve().parent
    base = folder.parent if folder.name == "studies" else folder
    inside = data.is_relative_to(base) and data != base
    return data.relative_to(base).as_posix() if inside else str(data)


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        output.write(file, text)
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=str(file)) from None
