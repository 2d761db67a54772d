"""Making the tables, at once and in the presence of others."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

import optuna
import pytest
from sqlalchemy import text

from tuner.errors import StorageError
from tuner.storage import Storage, open_storage
from tuner.storage.database import Database, parse_url


def _start(url: str, join: Callable[[Storage], int], together: Barrier) -> None:
    together.wait(30)
    storage = open_storage(url)
    assert join(storage) == 1
    assert storage.progress(1).budget == 3


def test_sixteen_processes_create_and_join_at_once(
    empty_url: str, join: Callable[[Storage], int]
) -> None:
    fork = multiprocessing.get_context("fork")
    together = fork.Barrier(16)
    arguments = (empty_url, join, together)
    processes = [fork.Process(target=_start, args=arguments) for _ in range(16)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 16
    studies = open_storage(empty_url).get_all_studies()
    assert [study.study_name for study in studies] == ["study"]
    assert studies[0].user_attrs == {"tuner:spec": "[search]", "tuner:fingerprint": "abc"}
    assert studies[0].system_attrs == {"study:metric_names": ["accuracy"]}


def test_a_database_of_plain_optuna_is_taken_as_it_is(empty_url: str) -> None:
    url = parse_url(empty_url).render_as_string(hide_password=False)
    study = optuna.create_study(storage=url, study_name="theirs")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    storage = open_storage(empty_url)
    assert storage.get_all_trials(study._study_id) == study.get_trials()


def test_the_tables_of_a_newer_optuna_are_refused(database_url: str) -> None:
    storage = open_storage(database_url)
    with storage.database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'v99.0.0.a'"))
    with pytest.raises(StorageError, match="another version of Optuna") as caught:
        open_storage(database_url)
    assert caught.value.exit_code == 2


def test_the_tables_of_a_newer_tuner_are_refused(database_url: str) -> None:
    storage = open_storage(database_url)
    with storage.database.write() as connection:
        connection.execute(text("UPDATE tuner_versions SET version = version + 1"))
    with pytest.raises(StorageError, match="newer tuner"):
        open_storage(database_url)


def test_sqlite_is_in_wal_mode_and_nothing_is_left_beside_it(empty_sqlite_url: str) -> None:
    storage = open_storage(empty_sqlite_url)
    with storage.database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1
    storage.close()
    folder = Path(str(storage.database.url.database)).parent
    assert [path.name for path in folder.iterdir()] == ["tuner.db"]


@pytest.mark.parametrize("kind", ["ours", "optuna"])
def test_what_we_keep_of_a_deleted_study_goes_with_it(
    storage: Storage, study_id: int, propose: object, kind: str
) -> None:
    lease = storage.claims.claim(study_id, "me", propose)  # type: ignore[arg-type]  # a fixture
    assert lease is not None
    url = storage.database.url.render_as_string(hide_password=False)
    optuna.delete_study(study_name="study", storage=storage if kind == "ours" else url)
    with storage.database.read() as connection:
        for table in ("tuner_studies", "tuner_leases", "tuner_checkpoints"):
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 0


def test_an_engine_holds_at_most_two_connections(postgres_url: str) -> None:
    database = Database(parse_url(postgres_url))
    assert database.engine.pool.size() + database.engine.pool._max_overflow == 2  # type: ignore[attr-defined]
