"""The storage of studies: Optuna's interface, tuner's own methods, and opening a storage."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Table

from tuner.errors import StorageError
from tuner.hidden import redact
from tuner.optuna_private import DEFAULT_STUDY_NAME_PREFIX, FrozenStudy
from tuner.storage import attached, rows, sql, status, studies, writes
from tuner.storage.claims import Claims
from tuner.storage.database import Database, check_file, exists, parse_url
from tuner.storage.history import Event, read_events
from tuner.storage.lease import LEASE_SECONDS
from tuner.storage.migrate import Upgrade, ensure, upgrade_tables
from tuner.storage.mirror import Mirrors, ReadTimer
from tuner.storage.sql import to_utc
from tuner.storage.status import OpenStudy, Progress, WorkerRow
from tuner.storage.studies import METRIC_NAMES
from tuner.storage.writes import Writer

# The storage: its parts, Optuna's interface, and tuner's own methods.


class Storage(BaseStorage):
    """Trials in an SQL database that Optuna and its dashboard read and write too.

    It reads and writes studies directly in the database; it reads trials from mirrors in memory,
    which it refreshes. May be used by several threads, pickled (it connects anew), and used in
    forked children.

    Attributes:
        database: the connections.
        mirrors: trials in memory.
        claims: hands out trials to workers.
        writer: writes what workers report.
    """

    def __init__(
        self,
        url: str,
        *,
        engine_kwargs: Mapping[str, Any] | None = None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        parsed = parse_url(url)
        if parsed.get_backend_name() == "sqlite":
            check_file(parsed)
        self._arguments = {"url": url, "engine_kwargs": engine_kwargs}
        self.database = Database(parsed, dict(engine_kwargs or {}), shown=redact(url))
        self.mirrors = Mirrors(self.database)
        self.claims = Claims(self.database, self.mirrors, lease_seconds)
        self.writer = Writer(self.database, self.mirrors)
        ensure(self.database)

    @property
    def url(self) -> str:
        """The URL as it was given, without its password."""
        return self.database.shown

    @property
    def remote(self) -> bool:
        """Whether the database is a server, which may crash while this process lives."""
        return self.database.dialect != "sqlite"

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self.database.close()

    def __getstate__(self) -> dict[str, Any]:
        settings = {
            "lease_seconds": self.claims.lease_seconds,
            "refresh_interval": self.mirrors.refresh_interval,
        }
        return self._arguments | settings

    def __setstate__(self, state: dict[str, Any]) -> None:
        interval = state.pop("refresh_interval")
        self.__init__(**state)  # type: ignore[misc]  # as if it were opened here
        self.mirrors.refresh_interval = interval

    # Optuna's interface: studies.

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        name = DEFAULT_STUDY_NAME_PREFIX + str(uuid.uuid4()) if study_name is None else study_name
        with self.database.write() as connection:
            study_id = studies.create(connection, name, directions)
        self.mirrors.forget(study_id)  # SQLite gives a deleted study's number to the next one
        return study_id

    def delete_study(
        self, study_id: int, check: Callable[[Connection], None] | None = None
    ) -> None:
        """Remove a study; `check` is called while no worker can take a trial, and may raise."""
        with self.database.write() as connection:
            studies.require(connection, study_id, lock=True)
            if check is not None:
                check(connection)
            attached.forget_attached(connection, study_id)
            studies.delete(connection, study_id)
        self.mirrors.forget(study_id)

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

    # Optuna's interface: trials.

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Trials by number. With `deepcopy=False` neither the list nor a trial may be changed."""
        trials = self.mirrors.trials(study_id, states)
        return copy.deepcopy(trials) if deepcopy else trials

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self.mirrors.trial(trial_id)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        template = template_trial or rows.blank()
        with self.mirrors.of(study_id) as mirror:
            with self.database.write() as connection:
                studies.require(connection, study_id, lock=True)
                mirror.read_rows(connection)
                span = map(to_utc, (template.datetime_start, template.datetime_complete))
                head = rows.Head(-1, len(mirror.heads), template.state, *span)
                content = partial(writes.content, trial=template)
                head = writes.insert_trial(connection, study_id, head, content)
            mirror.timer = ReadTimer()
        return head.trial_id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        with self._updating(trial_id) as (connection, study_id, _):
            known = self.mirrors.distribution(study_id, param_name)
            if known is None:
                known = rows.read_distribution(connection, study_id, param_name)
            if known is not None:
                check_distribution_compatibility(known, distribution)
            param = (trial_id, param_name, param_value_internal, distribution)
            sql.put(connection, [writes.params([param])])

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        with self._updating(trial_id, lock=True) as (connection, _, head):
            now = datetime.now(UTC).replace(tzinfo=None)
            if values is not None:
                sql.put(connection, [writes.values([(trial_id, values)])])
            if state == TrialState.RUNNING:
                return writes.start_trial(connection, head._replace(state=state, start=now))
            complete = now if state.is_finished() else None
            return writes.set_state(connection, trial_id, state, complete)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        with self._updating(trial_id) as (connection, _, _):
            sql.put(connection, [writes.reports([(trial_id, step, intermediate_value)])])

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._set_trial_attr(rows.USER_ATTRS, trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._set_trial_attr(rows.SYSTEM_ATTRS, trial_id, key, value)

    def _set_trial_attr(self, table: Table, trial_id: int, key: str, value: Any) -> None:
        with self._updating(trial_id) as (connection, _, _):
            sql.put(connection, [writes.trial_attrs(table, [(trial_id, {key: value})])])

    @contextmanager
    def _updating(
        self, trial_id: int, lock: bool = False
    ) -> Iterator[tuple[Connection, int, rows.Head]]:
        """A transaction on an unfinished trial, with its study and row; MissingError if none is."""
        with self.database.write() as connection:
            found = rows.read_head(connection, trial_id, lock)
            if found is None:
                raise studies.missing("the trial")
            study_id, head = found
            if head.state.is_finished():
                raise UpdateFinishedTrialError(
                    f"Trial#{head.number} has already finished and can not be updated."
                )
            yield connection, study_id, head
        self.mirrors.outdate(trial_id)

    # tuner's own methods.

    def join(
        self,
        name: str,
        *,
        direction: str,
        metric: str,
        spec: str,
        fingerprint: str,
        budget: int,
        epochs: int | None = None,
        data: Mapping[str, Any] | None = None,
        replicates: str | None = None,
    ) -> int:
        """Create the study, or join an existing one; returns its id.

        It overwrites nothing of an existing study: compare the fingerprint afterwards.

        Args:
            direction: "minimize" or "maximize".
            budget: complete and pruned trials that make the study finished.
            epochs: the epochs that all trials together may train; None is no limit.
            data: the record that identifies its rows.
            replicates: the study whose configurations this one trains again.
        """
        attrs: dict[str, Any] = {studies.SPEC: spec, studies.FINGERPRINT: fingerprint}
        attrs |= {studies.DATA: data} if data is not None else {}
        attrs |= {studies.REPLICATES: replicates} if replicates is not None else {}
        toward = StudyDirection[direction.upper()]
        with self.database.write() as connection:
            return studies.join(connection, name, toward, metric, attrs, budget, epochs)

    def keep_data(self, study_id: int, record: Mapping[str, Any]) -> dict[str, Any]:
        """Store the record that identifies a study's rows, unless it has one; the stored record."""
        with self.database.write() as connection:
            return studies.keep_data(connection, study_id, record)

    def set_budget(self, study_id: int, budget: int, epochs: int | None = None) -> None:
        """Set how many trials may end, and how many epochs all may train, as for `join`."""
        with self.database.write() as connection:
            studies.set_budget(connection, study_id, budget, epochs)

    def set_study_state(self, study_id: int, state: str) -> None:
        """`open` hands out trials, `paused` and `stopped` do not."""
        with self.database.write() as connection:
            studies.set_state(connection, study_id, state)

    def workers(self) -> list[WorkerRow]:
        with self.database.read() as connection:
            return status.workers(connection)

    def progress(self, study_id: int) -> Progress:
        with self.database.read() as connection:
            return status.progress(connection, study_id)

    def seconds_per_trial(self, study_id: int) -> float | None:
        """The average time between the ends of the last few trials; None before there are two."""
        with self.database.read() as connection:
            return status.seconds_per_trial(connection, study_id)

    def open_studies(self) -> dict[str, int]:
        """Ids of the studies that are open and short of their budget, by name, oldest first."""
        return {each.name: each.study_id for each in self.served()}

    def served(self) -> list[OpenStudy]:
        """The same studies, with the facts that a worker needs to serve them."""
        with self.database.read() as connection:
            return status.open_studies(connection)

    def named(self, name: str) -> tuple[int, dict[str, Any]] | None:
        """The id and all user attributes of the study of a name that has some."""
        with self.database.read() as connection:
            return studies.named(connection, name)

    def having(self, key: str, name: str | None = None) -> dict[str, tuple[int, Any]]:
        """The studies that have a user attribute, or the one of a name: id and value by name."""
        with self.database.read() as connection:
            return studies.having(connection, key, name)

    def events(
        self, study_id: int | None = None, number: int | None = None, after: int = 0
    ) -> list[Event]:
        """All events, those of a study, or those of one of its trials, as ``read_events``."""
        with self.database.read() as connection:
            return read_events(connection, study_id, number, after)


# Opening a storage by its URL.


def open_storage(
    url: str,
    *,
    engine_kwargs: Mapping[str, Any] | None = None,
    lease_seconds: float = LEASE_SECONDS,
) -> Storage:
    """Opens the storage at a URL; creates its tables if they do not exist.

    Args:
        url: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`.
        engine_kwargs: overrides for `sqlalchemy.create_engine`.
        lease_seconds: how long a lease lasts without being renewed.

    Raises:
        StorageError: it cannot be reached, read or written, or holds something else.
    """
    return Storage(url, engine_kwargs=engine_kwargs, lease_seconds=lease_seconds)


def open_existing(url: str, *, engine_kwargs: Mapping[str, Any] | None = None) -> Storage | None:
    """The storage at a URL, or None if there is no SQLite file; it makes none.

    Raises:
        StorageError: as `open_storage` does.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite" and not exists(parsed):
        return None
    return open_storage(url, engine_kwargs=engine_kwargs)


def opened(url: str, *, engine_kwargs: Mapping[str, Any] | None = None) -> Storage:
    """The storage of a database that has to exist; it makes none.

    Raises:
        StorageError: there is none, or as `open_storage` does.
    """
    storage = open_existing(url, engine_kwargs=engine_kwargs)
    if storage is None:
        raise _missing(url)
    return storage


def upgrade(url: str) -> Upgrade:
    """Upgrade the tables of a database that has to exist to this version.

    Raises:
        StorageError: there is none, it cannot be reached or written, or is of a newer version.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        check_file(parsed)
        if not exists(parsed):
            raise _missing(url)
    database = Database(parsed, shown=redact(url))
    try:
        return upgrade_tables(database)
    finally:
        database.close()


def _missing(url: str) -> StorageError:
    return StorageError(
        "there is no such database",
        where=redact(url),
        hint="tuner optimize --study NAME makes it; --storage or TUNER_STORAGE names another",
    )


# The objective of a study.


def metric_and_direction(storage: Storage, study_id: int) -> tuple[str, str]:
    """A study's metric, "value" by default, and "maximize" or "minimize"."""
    names = storage.get_study_system_attrs(study_id).get(METRIC_NAMES, ["value"])
    return names[0], storage.get_study_directions(study_id)[0].name.lower()
