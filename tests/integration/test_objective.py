"""Somebody's own objective: the real command line, workers that die, budgets that hold."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from typer.testing import CliRunner

from tuner.cli import app
from tuner.run.optimize import optimize
from tuner.run.options import RunOptions
from tuner.run.prepare import submit
from tuner.run.serve import serve_with

STUDY = """\
objective = "{module}:{function}"
direction = "minimize"
metric = "height"
[search]
trials = {trials}
{search}
"""
OBJECTIVES = """\
import os
import time

import optuna


def bowl(trial):
    x = trial.suggest_float("x", -5.0, 5.0)
    deep = trial.suggest_categorical("deep", [True, False])
    depth = trial.suggest_int("depth", 1, 3) if deep else 0
    trial.set_user_attr("pid", os.getpid())
    for step in range(10):
        trial.report((x - 1) ** 2 + depth + 10 - step, step)
        if trial.should_prune():
            raise optuna.TrialPruned
        time.sleep(0.01)
    return (x - 1) ** 2 + depth


def slow(trial):
    x = trial.suggest_float("x", -5.0, 5.0)
    trial.set_user_attr("pid", os.getpid())
    for step in range(1000):
        trial.report(x + step, step)
        if step >= 20 and os.path.exists("go"):
            return x
        time.sleep(0.02)
    return x


def deaf(trial):
    trial.suggest_float("x", 0.0, 1.0)
    trial.report(0.0, 0)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        sum(range(10_000))
    return 0.0


def odd(trial):
    kinds = [None, "no number", [1.0, 2.0], float("nan")]
    names = ["good", "none", "text", "two", "nan", "raises", "exit", "interrupt"]
    kind = trial.suggest_categorical("kind", names)
    if kind == "raises":
        raise KeyError("somewhere deep")
    if kind == "exit":
        raise SystemExit(3)
    if kind == "interrupt":
        raise KeyboardInterrupt
    return dict(zip(["none", "text", "two", "nan"], kinds)).get(kind, 1.0)


def reaches(trial):
    attempts = [
        lambda: trial.suggest_categorical("x", [str(trial.number)]),
        lambda: trial.suggest_float("x" * 513, 0.0, 1.0),
        lambda: trial.report(1.0, -1),
        lambda: trial.report(1.0, 2**31),
        lambda: trial.set_user_attr("nul \\0", 1),
        lambda: trial.set_user_attr("set", {1}),
        lambda: trial.study.set_user_attr("a", 1),
        lambda: trial.study.tell(trial.number, 1.0),
        lambda: trial.study.ask(),
        lambda: trial.storage.set_trial_user_attr(trial._trial_id + 1, "a", 1),
    ]
    said = []
    if trial.number == 1:
        trial.report(3.0, 7)
        for attempt in attempts:
            try:
                attempt()
            except Exception as error:
                said.append(f"{type(error).__name__}: {error}")
    x = trial.suggest_float("x", 0.0, 1.0)
    trial.set_user_attr("said", said)
    trial.set_user_attr("pair", (1, 2))
    mine = trial.study.trials[trial.number]
    trial.set_user_attr("seen", [mine.params["x"] == x, mine.user_attrs["pair"], mine.last_step])
    trial.set_user_attr("others", len(trial.study.trials))
    return x


def forever(trial):
    trial.suggest_float("x", 0.0, 1.0)
    for step in range(1000):
        trial.report(1.0, step)
        time.sleep(0.02)


def stops(trial):
    x = trial.suggest_float("x", 0.0, 1.0)
    if trial.number == 2:
        trial.study.stop()
        trial.report(x, 0)
    return x


def sleeps(trial):
    x = trial.suggest_float("x", 0.0, 1.0)
    if trial.number == 0:
        time.sleep(60)
    if trial.number == 1:
        trial.report(0.25, 0)
        time.sleep(60)
    return x


def hangs(trial):
    x = trial.suggest_float("x", 0.0, 1.0)
    if trial.number == 0:
        sum(range(10**12))  # one step of Python, in which nothing else of its process runs
    if trial.number == 1:
        trial.report(0.25, 0)
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass
    return x
"""
MODULE = "own_objectives"


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUNER_ALLOW", raising=False)
    monkeypatch.setenv("TUNER_SPOOL", str(tmp_path / "spool"))
    sys.modules.pop(MODULE, None)  # another test's
    (tmp_path / f"{MODULE}.py").write_text(OBJECTIVES)


def written(
    make: Any, url: str, function: str, trials: int = 4, search: str = "", module: str = MODULE
) -> Any:
    shared = make(url, function)
    text = STUDY.format(module=module, function=function, trials=trials, search=search)
    shared.path.write_text(text)
    return shared


def submitted(make: Any, url: str, *arguments: Any, **named: Any) -> Any:
    shared = written(make, url, *arguments, **named)
    submit(str(shared.path), url)
    return shared


def ran(shared: Any, *words: str, code: int = 0) -> str:
    """What a command says on both streams."""
    command = shared.warm(*words)
    out, said = command.communicate(timeout=60)
    assert command.returncode == code, said
    assert "Traceback" not in said
    return str(out + said)


def told(shared: Any, *words: str, code: int = 0) -> str:
    """What a command that trains nothing says, in this process."""
    found = CliRunner().invoke(app, list(words), env=shared.environment)
    assert found.exit_code == code, found.output
    return found.stdout + (found.stderr if code else "")


def optimized(shared: Any, *words: str, code: int = 0) -> str:
    return ran(
        shared, "optimize", "--study", str(shared.path), "--device", "cpu", *words, code=code
    )


def first_pruned(trials: list[Any]) -> Any:
    return next(trial for trial in trials if trial.state == TrialState.PRUNED)


def test_two_workers_search_an_objective(make: Any, database_url: str) -> None:
    search = "enqueue = [{ x = 1.5, deep = false }]"
    shared = written(make, database_url, "bowl", 20, search)
    said = optimized(shared, "--workers", "2")
    assert "bowl: 20 of 20 trials" in said
    assert "own objective" in said
    trials = shared.trials()
    assert [trial.state.is_finished() for trial in trials] == [True] * 20
    assert (trials[0].params, trials[0].value) == ({"x": 1.5, "deep": False}, 0.25)
    assert len({trial.user_attrs["pid"] for trial in trials}) == 2
    assert any(trial.state == TrialState.PRUNED for trial in trials)
    for trial in trials:
        assert trial.params.keys() - {"depth"} == {"x", "deep"}
        assert ("depth" in trial.params) == trial.params["deep"]
        assert list(trial.intermediate_values) == list(range(len(trial.intermediate_values)))
        pruned = trial.state == TrialState.PRUNED
        assert trial.user_attrs["ended"] == ("pruned" if pruned else "returned")
        expected = trial.intermediate_values[trial.last_step] if pruned else trial.value
        assert trial.value == expected


def test_people_see_an_objective_as_any_study(make: Any, sqlite_url: str) -> None:
    shared = written(make, sqlite_url, "bowl", 20)
    optimized(shared, "--workers", "1")
    trials = shared.trials()
    best = json.loads(told(shared, "best", "--study", "bowl", "--json"))
    assert best["metric"] == "height"
    assert best["value"] == min(t.value for t in trials if t.state == TrialState.COMPLETE)
    assert best["configuration"] == trials[best["number"]].params
    assert "enqueue = [{ deep = " in best["toml"]
    assert "height" in told(shared, "studies")
    assert "20 " in told(shared, "status", "--study", "bowl")
    words = ("retrain", "--study", "bowl", "--trial")
    again = [told(shared, *words, str(t.number)) for t in (trials[0], first_pruned(trials))]
    assert "after 10 steps: the same" in again[0]
    assert ": the same" in again[1]
    told(shared, "report", "--study", "bowl", "--out", "report.md")
    report = (shared.folder / "report.md").read_text()
    assert "baseline" not in report
    assert "on the own objective" in report
    assert "`tuner confirm" in report
    said = told(shared, "ablate", "--study", "bowl", code=2)
    assert "the study has its own objective" in said
    assert "`tuner confirm --study bowl` repeats" in said
    assert f"objective {MODULE}:bowl: minimize height" in told(shared, "check", "--study", "bowl")
    shared.path.write_text(
        shared.path.read_text().replace("[search]", "[search]\ntrial_timeout = 90")
    )
    checked = told(shared, "check", "--study", str(shared.path))
    assert "20 trials; each ends after 1 min 30 s at the latest" in " ".join(checked.split())


def test_a_worker_that_is_killed_costs_no_trial_and_doubles_no_step(
    make: Any, until: Callable[..., None], database_url: str
) -> None:
    shared = written(make, database_url, "slow", 2, 'pruner = "none"')
    words = ["optimize", "--study", str(shared.path), "--workers", "2", "--device", "cpu"]
    run = shared.warm(*words)

    def reported() -> list[Any]:
        try:
            return [t for t in shared.trials() if len(t.intermediate_values) > 5]
        except Exception:  # no tables yet
            return []

    until(lambda: len(reported()) == 2, seconds=60)
    victim = reported()[0]
    os.kill(victim.user_attrs["pid"], signal.SIGKILL)
    token = next(token for i, _, token in shared.tokens() if i == victim._trial_id)
    until(lambda: any(i == victim._trial_id and n > token for i, _, n in shared.tokens()))
    (shared.folder / "go").touch()
    assert (run.communicate(timeout=60), run.returncode)[1] == 0
    trials = shared.trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2
    again = trials[victim.number]
    assert again.params == victim.params
    assert again.value == victim.params["x"]
    assert again.user_attrs["pid"] != victim.user_attrs["pid"]
    for trial in trials:
        steps = trial.intermediate_values
        assert sorted(steps) == list(range(len(steps))), (again.params, victim)
        assert all(value == trial.params["x"] + step for step, value in steps.items())
    assert shared.progress.finished == 2
    assert shared.tokens() == []


def test_sigterm_gives_an_objective_back_that_hears_nothing(
    make: Any, until: Callable[..., None], sqlite_url: str
) -> None:
    shared = submitted(make, sqlite_url, "deaf", 1)
    worker = shared.warm("worker", "--device", "cpu", "--allow", MODULE)
    until(lambda: shared.trials() and shared.trials()[0].intermediate_values)
    worker.terminate()
    until(lambda: shared.tokens()[0][1] == "", seconds=2)
    worker.communicate(timeout=30)
    (trial,) = shared.trials()
    assert (worker.returncode, trial.state) == (0, TrialState.RUNNING)
    assert trial.user_attrs["seconds"] > 0


def test_what_an_objective_returns_and_raises(make: Any, sqlite_url: str) -> None:
    kinds = ("none", "text", "two", "nan", "raises", "exit", "interrupt", "good")
    queue = ", ".join(f'{{ kind = "{kind}" }}' for kind in kinds)
    shared = written(make, sqlite_url, "odd", 1, f"enqueue = [{queue}]")
    said = optimized(shared, "--workers", "1")
    trials = {trial.params["kind"]: trial for trial in shared.trials()}
    assert trials.keys() == set(kinds)
    assert trials.pop("good").value == 1.0
    assert {trial.state for trial in trials.values()} == {TrialState.FAIL}
    errors = {kind: trial.user_attrs["error"] for kind, trial in trials.items()}
    assert "returned None, which is not a number" in errors["none"]
    assert "returned 'no number', which is not a number" in errors["text"]
    assert "returned 2 values, and a study searches for one" in errors["two"]
    assert "returned nan" in errors["nan"]
    assert errors["raises"] == "KeyError: 'somewhere deep'"
    assert "in odd" in trials["raises"].user_attrs["traceback"]
    assert errors["exit"] == "SystemExit: 3"
    assert errors["interrupt"].startswith("KeyboardInterrupt")
    assert "trial 4: failed: KeyError: 'somewhere deep'" in said


def test_an_objective_writes_to_its_own_trial_what_the_database_can_hold(
    make: Any, database_url: str
) -> None:
    shared = written(make, database_url, "reaches", 2)
    optimized(shared, "--workers", "1")
    _, trial = shared.trials()
    assert [each.splitlines()[0] for each in trial.user_attrs["said"]] == [
        "ValueError: Cannot set different distribution kind to the same parameter name.",
        f"ValueError: '{'x' * 40}'… cannot be a name: at most 512 characters",
        "ValueError: `step=-1` must be non-negative.",
        "ValueError: the step 2147483648 is not in 0 to 2147483647",
        "ValueError: 'nul \\x00'… cannot be a name: at most 512 characters",
        "TypeError: Object of type set is not JSON serializable",
        "TrainingError: trial 1: the objective tried to set the study's attribute 'a'",
        "TrainingError: trial 1: the objective tried to end a trial",
        "TrainingError: trial 1: the objective tried to create a trial",
        "TrainingError: trial 1: the objective tried to change another trial",
    ]
    assert trial.user_attrs["seen"] == [True, [1, 2], 7]
    assert trial.user_attrs["others"] == 2
    assert (trial.value, trial.intermediate_values) == (trial.params["x"], {7: 3.0})
    assert trial.params.keys() == {"x"}
    assert "nul \0" not in trial.user_attrs
    assert "a" not in shared.storage.get_study_user_attrs(shared.study_id)


def test_a_trial_and_a_run_end_at_their_times(make: Any, sqlite_url: str) -> None:
    shared = written(make, sqlite_url, "forever", 2, 'trial_timeout = 0.3\npruner = "none"')
    optimized(shared, "--workers", "2")
    for trial in shared.trials():
        assert (trial.state, trial.value) == (TrialState.PRUNED, 1.0)
        assert trial.user_attrs["ended"] == "time limit"
    endless = written(make, f"{sqlite_url}2", "forever", 1, 'pruner = "none"')
    optimized(endless, "--workers", "1", "--timeout", "1s")
    (trial,) = endless.trials()
    assert (trial.state, endless.tokens()[0][1]) == (TrialState.RUNNING, "")


def told_in_time(shared: Any) -> None:
    """Two trials ended at their limit, one of which had reported; the others have a value."""
    silent, spoke, *others = shared.trials()
    assert silent.state == TrialState.FAIL
    assert "trial_timeout of 0.3 s was over" in silent.user_attrs["error"]
    assert (spoke.state, spoke.value) == (TrialState.PRUNED, 0.25)
    assert spoke.user_attrs["ended"] == "time limit"
    assert {trial.state for trial in others} == {TrialState.COMPLETE}
    assert shared.progress.finished == 4
    assert shared.tokens() == []


LIMITED = 'trial_timeout = 0.3\npruner = "none"'


def test_a_trial_that_reports_nothing_ends_at_its_time(make: Any, database_url: str) -> None:
    shared = written(make, database_url, "sleeps", 4, LIMITED)
    said = optimized(shared, "--workers", "1")
    assert "its worker was ended" not in said
    told_in_time(shared)


def test_a_trial_that_hears_nothing_ends_with_its_worker(
    make: Any, database_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tuner.worker.overdue.GRACE_SECONDS", 1.5)
    shared = written(make, database_url, "hangs", 4, LIMITED)
    optimize(str(shared.path), RunOptions(shared.url, workers=1, device="cpu"))
    told_in_time(shared)
    assert [event.kind for event in shared.storage.events()].count("lost") == 0
    assert shared.progress.failed == 1


def test_a_worker_that_serves_is_replaced_when_its_trial_hears_nothing(
    make: Any, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.worker.overdue.GRACE_SECONDS", 1.5)
    shared = submitted(make, sqlite_url, "hangs", 4, LIMITED)

    def work() -> None:
        serve_with(shared.url, ["cpu"], idle_exit=True, allow=[MODULE])

    worker = shared.fork(work)
    worker.join(60)
    assert worker.exitcode == 0, shared.said()
    told_in_time(shared)


def test_an_objective_stops_its_study(make: Any, database_url: str) -> None:
    shared = written(make, database_url, "stops", 50)
    said = optimized(shared, "--workers", "2")
    assert "; the study is stopped" in said
    assert "tuner resume --study stops" in said
    trials = shared.trials()
    assert len(trials) < 50
    assert (trials[2].state, trials[2].value) == (TrialState.COMPLETE, trials[2].params["x"])
    assert all(trial.state.is_finished() for trial in trials)
    assert shared.progress.state == "stopped"
    assert "the study is stopped" in optimized(shared, code=2)
    assert ": the same" in told(shared, "retrain", "--study", "stops", "--trial", "2")


def test_an_objective_in_a_thread(make: Any, sqlite_url: str) -> None:
    shared = written(make, sqlite_url, "bowl", 3)
    before = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as pool:
        options = RunOptions(shared.url, workers=2, device="cpu")
        last = pool.submit(optimize, str(shared.path), options).result(timeout=60)
    assert last.progress.state == "finished"
    assert signal.getsignal(signal.SIGTERM) is before
    assert shared.storage.workers() == []


def test_a_worker_refuses_an_objective_that_was_not_allowed(make: Any, sqlite_url: str) -> None:
    shared = submitted(make, sqlite_url, "bowl", 2)
    said = ran(shared, "worker", "--idle-exit", "--device", "cpu", code=1)
    assert f"cannot serve bowl: {MODULE}:bowl: the module {MODULE!r} is not allowed here" in said
    assert shared.trials() == []
    ran(shared, "worker", "--idle-exit", "--device", "cpu", "--allow", MODULE)
    assert shared.progress.finished == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((":bowl", ":bowls"), ("no function 'bowls'", "did you mean 'bowl'?")),
        ((MODULE, "no_such_module"), ("no module 'no_such_module'",)),
        (('direction = "minimize"', ""), ("direction", "maximize")),
        (('"minimize"', '"down"'), ("direction: unknown direction 'down'", "maximize, minimize")),
        (("[search]", "[data]\nsource = 'a:b'\n[search]"), ("data: an objective", "remove [data]")),
        (("[search]", "[training]\n[search]"), ("training: an objective",)),
        (("trials = 4", "sampler = 'grid'"), ("search.sampler: a grid needs to know",)),
        (("trials = 4", "pruner = 'hyperband'"), ("search.pruner: hyperband", "max_resource = 30")),
        (("trials = 4", "pruner = 'promote'"), ("search.pruner: promote", "max_resource = 30")),
        (
            ("trials = 4", "pruner = { name = 'patient', pruner = 'promote' }"),
            ("search.pruner.pruner: promote pauses trials",),
        ),
        (("trials = 4", "epochs = 40"), ("search.epochs: tuner does not know",)),
        (("trials = 4", "baseline = { x = 1 }"), ("search.baseline: does not go",)),
        (("trials = 4", "duplicates = true"), ("search.duplicates: does not go",)),
        (("trials = 4", "enqueue = [{ x = [1] }]"), ("search.enqueue[0].x: found [1]",)),
        ((f'objective = "{MODULE}:bowl"', ""), ("direction: the metric has a fixed direction",)),
        ((f'"{MODULE}:bowl"', '"bowl"'), ("objective: 'bowl' is not module:function",)),
    ],
)
def test_a_study_of_an_objective_that_cannot_be_is_refused(
    make: Any, empty_sqlite_url: str, change: tuple[str, str], words: tuple[str, ...]
) -> None:
    shared = written(make, empty_sqlite_url, "bowl")
    text = shared.path.read_text()
    assert change[0] in text
    shared.path.write_text(text.replace(*change))
    said = told(shared, "optimize", "--study", str(shared.path), code=2)
    for word in words:
        assert word in said
    assert not (shared.folder / "tuner.db").exists()
