"""Databases and studies by name."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from tuner.cli.lookup import any_study, opened, served, stored_id, stored_ids, stored_study
from tuner.errors import StorageError, StudyFileError, UsageError
from tuner.storage import open_existing

URL = "sqlite:///tuner.db"


def test_looking_makes_no_file(empty: Path) -> None:
    assert open_existing(URL) is None
    with pytest.raises(StorageError, match="there is no such database"):
        opened(URL)
    with pytest.raises(StudyFileError, match="no study is called 'x'"):
        any_study("x", URL)
    assert not list(empty.iterdir())


def test_an_unknown_scheme_is_an_error_though_no_file_is_there(empty: Path) -> None:
    with pytest.raises(StorageError, match="unknown kind of database"):
        open_existing("mysql://a/b")


def test_stored_studies(place) -> None:
    storage = opened(URL)
    assert stored_ids(storage) == {"small": 1}
    assert stored_id(storage, "small") == ("small", 1)
    assert stored_id(storage, "studies/small.toml") == ("small", 1)
    study, study_id = stored_study(storage, "small")
    assert (study.name, study_id, study.description) == ("small", 1, "Flowers by a line")
    with pytest.raises(UsageError, match="did you mean 'small'"):
        stored_id(storage, "smal")


def test_a_worker_serves_by_names_what_was_named_by_files(place) -> None:
    said: list[str] = []
    files = ["studies/small.toml", "studies/later.toml"]
    assert served(URL, files, False, said.append) == ("small", "later")
    assert said == ["waiting for later: the database holds no such study yet"]
    assert served(URL, files[:1], True, said.append) == ("small",)


def test_a_database_without_studies(empty: Path) -> None:
    optuna.storages.RDBStorage(URL)
    with pytest.raises(UsageError, match="it holds none"):
        stored_id(opened(URL), "small")


def test_a_file_comes_before_the_database(place) -> None:
    path = Path("studies/small.toml")
    path.write_text(path.read_text().replace("Flowers by a line", "changed"))
    assert any_study("small", URL).description == "changed"
    path.unlink()
    assert any_study("small", URL).description == "Flowers by a line"
