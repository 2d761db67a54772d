"""Worker processes: what they say arrives, and a death is told from an end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch

from tuner.errors import StorageError, TrainingError
from tuner.imports import allowed
from tuner.run.pool import DEATHS, Pool
from tuner.run.prepare import load_job, stored_study, submit
from tuner.run.process import run_worker
from tuner.storage import open_storage
from tuner.worker.job import NetworkJob
from tuner.worker.overdue import LimitedTrial

STUDY = """\
[data]
source = "sklearn.datasets:load_iris"
[model]
family = "linear"
[training]
epochs = {epochs}
[search]
trials = 3
sampler = "random"
"""


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("TUNER_SPOOL", str(tmp_path / "spool"))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def job(folder: Path, url: str, epochs: int = 2) -> NetworkJob:
    path = folder / "flowers.toml"
    path.write_text(STUDY.format(epochs=epochs))
    submit(str(path), url)
    return load_job(*stored_study(open_storage(url), "flowers"))


def pool_of(url: str, devices: list[str], made: NetworkJob) -> Pool:
    return Pool(partial(run_worker, url, made, None, allowed()), devices)


def run(pool: Pool) -> None:
    try:
        while pool.wait(0.1):
            pass
    finally:
        pool.leave()


def test_workers_end_and_say_where_the_time_went(tmp_path: Path, sqlite_url: str) -> None:
    pool = pool_of(sqlite_url, ["cpu", "cpu"], job(tmp_path, sqlite_url))
    run(pool)
    assert pool.spent["training"] > 0
    assert pool.spent["storage"] > 0
    assert open_storage(sqlite_url).workers() == []


def test_what_a_worker_cannot_deal_with_ends_the_run(tmp_path: Path, sqlite_url: str) -> None:
    made = job(tmp_path, sqlite_url)
    (tmp_path / "other").write_text("this is no database, but it is long enough to be read")
    with pytest.raises(StorageError, match="is not a database"):
        run(pool_of(f"sqlite:///{tmp_path}/other", ["cpu"], made))


def test_an_error_that_nobody_foresaw_is_told(tmp_path: Path, sqlite_url: str) -> None:
    with pytest.raises(TrainingError, match="a worker failed: RuntimeError"):
        run(pool_of(sqlite_url, ["nonsense"], job(tmp_path, sqlite_url)))


def test_a_dead_worker_is_replaced_and_too_many_deaths_end_the_run(
    tmp_path: Path, sqlite_url: str
) -> None:
    pool = pool_of(sqlite_url, ["cpu"], job(tmp_path, sqlite_url, 1_000_000))

    def kill() -> None:
        child = pool._running[0]
        os.kill(child.process.pid or 0, signal.SIGKILL)
        while child in pool._running:
            pool.wait(5)

    try:
        for _ in range(DEATHS):
            kill()
        pool.progressed()
        for _ in range(DEATHS):
            kill()
        with pytest.raises(TrainingError, match="workers died 6 times and no trial ended"):
            kill()
    finally:
        pool.leave()


def hang(device: str, said: Connection) -> None:
    """Begins a trial whose time is over already, and never hears a thing."""
    said.send(LimitedTrial("flowers", 1, 1, 0, "me", 1, limit=0.1, left=0.0))
    time.sleep(60)


def test_a_worker_whose_trial_does_not_end_is_replaced_and_that_is_no_death(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tuner.worker.overdue.GRACE_SECONDS", 0.1)
    monkeypatch.setattr("tuner.run.pool.LEAVE_SECONDS", 0.1)
    over: list[LimitedTrial] = []
    pool = Pool(hang, ["cpu"], on_overdue=over.append)
    try:
        until = time.monotonic() + 60
        while len(over) <= DEATHS:
            assert pool.wait(0.1)
            assert time.monotonic() < until
    finally:
        pool.leave()
    assert {each.number for each in over} == {0}


def test_where_a_worker_cannot_be_started_none_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    start, begun = Pool._start, []

    def failing(pool: Pool, device: str) -> Any:
        if device == "none":
            raise OSError("no more processes")
        begun.append(start(pool, device))
        return begun[-1]

    monkeypatch.setattr(Pool, "_start", failing)
    monkeypatch.setattr("tuner.run.pool.LEAVE_SECONDS", 0.1)
    with pytest.raises(OSError, match="no more processes"):
        Pool(lambda device, said: time.sleep(60), ["cpu", "none"])
    assert [child.process.is_alive() for child in begun] == [False]


def test_leaving_gives_trials_back(tmp_path: Path, sqlite_url: str) -> None:
    pool = pool_of(sqlite_url, ["cpu"], job(tmp_path, sqlite_url, 1_000_000))
    storage = open_storage(sqlite_url)
    until = time.monotonic() + 20
    while not any(worker.trials for worker in storage.workers()):
        assert time.monotonic() < until
        time.sleep(0.05)
    pool.leave()
    assert storage.workers() == []
    assert not pool.wait(0)
