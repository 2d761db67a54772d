"""Studies from one database to another: ``tuner copy``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tuner.errors import MissingError, UsageError, nearest
from tuner.operation.content import Content, Results, read, results, write
from tuner.operation.live import live
from tuner.operation.places import Places, places
from tuner.storage import Storage, history, schema, studies, terms
from tuner.storage.lease import PAUSED
from tuner.storage.studies import REPLICATES

COPIED, THERE, WENT_ON = "copied", "are there already", "went on there"


class Copied(NamedTuple):
    """A study at its new place.

    Attributes:
        outcome: COPIED; THERE: it was; or WENT_ON: it was copied earlier, and has more by now.
        paused: it was, and so is at its new place.
    """

    study: str
    trials: int
    outcome: str
    paused: bool


def family(storage: Storage, name: str | None) -> dict[str, int]:
    """Ids of a study and of those that `confirm` and `ablate` made for it; all without a name.

    Those have an attribute that says whose they are; their names say nothing.

    Raises:
        UsageError: there is no such study.
    """
    known = {study.study_name: study._study_id for study in storage.get_all_studies()}
    if name is None:
        return known
    if name not in known:
        hint = nearest(name, known) if known else "it holds none"
        raise UsageError(f"no study in this database is called {name!r}", hint=hint)
    replicas = storage.having(REPLICATES)
    found, left = {}, [name]
    while left:
        each = left.pop()
        found[each] = known[each]
        left += [n for n, (_, of) in replicas.items() if of == each and n in known.keys() - found]
    return found


def copy(
    source: Storage, target: Storage, name: str | None = None, artifacts: str | None = None
) -> Iterator[Copied]:
    """Copy a study with its replicas, or all studies, one after the other; each arrives whole.

    What a worker left unfinished goes on at the target from its last checkpoint.

    Args:
        artifacts: where the target's are to lie, as for `artifact_store`; none is the target.

    Raises:
        UsageError: there is no such study, or no place for the artifacts; at the end, if a study
            was not copied because a worker is at it, or the target has another one of its name.
    """
    return _copies(source, target, family(source, name), places(source, target, artifacts))


def _copies(
    source: Storage, target: Storage, found: Mapping[str, int], between: Places
) -> Iterator[Copied]:
    left: list[UsageError] = []
    for name, study_id in found.items():
        try:
            done = _copy(source, target, name, study_id, between)
        except _LeftError as error:
            left.append(error)
        except MissingError:  # deleted since the copying began
            continue
        else:
            yield done
    if len(left) == 1:
        raise left[0]
    if left:
        what = "; ".join(f"{error.where}: {error.what}" for error in left)
        hint = "the others are there; --study NAME copies one alone"
        raise UsageError(f"{len(left)} studies were not copied: {what}", hint=hint)


class _LeftError(UsageError):
    """A study is not copied; others are."""


def _copy(source: Storage, target: Storage, name: str, study_id: int, between: Places) -> Copied:
    there = _there(target, name, source.url)
    with source.database.moment() as connection:
        running = live(connection, study_id)
        if running:
            hint = f"tuner pause --study {name}, and wait for its workers or end them"
            raise _LeftError(f"workers are at {running} of its trials", where=name, hint=hint)
        paused = terms.read(connection, study_id).state == PAUSED
        if there is not None:
            here = results(connection, study_id)
            count = len(here.finished) + len(here.unfinished)
            return Copied(name, count, there.compared(here, name, target), paused)
        content = read(connection, study_id, name)
    between.carry(content.artifacts)
    _write(content, target, source.url)
    return Copied(name, len(content.trials), COPIED, paused)


class _There(NamedTuple):
    """A study of this name at the target; whether it came from the source."""

    results: Results
    came: bool

    def compared(self, here: Results, name: str, target: Storage) -> str:
        """THERE or WENT_ON; _LeftError if it is another study."""
        if self.results == here:
            return THERE
        if self.came and here.within(self.results):
            return WENT_ON
        raise _mixed(name, target)


def _there(target: Storage, name: str, origin: str) -> _There | None:
    with target.database.read() as connection:
        study_id = studies.find(connection, name)
        if study_id is None:
            return None
        return _There(results(connection, study_id), history.origin(connection, study_id) == origin)


def _mixed(name: str, target: Storage) -> _LeftError:
    what = f"{target.url} has a study of this name that is another, or has other trials"
    return _LeftError(what, where=name, hint="two studies are never mixed; delete one of them")


def _write(content: Content, target: Storage, origin: str) -> None:
    with target.database.write() as connection:
        schema.lock_names(connection, target.database.dialect)
        if studies.find(connection, content.name) is not None:  # somebody made it just now
            raise _mixed(content.name, target)
        write(connection, content, origin)
