"""``best``, ``status``, ``pause``, ``resume``, ``stop``: over what the database holds."""

from __future__ import annotations

from typing import Annotated

import typer

from tuner.cli.options import DEFAULT_STORAGE, Json, StorageUrl, StudyName
from tuner.cli.output import show, show_json

OneStudy = Annotated[
    str | None,
    typer.Option(
        "--study", envvar="TUNER_STUDY", metavar="NAME", help="Only this study.  [default: all]"
    ),
]


def best(study: StudyName, storage: StorageUrl = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """Print the best configuration, ready to paste, and its numbers."""
    from tuner.cli.lookup import opened, stored_study
    from tuner.study.trials import nothing_complete
    from tuner.views.best import record, view

    database = opened(storage)
    found, study_id = stored_study(database, study)
    best_found = record(database, found, study_id)
    if best_found is None:
        trials = database.get_all_trials(study_id, deepcopy=False)
        raise nothing_complete(found, trials, database.progress(study_id).budget)
    return show_json(best_found) if as_json else typer.echo(view(best_found))


def status(
    study: OneStudy = None, storage: StorageUrl = DEFAULT_STORAGE, as_json: Json = False
) -> None:
    """Show studies, budgets, workers and the time left; changes nothing."""
    from tuner.cli.lookup import opened, stored_id, stored_ids
    from tuner.views.status import overview, view

    database = opened(storage)
    wanted = stored_ids(database) if study is None else dict([stored_id(database, study)])
    found = overview(database, wanted)
    return show_json(found) if as_json else show(view(found))


def pause(study: StudyName, storage: StorageUrl = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """Stop handing out a study's trials, until `resume`."""
    _set_state(study, storage, "paused", as_json)


def resume(study: StudyName, storage: StorageUrl = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """Hand out a study's trials again."""
    _set_state(study, storage, "open", as_json)


def stop(study: StudyName, storage: StorageUrl = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """End a study: no more of its trials are handed out."""
    _set_state(study, storage, "stopped", as_json)


WORDS = {
    "paused": "is paused; `tuner resume` goes on",
    "open": "is open again",
    "finished": "is open, and finished: `tuner optimize --trials N` goes on to N trials",
    "stopped": "is stopped; `tuner resume` would open it again",
}


def _set_state(study: str, url: str, state: str, as_json: bool) -> None:
    from tuner.cli.lookup import opened, stored_study
    from tuner.run.publish import bring_up_to_date

    database = opened(url)
    found, study_id = stored_study(database, study)
    database.set_study_state(study_id, state)
    bring_up_to_date(database, found, study_id)
    now = database.progress(study_id)
    if as_json:
        return show_json({"study": found.name, "state": now.state})
    typer.echo(f"{found.name} {WORDS[now.state]}")
    done = f"{now.finished} of {now.budget} trials are finished"
    running = f", {now.running} in training go on to their end" if now.running else ""
    return typer.echo(f"  {done}{running}")
