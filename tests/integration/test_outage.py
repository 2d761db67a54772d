"""The database is away, locked or full: training goes on or a message says why, nothing is lost."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from optuna.trial import TrialState

from tuner.run.serve import serve


def held_worker(
    shared: Any, say: Callable[[str], None] = lambda _: None, **environment: str
) -> Any:
    """A worker whose trials stay in their third epoch until the file `go` is in the folder: what
    happens before it happens in the middle of a trial."""

    def work() -> None:
        from tuner.training.trainer import Trainer

        train, go = Trainer._train_epoch, shared.folder / "go"

        def train_held(self: Trainer) -> Any:
            while self.epoch == 2 and not go.exists():
                time.sleep(0.01)
            return train(self)

        Trainer._train_epoch = train_held  # type: ignore[method-assign]
        serve(shared.url, device="cpu", idle_exit=True, say=say)

    return shared.fork(work, **environment)


def in_the_middle(shared: Any) -> bool:
    trials = shared.trials()
    return bool(trials) and list(trials[0].intermediate_values) == [1, 2]


def test_a_server_that_stays_away_costs_no_result(
    make: Any, until: Callable[..., None], postgres: Any, postgres_url: str
) -> None:
    shared = make(postgres_url).submit(epochs=100, trials=2, search="duplicates = true")
    said = shared.folder / "said"
    said.touch()
    worker = held_worker(shared, say=lambda line: print(line, file=said.open("a")))
    until(lambda: in_the_middle(shared))
    postgres.kill()
    (shared.folder / "go").touch()
    # The first trial is over, and the next cannot be claimed.
    until(lambda: "waiting for the database" in said.read_text(), seconds=60)
    postgres.start()
    worker.join(60)
    assert worker.exitcode == 0, shared.said()
    progress = shared.progress
    assert (progress.complete, progress.running, progress.failed) == (2, 0, 0)
    for trial in shared.trials():
        assert list(trial.intermediate_values) == list(range(1, 101))
    lines = said.read_text().splitlines()
    assert sum("waiting for the database" in line for line in lines) == 1
    assert lines[-1] == "the database answers again"


def test_a_run_rides_out_an_outage_and_replaces_a_dead_worker(
    make: Any, until: Callable[..., None], postgres: Any, postgres_url: str
) -> None:
    from tuner.run.optimize import optimize
    from tuner.run.options import RunOptions

    shared = make(postgres_url).submit(epochs=150, trials=6, search="duplicates = true")

    def run() -> None:
        optimize("small", RunOptions(postgres_url, workers=2, device="cpu"))

    parent = shared.fork(run)
    until(lambda: len(shared.tokens()) == 2)
    pids = [worker.pid for worker in shared.storage.workers()]
    postgres.kill()
    known = psutil.Process(parent.pid).children()
    os.kill(pids[0], 9)
    until(lambda: set(psutil.Process(parent.pid).children()) - set(known))  # its successor
    postgres.start()
    parent.join(60)
    assert parent.exitcode == 0, shared.said()
    progress = shared.progress
    assert (progress.complete, progress.running, len(shared.trials())) == (6, 0, 6)


def test_a_worker_told_to_leave_during_an_outage_keeps_its_results(
    make: Any, until: Callable[..., None], postgres: Any, postgres_url: str
) -> None:
    shared = make(postgres_url).submit(epochs=100, trials=2)
    worker = held_worker(shared, TUNER_LEASE="30")
    until(lambda: in_the_middle(shared))
    postgres.kill()
    (shared.folder / "go").touch()
    kept = shared.folder / "spool"
    until(lambda: list(kept.rglob("*.json")))  # the trial ends, and its result is on disk
    asked = time.monotonic()
    worker.terminate()
    worker.join(10)
    assert time.monotonic() - asked < 5
    assert worker.exitcode == 2
    postgres.start()
    started = shared.trials()[0].datetime_start
    shared.finish()  # the lease of 30 s has not run out: the result was told by this worker
    first = shared.trials()[0]
    assert (first.state, first.datetime_start) == (TrialState.COMPLETE, started)
    assert list(first.intermediate_values) == list(range(1, 101))
    assert list(kept.rglob("*.json")) == []


def test_a_worker_that_starts_while_the_server_is_away_says_so(
    make: Any, postgres: Any, postgres_url: str
) -> None:
    url = postgres_url.replace("tuner@", "tuner:pa55word@")
    shared = make(url).submit()
    postgres.kill()
    worker = shared.warm("worker", TUNER_STORAGE=url)
    _, said = worker.communicate(timeout=60)
    assert worker.returncode == 2
    assert "cannot be reached" in said
    assert "is the server running" in said
    assert "pa55word" not in said
    assert "Traceback" not in said


def test_a_locked_database_ends_in_a_message_and_nothing_is_lost(
    make: Any, until: Callable[..., None], sqlite_url: str
) -> None:
    shared = make(f"{sqlite_url}?timeout=0.5").submit(epochs=100, trials=3)
    worker = held_worker(shared, TUNER_LEASE="60")
    until(lambda: in_the_middle(shared))
    other = sqlite3.connect(shared.storage.database.url.database, isolation_level=None)
    until(lambda: locked(other))
    (shared.folder / "go").touch()
    worker.join(60)
    said = shared.said()
    assert worker.exitcode == 2
    assert "locked by another program" in said
    assert "end that program" in said
    assert "Traceback" not in said
    kept = list((shared.folder / "spool").rglob("*.json"))
    assert len(kept) == 1
    other.execute("ROLLBACK")
    assert shared.progress.running == 1
    shared.finish()  # at once: the lease would last a minute
    assert (shared.progress.complete, shared.progress.running) == (3, 0)
    for trial in shared.trials():
        assert list(trial.intermediate_values) == list(range(1, 101))


def locked(other: sqlite3.Connection) -> bool:
    try:
        other.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        return False
    return True


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A disk of its own; what is given changes its size."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield lambda size: subprocess.run(
            ["mount", "-o", f"remount,size={size}", folder], check=True
        )
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def can_mount(folder: Path) -> bool:
    try:
        with small_disk(folder, "64k"):
            return True
    except (subprocess.CalledProcessError, FileNotFoundError):
        return False


def test_a_full_disk_ends_in_a_message_and_nothing_is_lost(
    make: Any, until: Callable[..., None], tmp_path: Path
) -> None:
    if can_mount(tmp_path / "tried"):
        with small_disk(tmp_path / "disk", "1m") as resize:
            fill_and_go_on(make(f"sqlite:///{tmp_path}/disk/tuner.db"), lambda: resize("50m"))
        return
    pytest.skip("needs the right to mount a small disk")


def fill_and_go_on(shared: Any, make_room: Callable[[], None]) -> None:
    shared.submit(epochs=150, trials=4, search="duplicates = true")
    place = Path(shared.storage.database.url.database).parent
    shared.storage.close()
    free = os.statvfs(place)
    (place / "ballast").write_bytes(b"x" * max(0, free.f_bavail * free.f_frsize - 60_000))
    worker = shared.worker(TUNER_LEASE="60")
    worker.join(60)
    said = shared.said()
    assert worker.exitcode == 2
    assert "disk" in said
    assert "then go on" in said
    assert "Traceback" not in said
    make_room()
    done = shared.progress.complete
    shared.worker(TUNER_LEASE="1")
    until = time.monotonic() + 90
    while shared.progress.complete < 4:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert done < 4
    for trial in shared.trials():
        assert list(trial.intermediate_values) == list(range(1, 151))
