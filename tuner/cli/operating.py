"""The commands that read and operate a database, from ``best`` and ``status`` to ``gc``."""

from __future__ import annotations

import json
from functools import partial
from gc import enable
from typing import Annotated

import typer

from tuner.cli.options import (
    Json,
    StorageUrl,
    StudyName,
    brief,
    show,
    show_json,
    without_ctrl_c,
)
from tuner.errors import UsageError
from tuner.hidden import DEFAULT_STORAGE, storage_option

# ``best``, ``status``, ``pause``, ``resume``, ``stop``: studies in the database.


OneStudy = Annotated[
    str | None,
    typer.Option(
        "--study", envvar="TUNER_STUDY", metavar="NAME", help="Only this study.  [default: all]"
    ),
]


@brief
def best(study: StudyName, storage: StorageUrl = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """Print the best configuration, ready to paste, and its numbers."""
    from tuner.run.prepare import stored_study
    from tuner.show.best import record, view
    from tuner.storage import opened

    database = opened(storage)
    stored = record(database, *stored_study(database, study))
    return show_json(stored) if as_json else typer.echo(view(stored))


@brief
def status(
    study: OneStudy = None, storage: StorageUrl = DEFAULT_STORAGE, as_json: Json = False
) -> None:
    """Show studies, budgets, workers and the estimated time left."""
    from tuner.run.prepare import stored_id, stored_ids
    from tuner.show.tables import overview, status_table
    from tuner.storage import opened

    database = opened(storage)
    ids = stored_ids(database) if study is None else dict([stored_id(database, study)])
    state = overview(database, ids)
    return show_json(state) if as_json else show(status_table(state))


@brief
def pause(study: StudyName, storage: StorageUrl = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """Pause a study: hand out no trials until `resume`."""
    _set_state(study, storage, "paused", as_json)


@brief
def resume(study: StudyName, storage: StorageUrl = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """Resume a paused or stopped study."""
    _set_state(study, storage, "open", as_json)


@brief
def stop(study: StudyName, storage: StorageUrl = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """Stop a study: hand out no more trials."""
    _set_state(study, storage, "stopped", as_json)


WORDS = {
    "paused": "is paused; `tuner resume` continues it",
    "open": "is open again",
    "finished": "is open and finished; `tuner optimize --trials N` extends it to N trials",
    "stopped": "is stopped; `tuner resume` opens it again",
}


def _set_state(study: str, url: str, state: str, as_json: bool) -> None:
    from tuner.run.prepare import stored_study
    from tuner.run.publish import bring_up_to_date
    from tuner.storage import opened

    database = opened(url)
    stored, study_id = stored_study(database, study)
    database.set_study_state(study_id, state)
    bring_up_to_date(database, stored, study_id)
    now = database.progress(study_id)
    if as_json:
        return show_json({"study": stored.name, "state": now.state})
    typer.echo(f"{stored.name} {WORDS[now.state]}")
    most = "" if now.limit is None else f" of {now.limit}"
    done = f"{now.finished}{most} trials are finished"
    running = f"; {now.running} in training will finish" if now.running else ""
    running += f"; {now.paused} are paused, and keep their checkpoints" if now.paused else ""
    return typer.echo(f"  {done}{running}")


# ``logs``, ``copy``, ``delete``, ``gc``, ``db upgrade``: operating the database.


OneTrial = Annotated[
    int | None,
    typer.Option("--trial", envvar="TUNER_LOGS_TRIAL", min=0, help="Only this trial of the study."),
]
Source = Annotated[
    str,
    typer.Option("--from", envvar="TUNER_FROM", metavar="URL", help="The source database."),
]
Target = Annotated[
    str, typer.Option("--to", envvar="TUNER_TO", metavar="URL", help="The target database.")
]
ToArtifacts = Annotated[
    str | None,
    typer.Option(
        "--to-artifacts",
        envvar="TUNER_TO_ARTIFACTS",
        metavar="URL",
        help="Where the target's artifacts go, if not into the database; not TUNER_ARTIFACTS, "
        "where the source's are.",
    ),
]
# Not from a variable: one that was set for another command must not delete anything.
StudyToDelete = Annotated[
    str, typer.Option("--study", metavar="NAME", help="A study in the database.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
Force = Annotated[bool, typer.Option("--force", help="Even if workers are running it.")]
OlderThan = Annotated[
    str,
    typer.Option(
        "--older-than",
        envvar="TUNER_OLDER_THAN",
        metavar="DURATION",
        help="Keep anything newer, except checkpoints of ended trials.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", envvar="TUNER_DRY_RUN", help="Only print what would be removed."),
]
Follow = Annotated[
    bool,
    typer.Option(
        "--follow", envvar="TUNER_FOLLOW", help="Keep printing new events until interrupted."
    ),
]

db = typer.Typer(
    name="db", no_args_is_help=True, help="Maintain the database.", rich_markup_mode=None
)


@brief
def logs(
    study: OneStudy = None,
    trial: OneTrial = None,
    storage: StorageUrl = DEFAULT_STORAGE,
    follow: Follow = False,
    as_json: Json = False,
) -> None:
    """Print the events of a study or a trial, one line per event."""
    from tuner.operation.follow import followed
    from tuner.run.prepare import stored_id
    from tuner.show.tables import event_line, event_record
    from tuner.storage import opened
    from tuner.study.trials import check_number

    if trial is not None and study is None:
        raise UsageError("--trial needs a study", hint="give --study NAME too")
    database = opened(storage)
    study_id = None
    if study is not None:
        study, study_id = stored_id(database, study)
        if trial is not None:
            check_number(study, trial, database.get_n_trials(study_id))
    if as_json and not follow:
        return show_json([event_record(event) for event in database.events(study_id, trial)])
    say = partial(typer.echo, err=True)
    if follow:
        enable()  # the garbage collector: it is no longer brief
        without_ctrl_c(say)
    for events in (
        followed(database, study_id, trial, say) if follow else [database.events(study_id, trial)]
    ):
        for line in (
            [json.dumps(event_record(each)) for each in events] if as_json else event_line(events)
        ):
            typer.echo(line)
    return None


def copy(
    source: Source,
    target: Target,
    study: OneStudy = None,
    artifacts: ToArtifacts = None,
    as_json: Json = False,
) -> None:
    """Copy studies to another database, where they can continue."""
    from tuner.operation.copy import COPIED
    from tuner.operation.copy import copy as transfer
    from tuner.storage import open_storage, opened

    source_storage = opened(source)  # first: where there is none, no target is made
    target_storage = open_storage(target)
    copied = transfer(source_storage, target_storage, study, artifacts)
    if as_json:
        return show_json([each._asdict() for each in copied])
    for name, trials, outcome, paused in copied:
        typer.echo(f"{name}: {trials} trials {outcome}")
        if paused and outcome == COPIED:
            where = f"--study {name} {storage_option(target_storage.url)}"
            typer.echo(f"  paused, as the source was; to continue it: tuner resume {where}")
    return None


def delete(
    study: StudyToDelete,
    storage: StorageUrl = DEFAULT_STORAGE,
    yes: Yes = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Delete a study and its `confirm` and `ablate` studies."""
    from tuner.operation.remove import delete as remove
    from tuner.operation.remove import plan_deletion
    from tuner.storage import opened

    database = opened(storage)
    deletion = plan_deletion(database, study, force)
    names = ", ".join(deletion.studies)
    if not yes:
        typer.confirm(f"Delete {names} with {deletion.trials} trials?", abort=True, err=True)
    remove(database, deletion, force)
    if as_json:
        return show_json({"studies": list(deletion.studies), "trials": deletion.trials})
    return typer.echo(f"deleted {names}: {deletion.trials} trials")


def gc(
    storage: StorageUrl = DEFAULT_STORAGE,
    older_than: OlderThan = "7d",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Remove leftovers of ended trials and dead workers, and artifacts without an owner."""
    from tuner.operation.remove import collect
    from tuner.run.process import spool_folder
    from tuner.storage import opened
    from tuner.study.settings import seconds

    older = seconds("--older-than", older_than)
    garbage = collect(opened(storage), spool_folder(), older, dry_run)
    if as_json:
        return show_json(garbage._asdict())
    counts = ", ".join(f"{count} {name}" for name, count in garbage._asdict().items())
    return typer.echo(f"{'would remove' if dry_run else 'removed'} {counts}")


@db.callback()
def _db() -> None:
    pass


@db.command()
def upgrade(storage: StorageUrl = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """Upgrade tables of an older tuner or Optuna to this version."""
    from tuner.storage.storage import upgrade as bring

    done = bring(storage)
    if as_json:
        return show_json(done._asdict())
    if done.changed:
        return typer.echo(f"upgraded: {done}")
    return typer.echo(f"nothing to do: {done}")
