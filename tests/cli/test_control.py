"""``best``, ``status``, ``pause``, ``resume`` and ``stop``."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import optuna
import pytest

from tuner.storage import open_storage
from tuner.study import parse
from tuner.study.files import read

URL = "sqlite:///tuner.db"


def test_best_is_the_best_complete_trial(tuner, place) -> None:
    found = json.loads(tuner("best", "--study", "small", "--json").stdout)
    trials = optuna.load_study(study_name="small", storage=URL).trials
    values = [trial.value for trial in trials]
    assert found["value"] == max(values)
    assert found["number"] == values.index(max(values))
    assert found["baseline"]["value"] == values[0]
    assert found["seed"] == trials[found["number"]].user_attrs["seed"]
    assert found["epochs"] == 3
    assert found["configuration"]["family"] == "linear"


def test_best_is_ready_to_paste(tuner, place) -> None:
    outcome = tuner("best", "--study", "small")
    assert outcome.code == 0
    assert "on the validation split" in outcome.stdout
    pasted = parse("pasted", {**tomllib.loads(outcome.stdout), "data": {"source": "a:b"}})
    assert not any(node.searched for node in pasted.nodes)
    wanted = json.loads(tuner("best", "--study", "small", "--json").stdout)["configuration"]
    assert pasted.config({}) == wanted


def test_best_before_any_result(tuner, empty: Path) -> None:
    tuner("submit", "--study", "diabetes", "--storage", URL)
    outcome = tuner("best", "--study", "diabetes")
    assert outcome.code == 2
    assert "no trial of 'diabetes' is complete yet" in outcome.stderr


@pytest.mark.parametrize("command", ["best", "status", "pause", "resume", "stop"])
def test_no_such_study_lists_the_known_ones(tuner, place, command: str) -> None:
    outcome = tuner(command, "--study", "smal")
    assert outcome.code == 2
    assert "did you mean 'small'? known: small" in outcome.stderr


@pytest.mark.parametrize("command", ["best", "status", "pause", "resume", "stop"])
def test_no_database_is_made_by_looking(tuner, empty: Path, command: str) -> None:
    outcome = tuner(command, "--study", "digits")
    assert outcome.code == 2
    assert "there is no such database" in outcome.stderr
    assert not list(empty.iterdir())


def test_a_study_of_somebody_else_is_refused(tuner, place) -> None:
    optuna.create_study(study_name="foreign", storage=URL)
    for command in ("best", "pause"):
        outcome = tuner(command, "--study", "foreign")
        assert outcome.code == 2
        assert "the database holds no study 'foreign' that tuner made" in outcome.stderr
    found = json.loads(tuner("status", "--study", "foreign", "--json").stdout)["studies"]
    assert found[0]["state"] == "foreign"
    assert "not made by tuner" in tuner("studies").stdout


def test_status_counts(tuner, place) -> None:
    found = json.loads(tuner("status", "--json").stdout)
    (study,) = found["studies"]
    counts = {key: study[key] for key in ("budget", "finished", "running", "pruned", "failed")}
    assert counts == {"budget": 4, "finished": 4, "running": 0, "pruned": 0, "failed": 0}
    assert study["state"] == "finished"
    assert study["seconds_left"] == 0
    assert found["workers"] == []
    assert "no workers" in tuner("status").stdout


def test_status_shows_workers(tuner, place) -> None:
    storage = open_storage(URL)
    storage.register_worker("there:1:ab", "there", 1, "cuda:0")
    text = tuner("status", "--study", "small").stdout
    row = next(line for line in text.splitlines() if "there:1:ab" in line)
    assert "cuda:0" in row
    assert row.endswith("s ago")


def test_pause_resume_stop(tuner, place) -> None:
    storage = open_storage(URL)
    study_id = storage.get_study_id_from_name("small")
    for command, state in (("pause", "paused"), ("resume", "finished"), ("stop", "stopped")):
        outcome = tuner(command, "--study", "small", "--json")
        assert json.loads(outcome.stdout) == {"study": "small", "state": state}
        assert storage.progress(study_id).state == state
        assert json.loads(tuner("status", "--json").stdout)["studies"][0]["state"] == state
        note = storage.get_study_system_attrs(study_id)["dashboard:note_str:0"]
        assert f"**4 of 4 trials** ({state})" in note
    assert "small is paused" in tuner("pause", "--study", "studies/small.toml").stdout
    said = tuner("resume", "--study", "small").stdout
    assert "small is open, and finished: " in said
    assert "4 of 4 trials are finished" in said


def test_the_study_in_the_database_is_that_of_its_file(tuner, place) -> None:
    document = read(Path("studies/small.toml"))
    attrs = open_storage(URL).get_study_user_attrs(1)
    assert json.loads(attrs["tuner:spec"]) == document


def test_no_password_is_printed(tuner, empty: Path) -> None:
    url = "postgresql://somebody:geheim@localhost:1/x"
    for command in ("status", "best", "pause", "studies", "submit"):
        study = [] if command == "studies" else ["--study", "digits"]
        outcome = tuner(command, *study, "--storage", url)
        assert outcome.code == 2
        assert "geheim" not in outcome.stdout + outcome.stderr
        assert "somebody:***@" in outcome.stderr
