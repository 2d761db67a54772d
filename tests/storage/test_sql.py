"""Inserting rows of several tables at once."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import select

from tuner.storage import Storage, rows, sql, writes
from tuner.storage.sql import Put


def _values(storage: Storage, table: Any, *names: str) -> list[Any]:
    with storage.database.read() as connection:
        found = select(*(table.c[name] for name in names)).order_by(*names)
        return [tuple(row) for row in connection.execute(found)]


def test_rows_are_replaced_or_kept(storage: Storage, study_id: int) -> None:
    trial_id = storage.create_new_trial(study_id)
    for value in (1, 2):
        attrs = writes.trial_attrs(rows.USER_ATTRS, [(trial_id, {"key": value, f"k{value}": 0})])
        kept = writes.trial_attrs(rows.SYSTEM_ATTRS, [(trial_id, {"key": value})])
        with storage.database.write() as connection:
            sql.put(connection, [attrs, kept._replace(replace=False), Put(rows.PARAMS, (), [])])
    assert _values(storage, rows.USER_ATTRS, "key", "value_json") == [
        ("k1", "0"),
        ("k2", "0"),
        ("key", "2"),
    ]
    assert _values(storage, rows.SYSTEM_ATTRS, "key", "value_json") == [("key", "1")]


def test_a_row_keeps_its_id_when_it_is_replaced(storage: Storage, study_id: int) -> None:
    trial_id = storage.create_new_trial(study_id)
    seen = []
    for value in (0.1, 0.1, 0.2):
        with storage.database.write() as connection:
            sql.put(connection, [writes.reports([(trial_id, 0, value)])])
        names = ("trial_intermediate_value_id", "intermediate_value")
        seen += _values(storage, rows.REPORTS, *names)
    assert [value for _, value in seen] == [0.1, 0.1, 0.2]
    assert len({identity for identity, _ in seen}) == 1


def test_numbers_and_texts_come_back_exactly(storage: Storage, study_id: int) -> None:
    trial_id = storage.create_new_trial(study_id)
    numbers = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, float("inf"), float("-inf")]
    text = "quotes ' \" \\ and %(rows0)s :name, ☃"
    with storage.database.write() as connection:
        found = [(trial_id, step, value) for step, value in enumerate(numbers)]
        attrs = writes.trial_attrs(rows.USER_ATTRS, [(trial_id, {text: text})])
        sql.put(connection, [writes.reports(found), attrs])
    trial = storage.get_trial(trial_id)
    assert list(trial.intermediate_values.values()) == numbers
    assert trial.user_attrs == {text: text}


# SQL that differs between the databases, by what it finds.


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
