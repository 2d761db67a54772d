"""The studies there are: files, and what a database holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from tuner.errors import MissingError
from tuner.views.tables import plain_table

if TYPE_CHECKING:
    from optuna.study._frozen import FrozenStudy

    from tuner.storage import Storage

SPEC = "tuner:spec"
Record = Mapping[str, Any]


def with_stored(files: Iterable[Record], storage: Storage) -> list[Record]:
    """Study files and the database's studies together, by name; one study is one record."""
    found: dict[str, Record] = {record["name"]: record for record in files}
    for stored in storage.get_all_studies():
        try:
            progress = storage.progress(stored._study_id)
        except MissingError:  # deleted since they were listed
            continue
        counts = {"trials": progress.budget, "finished": progress.finished, "state": progress.state}
        known = found.get(stored.study_name)
        where = "database" if known is None else f"{known['where']}, database"
        found[stored.study_name] = {**(known or _stored(stored)), **counts, "where": where}
    return [found[name] for name in sorted(found)]


def _stored(study: FrozenStudy) -> Record:
    spec = study.user_attrs.get(SPEC)
    document = json.loads(spec) if spec else {"description": "not made by tuner"}
    names = study.system_attrs.get("study:metric_names", [None])
    return {
        "name": study.study_name,
        "file": None,
        "description": document.get("description", ""),
        "metric": names[0],
        "error": None,
    }


def view(records: Sequence[Record]) -> RenderableType:
    """A table, one study a row; a broken file with its error."""
    table = plain_table("study", "where", "metric", "trials", "description")
    for record in records:
        finished, trials = record.get("finished"), record["trials"]
        done = "–" if trials is None else str(trials)
        done = done if finished is None else f"{finished} of {trials} done"
        about = Text(record["description"])
        if record["error"]:
            about = Text(record["error"].splitlines()[0], "red")
        table.add_row(Text(record["name"]), record["where"], record["metric"] or "–", done, about)
    return table
