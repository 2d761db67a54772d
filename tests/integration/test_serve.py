"""``tuner worker``: every open study of a database, from the database alone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tuner.run.prepare import submit
from tuner.run.serve import serve, serve_with
from tuner.storage import OPEN, PAUSED, STOPPED


def test_it_serves_several_studies_from_the_database_alone(make: Any, database_url: str) -> None:
    first, second, done = (make(database_url, name) for name in ("first", "second", "done"))
    done.submit(trials=1)
    done.finish()
    second.submit(trials=2)
    first.submit(trials=3)
    for shared in (first, second, done):
        shared.path.unlink()
    said = first.folder / "said"
    worker = first.worker(say=lambda line: print(line, file=said.open("a")))
    worker.join(60)
    assert worker.exitcode == 0, first.said()
    assert said.read_text().splitlines() == ["serving second", "serving first"]  # the older first
    assert (first.progress.complete, second.progress.complete) == (3, 2)


def test_it_serves_only_what_it_was_asked_to(make: Any, sqlite_url: str) -> None:
    first, second = (make(sqlite_url, name).submit() for name in ("first", "second"))

    def work() -> None:
        serve(sqlite_url, ["second"], device="cpu", idle_exit=True)

    first.fork(work).join(60)
    assert (first.progress.complete, second.progress.complete) == (0, 4)


def test_a_study_whose_data_is_not_here_is_skipped_with_a_word(make: Any, sqlite_url: str) -> None:
    missing, here = make(sqlite_url, "missing"), make(sqlite_url, "here")
    missing.write()
    table = missing.folder / "table.csv"
    table.write_text("a,b,label\n" + "".join(f"{i},{i % 3},{i % 2}\n" for i in range(60)))
    data = f'path = "{table}"\ntarget = "label"'
    text = missing.path.read_text().replace('source = "sklearn.datasets:load_iris"', data)
    missing.path.write_text(text)
    submit(str(missing.path), sqlite_url)
    table.unlink()
    here.submit()
    said = here.folder / "said"
    worker = here.worker(say=lambda line: print(line, file=said.open("a")))
    worker.join(60)
    assert worker.exitcode == 1, here.said()
    assert "error: missing: is unfinished: this worker cannot train its trials" in here.said()
    lines = said.read_text()
    assert lines.count("cannot serve missing: ") == 1
    assert "table.csv" in lines
    assert here.progress.complete == 4
    assert missing.progress.finished == 0


def test_a_study_that_began_with_other_rows_is_left_to_others(make: Any, sqlite_url: str) -> None:
    """A worker elsewhere that finds another table under the same name, with several processes."""
    other, here = make(sqlite_url, "other"), make(sqlite_url, "here")
    other.write(epochs=1)
    table = other.folder / "table.csv"
    rows = [f"{i},{i % 3},{i % 2}\n" for i in range(60)]
    table.write_text("a,b,label\n" + "".join(rows))
    data = f'path = "{table}"\ntarget = "label"'
    text = other.path.read_text().replace('source = "sklearn.datasets:load_iris"', data)
    other.path.write_text(text)
    submit(str(other.path), sqlite_url)
    table.write_text("a,b,label\n" + "".join(rows[:-2]))
    here.submit(epochs=1)
    said = here.folder / "said"

    def work() -> None:
        say = partial(print, file=said.open("a"), flush=True)
        serve_with(sqlite_url, ["cpu"] * 2, idle_exit=True, say=say)

    worker = here.fork(work)
    worker.join(60)
    assert worker.exitcode == 1, here.said()
    lines = said.read_text().splitlines()
    refused = [line for line in lines if line.startswith("cannot serve other: ")]
    assert len(refused) == 2  # each process once
    assert all("2 rows removed (60 rows then, 58 now)" in line for line in refused)
    assert (here.progress.complete, other.progress.finished) == (4, 0)
    table.write_text("a,b,label\n" + "".join(rows))
    other.worker().join(60)
    assert other.progress.complete == 4


def test_a_paused_study_is_waited_for_by_its_name_alone(
    make: Any, until: Callable[..., None], sqlite_url: str
) -> None:
    shared = make(sqlite_url).submit(trials=2)
    shared.storage.set_study_state(shared.study_id, PAUSED)

    def work() -> None:
        serve(sqlite_url, [shared.name], device="cpu", idle_exit=True)

    named = shared.fork(work)
    until(shared.storage.workers)
    for_all = shared.worker()
    for_all.join(20)
    assert (for_all.exitcode, named.is_alive()) == (0, True), shared.said()
    shared.storage.set_study_state(shared.study_id, OPEN)
    named.join(20)
    assert (named.exitcode, shared.progress.complete) == (0, 2), shared.said()


FAILING = """\
objective = "failing:value"
direction = "minimize"
[search]
trials = 20
"""


def test_a_study_that_fails_is_not_done(
    make: Any, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = make(sqlite_url)
    monkeypatch.chdir(shared.folder)
    (shared.folder / "failing.py").write_text("def value(trial):\n    raise ValueError\n")
    shared.path.write_text(FAILING)
    submit(str(shared.path), sqlite_url)

    def work() -> None:
        serve(sqlite_url, [shared.name], device="cpu", idle_exit=True, allow=["failing"])

    for code in (1, 0):  # the next one finds it stopped
        worker = shared.fork(work)
        worker.join(20)
        assert worker.exitcode == code, shared.said()
    assert (shared.progress.failed, shared.progress.state) == (10, STOPPED)


def test_pause_resume_and_stop_are_heard_within_seconds(
    make: Any, until: Callable[..., None], database_url: str
) -> None:
    shared = make(database_url).submit(trials=100_000, epochs=5)

    def work() -> None:
        serve(shared.url, device="cpu")

    worker = shared.fork(work)
    until(lambda: shared.progress.finished > 2)
    for state in (PAUSED, OPEN, STOPPED):
        shared.storage.set_study_state(shared.study_id, state)
        if state == OPEN:
            count = shared.progress.finished
            until(lambda count=count: shared.progress.finished > count, seconds=4)
            continue
        until(lambda: shared.progress.running == 0, seconds=4)
        count = len(shared.trials())
        time.sleep(0.5)
        assert len(shared.trials()) == count
    assert worker.is_alive()
    os.kill(worker.pid, signal.SIGTERM)
    worker.join(5)
    assert worker.exitcode == 0


def test_it_goes_on_with_another_study_while_the_last_trials_are_elsewhere(
    make: Any, until: Callable[..., None], sqlite_url: str
) -> None:
    older = make(sqlite_url, "older").submit(trials=1, epochs=100_000)
    holder = older.worker()
    until(lambda: older.tokens())
    newer = make(sqlite_url, "newer").submit(trials=2)
    other = newer.worker()
    until(lambda: newer.progress.complete == 2)
    assert other.is_alive()  # whoever holds the older one's trial may die
    holder.kill()
    until(lambda: older.tokens()[0][2] == 2)


def test_a_study_that_is_deleted_is_let_go(
    make: Any, until: Callable[..., None], database_url: str
) -> None:
    gone = make(database_url, "gone").submit(trials=1000, epochs=3)
    worker = gone.worker()
    until(lambda: gone.progress.finished > 1)
    gone.storage.delete_study(gone.study_id)
    worker.join(20)
    assert worker.exitcode == 0, gone.said()


def test_ctrl_c_is_an_interruption(make: Any, until: Callable[..., None], sqlite_url: str) -> None:
    shared = make(sqlite_url).submit(trials=1, epochs=100_000)

    def work() -> None:
        try:
            serve(shared.url, device="cpu")
        except KeyboardInterrupt:
            os._exit(130)

    worker = shared.fork(work)
    until(lambda: shared.trials() and shared.trials()[0].intermediate_values)
    os.kill(worker.pid, signal.SIGINT)
    worker.join(5)
    assert worker.exitcode == 130
    assert shared.tokens()[0][1] == ""


def test_a_worker_that_began_with_ctrl_c_ignored_ends_when_it_is_asked_to(
    make: Any, until: Callable[..., None], sqlite_url: str
) -> None:
    shared = make(sqlite_url).submit(trials=1, epochs=100_000)

    def work() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a job in a script's background has it
        serve(shared.url, device="cpu")

    worker = shared.fork(work)
    until(lambda: shared.trials() and shared.trials()[0].intermediate_values)
    os.kill(worker.pid, signal.SIGTERM)
    worker.join(20)
    assert worker.exitcode == 0
    assert shared.tokens()[0][1] == ""


def test_several_workers_of_one_command_are_replaced_when_they_die(
    make: Any, until: Callable[..., None], database_url: str
) -> None:
    shared = make(database_url).submit(trials=2, epochs=100_000)  # none but these two to take
    parent = shared.warm("worker", "--workers", "2", "--device", "cpu", "--idle-exit")
    until(lambda: len({holder for _, holder, _ in shared.tokens()}) == 2)
    victim = int(shared.tokens()[0][1].split(":")[1])
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(shared.storage.workers()) == 3)  # the dead one's row, until it is forgotten
    until(lambda: shared.tokens()[0][2] == 2)
    parent.terminate()
    _, said = parent.communicate(timeout=10)
    assert parent.returncode == 143, said  # it was to stay until the end
    assert "error: stopped by SIGTERM; the study is unfinished" in said
    assert {holder for _, holder, _ in shared.tokens()} == {""}


def test_ctrl_c_ends_all_workers_of_one_command(
    make: Any, until: Callable[..., None], sqlite_url: str
) -> None:
    shared = make(sqlite_url).submit(trials=100_000, epochs=100_000)
    parent = shared.command("worker", "--workers", "2", "--device", "cpu")
    until(lambda: len(shared.tokens()) == 2)
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.wait(10) == 130
    assert {holder for _, holder, _ in shared.tokens()} == {""}


COUNTED = """\
import os
from sklearn.datasets import load_iris
def load():
    with open("read", "a") as file:
        print(os.getpid(), file=file)
    return load_iris(return_X_y=True)
"""


def test_workers_of_one_command_share_what_their_parent_read(
    make: Any, until: Callable[..., None], sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make(sqlite_url, "first"), make(sqlite_url, "second")
    monkeypatch.chdir(first.folder)
    (first.folder / "counted.py").write_text(COUNTED)
    first.submit(source="counted:load", trials=8)
    words = ("--workers", "2", "--device", "cpu", "--allow", "counted")
    parent = first.command("worker", *words)
    until(lambda: first.progress.met)
    second.submit(source="counted:load", trials=8)  # while they run
    until(lambda: second.progress.met)
    parent.terminate()
    assert parent.wait(10) == 0
    readers = [int(line) for line in (first.folder / "read").read_text().split()]
    assert [pid for pid in readers if pid != os.getpid()] == [parent.pid] * 2
    trained = {trial.user_attrs["worker"].split(":")[1] for trial in second.trials()}
    assert str(parent.pid) not in trained
    assert first.progress.complete == second.progress.complete == 8


def test_a_study_that_the_parent_cannot_read_is_left_to_others(make: Any, sqlite_url: str) -> None:
    first, second = make(sqlite_url, "first").submit(), make(sqlite_url, "second")
    table = second.folder / "table.csv"
    table.write_text("a,b,label\n" + "".join(f"{i},{i % 3},{i % 2}\n" for i in range(60)))
    text = second.write().path.read_text()
    data = f'path = "{table}"\ntarget = "label"'
    second.path.write_text(text.replace('source = "sklearn.datasets:load_iris"', data))
    submit(str(second.path), sqlite_url)
    table.unlink()
    words = ("--workers", "2", "--device", "cpu", "--idle-exit")
    command = first.warm("worker", *words)
    _, said = command.communicate(timeout=60)
    assert command.returncode == 1, said
    assert first.progress.complete == 4
    assert "cannot serve second: " in said
    assert said.count("error: second: is unfinished: this worker cannot train its trials") == 1
    assert "table.csv" in said
