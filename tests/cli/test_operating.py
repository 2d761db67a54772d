"""``best``, ``status``, ``pause``, ``resume`` and ``stop``."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest

from tuner.storage import open_storage
from tuner.study.files import read
from tuner.study.parse import parse

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
    assert found["model"] is None  # four trials are too few for one


def test_best_is_ready_to_paste(tuner, place) -> None:
    outcome = tuner("best", "--study", "small")
    assert outcome.code == 0
    assert "on the validation split" in outcome.stdout
    pasted = parse("pasted", {**tomllib.loads(outcome.stdout), "data": {"source": "a:b"}})
    assert not any(node.searched for node in pasted.nodes)
    wanted = json.loads(tuner("best", "--study", "small", "--json").stdout)["configuration"]
    assert pasted.config({}) == wanted


def test_nothing_is_left_in_sqlites_journal(place, warm_tuner: Path) -> None:
    subprocess.run([warm_tuner, "pause", "--study", "small"], check=True, capture_output=True)
    assert not Path("tuner.db-wal").exists()
    copy = place.folder / "copy.db"
    copy.write_bytes(Path("tuner.db").read_bytes())
    assert open_storage(f"sqlite:///{copy}").progress(1).state == "paused"


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
    storage.claims.register("there:1:ab", "there", 1, "cuda:0")
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
    assert "small is open and finished; " in said
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


# ``logs`` and ``db upgrade`` over a real run.


Run = Callable[..., Any]
TUNER = Path(sys.executable).with_name("tuner")


def test_logs_tell_what_happened_to_a_study(place: Any, tuner: Run) -> None:
    lines = tuner("logs", "--study", "small").stdout.splitlines()
    kinds = [line.split()[1] for line in lines]
    assert kinds[0] == "submitted"
    assert kinds.count("claimed") == kinds.count("ended") == 4
    assert {"started", "left"} <= set(kinds)
    assert tuner("logs").stdout.splitlines() == lines
    one = tuner("logs", "--study", "small", "--trial", "0").stdout.splitlines()
    assert [line.split()[1:5] for line in one] == [
        [kind, "small", "trial", "0"] for kind in ("claimed", "ended")
    ]
    assert 'why="all epochs"' in one[1]


def test_logs_as_json(place: Any, tuner: Run) -> None:
    found = json.loads(tuner("logs", "--study", "small", "--trial", "1", "--json").stdout)
    assert [event["kind"] for event in found] == ["claimed", "ended"]
    assert (found[1]["study"], found[1]["trial"], found[1]["state"]) == ("small", 1, "complete")


def test_a_trial_wants_its_study(place: Any, tuner: Run) -> None:
    outcome = tuner("logs", "--trial", "1")
    assert outcome.code == 2
    assert "--study" in outcome.stderr
    missing = tuner("logs", "--study", "small", "--trial", "9")
    assert (missing.code, missing.stdout) == (2, "")
    assert "small: the study has no trial 9" in missing.stderr
    assert "known: 0 to 3" in missing.stderr


def test_logs_follow_until_interrupted(place: Any, tuner: Run, warm_tuner: Path) -> None:
    command = [warm_tuner, "logs", "--study", "small", "--follow"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().split()[1] == "submitted"
        tuner("pause", "--study", "small")
        kinds = (line.split()[1] for line in process.stdout)
        assert next(kind for kind in kinds if kind == "paused")
        for _ in range(3):
            process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ("", "interrupted\n")
    assert process.returncode == 130


def test_where_ctrl_c_is_ignored_logs_follow_says_what_ends_it(
    place: Any, started_without_ctrl_c: Callable[..., Any]
) -> None:
    with started_without_ctrl_c("logs", "--study", "small", "--follow") as process:
        said = process.stderr.readline()
        assert said == f"Ctrl-C is ignored here; to stop, send SIGTERM: kill {process.pid}\n"
        assert process.stdout.readline().split()[1] == "submitted"
        process.send_signal(signal.SIGINT)
        process.terminate()
        assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == -signal.SIGTERM


def test_an_older_database_is_refused_by_every_command(place: Any, tuner: Run) -> None:
    with closing(sqlite3.connect("tuner.db")) as connection, connection:
        connection.execute("UPDATE tuner_versions SET version = 1")
    small = ("--study", "small")
    for command in (["status"], ["logs"], ["best", *small], ["pause", *small], ["worker"]):
        outcome = tuner(*command)
        assert outcome.code == 2
        assert "sqlite:///tuner.db: was made by an older tuner" in outcome.stderr
        assert "tuner db upgrade" in outcome.stderr
    upgraded = tuner("db", "upgrade")
    assert upgraded.code == 0
    assert upgraded.stdout.startswith("upgraded: tables of tuner ")
    again = json.loads(tuner("db", "upgrade", "--json").stdout)
    assert again["before"] == again["after"]
    assert tuner("db", "upgrade").stdout.startswith("nothing to do: ")
    assert tuner("status").code == 0


def test_an_upgrade_makes_no_database(empty: Path, tuner: Run) -> None:
    outcome = tuner("db", "upgrade")
    assert outcome.code == 2
    assert "no such database" in outcome.stderr
    assert list(empty.iterdir()) == []


def test_a_copy_of_nothing_makes_no_database(empty: Path, tuner: Run) -> None:
    outcome = tuner("copy", "--from", "sqlite:///none.db", "--to", "sqlite:///team.db")
    assert outcome.code == 2
    assert "no such database" in outcome.stderr
    assert list(empty.iterdir()) == []


def test_a_study_is_copied_and_deleted(place: Any, tuner: Run) -> None:
    first = tuner("copy", "--from", "sqlite:///tuner.db", "--to", "sqlite:///team.db")
    assert (first.code, first.stdout) == (0, "small: 4 trials copied\n")
    tuner("pause", "--study", "small")
    paused = tuner("copy", "--from", "sqlite:///tuner.db", "--to", "sqlite:///next.db")
    assert "tuner resume --study small --storage sqlite:///next.db" in paused.stdout
    again = tuner("copy", TUNER_FROM="sqlite:///tuner.db", TUNER_TO="sqlite:///team.db")
    assert again.stdout == "small: 4 trials are there already\n"
    kept = tuner("delete", "--study", "small")  # and nobody answers
    assert kept.code == 1
    assert "Delete small with 4 trials?" in kept.stderr
    assert tuner("status", "--study", "small").code == 0
    shared = {"TUNER_YES": "1", "TUNER_FORCE": "1", "TUNER_STUDY": "small"}
    assert tuner("delete", "--study", "small", **shared).code == 1
    assert tuner("delete", "--yes", **shared).code == 2
    gone = tuner("delete", "--study", "small", "--yes")
    assert (gone.code, gone.stdout) == (0, "deleted small: 4 trials\n")
    assert tuner("best", "--study", "small").code == 2
    assert tuner("best", "--study", "small", "--storage", "sqlite:///team.db").code == 0


def test_gc_says_what_it_would_do(place: Any, tuner: Run, tmp_path: Path) -> None:
    spool = {"TUNER_SPOOL": str(tmp_path / "spool")}
    assert tuner("gc", "--dry-run", **spool).stdout == (
        "would remove 0 checkpoints, 0 leases, 0 artifacts, 0 workers, 0 events, 0 results\n"
    )
    found = json.loads(tuner("gc", "--json", "--older-than", "1s", **spool).stdout)
    assert found.keys() == {
        "checkpoints",
        "leases",
        "artifacts",
        "workers",
        "events",
        "results",
    }
    assert tuner("gc", "--older-than", "soon", **spool).code == 2
