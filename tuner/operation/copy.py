"""Studies from one database to another: ``tuner copy``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tuner.errors import UsageError, nearest
from tuner.operation.content import Content, moment, read, write
from tuner.storage import Storage, schema, studies


class Copied(NamedTuple):
    """A study at its new place; `new` is false where it was there already."""

    study: str
    trials: int
    new: bool


def family(known: Mapping[str, int], name: str | None) -> dict[str, int]:
    """Ids of a study and of those that `confirm` and `ablate` made for it; all without a name.

    Raises:
        UsageError: there is no such study.
    """
    if name is None:
        return dict(known)
    if name not in known:
        hint = nearest(name, known) if known else "it holds none"
        raise UsageError(f"no study in this database is called {name!r}", hint=hint)
    return {n: i for n, i in known.items() if n == name or n.startswith(f"{name}:")}


def copy(source: Storage, target: Storage, name: str | None = None) -> list[Copied]:
    """Copy a study with its replicas, or all studies; each arrives whole or not at all.

    What a worker left unfinished goes on at the target from its last checkpoint.

    Raises:
        UsageError: there is no such study, a worker is at it, or the target has another one of
            its name; nothing is written then.
    """
    known = {study.study_name: study._study_id for study in source.get_all_studies()}
    found = []
    with moment(source.database) as connection:
        for each, study_id in family(known, name).items():
            found.append(read(connection, study_id, each))
    new = [_is_new(content, target) for content in found]
    for content, missing in zip(found, new, strict=True):
        if missing:
            _write(content, target, source.url)
    return [Copied(c.name, len(c.trials), n) for c, n in zip(found, new, strict=True)]


def _is_new(content: Content, target: Storage) -> bool:
    """Whether the target lacks the study; UsageError if it must not be copied there."""
    if content.held:
        raise UsageError(
            f"workers are at {content.held} of its trials",
            where=content.name,
            hint=f"tuner pause --study {content.name}, and wait for its workers or end them",
        )
    with target.database.read() as connection:
        study_id = studies.find(connection, content.name)
        if study_id is None:
            return True
        there = read(connection, study_id, content.name)
    if there.results() != content.results():
        raise _mixed(content.name, target)
    return False


def _mixed(name: str, target: Storage) -> UsageError:
    what = f"{target.url} has a study of this name with other trials"
    return UsageError(what, where=name, hint="two studies are never mixed; delete one of them")


def _write(content: Content, target: Storage, origin: str) -> None:
    with target.database.write() as connection:
        schema.lock_names(connection, target.database.dialect)
        if studies.find(connection, content.name) is not None:  # somebody made it just now
            raise _mixed(content.name, target)
        write(connection, content, origin)
