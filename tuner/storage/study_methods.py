"""Optuna's storage interface about studies: straight to and from the database."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from optuna.storages import BaseStorage
from optuna.storages._base import DEFAULT_STUDY_NAME_PREFIX
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from sqlalchemy import Connection

from tuner.storage import attached, studies
from tuner.storage.database import Database
from tuner.storage.mirror import Mirror


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
            attached.forget(connection, study_id)
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
