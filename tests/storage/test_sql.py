"""SQL that differs between the databases, by what it finds."""

from __future__ import annotations

import time

from sqlalchemy import select

from tuner.storage import Storage, rows, sql


def test_the_clock_of_the_database(storage: Storage) -> None:
    dialect = storage.database.dialect
    with storage.database.read() as connection:
        first = connection.execute(select(sql.now(dialect))).scalar_one()
        time.sleep(0.02)
        second = connection.execute(select(sql.now(dialect))).scalar_one()
    assert abs(first - time.time()) < 60
    assert 0.01 < second - first < 30


def test_many_numbers_are_one_parameter(storage: Storage, study_id: int) -> None:
    ids = [storage.create_new_trial(study_id) for _ in range(4)]
    dialect, column = storage.database.dialect, rows.TRIALS.c.trial_id
    wanted = select(column).where(sql.among(dialect, column, "ids")).order_by(column)
    with storage.database.read() as connection:
        for some in ([], [ids[2]], [*ids[1:], 10**6]):
            found = connection.execute(wanted, {"ids": sql.numbers(dialect, some)}).scalars().all()
            assert found == [each for each in some if each in ids]


def test_a_mapping_is_a_table(storage: Storage) -> None:
    table, key, value = sql.pairs(storage.database.dialect, "given")
    found = select(key, value).select_from(table).order_by(key)
    with storage.database.read() as connection:
        for given in ({}, {3: 30, 12: 2**31 - 1}):
            bound = {"given": sql.mapping(given)}
            assert {row[0]: row[1] for row in connection.execute(found, bound)} == given
