"""Workers on a pretend GPU: a trial moves between devices, and errors of a GPU end no study."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from optuna.trial import FrozenTrial, TrialState
from torch import Tensor

from tuner.errors import LostDeviceError, TrainingError
from tuner.imports import allowed
from tuner.run.pool import Pool
from tuner.run.prepare import load_job, stored_study, submit
from tuner.run.process import open_worker, run_worker
from tuner.storage import open_storage
from tuner.training.trainer import Trainer
from tuner.worker.job import NetworkJob
from tuner.worker.signals import Leaving

STUDY = """\
metric = "cross_entropy"
[data]
source = "sklearn.datasets:load_iris"
[model]
family = "mlp"
width = {width}
[regularization]
dropout = {{ off = 0.0, low = 0.05, high = 0.5 }}
batch_norm = true
[training]
epochs = 6
[search]
trials = {trials}
sampler = "random"
pruner = "none"
"""
Before = Callable[[Trainer, Any], None]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("TUNER_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("TUNER_LEASE", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def job(folder: Path, url: str, trials: int = 3, width: str = "8") -> NetworkJob:
    path = folder / "flowers.toml"
    path.write_text(STUDY.format(trials=trials, width=width))
    submit(str(path), url)
    return load_job(*stored_study(open_storage(url), "flowers"))


def train(
    pretend: ModuleType, url: str, made: NetworkJob, device: str, before: Before | None = None
) -> list[FrozenTrial]:
    """Trains a study in a worker process on a device; ``before`` is called before each epoch."""

    def main(place: str, pipe: Connection) -> None:
        with pretend.pretend_gpu() as gpu:
            epoch = Trainer._train_epoch

            def one(trainer: Trainer) -> Tensor:
                if before is not None:
                    before(trainer, gpu)
                return epoch(trainer)

            Trainer._train_epoch = one  # type: ignore[method-assign]
            run_worker(url, made, None, allowed(), place, pipe)

    pool = Pool(main, [device])
    try:
        while pool.wait(0.1):
            pass
    finally:
        pool.leave()
    storage = open_storage(url)
    trials = storage.get_all_trials(made.study_id, deepcopy=False)
    storage.close()
    return trials


@pytest.fixture
def on_gpu(pretend: ModuleType) -> str:
    return str(pretend.DEVICE)


def test_a_killed_trial_goes_on_at_another_device(
    pretend: ModuleType, on_gpu: str, tmp_path: Path, sqlite_url: str
) -> None:
    whole = f"sqlite:///{tmp_path}/whole.db"
    expected = train(pretend, whole, job(tmp_path, whole), "cpu")
    made = job(tmp_path, sqlite_url)
    killed = tmp_path / "killed"

    def kill(trainer: Trainer, gpu: Any) -> None:
        if trainer.seed == made.seed(1) and not killed.exists():
            time.sleep(0.4)  # a checkpoint is due, and is written meanwhile
            if trainer.epoch == 4:
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)

    def on_the_gpu_until_killed(trainer: Trainer, gpu: Any) -> None:
        kill(trainer, gpu)
        if killed.exists() and trainer.device.type != "cpu":
            os._exit(0)  # leaves the rest to the CPU

    train(pretend, sqlite_url, made, on_gpu, on_the_gpu_until_killed)
    trials = train(pretend, sqlite_url, made, "cpu")
    assert killed.exists()
    assert [each.state for each in trials] == [TrialState.COMPLETE] * 3
    assert [each.intermediate_values for each in trials] == [
        each.intermediate_values for each in expected
    ]
    assert [each.value for each in trials] == [each.value for each in expected]
    assert [each.user_attrs["device"] for each in trials] == [on_gpu, f"{on_gpu}, then cpu", "cpu"]


def test_a_poisoned_device_costs_one_trial(
    pretend: ModuleType, on_gpu: str, tmp_path: Path, sqlite_url: str
) -> None:
    made = job(tmp_path, sqlite_url)

    def poison(trainer: Trainer, gpu: Any) -> None:
        gpu.poisoned = gpu.poisoned or (trainer.seed == made.seed(1) and trainer.epoch == 2)

    trials = train(pretend, sqlite_url, made, on_gpu, poison)
    failed = [each for each in trials if each.state == TrialState.FAIL]
    assert [each.number for each in failed] == [1]
    assert "device-side assert" in failed[0].user_attrs["error"]
    complete = [each for each in trials if each.state == TrialState.COMPLETE]
    assert len(complete) == 3
    workers = {each.user_attrs["worker"] for each in complete}
    assert len(workers) == 2, "the process was replaced"


def test_a_device_that_is_always_poisoned_stops_the_study(
    pretend: ModuleType, on_gpu: str, tmp_path: Path, sqlite_url: str
) -> None:
    made = job(tmp_path, sqlite_url)
    with pretend.pretend_gpu() as gpu:
        worker = open_worker(sqlite_url, on_gpu, Leaving())
        bench = worker.bench(made)
        gpu.poisoned = True
        for _ in range(9):
            with pytest.raises(LostDeviceError):
                worker.step(bench)
        with pytest.raises(TrainingError, match=r"10 trials failed, the last with: .*device-side"):
            worker.step(bench)
        worker.close()


def test_a_size_that_does_not_fit_is_not_proposed_again(
    pretend: ModuleType, on_gpu: str, tmp_path: Path, sqlite_url: str
) -> None:
    made = job(tmp_path, sqlite_url, 8, "{ choices = [8, 2048, 4096] }")

    def limit(trainer: Trainer, gpu: Any) -> None:
        if len(trainer.params) > 100_000:  # the second layer's weights
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    trials = train(pretend, sqlite_url, made, on_gpu, limit)
    failed = [each for each in trials if each.state == TrialState.FAIL]
    widths = [each.params["width"] for each in failed]
    assert widths in ([2048], [4096, 2048], [4096])
    assert all(each.user_attrs["out_of_memory"] for each in failed)
    assert all("out of memory: a smaller" in each.user_attrs["error"] for each in failed)
    complete = [each for each in trials if each.state == TrialState.COMPLETE]
    assert len(complete) == 8
    assert {each.params["width"] for each in complete} == {8}


def test_data_that_does_not_fit_is_named(
    pretend: ModuleType, on_gpu: str, tmp_path: Path, sqlite_url: str
) -> None:
    made = job(tmp_path, sqlite_url)

    def main(place: str, pipe: Connection) -> None:
        with pretend.pretend_gpu() as gpu:
            gpu.memory = 100
            run_worker(sqlite_url, made, None, allowed(), place, pipe)

    pool = Pool(main, [on_gpu])
    try:
        with pytest.raises(TrainingError, match="the data does not fit on"):
            all(pool.wait(0.1) for _ in count())
    finally:
        pool.leave()


def test_workers_are_spawned_after_cuda_was_used(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = job(tmp_path, sqlite_url)
    parent = os.getpid()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: os.getpid() != parent)
    pool = Pool(partial(run_worker, sqlite_url, made, None, allowed()), ["cpu"])
    try:
        while pool.wait(0.1):
            pass
    finally:
        pool.leave()
    trials = open_storage(sqlite_url).get_all_trials(made.study_id)
    assert [each.state for each in trials] == [TrialState.COMPLETE] * 3
    assert pool.spent["training"] > 0


def test_the_rows_of_replicas_are_uploaded_once(
    pretend: ModuleType, tmp_path: Path, sqlite_url: str
) -> None:
    with pretend.pretend_gpu() as gpu:
        made = job(tmp_path, sqlite_url).to(pretend.DEVICE)
        final = made.finals["standard"]
        assert isinstance(final.train.x, pretend.OnGpu)
        before = len(gpu.waits)
        moved = final.to(pretend.DEVICE)
        assert moved.train.x is final.train.x
        assert len(gpu.waits) == before
