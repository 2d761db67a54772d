"""Implements Optuna's storage interface: studies from the database, trials from the mirror."""

from __future__ import annotations

import copy
import threading
import time
import uuid
from collections.abc import Callable, Container, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Table

from tuner.optuna_private import DEFAULT_STUDY_NAME_PREFIX, FrozenStudy
from tuner.storage import attached, claims, rows, sql, studies, writes
from tuner.storage.database import Database, OutageError
from tuner.storage.mirror import Look, Mirror
from tuner.storage.sql import to_utc

# Optuna's storage interface about studies: straight to and from the database.


class StudyMethods(BaseStorage):
    """Methods about studies; they go straight to the database."""

    database: Database

    def __init__(self, database: Database) -> None:
        self.database = database
        self._lock = threading.RLock()
        self._mirrors: dict[int, Mirror] = {}
        self._study_of: dict[int, int] = {}

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        name = DEFAULT_STUDY_NAME_PREFIX + str(uuid.uuid4()) if study_name is None else study_name
        with self.database.write() as connection:
            study_id = studies.create(connection, name, directions)
        with self._lock:
            self._mirrors.pop(study_id, None)
        return study_id

    def delete_study(self, study_id: int, look: Callable[[Connection], None] | None = None) -> None:
        """Remove a study; `look` sees it while no worker can take a trial, and may raise."""
        with self.database.write() as connection:
            studies.require(connection, study_id, lock=True)
            if look is not None:
                look(connection)
            attached.forget_attached(connection, study_id)
            studies.delete(connection, study_id)
        self.forget(study_id)

    def forget(self, study_id: int) -> None:
        """Keep nothing of a study in memory; what is asked of it later is read again."""
        with self._lock:
            self._mirrors.pop(study_id, None)
            self._study_of = {t: s for t, s in self._study_of.items() if s != study_id}

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        with self.database.write() as connection:
            studies.set_attr(connection, studies.USER_ATTRS, study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        with self.database.write() as connection:
            studies.set_attr(connection, studies.SYSTEM_ATTRS, study_id, key, value)

    def get_study_id_from_name(self, study_name: str) -> int:
        with self.database.read() as connection:
            study_id = studies.find(connection, study_name)
        if study_id is None:
            raise studies.missing(f"the study {study_name!r}")
        return study_id

    def get_study_name_from_id(self, study_id: int) -> str:
        with self.database.read() as connection:
            return studies.require(connection, study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        with self.database.read() as connection:
            return studies.directions(connection, study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        with self.database.read() as connection:
            return studies.attrs(connection, studies.USER_ATTRS, study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        with self.database.read() as connection:
            return studies.attrs(connection, studies.SYSTEM_ATTRS, study_id)

    def get_all_studies(self) -> list[FrozenStudy]:
        with self.database.read() as connection:
            return studies.everything(connection)


# Optuna's storage interface about trials: what was read is kept and brought up to date.


class TrialMethods(StudyMethods):
    """Methods about trials; what was read is kept.

    Attributes:
        refresh_interval: how old, in seconds, what `get_trial` and `get_all_trials` answer may
            be. 0 reads what may have changed at every call, which is what Optuna expects. With
            more, answers come from memory in between and while the database is away; from a
            database that is slow to answer they may be up to ten times as old.
    """

    refresh_interval: float = 0.0
    _reads = True

    def refresh(self, study_id: int) -> None:
        """Read what changed since the last time; MissingError if there is no such study."""
        with self._lock:
            mirror, started = self._mirror(study_id), time.monotonic()
            with self.database.read() as connection:
                claims.see(connection, study_id, mirror)
                if not mirror.heads:
                    studies.require(connection, study_id)
                self._load(connection, mirror, study_id)
            mirror.look.took(time.monotonic() - started)

    def _mirror(self, study_id: int) -> Mirror:
        mirror = self._mirrors.get(study_id)
        if mirror is None:
            mirror = self._mirrors[study_id] = Mirror()
        return mirror

    def _load(self, connection: Connection, mirror: Mirror, study_id: int) -> None:
        wanted = mirror.stale | mirror.suggesting()
        if self.refresh_interval == 0:  # attributes may change, values may be overwritten
            wanted |= mirror.unfinished - mirror.pending
        mirror.load(rows.read_trials(connection, [mirror.heads[i] for i in sorted(wanted)]))
        self._study_of.update(dict.fromkeys(wanted, study_id))
        floors = {i: f for i, f in mirror.growing().items() if i not in wanted}
        if floors:
            mirror.extend(rows.read_reports(connection, floors))

    def _current(self, study_id: int) -> Mirror:
        """The study's mirror, read anew if it is too old."""
        mirror = self._mirrors.get(study_id)
        if mirror is None or (self._reads and mirror.look.due(self.refresh_interval)):
            try:
                self.refresh(study_id)
            except OutageError:
                if mirror is None or self.refresh_interval == 0:
                    raise
                mirror.look.took(0.0)  # not again at every call
        return self._mirrors[study_id]

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Trials by number. With `deepcopy=False` neither the list nor a trial may be changed."""
        with self._lock:
            trials = self._current(study_id).listed(states)
        return copy.deepcopy(trials) if deepcopy else trials

    def get_trial(self, trial_id: int) -> FrozenTrial:
        with self._lock:
            study_id = self._study_of.get(trial_id, -1)
            mirror = self._mirrors.get(study_id)
            if mirror is not None and trial_id in mirror.trials:
                known = mirror.trials[trial_id]
                if known.state.is_finished() or trial_id in mirror.pending:
                    return known
                if self.refresh_interval > 0:
                    return self._current(study_id).trials[trial_id]
        with self.database.read() as connection:
            trial = rows.read_trial(connection, trial_id)
        if trial is None:
            raise studies.missing("the trial")
        return trial

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        template = template_trial or rows.blank()
        with self._lock:
            mirror = self._mirror(study_id)
            with self.database.write() as connection:
                studies.require(connection, study_id, lock=True)
                claims.see(connection, study_id, mirror)
                span = map(to_utc, (template.datetime_start, template.datetime_complete))
                head = rows.Head(-1, len(mirror.heads), template.state, *span)
                content = partial(writes.content, trial=template)
                head = writes.insert_trial(connection, study_id, head, content)
            mirror.look = Look()
        return head.trial_id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        with self.database.write() as connection:
            study_id, _ = self._updatable(connection, trial_id)
            known = self._distribution(connection, study_id, param_name)
            if known is not None:
                check_distribution_compatibility(known, distribution)
            param = (trial_id, param_name, param_value_internal, distribution)
            sql.put(connection, [writes.params([param])])
        self._outdated(trial_id)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        with self.database.write() as connection:
            _, head = self._updatable(connection, trial_id, lock=True)
            now = datetime.now(UTC).replace(tzinfo=None)
            if values is not None:
                sql.put(connection, [writes.values([(trial_id, values)])])
            if state == TrialState.RUNNING:
                done = writes.start_trial(connection, head._replace(state=state, start=now))
            else:
                complete = now if state.is_finished() else None
                done = writes.set_state(connection, trial_id, state, complete)
        self._outdated(trial_id)
        return done

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        with self.database.write() as connection:
            self._updatable(connection, trial_id)
            sql.put(connection, [writes.reports([(trial_id, step, intermediate_value)])])
        self._outdated(trial_id)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._set_attr(rows.USER_ATTRS, trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._set_attr(rows.SYSTEM_ATTRS, trial_id, key, value)

    def _set_attr(self, table: Table, trial_id: int, key: str, value: Any) -> None:
        with self.database.write() as connection:
            self._updatable(connection, trial_id)
            sql.put(connection, [writes.trial_attrs(table, [(trial_id, {key: value})])])
        self._outdated(trial_id)

    def _outdated(self, trial_id: int) -> None:
        """Read a trial anew at the next look, however short ago the last one was."""
        with self._lock:
            mirror = self._mirrors.get(self._study_of.get(trial_id, -1))
            if mirror is not None:
                mirror.stale.add(trial_id)
                mirror.look = Look()

    def _distribution(
        self, connection: Connection, study_id: int, name: str
    ) -> BaseDistribution | None:
        """What an earlier trial of the study drew this parameter from."""
        with self._lock:
            mirror = self._mirrors.get(study_id)
            if mirror is not None and name in mirror.distributions:
                return mirror.distributions[name]
        return rows.read_distribution(connection, study_id, name)

    def _updatable(
        self, connection: Connection, trial_id: int, lock: bool = False
    ) -> tuple[int, rows.Head]:
        """The trial's study and row; MissingError if there is no such trial."""
        found = rows.read_head(connection, trial_id, lock)
        if found is None:
            raise studies.missing("the trial")
        head = found[1]
        if head.state.is_finished():
            raise UpdateFinishedTrialError(
                f"Trial#{head.number} has already finished and can not be updated."
            )
        return found
