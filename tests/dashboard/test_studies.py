"""What optuna-dashboard would do to a study of ours, done to it first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from optuna.study import StudyDirection
from sqlalchemy import update

from tuner.storage import Storage, studies

ARGUMENTS = {"direction": "maximize", "metric": "accuracy", "spec": "", "fingerprint": ""}
FILE = {"file": "data:text/plain;base64,aGVsbG8=", "filename": "hello.txt"}


def test_a_study_of_ours_is_not_renamed(
    storage: Storage, bare: Any, guard: Callable[..., Any]
) -> None:
    ours = storage.join("ours", budget=5, **ARGUMENTS)
    assert bare.ask(f"/api/studies/{ours}/rename", "POST", {"study_name": "new"}).status == 201
    assert storage.get_all_studies()[-1].study_name == "new"
    renamed = storage.get_study_id_from_name("new")
    assert storage.progress(renamed).budget == 0  # what this is about

    ours, served = storage.join("ours", budget=5, **ARGUMENTS), guard()
    file = served.ask(f"/api/artifacts/{ours}", "POST", FILE).json["artifact_id"]
    ways = ("", "/", "%0A", "%FF")  # all of which optuna-dashboard takes
    for path in [f"/api/studies/0{ours}/rename{way}" for way in ways]:
        refused = served.ask(path, "POST", {"study_name": "newer"})
        assert (refused.status, b"keeps its name" in refused.body) == (409, True), path
    assert storage.progress(ours).budget == 5
    assert storage.get_study_name_from_id(ours) == "ours"
    assert served.ask(f"/artifacts/{ours}/{file}").status == 200


def test_a_plain_study_is_renamed_and_what_is_none_is_not_found(
    storage: Storage, guard: Callable[..., Any]
) -> None:
    served = guard()
    assert served.ask("/api/studies/1/rename", "POST", {"study_name": "new"}).status == 201
    assert [study.study_name for study in storage.get_all_studies()] == ["new"]
    for number in (99, 2**31, 2**70):
        asked = served.ask(f"/api/studies/{number}/rename", "POST", {"study_name": "newer"})
        assert asked.status in (404, 500), number
        assert served.ask(f"/csv/{number}").status in (404, 500), number


@pytest.mark.parametrize("name", ["two\nlines", "a\rb"])
def test_a_table_of_a_study_whose_name_no_header_has(
    storage: Storage, bare: Any, guard: Callable[..., Any], name: str
) -> None:
    odd = storage.create_new_study([StudyDirection.MAXIMIZE], "odd")
    with storage.database.write() as connection:  # as other programs name theirs
        mine = studies.STUDIES.c.study_id == odd
        connection.execute(update(studies.STUDIES).where(mine).values(study_name=name))
    assert bare.ask(f"/csv/{odd}").status == 500
    served = guard()
    assert served.ask(f"/csv/{odd}").status == 400
    assert served.ask("/csv/1").status == 200
