"""How far the studies of a database are, and who works on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from tuner.errors import MissingError
from tuner.views.format import duration
from tuner.views.snapshot import shown_url
from tuner.views.tables import plain_table

LISTED_SECONDS = 3600.0
"""So long a worker that is lost is shown: it may have been stopped, or its machine away."""

if TYPE_CHECKING:
    from tuner.storage import Storage


def overview(storage: Storage, studies: Mapping[str, int]) -> dict[str, Any]:
    """Progress of the studies and all workers; a few short reads, cheap enough for every second.

    Args:
        studies: ids by name.
    """
    return {
        "storage": shown_url(storage.url),
        "studies": list(_studies(storage, studies)),
        "workers": [
            {**asdict(worker), "lost": worker.lost}
            for worker in storage.workers()
            if worker.age <= LISTED_SECONDS
        ],
    }


def _studies(storage: Storage, studies: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    for name, study_id in studies.items():
        with suppress(MissingError):  # deleted since they were listed
            yield _study(storage, name, study_id)


def _study(storage: Storage, name: str, study_id: int) -> dict[str, Any]:
    progress = storage.progress(study_id)
    pace = None if progress.met or not progress.running else storage.seconds_per_trial(study_id)
    left = None if pace is None else pace * (progress.budget - progress.finished)
    return {
        "name": name,
        "state": progress.state,
        "budget": progress.budget,
        "finished": progress.finished,
        "running": progress.running,
        "interrupted": len(progress.interrupted),
        "waiting": progress.waiting,
        "complete": progress.complete,
        "pruned": progress.pruned,
        "failed": progress.failed,
        "seconds_left": 0.0 if progress.met else left,
    }


def view(found: Mapping[str, Any]) -> RenderableType:
    """A table of studies, and one of workers."""
    parts: list[RenderableType] = [_table(found["studies"]), Text()]
    parts.append(_workers(found["workers"]) if found["workers"] else Text("no workers"))
    return Group(*parts)


def _table(studies: Sequence[Mapping[str, Any]]) -> RenderableType:
    if not studies:
        return Text("no studies")
    counts: tuple[str, ...] = ("finished", "running", "pruned", "failed")
    if any(study["interrupted"] for study in studies):
        counts = ("finished", "running", "interrupted", "pruned", "failed")
    table = plain_table("study", "state", "budget", *counts, "time left")
    for study in studies:
        numbers = (str(study[key]) for key in ("budget", *counts))
        left = duration(study["seconds_left"])
        table.add_row(Text(study["name"]), study["state"], *numbers, left)
    return table


def _workers(workers: Sequence[Mapping[str, Any]]) -> RenderableType:
    table = plain_table("worker", "host", "process", "device", "trials held", "last renewal")
    for worker in workers:
        shown = (worker["holder"], worker["host"], worker["pid"], worker["device"])
        age = f"{duration(worker['age'])} ago{', lost' if worker['lost'] else ''}"
        table.add_row(*(Text(str(cell)) for cell in shown), str(worker["trials"]), age)
    return table
