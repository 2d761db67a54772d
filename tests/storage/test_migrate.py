"""The lock between processes: one at a time, and no file left."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import inspect, text

from tuner.errors import StorageError
from tuner.storage import Propose, Storage, Update, open_storage, schema
from tuner.storage.database import Database, parse_url
from tuner.storage.migrate import STEPS, file_lock, read_state
from tuner.storage.storage import upgrade


def _work(folder: Path) -> None:
    for _ in range(20):
        with file_lock(folder / "lock"):
            if not (folder / "done").exists():
                with (folder / "made").open("x"):
                    pass
                (folder / "done").touch()


def test_the_work_is_done_once_and_the_file_is_gone(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=_work, args=(tmp_path,)) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["done", "made"]


def test_it_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), file_lock(tmp_path / "lock"):
        raise ValueError("broken")
    with file_lock(tmp_path / "lock"):
        pass
    assert list(tmp_path.iterdir()) == []


# A database of an older version: refused by everything but the upgrade, which loses nothing.


VERSION_1 = """
CREATE TABLE tuner_versions (optuna VARCHAR(64) NOT NULL PRIMARY KEY,
    revision VARCHAR(64) NOT NULL, version INTEGER NOT NULL);
CREATE TABLE tuner_studies (study_id INTEGER NOT NULL PRIMARY KEY REFERENCES studies (study_id)
    ON DELETE CASCADE, budget INTEGER NOT NULL, state VARCHAR(16) NOT NULL);
CREATE TABLE tuner_leases (trial_id INTEGER NOT NULL PRIMARY KEY REFERENCES trials (trial_id)
    ON DELETE CASCADE, study_id INTEGER NOT NULL, holder VARCHAR(255) NOT NULL,
    token INTEGER NOT NULL, expires FLOAT(53) NOT NULL);
CREATE INDEX ix_tuner_leases_holder ON tuner_leases (holder);
CREATE INDEX ix_tuner_leases_study_id ON tuner_leases (study_id);
CREATE TABLE tuner_checkpoints (trial_id INTEGER NOT NULL PRIMARY KEY REFERENCES trials (trial_id)
    ON DELETE CASCADE, data {bytes} NOT NULL);
CREATE TABLE tuner_workers (holder VARCHAR(255) NOT NULL PRIMARY KEY, host VARCHAR(255) NOT NULL,
    pid INTEGER NOT NULL, device VARCHAR(64) NOT NULL, renewed FLOAT(53) NOT NULL);
INSERT INTO tuner_versions SELECT '{optuna}', version_num, 1 FROM alembic_version;
INSERT INTO tuner_studies VALUES (1, 3, 'open');
INSERT INTO tuner_leases VALUES (1, 1, 'before', 1, 9e9), (2, 1, '', 4, 0.0);
INSERT INTO tuner_checkpoints VALUES (2, {data});
INSERT INTO tuner_workers VALUES ('before', 'there', 1, 'cpu', 1.0)"""
TRIGGERS = (
    "CREATE TRIGGER tuner_trial_deleted AFTER DELETE ON trials BEGIN "
    "DELETE FROM tuner_leases WHERE trial_id = OLD.trial_id; "
    "DELETE FROM tuner_checkpoints WHERE trial_id = OLD.trial_id; END",
    "CREATE TRIGGER tuner_study_deleted AFTER DELETE ON studies BEGIN "
    "DELETE FROM tuner_studies WHERE study_id = OLD.study_id; END",
)


def _plain(url: str) -> str:
    return parse_url(url).render_as_string(hide_password=False)


@pytest.fixture
def old_url(empty_url: str) -> str:
    """A database as version 1 left it: one trial is being trained, one was given back."""
    study = optuna.create_study(storage=_plain(empty_url), study_name="study")
    trials = [study.ask(), study.ask()]
    trials[1].report(0.5, 1)
    database = Database(parse_url(empty_url))
    sqlite = database.dialect == "sqlite"
    kind, data = ("BLOB", "x'7374'") if sqlite else ("BYTEA", "'\\x7374'")
    made = VERSION_1.format(optuna=optuna.__version__, bytes=kind, data=data).split(";")
    with database.write() as connection:
        for statement in [*made, *(TRIGGERS if sqlite else ())]:
            connection.exec_driver_sql(statement)
    if sqlite:
        with database.read() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    database.close()
    return empty_url


def test_there_is_a_step_for_every_version() -> None:
    assert 1 + len(STEPS) == schema.VERSION


def test_an_older_database_is_refused_and_not_touched(old_url: str) -> None:
    with pytest.raises(StorageError, match="made by an older tuner") as caught:
        open_storage(old_url)
    assert caught.value.exit_code == 2
    assert "tuner db upgrade" in str(caught.value)
    assert read_state(Database(parse_url(old_url))).version == 1
    assert "tuner_events" not in inspect(Database(parse_url(old_url)).engine).get_table_names()


def test_what_was_being_trained_goes_on_after_an_upgrade(
    old_url: str, propose: Propose, empty_sqlite_url: str
) -> None:
    done = upgrade(old_url)
    assert (done.before, done.after, done.changed) == (1, schema.VERSION, True)
    assert not upgrade(old_url).changed
    storage = open_storage(old_url)
    lease = storage.claims.claim(1, "next", propose)
    assert lease is not None
    assert (lease.trial_id, lease.token, lease.checkpoint) == (2, 5, b"st")
    assert lease.trial.intermediate_values == {1: 0.5}
    before = storage.get_trial(1)  # of a worker that knows nothing of the upgrade
    mine = Update(lease.__class__(1, 1, 0, "before", 1, before), state=TrialState.COMPLETE, value=1)
    assert storage.writer.write([mine, Update(lease, state=TrialState.COMPLETE, value=2.0)]) == []
    assert storage.progress(1).complete == 2
    assert [worker.holder for worker in storage.workers()] == ["before"]
    storage.delete_study(1)
    with storage.database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM tuner_events")).scalar() == 0


def test_an_upgraded_database_has_what_a_new_one_has(
    old_url: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    upgrade(old_url)
    if old_url.startswith("sqlite"):
        new_url = f"sqlite:///{tmp_path_factory.mktemp('new')}/tuner.db"
    else:
        new_url = request.getfixturevalue("_postgres_server").create()
    found = [_everything(url) for url in (old_url, new_url)]
    assert found[0] == found[1]


def _everything(url: str) -> object:
    storage = open_storage(url)
    seen = inspect(storage.database.engine)
    tables = sorted(schema.metadata.tables.keys() & set(seen.get_table_names()))
    of_sqlite = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name"
    of_server = "SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal"
    with storage.database.read() as connection:
        sqlite = storage.database.dialect == "sqlite"
        triggers = connection.execute(text(of_sqlite if sqlite else of_server)).all()
    columns = {name: [str(c["name"]) for c in seen.get_columns(name)] for name in tables}
    indexes = {name: sorted(str(i["name"]) for i in seen.get_indexes(name)) for name in tables}
    return columns, indexes, triggers


def _upgrade(url: str, together: Barrier) -> None:
    together.wait(30)
    upgrade(url)
    open_storage(url).close()


def test_eight_processes_upgrade_at_once(old_url: str) -> None:
    fork = multiprocessing.get_context("fork")
    together = fork.Barrier(8)
    processes = [fork.Process(target=_upgrade, args=(old_url, together)) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 8
    assert read_state(Database(parse_url(old_url))).current


def test_a_newer_database_is_not_upgraded(database_url: str) -> None:
    storage = open_storage(database_url)
    with storage.database.write() as connection:
        connection.execute(text("UPDATE tuner_versions SET version = 99"))
    for refused in (open_storage, upgrade):
        with pytest.raises(StorageError, match="newer tuner") as caught:
            refused(database_url)
        assert caught.value.hint == "pip install -U tuner"


@pytest.mark.parametrize("ours", [True, False])
def test_older_tables_of_optuna_are_upgraded_too(
    database_url: str, join: Callable[[Storage], int], ours: bool
) -> None:
    storage = open_storage(database_url)
    join(storage)
    if not ours:
        with storage.database.write() as connection:
            schema.metadata.drop_all(connection, list(schema.metadata.tables.values())[::-1])
    with storage.database.write() as connection:  # as Optuna 3.1 had it
        connection.execute(text("DROP INDEX ix_trials_study_id"))
        connection.execute(text("UPDATE alembic_version SET version_num = 'v3.0.0.d'"))
    storage.close()
    with pytest.raises(StorageError, match="another version of Optuna") as caught:
        open_storage(database_url)
    assert "tuner db upgrade" in str(caught.value)
    done = upgrade(database_url)
    assert (done.before, done.optuna_before) == (schema.VERSION if ours else None, "v3.0.0.d")
    assert done.changed
    indexes = inspect(storage.database.engine).get_indexes("trials")
    assert ["study_id"] in [index["column_names"] for index in indexes]
    assert [study.study_name for study in open_storage(database_url).get_all_studies()] == ["study"]


def test_the_newer_tables_of_optuna_are_not_upgraded(database_url: str) -> None:
    storage = open_storage(database_url)
    with storage.database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'v99.0.0.a'"))
    with pytest.raises(StorageError, match="another version of Optuna") as caught:
        upgrade(database_url)
    assert caught.value.hint == "pip install -U optuna"


def test_there_has_to_be_something_to_upgrade(empty_sqlite_url: str) -> None:
    with pytest.raises(StorageError, match="no such database"):
        upgrade(empty_sqlite_url)
