"""A worker on a machine of an engine's: its process is watched as any worker's is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tuner.run import submit
from tuner.run.places.errand import Errand, run
from tuner.storage import open_storage

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
    assert ended.code == 0, ended.said
    storage = open_storage(sqlite_url)
    states = [trial.state for trial in storage.get_all_trials(study_id)]
    assert states == [TrialState.FAIL, TrialState.COMPLETE]
    storage.close()
