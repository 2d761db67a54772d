"""``confirm`` and ``ablate``: which configuration, how good it really is, and what helped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tuner.cli.options import (
    DEFAULT_STORAGE,
    Allow,
    Device,
    Json,
    StorageUrl,
    StudyName,
    Timeout,
    Workers,
)
from tuner.cli.output import show, show_json
from tuner.cli.running import run_options

if TYPE_CHECKING:
    from tuner.views.snapshot import Snapshot

Top = Annotated[
    int,
    typer.Option(
        "--top", envvar="TUNER_TOP", min=1, help="How many of the best trials to train again."
    ),
]
Seeds = Annotated[
    int,
    typer.Option(
        "--seeds", envvar="TUNER_SEEDS", min=1, help="How often to train each configuration."
    ),
]
View = Annotated[
    list[str] | None,
    typer.Option(
        "--view",
        envvar="TUNER_VIEW",
        metavar="off|on|path",
        help="off: each technique switched off alone; on: each switched on alone; path: from the "
        "baseline to the best, one at a time. May be repeated.  [default: all]",
    ),
]


def confirm(
    study: StudyName,
    storage: StorageUrl = DEFAULT_STORAGE,
    top: Top = 5,
    seeds: Seeds = 5,
    timeout: Timeout = None,
    workers: Workers = "auto",
    device: Device = "auto",
    allow: Allow = None,
    as_json: Json = False,
) -> None:
    """Train the best few over several seeds and measure them on the test rows."""
    from tuner import run
    from tuner.cli.lookup import opened, stored_id
    from tuner.views.answers import confirmed, document

    name, _ = stored_id(opened(storage), study)
    options = run_options(storage, None, timeout, workers, device, None, allow)
    counting = _Counting()
    found = run.confirm(name, options, top=top, seeds=seeds, watch=counting)
    counting.left()
    return show_json(document(found)) if as_json else show(confirmed(found))


def ablate(
    study: StudyName,
    storage: StorageUrl = DEFAULT_STORAGE,
    seeds: Seeds = 5,
    view: View = None,
    timeout: Timeout = None,
    workers: Workers = "auto",
    device: Device = "auto",
    allow: Allow = None,
    as_json: Json = False,
) -> None:
    """Measure what each technique contributes, over several seeds, with intervals."""
    from tuner import run
    from tuner.answers.ablate import VIEWS
    from tuner.cli.lookup import opened, stored_id
    from tuner.views.answers import ablated, document

    name, _ = stored_id(opened(storage), study)
    options = run_options(storage, None, timeout, workers, device, None, allow)
    views = tuple(view or VIEWS)
    counting = _Counting()
    found = run.ablate(name, options, seeds=seeds, views=views, watch=counting)
    counting.left()
    return show_json(document(found)) if as_json else show(ablated(found))


class _Counting:
    """Says on stderr how many trainings are done, whenever that changes."""

    def __init__(self) -> None:
        self.done: tuple[str, int] | None = None
        self.last: Snapshot | None = None

    def __call__(self, now: Snapshot) -> None:
        self.last = now
        done = (now.study, now.progress.finished)
        if done != self.done:
            self.done = done
            typer.echo(f"{now.study}: {done[1]} of {now.progress.budget} trainings", err=True)

    def left(self) -> None:
        """Says so where trainings are left, as after a time limit."""
        if self.last is not None and not self.last.progress.met:
            what = "unfinished: not all trainings are done, and these are the results so far"
            typer.echo(f"{what}; the same command goes on", err=True)
