"""An objective that never reports and never returns ends at its time limit, whoever is there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from tuner.run.optimize import optimize
from tuner.run.options import RunOptions
from tuner.run.prepare import submit
from tuner.run.serve import serve
from tuner.worker.overdue import OVERDUE

STUDY = """\
objective = "never_ends:{function}"
direction = "minimize"
[search]
trials = 2
sampler = "random"
pruner = "none"
trial_timeout = 0.5
"""
OBJECTIVES = """\
import hashlib
import os
import time

import tuner


def within_c(trial):
    x = trial.suggest_float("x", 0.0, 1.0)
    if trial.number == 0:
        trial.set_user_attr("pid", os.getpid())
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # other threads run, signals wait
    return x


def deaf(trial):
    x = trial.suggest_float("x", 0.0, 1.0)
    trial.set_user_attr("pid", os.getpid())
    (tuner.checkpoint(trial) / "file").write_text("text")
    while trial.number == 0:
        try:
            time.sleep(10**6)
        except BaseException:
            pass
    return x
"""


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNER_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("TUNER_ALLOW", "never_ends")
    monkeypatch.setattr("tuner.worker.overdue.GRACE_SECONDS", 1.0)
    sys.modules.pop("never_ends", None)
    (tmp_path / "never_ends.py").write_text(OBJECTIVES)


def written(make: Any, url: str, function: str) -> Any:
    shared = make(url, function)
    shared.path.write_text(STUDY.format(function=function))
    return shared


def ended(shared: Any) -> bool:
    """Whether the first trial ended as it has to."""
    trial = shared.trials()[0]
    if trial.state == TrialState.RUNNING:
        return False
    assert trial.state == TrialState.FAIL
    assert (
        "its trial_timeout of 0.5 s was over before it reported anything"
        in (trial.user_attrs["error"])
    )
    assert [token for i, _, token in shared.tokens() if i == trial._trial_id] == []
    return True


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "Z"  # it ended, and nobody asked how


@pytest.mark.parametrize("function", ["within_c", "deaf"])
def test_a_worker_of_its_own_process_ends_itself(
    make: Any, database_url: str, function: str
) -> None:
    shared = written(make, database_url, function)
    submit(str(shared.path), shared.url)

    def work() -> None:
        serve(shared.url, device="cpu", idle_exit=True)

    first = shared.fork(work)
    first.join(60)
    assert first.exitcode == OVERDUE
    assert ended(shared)
    second = shared.fork(work)
    second.join(60)
    assert second.exitcode == 0
    assert [t.state for t in shared.trials()[1:]] == [TrialState.COMPLETE] * 2
    assert shared.progress.finished == 2


def test_a_worker_whose_parent_was_killed_ends_itself(
    make: Any, until: Callable[..., None], sqlite_url: str
) -> None:
    shared = written(make, sqlite_url, "deaf")

    def work() -> None:
        optimize(str(shared.path), RunOptions(shared.url, workers=1, device="cpu"))

    parent = shared.fork(work)

    def begun() -> list[Any]:
        try:
            return [t for t in shared.trials() if "pid" in t.user_attrs]
        except Exception:  # no tables yet
            return []

    until(begun)
    parent.kill()
    until(lambda: ended(shared))
    until(lambda: gone(begun()[0].user_attrs["pid"]))
    again = shared.fork(work)
    again.join(60)
    assert again.exitcode == 0
    assert shared.progress.finished == 2


def test_with_one_worker_the_run_goes_on_with_another(make: Any, sqlite_url: str) -> None:
    shared = written(make, sqlite_url, "within_c")
    optimize(str(shared.path), RunOptions(shared.url, workers=1, device="cpu"))
    assert ended(shared)
    assert "and its worker was ended with it" in shared.trials()[0].user_attrs["error"]
    assert shared.progress.finished == 2
