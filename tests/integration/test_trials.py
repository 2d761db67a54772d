"""How a trial ends: told, failed, diverged, a duplicate, damaged; and trained again."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from tuner.errors import TrainingError
from tuner.run.optimize import optimize
from tuner.run.options import RunOptions
from tuner.run.retrain import retrain
from tuner.study.files import shipped

WITH_DATA = [name for name, path in shipped().items() if "$" not in path.read_text()]
"""Studies that ship and bring their data along; the others name a folder of the user's."""
ENOUGH = 1 << 30
"""Bytes that a worker may take beyond what this process has."""


def limited(shared: Any) -> None:
    """A run with one worker and little memory."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + ENOUGH,) * 2)
    optimize(str(shared.path), RunOptions(shared.url, workers=1, device="cpu"))


def widths(shared: Any, choices: str, **changes: Any) -> None:
    shared.write(**changes)
    text = shared.path.read_text().replace("depth = 1", "depth = 2")
    shared.path.write_text(text.replace("width = 8", f"width = {{ choices = {choices} }}", 1))


def test_a_trial_that_raises_says_why_and_the_study_goes_on(make: Any, sqlite_url: str) -> None:
    shared = make(sqlite_url)
    widths(shared, "[8, 60000]", trials=5, search="baseline = { width = 8 }")
    process = shared.fork(limited, shared)
    process.join(60)
    assert process.exitcode == 0, shared.said()
    assert shared.progress.complete == 5
    failed = [trial for trial in shared.trials() if trial.state == TrialState.FAIL]
    assert failed
    for trial in failed:
        assert trial.params["width"] == 60000
        assert "out of memory: a smaller batch_size, width" in trial.user_attrs["error"]
        assert "Traceback" in trial.user_attrs["traceback"]
        assert trial.user_attrs["ended"] == "failed"


def test_a_study_whose_every_trial_fails_stops_and_shows_why(make: Any, sqlite_url: str) -> None:
    shared = make(sqlite_url)
    widths(shared, "[60000, 60001]", trials=50)
    process = shared.fork(limited, shared)
    process.join(60)
    assert process.exitcode == 1
    progress = shared.progress
    assert (progress.failed, progress.finished, progress.running) == (10, 0, 0)
    assert progress.state == "stopped"
    assert "10 trials failed, the last with: out of memory" in shared.said()


def test_a_trial_that_diverges_is_pruned_and_the_sampler_goes_on(
    make: Any, sqlite_url: str
) -> None:
    shared = make(sqlite_url).write(sampler="tpe", trials=30, epochs=3)
    text = shared.path.read_text().replace(
        "low = 1e-3, high = 1e-1, log = true", "low = 1e-3, high = 1e30, log = true"
    )
    shared.path.write_text(text.replace("[training]", '[training]\noptimizer = "sgd"'))
    optimize(str(shared.path), RunOptions(shared.url, workers=1, device="cpu"))
    diverged = [t for t in shared.trials() if t.user_attrs["ended"] == "diverged"]
    assert diverged
    assert {t.state for t in diverged} == {TrialState.PRUNED}
    assert all(t.value is None for t in diverged)
    assert shared.progress.finished == 30
    early, late = (
        [t in diverged for t in part] for part in (shared.trials()[:10], shared.trials()[-10:])
    )
    assert sum(late) < sum(early)  # it has learnt to keep away


@pytest.mark.parametrize("again", [False, True])
def test_a_configuration_that_is_finished_is_not_trained_again(
    make: Any, sqlite_url: str, again: bool
) -> None:
    same = "[{ dropout = 0.2 }, { dropout = 0.2, learning_rate = 0.01 }, { dropout = 0.2 }]"
    search = f"enqueue = {same}\nduplicates = {str(again).lower()}"
    shared = make(sqlite_url).write(trials=4, search=search)
    optimize(str(shared.path), RunOptions(shared.url, workers=1, device="cpu"))
    trials = shared.trials()
    assert len(trials) == 4
    assert shared.progress.complete == 4
    first, third = trials[1], trials[3]
    assert first.params == third.params
    if again:
        assert "duplicate_of" not in third.user_attrs
        assert "worker" in third.user_attrs
        return
    assert third.user_attrs["duplicate_of"] == 1
    assert (third.user_attrs["ended"], third.user_attrs["seconds"]) == ("same as trial 1", 0.0)
    same = ("epochs", "parameters", "train_loss", "validation_loss", "best_epoch", "device")
    assert all(third.user_attrs[key] == first.user_attrs[key] for key in same)
    assert (third.value, third.intermediate_values) == (first.value, first.intermediate_values)
    assert third.user_attrs["seed"] == first.user_attrs["seed"]
    assert retrain("small", 3, RunOptions(shared.url, device="cpu")).equal


@pytest.mark.parametrize("damage", [b"", b"\xff" * 50, b"\x10\0\0\0\0\0\0\0{}"])
def test_a_damaged_checkpoint_starts_the_trial_over(
    make: Any, until: Callable[..., None], sqlite_url: str, damage: bytes
) -> None:
    shared = make(sqlite_url).submit(epochs=2000, trials=1)
    worker = shared.worker()
    until(lambda: shared.trials() and len(shared.trials()[0].intermediate_values) > 5)
    worker.terminate()
    worker.join()
    before = shared.trials()[0].intermediate_values
    assert len(before) < 2000
    with shared.storage.database.write() as connection:
        connection.exec_driver_sql("UPDATE tuner_checkpoints SET data = ?", (damage,))
    shared.worker()
    until(lambda: "restarted" in shared.trials()[0].user_attrs)
    until(lambda: len(shared.trials()[0].intermediate_values) > len(before))
    after = shared.trials()[0]
    assert "TrainingError: these bytes are no checkpoint" in after.user_attrs["restarted"]
    assert {step: after.intermediate_values[step] for step in before} == before


def test_a_trial_on_which_every_worker_dies_fails(make: Any, sqlite_url: str) -> None:
    shared = make(sqlite_url).submit(epochs=2, trials=1)

    def claim() -> None:
        from tuner.run.process import open_worker
        from tuner.worker.signals import Leaving

        worker = open_worker(shared.url, "cpu", Leaving())
        worker._claim(worker.bench(_job(shared)))

    shared.fork(claim).join()
    with shared.storage.database.write() as connection:  # ten more have died on it
        connection.exec_driver_sql("UPDATE tuner_leases SET token = 10, expires = 0")
    shared.finish()
    first, second = shared.trials()
    assert first.state == TrialState.FAIL
    assert "10 workers left or died before its first epoch ended" in first.user_attrs["error"]
    assert second.state == TrialState.COMPLETE


def _job(shared: Any) -> Any:
    from tuner.run.prepare import load_job, stored_study

    return load_job(*stored_study(shared.storage, shared.name))


@pytest.mark.parametrize("name", WITH_DATA)
def test_every_trial_can_be_trained_again(make: Any, sqlite_url: str, name: str) -> None:
    shared = make(sqlite_url, name)
    text = shipped()[name].read_text()
    lines = [line for line in text.splitlines() if not line.startswith(("epochs", "pruner"))]
    text = "\n".join(lines).replace("[training]", "[training]\nepochs = 4")
    pruner = '[search]\npruner = { name = "asha", min_resource = 1, reduction_factor = 2 }'
    shared.path.write_text(text.replace("[search]", pruner))
    optimize(str(shared.path), RunOptions(shared.url, trials=6, workers=2, device="cpu"))
    trained_again(shared, name)
    assert {trial.state for trial in shared.trials()} <= {TrialState.COMPLETE, TrialState.PRUNED}


def trained_again(shared: Any, name: str) -> None:
    told = [trial for trial in shared.trials() if trial.value is not None]
    assert told
    for trial in told:
        again = retrain(name, trial.number, RunOptions(shared.url, device="cpu"))
        assert again.equal, (trial.number, again)
        assert again.epochs == max(trial.intermediate_values)


def test_a_pruned_trial_can_be_trained_again(make: Any, sqlite_url: str) -> None:
    options = "percentile = 0.0, n_startup_trials = 1, n_warmup_steps = 2"
    strict = f'pruner = {{ name = "percentile", {options} }}'
    shared = make(sqlite_url).write(epochs=6, trials=8)
    shared.path.write_text(shared.path.read_text().replace('pruner = "none"', strict))
    optimize(str(shared.path), RunOptions(shared.url, workers=1, device="cpu"))
    assert TrialState.PRUNED in {trial.state for trial in shared.trials()}
    trained_again(shared, "small")


def test_a_limit_on_a_trials_time_ends_it(make: Any, sqlite_url: str) -> None:
    shared = make(sqlite_url).write(epochs=100_000, trials=1, search='trial_timeout = "1s"')
    optimize(str(shared.path), RunOptions(shared.url, workers=1, device="cpu"))
    (trial,) = shared.trials()
    assert (trial.state, trial.user_attrs["ended"]) == (TrialState.PRUNED, "time limit")
    assert trial.value == trial.intermediate_values[trial.last_step]


SLOW = """\
import os
import time
from torch import nn

def net(shape, outputs):
    if os.getpid() != PARENT:
        time.sleep(60)
    return nn.Linear(shape[0], outputs)
"""


def test_a_limit_ends_a_trial_that_is_over_before_its_first_epoch(
    make: Any, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = make(sqlite_url).write(trials=1, search="trial_timeout = 0.1")
    monkeypatch.chdir(shared.folder)
    (shared.folder / "slow_net.py").write_text(SLOW.replace("PARENT", str(os.getpid())))
    text = shared.path.read_text().replace('"mlp"', '"slow_net:net"')
    lines = (
        line for line in text.splitlines() if not line.startswith(("depth", "width", "dropout"))
    )
    shared.path.write_text("\n".join(lines))
    with pytest.raises(TrainingError, match="10 trials failed, the last with: its trial_timeout"):
        optimize(str(shared.path), RunOptions(shared.url, workers=2, device="cpu"))
    assert {trial.state for trial in shared.trials()} <= {TrialState.FAIL, TrialState.RUNNING}
    assert shared.progress.state == "stopped"


def test_a_study_that_is_deleted_while_it_runs_ends_the_run_with_a_sentence(
    make: Any, until: Callable[..., None], database_url: str
) -> None:
    shared = make(database_url).submit(epochs=100_000, trials=2)
    run = shared.warm("optimize", "--study", str(shared.path), "--workers", "1", "--device", "cpu")
    until(lambda: shared.trials() and shared.trials()[0].intermediate_values)
    shared.storage.delete_study(shared.study_id)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 1
    assert said.splitlines()[-1] == "error: small: the study was deleted"
    assert "Traceback" not in said


def test_a_limit_on_the_runs_time_gives_the_trials_back(make: Any, database_url: str) -> None:
    shared = make(database_url).write(epochs=100_000, trials=2)
    optimize(str(shared.path), RunOptions(shared.url, timeout=1.5, workers=2, device="cpu"))
    assert [holder for _, holder, _ in shared.tokens()] == ["", ""]
    assert (shared.progress.running, shared.progress.interrupted) == (0, (0, 1))
    assert all(trial.intermediate_values for trial in shared.trials())
