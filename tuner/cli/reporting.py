"""``report`` and ``compare``: what a study found out, and studies side by side."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from tuner.cli.options import DEFAULT_STORAGE, Json, StorageUrl, StudyName
from tuner.cli.output import show, show_json

Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        envvar="TUNER_REPORT_OUT",
        metavar="FILE",
        help="The file; an existing one is replaced; - is stdout.  [default: report.html]",
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        envvar="TUNER_FORMAT",
        metavar="html|md|json",
        help="The format.  [default: by the file's ending, else html]",
    ),
]
Names = Annotated[
    list[str],
    typer.Argument(
        envvar="TUNER_STUDIES", metavar="STUDY…", help="Two or more studies of the database."
    ),
]


def report(
    study: StudyName,
    out: Out = None,
    format: Format = None,
    storage: StorageUrl = DEFAULT_STORAGE,
) -> None:
    """Write what a study found out as one page that needs no network."""
    from tuner.cli.lookup import opened, stored_study
    from tuner.cli.running import needed_url
    from tuner.reports.report import build, check_format, format_of
    from tuner.reports.write import check_place, write

    kind = format or format_of(out or "")
    check_format(kind)
    path = Path(out or f"report.{kind}")
    if out != "-":
        check_place(path)
    database = opened(storage)
    url = needed_url(storage)
    option = f"--storage {quote(url)}" if url else ""
    found = build(database, *stored_study(database, study), option)
    if out == "-":
        return typer.echo(found.text(kind), nl=False)
    written = write(path, found.text(kind))
    for line in found.verdict:
        typer.echo(line.replace("`", ""))
    return typer.echo(f"\n{written}: {written.stat().st_size / 1e6:.1f} MB")


def compare(studies: Names, storage: StorageUrl = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """Show studies side by side: the best of each, baselines, seconds and trials."""
    from tuner.cli.lookup import opened, stored_study
    from tuner.reports.compare import compare_studies
    from tuner.reports.side_by_side import view

    database = opened(storage)
    found = compare_studies(database, [stored_study(database, name) for name in studies])
    return show_json(found.document()) if as_json else show(view(found))
