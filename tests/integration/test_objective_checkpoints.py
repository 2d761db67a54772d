"""Checkpoints of somebody's own objective: killed workers, pauses, and what is refused."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState

from tuner.operation.copy import copy
from tuner.operation.remove import collect
from tuner.run.optimize import optimize
from tuner.run.options import RunOptions
from tuner.run.prepare import submit
from tuner.run.retrain import retrain
from tuner.search.promote import CONTINUES, PAUSED_AT

STUDY = """\
objective = "{module}:{function}"
direction = "minimize"
[search]
trials = {trials}
sampler = "random"
{search}
"""
OBJECTIVES = """\
import json
import os
import signal
import time

import optuna
import tuner


def begun(trial):
    folder = tuner.checkpoint(trial)
    path = folder / "state" / "walk.json"
    state = {"step": 0, "position": float(tuner.seed(trial) % 97), "pids": []}
    if path.exists():
        state = json.loads(path.read_text())
    path.parent.mkdir(exist_ok=True)
    return path, state


def move(state, x):
    state["position"] = state["position"] * 0.9 + x * state["step"] % 7
    state["step"] += 1


def walk(trial):
    x = trial.suggest_float("x", 0.0, 10.0)
    path, state = begun(trial)
    trial.set_user_attr("began_at", state["step"])
    trial.set_user_attr("pid", os.getpid())
    while state["step"] < 9:
        move(state, x)
        path.write_text(json.dumps(state))
        trial.report(state["position"], state["step"] - 1)
        if trial.should_prune():
            raise optuna.TrialPruned
    return state["position"]


def stroll(trial):
    x = trial.suggest_float("x", 0.0, 10.0)
    path, state = begun(trial)
    trial.set_user_attr("pid", os.getpid())
    while state["step"] < 9:
        move(state, x)
        time.sleep(0.03)
        path.write_text(json.dumps(state))
        trial.report(state["position"], state["step"] - 1)
        if trial.should_prune():
            raise optuna.TrialPruned
    return state["position"]


def waning(trial):
    trial.suggest_float("x", 0.0, 10.0)
    path, state = begun(trial)
    worse = state.setdefault("worse", 100.0 * trial.number)
    trial.set_user_attr("began_at", state["step"])
    while state["step"] < 9:
        state["step"] += 1
        path.write_text(json.dumps(state))
        trial.report(worse + state["step"], state["step"])  # steps from 1
        if trial.should_prune():
            raise optuna.TrialPruned
    return worse


def long(trial):
    x = trial.suggest_float("x", 0.0, 10.0)
    path, state = begun(trial)
    state["pids"].append(os.getpid())
    trial.set_user_attr("began_at", state["step"])
    trial.set_user_attr("pid", os.getpid())
    while state["step"] < 60:
        move(state, x)
        time.sleep(0.02)
        path.write_text(json.dumps(state))
        trial.report(state["position"], state["step"] - 1)
        while state["step"] == 40 and not os.path.exists("go"):
            time.sleep(0.05)
    trial.set_user_attr("pids", state["pids"])
    return state["position"]


def quits(trial):
    # as some libraries do: it ends itself at a signal, after the handler that was there
    before = signal.getsignal(signal.SIGTERM)
    asked = []

    def on_signal(number, frame):
        asked.append(number)
        before(number, frame)

    signal.signal(signal.SIGTERM, on_signal)
    trial.set_user_attr("begun", True)
    for step in range(10):
        trial.report(1.0, step)
        while not (asked or os.path.exists("go")):
            time.sleep(0.02)
        if asked:
            raise SystemExit(1)
    return trial.suggest_float("x", 0.0, 10.0)


def bare(trial):
    x = trial.suggest_float("x", 0.0, 10.0)
    for step in range(9):
        trial.report(x + step, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return x


late = []


def odd(trial):
    kinds = ["large", "link", "pipe", "late", "good"]
    kind = trial.suggest_categorical("kind", kinds)
    folder = tuner.checkpoint(trial)
    assert tuner.checkpoint(trial) == folder
    if kind == "large":
        with (folder / "weights.bin").open("wb") as file:
            file.truncate(40 * 2**20)
    if kind == "link":
        (folder / "weights.bin").symlink_to(__file__)
    if kind == "pipe":
        os.mkfifo(folder / "pipe")
    if kind == "late":
        late.append(trial)
        return 1.0
    if kind == "good":
        try:
            tuner.checkpoint(late[0])
        except tuner.TunerError as error:
            trial.set_user_attr("said", str(error))
        return 0.0
    for step in range(100):
        trial.report(1.0, step)
        time.sleep(0.02)
    return 1.0
"""
MODULE = "own_checkpoints"
PROMOTE = 'pruner = { name = "promote", max_resource = 9, reduction_factor = 2 }'


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNER_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("TUNER_LEASE", "1.0")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    sys.modules.pop(MODULE, None)  # another test's
    (tmp_path / f"{MODULE}.py").write_text(OBJECTIVES)


def written(make: Any, url: str, function: str, trials: int = 8, search: str = PROMOTE) -> Any:
    shared = make(url, function)
    text = STUDY.format(module=MODULE, function=function, trials=trials, search=search)
    shared.path.write_text(text)
    return shared


def run(shared: Any, **options: Any) -> list[FrozenTrial]:
    optimize(str(shared.path), RunOptions(shared.url, **{"workers": 1, "device": "cpu", **options}))
    trials: list[FrozenTrial] = shared.trials()
    return trials


def expected(trial: FrozenTrial, steps: int) -> dict[int, float]:
    """The values that an undisturbed run reports."""
    position, values = float(trial.user_attrs["seed"] % 97), {}
    for step in range(steps):
        position = position * 0.9 + trial.params["x"] * step % 7
        values[step] = position
    return values


def left_folders(shared: Any) -> list[Path]:
    return list(shared.folder.glob("tuner-checkpoint-*"))


@pytest.mark.parametrize("files", [False, True])
def test_a_killed_worker_s_objective_goes_on_from_its_checkpoint(
    make: Any, until: Callable[..., None], database_url: str, files: bool, tmp_path: Path
) -> None:
    shared = written(make, database_url, "long", 2, 'pruner = "none"')
    words = ["optimize", "--study", str(shared.path), "--workers", "2", "--device", "cpu"]
    words += ["--artifacts", str(tmp_path / "files")] if files else []
    command = shared.warm(*words)

    def waiting() -> list[Any]:
        try:
            return [t for t in shared.trials() if len(t.intermediate_values) == 40]
        except Exception:  # no tables yet
            return []

    until(lambda: len(waiting()) == 2, seconds=60)
    victim = waiting()[0]
    os.kill(victim.user_attrs["pid"], signal.SIGKILL)
    until(lambda: shared.trials()[victim.number].user_attrs["pid"] != victim.user_attrs["pid"])
    (shared.folder / "go").touch()
    assert (command.communicate(timeout=60), command.returncode)[1] == 0
    trials = shared.trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2
    for trial in trials:
        assert trial.intermediate_values == expected(trial, 60)
        assert trial.value == trial.intermediate_values[59]
    again = trials[victim.number]
    assert 0 < again.user_attrs["began_at"] <= 40
    assert len(again.user_attrs["pids"]) == 2
    assert again.user_attrs["pids"][0] == victim.user_attrs["pid"]
    assert trials[1 - victim.number].user_attrs["began_at"] == 0
    assert shared.tokens() == []
    assert len(left_folders(shared)) == 1  # of the killed one, until it is a minute old


def test_sigterm_loses_no_report_and_leaves_no_folder(
    make: Any, until: Callable[..., None], sqlite_url: str
) -> None:
    shared = written(make, sqlite_url, "long", 1, 'pruner = "none"')
    words = ["optimize", "--study", str(shared.path), "--workers", "1", "--device", "cpu"]
    command = shared.warm(*words, TUNER_LEASE="1000")  # a checkpoint by the clock takes 2 s

    def steps() -> int:
        try:
            return max(len(trial.intermediate_values) for trial in shared.trials())
        except Exception:  # no tables, or no trial yet
            return 0

    until(lambda: steps() > 5, seconds=60)
    command.terminate()
    command.communicate(timeout=30)
    [trial] = shared.trials()
    before = len(trial.intermediate_values)
    assert trial.state == TrialState.RUNNING
    assert left_folders(shared) == []
    (shared.folder / "go").touch()
    [trial] = run(shared)
    assert trial.user_attrs["began_at"] == before
    assert trial.intermediate_values == expected(trial, 60)


def test_a_signal_fails_no_trial_where_the_objective_ends_itself(
    make: Any, until: Callable[..., None], sqlite_url: str
) -> None:
    shared = written(make, sqlite_url, "quits", 1, 'pruner = "none"')
    words = ["optimize", "--study", str(shared.path), "--workers", "1", "--device", "cpu"]
    command = shared.warm(*words)

    def begun() -> bool:
        try:
            return any(trial.intermediate_values for trial in shared.trials())
        except Exception:  # no tables yet
            return False

    until(begun, seconds=60)
    command.terminate()
    command.communicate(timeout=30)
    assert [trial.state for trial in shared.trials()] == [TrialState.RUNNING]
    (shared.folder / "go").touch()
    assert [trial.state for trial in run(shared)] == [TrialState.COMPLETE]


def test_a_trial_with_a_checkpoint_pauses_and_goes_on(make: Any, database_url: str) -> None:
    shared = written(make, database_url, "walk")
    trials = run(shared, workers=2)
    assert shared.progress.finished == 8
    for trial in trials:
        reached = len(trial.intermediate_values)
        assert reached in (1, 3, 9)
        assert trial.intermediate_values == expected(trial, reached)
        assert trial.value == trial.intermediate_values[reached - 1]
        assert PAUSED_AT in trial.user_attrs
        began = trial.user_attrs["began_at"]
        assert (began, reached) in ((0, 1), (1, 3), (3, 9))
    states = {len(t.intermediate_values): t.state for t in trials}
    assert states[9] == TrialState.COMPLETE
    assert states[1] == TrialState.PRUNED
    [complete, *_] = [t for t in trials if t.state == TrialState.COMPLETE]
    assert retrain("walk", complete.number, RunOptions(shared.url)).equal


def test_checkpoints_of_trials_that_ended_paused_stay_until_gc(
    make: Any, sqlite_url: str, tmp_path: Path
) -> None:
    shared = written(make, sqlite_url, "walk", 4)
    trials = run(shared)
    kept = [trial for trial in trials if trial.state == TrialState.PRUNED]
    assert kept
    assert collect(shared.storage, tmp_path / "spool", 0.0, dry=True).checkpoints == len(kept)
    assert collect(shared.storage, tmp_path / "spool", 0.0).checkpoints == len(kept)
    assert collect(shared.storage, tmp_path / "spool", 0.0).checkpoints == 0


def test_a_budget_is_exact_and_every_value_too_whoever_is_killed(
    make: Any, until: Callable[..., None], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNER_ALLOW", MODULE)
    shared = written(make, database_url, "stroll", 16)
    submit(str(shared.path), shared.url)
    workers = [shared.worker() for _ in range(3)]

    def begun(count: int) -> bool:
        return len(shared.trials()) >= count

    for victim, count in zip(workers[:2], (4, 8), strict=True):
        until(partial(begun, count))
        victim.kill()
        shared.worker()
    for process in shared.processes:
        process.join(60)
    trials = shared.trials()
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert shared.progress.finished == len(trials) == 16
    for trial in trials:
        reached = len(trial.intermediate_values)
        assert reached in (1, 3, 9)
        assert trial.intermediate_values == expected(trial, reached)
        assert trial.value == trial.intermediate_values[reached - 1]
    assert shared.tokens() == []


def test_a_larger_budget_continues_a_trial_that_ended_paused_in_a_copy_too(
    make: Any, sqlite_url: str
) -> None:
    shared = written(make, sqlite_url, "waning", 6)
    run(shared)
    again = written(make, f"{sqlite_url}.copy", "waning", 6)
    [copied] = copy(shared.storage, again.storage, "waning")
    assert copied.outcome == "copied"
    trials = run(again, trials=16)
    continued = [trial for trial in trials if CONTINUES in trial.user_attrs]
    assert continued
    for trial in continued:
        first = trials[trial.user_attrs[CONTINUES]]
        assert trial.params == first.params
        assert trial.user_attrs["began_at"] == len(first.intermediate_values)
        assert len(trial.intermediate_values) > len(first.intermediate_values)
        for step, value in trial.intermediate_values.items():
            assert value - step == first.intermediate_values[1] - 1


def test_a_configuration_that_is_enqueued_does_not_pause(make: Any, sqlite_url: str) -> None:
    shared = written(make, sqlite_url, "walk", search=f"{PROMOTE}\nenqueue = [{{ x = 9.5 }}]")
    first = run(shared)[0]
    assert (first.params["x"], first.state) == (9.5, TrialState.COMPLETE)
    assert PAUSED_AT not in first.user_attrs


def test_a_trial_without_a_checkpoint_does_not_pause(
    make: Any, sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = written(make, sqlite_url, "bare", 3)
    said: list[str] = []
    optimize(str(shared.path), RunOptions(shared.url, workers=1, device="cpu"), say=said.append)
    assert {trial.state for trial in shared.trials()} == {TrialState.COMPLETE}
    assert "no trial paused: the objective saves no checkpoint" in said[-1]


def test_what_cannot_be_saved_fails_with_the_reason(make: Any, sqlite_url: str) -> None:
    kinds = ("large", "link", "pipe", "late", "good")
    queue = ", ".join(f'{{ kind = "{kind}" }}' for kind in kinds)
    shared = written(make, sqlite_url, "odd", 2, f'pruner = "none"\nenqueue = [{queue}]')
    trials = {trial.params["kind"]: trial for trial in run(shared)}
    errors = {kind: trials[kind].user_attrs.get("error", "") for kind in kinds}
    assert "the checkpoint has 40.0 MiB, and the limit is 32 MiB" in errors["large"]
    assert "TUNER_ARTIFACTS or --artifacts names a place for larger ones" in errors["large"]
    assert "weights.bin: is a symbolic link" in errors["link"]
    assert "pipe: is neither a file nor a folder" in errors["pipe"]
    assert trials["late"].state == TrialState.COMPLETE
    assert trials["good"].user_attrs["said"].startswith("trial 3: has ended, and its folder is")
    assert left_folders(shared) == []
    with shared.storage.database.read() as connection:
        query = "SELECT count(*) FROM tuner_checkpoints"
        assert connection.exec_driver_sql(query).scalar_one() == 0
