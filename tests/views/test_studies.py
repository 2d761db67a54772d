"""Study files and the studies of a database, together."""

from __future__ import annotations

from pathlib import Path

import optuna

from tuner.storage import open_storage
from tuner.views.studies import view, with_stored

FILE = {
    "name": "digits",
    "where": "shipped",
    "file": "digits.toml",
    "description": "some digits",
    "metric": "accuracy",
    "trials": 60,
    "error": None,
}


def test_one_study_is_one_record(tmp_path: Path, shown) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/a.db")
    spec = '{"description":"kept"}'
    words = {"direction": "maximize", "metric": "r2", "spec": spec, "fingerprint": ""}
    storage.join("digits", budget=30, **words)
    storage.join("another", budget=7, **words)
    optuna.create_study(study_name="foreign", storage=storage)
    found = with_stored([FILE], storage)
    assert [record["name"] for record in found] == ["another", "digits", "foreign"]
    another, digits, foreign = found
    assert (another["where"], another["description"], another["metric"]) == (
        "database",
        "kept",
        "r2",
    )
    assert (digits["where"], digits["trials"], digits["finished"]) == ("shipped, database", 30, 0)
    assert foreign["description"] == "not made by tuner"
    text = shown(view(found))
    assert "0 of 30 done" in text
    assert "kept" in text


def test_a_broken_file_shows_its_error(shown) -> None:
    broken = {**FILE, "metric": None, "trials": None, "error": "a.toml: [x] is wrong\n  hint"}
    text = shown(view([broken]))
    assert "a.toml: [x] is wrong" in text
    assert "hint" not in text
