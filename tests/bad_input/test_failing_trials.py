"""Trials that raise: each fails with its message; ten of them stop a study that has no other."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import optuna
from optuna.trial import TrialState

LIMIT = 14 * 2**20
"""KiB of address space: a layer of 65536 by 65536 weights takes 16 GiB, which torch refuses."""


def _optimize(console: Path) -> subprocess.CompletedProcess[str]:
    limited = ["bash", "-c", f'ulimit -v {LIMIT}; exec "$@"', "limited"]
    command = [console, "optimize", "--study", "mine", "--workers", "1", "--device", "cpu"]
    bare = {name: value for name, value in os.environ.items() if not name.startswith("TUNER_")}
    return subprocess.run(
        [*limited, *command], env=bare, capture_output=True, text=True, timeout=120, check=False
    )


def _trials() -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="mine", storage="sqlite:///tuner.db").trials


def test_a_study_whose_every_trial_fails_stops_after_ten(
    folder: Path, edit: Callable[..., None], refused: Callable[..., str], console: Path
) -> None:
    edit('family = "linear"', "depth = 2\nwidth = 65536")
    edit("trials = 3", "trials = 30")
    done = _optimize(console)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "error: mine: 10 trials failed, the last with: " in done.stderr
    assert "can't allocate memory" in done.stderr.splitlines()[-2]
    assert "the study is stopped; `tuner resume` opens it again" in done.stderr
    trials = _trials()
    assert [trial.state for trial in trials] == [TrialState.FAIL] * 10
    assert all("can't allocate memory" in trial.user_attrs["error"] for trial in trials)
    refused("optimize", "--study", "mine", words=("mine: the study is stopped\n  tuner resume",))


def test_a_study_goes_on_after_a_trial_that_fails(
    folder: Path, edit: Callable[..., None], console: Path
) -> None:
    edit('family = "linear"', "depth = 2\nwidth = { choices = [8, 65536] }")
    edit("trials = 3", "trials = 3\nbaseline = { width = 8 }\nenqueue = [{ width = 65536 }]")
    done = _optimize(console)
    assert done.returncode == 0, done.stderr
    states = [trial.state for trial in _trials()]
    assert states[:2] == [TrialState.COMPLETE, TrialState.FAIL]
    assert states.count(TrialState.COMPLETE) == 3
    failed = _trials()[1]
    assert "can't allocate memory" in failed.user_attrs["error"]
    assert "trial 1: failed: " in done.stderr
    assert "mine: 3 of 3 trials" in done.stdout
