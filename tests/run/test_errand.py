"""What an engine's worker says of an errand that it cannot do."""

from __future__ import annotations

import pickle
import socket
import sys
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tuner.errors import TrainingError, UsageError
from tuner.run.errand import Errand, main, run
from tuner.run.prepare import submit
from tuner.storage import open_storage

ERRAND = Errand("postgresql://somebody:planted-secret@nowhere/x", "small", None, (), "cpu")


def heard(message: bytes) -> Exception:
    """What the child says to an errand, as it comes through the pipe."""
    ours, theirs = Pipe()
    with ours, theirs:
        ours.send_bytes(message)
        main(theirs)
        assert ours.poll(0)
        error = ours.recv()
    assert isinstance(error, Exception)
    assert "planted-secret" not in str(error)
    return error


def test_an_errand_of_another_version_is_refused_with_both_versions() -> None:
    error = heard(pickle.dumps(replace(ERRAND, version="0.0.7")))
    assert isinstance(error, UsageError)
    assert (
        f"this machine has tuner {ERRAND.version}, and the run was started by 0.0.7"
        in error.message
    )
    assert error.where == socket.gethostname()


def test_an_errand_that_cannot_be_read_is_said() -> None:
    unknown = pickle.dumps(ERRAND).replace(b"tuner.run.errand", b"tuner.run.effort")
    error = heard(unknown)
    assert isinstance(error, TrainingError)
    assert (
        "a worker failed: ModuleNotFoundError: No module named 'tuner.run.effort'" in error.message
    )


# A worker on a machine of an engine's: its process is watched as any worker's is.


HANGS = """\
def value(trial):
    x = trial.suggest_float("x", 0.0, 1.0)
    if trial.number == 0:
        sum(range(10**12))
    return x
"""
STUDY = """\
objective = "hanging:value"
direction = "minimize"
[search]
trials = 1
sampler = "random"
trial_timeout = 0.1
"""


def test_a_worker_whose_trial_hears_nothing_is_replaced(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.worker.overdue.GRACE_SECONDS", 0.1)
    monkeypatch.setenv("TUNER_SPOOL", str(tmp_path / "spool"))
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("hanging", None)
    (tmp_path / "hanging.py").write_text(HANGS)
    (tmp_path / "own.toml").write_text(STUDY)
    study_id = submit(str(tmp_path / "own.toml"), sqlite_url)
    ended = run(Errand(sqlite_url, "own", None, ("hanging",), "cpu"))
    assert ended.code == 0, ended.messages
    storage = open_storage(sqlite_url)
    states = [trial.state for trial in storage.get_all_trials(study_id)]
    assert states == [TrialState.FAIL, TrialState.COMPLETE]
    storage.close()
