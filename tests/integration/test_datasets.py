"""Studies of a Dataset: a worker that is killed, and every command."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tuner.run.prepare import load_job
from tuner.study import load_study
from tuner.training.folds import training

SETS = """
import random
from pathlib import Path
import torch
from torch.utils.data import Dataset, Subset

class Noisy(Dataset):
    def __init__(self, noise):
        generator = torch.Generator().manual_seed(0)
        self.noise, self.y = noise, torch.arange(300) % 3
        self.x = torch.randn(300, 1, 4, 4, generator=generator) + self.y[:, None, None, None]

    def __len__(self):
        return len(self.y)

    def __getitem__(self, index):
        drawn = torch.randn(1, 4, 4) + random.random() if self.noise else 0.0
        return {"x": self.x[index] + self.noise * drawn, "y": "abc"[self.y[index]]}

def one():
    return Noisy(0.3)

FILE = Path(__file__).with_name("items")

class Broken(Noisy):
    def __getitem__(self, index):
        FILE.read_bytes()
        return super().__getitem__(index)

def broken():
    return Broken(0.3)

def parts():
    return {
        "train": Subset(Noisy(0.3), range(150)),
        "validation": Subset(Noisy(0.0), range(150, 220)),
        "test": Subset(Noisy(0.0), range(220, 300)),
    }
"""


@pytest.fixture
def study(make: Any, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A study of one of these functions."""

    def write(function: str, readers: int, **changes: Any) -> Any:
        shared = make(sqlite_url).write(source=f"sets:{function}", **changes)
        monkeypatch.syspath_prepend(str(shared.folder))
        (shared.folder / "sets.py").write_text(SETS)
        text = shared.path.read_text()
        shared.path.write_text(text.replace("[model]", f"readers = {readers}\n[model]"))
        return shared

    return write


def children(pid: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return psutil.Process(pid).children()
    return []


def reported(shared: Any) -> int:
    """The epochs of the first trial so far."""
    try:
        return len(shared.trials()[0].intermediate_values)
    except Exception:  # no tables yet
        return 0


def test_another_worker_finishes_a_trial_of_random_rows_with_the_same_value(
    study: Any, until: Callable[..., None]
) -> None:
    shared = study("one", 1, epochs=60, trials=1)
    words = ["optimize", "--study", str(shared.path), "--workers", "1", "--device", "cpu"]
    run = shared.warm(*words)

    until(lambda: reported(shared) > 1, seconds=60)
    ((_, holder, token),) = shared.tokens()
    worker = int(holder.split(":")[1])
    readers = children(worker)
    assert len(readers) == 1
    os.kill(worker, signal.SIGKILL)
    until(lambda: shared.tokens() and shared.tokens()[0][2] > token)
    assert (run.communicate(timeout=120), run.returncode)[1] == 0
    until(lambda: not any(reader.is_running() for reader in readers))
    (trial,) = shared.trials()
    loaded = load_study(str(shared.path))
    job = load_job(loaded)
    config, seed = loaded.config(trial.params), trial.user_attrs["seed"]
    alone = training(config, job.data, job.metric, seed)
    assert trial.intermediate_values == {each.number: each.value for each in alone.epochs()}
    assert trial.value == alone.result.value
    assert trial.user_attrs["worker"] != holder


@pytest.mark.parametrize("readers", [0, 1])
def test_an_item_that_fails_in_training_stops_the_study_at_once(
    study: Any, readers: int, until: Callable[..., None]
) -> None:
    shared = study("broken", readers, epochs=5000, trials=20)
    file = shared.folder / "items"
    file.touch()
    words = ["optimize", "--study", str(shared.path), "--workers", "1", "--device", "cpu"]
    run = shared.warm(*words)
    until(lambda: reported(shared) > 0, seconds=60)
    file.unlink()
    _, err = run.communicate(timeout=120)
    assert run.returncode == 1
    says = r"trial 0 failed: DataError: sets:broken: item \d+ raised FileNotFoundError"
    assert re.search(says, " ".join(err.split()))
    assert "the study is stopped; `tuner resume` opens it again" in err
    assert [trial.state.name for trial in shared.trials()] == ["FAIL"]


def test_readers_leave_no_temporary_files(study: Any, tmp_path: Path) -> None:
    """Nor do they need a short path of TMPDIR, as sockets do."""
    shared = study("parts", 2, epochs=1, trials=1)
    place = tmp_path / "temporary" / ("deep" * 25)
    place.mkdir(parents=True)
    words = ["optimize", "--study", str(shared.path), "--workers", "1", "--device", "cpu"]
    run = shared.command(*words, TMPDIR=str(place))
    assert (run.communicate(timeout=120), run.returncode)[1] == 0
    assert not list(place.iterdir())


def test_every_command_knows_a_study_of_datasets(study: Any, tmp_path: Path) -> None:
    shared = study("parts", 1, epochs=2, trials=3)
    name = ["--study", str(shared.path)]

    def run(*words: str) -> str:
        process = shared.warm(*words)
        said, errors = process.communicate(timeout=120)
        assert process.returncode == 0, said + errors
        assert "Traceback" not in errors
        return str(said)

    assert "150 rows to train on, 70 to validate; 1 x 4 x 4 features" in run("check", *name)
    run("optimize", *name, "--workers", "2", "--device", "cpu")
    assert [trial.state.name for trial in shared.trials()] == ["COMPLETE"] * 3
    run("optimize", *name, "--trials", "4", "--workers", "1", "--device", "cpu")
    assert "the same" in run("retrain", *name, "--trial", "1", "--device", "cpu")
    assert "on the test rows" in run("confirm", *name, "--seeds", "2", "--device", "cpu")
    assert "adds" in run("ablate", *name, "--seeds", "2", "--device", "cpu")
    run("report", *name, "--out", "report.html")
    run("export", *name, "--out", "model", "--device", "cpu")
    predicted = run("predict", "--model", "model", "--input", "sets:parts").splitlines()
    assert predicted[0] == "class,probability a,probability b,probability c"
    assert len(predicted) == 1 + 80  # the test rows
    right = [line[0] == "abc"[row % 3] for row, line in enumerate(predicted[1:], 220)]
    assert sum(right) > 40


def test_what_may_change_while_a_study_runs(study: Any) -> None:
    shared = study("parts", 0, epochs=1, trials=1)
    words = ["optimize", "--study", str(shared.path), "--workers", "1", "--device", "cpu"]
    assert (run := shared.warm(*words)).wait(60) == 0, run.stderr.read()
    text = shared.path.read_text().replace("readers = 0", "readers = 1\nin_memory = 1")
    shared.path.write_text(text)
    assert (run := shared.warm(*words, "--trials", "2")).wait(60) == 0, run.stderr.read()
    assert len(shared.trials()) == 2
