"""``logs``, ``copy``, ``db upgrade``: the service as its operator sees it."""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer

from tuner.cli.control import OneStudy
from tuner.cli.options import DEFAULT_STORAGE, Json, StorageUrl
from tuner.cli.output import show_json
from tuner.errors import UsageError

FOLLOW_SECONDS = 1.0
OneTrial = Annotated[
    int | None,
    typer.Option("--trial", envvar="TUNER_TRIAL", min=0, help="Only this trial of the study."),
]
Source = Annotated[
    str,
    typer.Option("--from", envvar="TUNER_FROM", metavar="URL", help="The database they are in."),
]
Target = Annotated[
    str, typer.Option("--to", envvar="TUNER_TO", metavar="URL", help="The database they go to.")
]
Follow = Annotated[
    bool,
    typer.Option("--follow", envvar="TUNER_FOLLOW", help="Go on until interrupted."),
]

db = typer.Typer(
    name="db", no_args_is_help=True, help="Look after the database.", rich_markup_mode=None
)


def logs(
    study: OneStudy = None,
    trial: OneTrial = None,
    storage: StorageUrl = DEFAULT_STORAGE,
    follow: Follow = False,
    as_json: Json = False,
) -> None:
    """Print what happened to a study or trial and who did it, one line an event."""
    from tuner.cli.lookup import opened, stored_id
    from tuner.views.happened import record, view

    if trial is not None and study is None:
        raise UsageError("--trial is a trial of a study", hint="give --study NAME too")
    database = opened(storage)
    study_id = None if study is None else stored_id(database, study)[1]
    if as_json and not follow:
        return show_json([record(event) for event in database.events(study_id, trial)])
    known = 0
    while True:
        found = database.events(study_id, trial, after=known)
        known = found[-1].event_id if found else known
        lines = [json.dumps(record(each)) for each in found] if as_json else view(found)
        for line in lines:
            typer.echo(line)
        if not follow:
            return None
        time.sleep(FOLLOW_SECONDS)


def copy(
    source: Source,
    target: Target,
    study: OneStudy = None,
    as_json: Json = False,
) -> None:
    """Copy studies to another database, where they can go on."""
    from tuner.cli.lookup import opened
    from tuner.operation.copy import copy as transfer
    from tuner.storage import open_storage

    done = transfer(opened(source), open_storage(target), study)
    if as_json:
        return show_json([each._asdict() for each in done])
    for name, trials, new in done:
        typer.echo(f"{name}: {trials} trials {'copied' if new else 'are there already'}")
    return None


@db.callback()
def _db() -> None:
    pass


@db.command()
def upgrade(storage: StorageUrl = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """Bring the tables of an older tuner or Optuna to this version."""
    from tuner.storage.opening import upgrade as bring

    done = bring(storage)
    if as_json:
        return show_json(done._asdict())
    if done.changed:
        return typer.echo(f"upgraded: {done}")
    return typer.echo(f"nothing to do: {done}")
