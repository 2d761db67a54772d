"""Behind a real PgBouncer in transaction mode, where no session lasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optuna.trial import TrialState
from typer.testing import CliRunner

from tuner.cli import app
from tuner.operation.copy import copy
from tuner.run.optimize import optimize
from tuner.run.options import RunOptions
from tuner.storage import open_storage, schema


def test_two_workers_of_a_run_meet_the_budget(make: Any, pooled_url: str) -> None:
    shared = make(pooled_url).write(trials=12)
    last = optimize(str(shared.path), RunOptions(shared.url, workers=2, device="cpu"))
    assert (last.progress.finished, last.progress.failed, last.progress.running) == (12, 0, 0)
    assert [trial.state for trial in shared.trials()] == [TrialState.COMPLETE] * 12


def test_a_trial_of_a_killed_worker_goes_on(
    make: Any, until: Callable[..., None], pooled_url: str, sqlite_url: str
) -> None:
    shared = make(pooled_url).submit(trials=4, epochs=300)
    processes = [shared.worker() for _ in range(2)]
    until(lambda: len(shared.tokens()) == 2)
    processes[0].kill()
    processes[1].join(60)
    assert processes[1].exitcode == 0, shared.said()
    assert (shared.progress.complete, len(shared.trials())) == (4, 4)
    for command in ("status", "best", "logs", "pause"):
        study = [] if command == "status" else ["--study", "small"]
        outcome = CliRunner().invoke(app, [command, *study, "--storage", pooled_url])
        assert outcome.exit_code == 0, outcome.output
    target = open_storage(sqlite_url)
    assert [each.trials for each in copy(shared.storage, target)] == [4]
    target.close()


def test_sessions_are_left_as_they_were(pooled_url: str) -> None:
    storage = open_storage(pooled_url)
    for _ in range(20):  # whatever is said often would be prepared
        with storage.database.write() as connection:
            shown = connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar()
        assert shown == "10s"
        with storage.database.read() as connection:
            known = connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements")
            held = connection.exec_driver_sql(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %(key)s",
                {"key": schema.LOCK & 0xFFFFFFFF},
            )
            lasting = connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout")
            assert (known.scalar(), held.scalar(), lasting.scalar()) == (0, 0, "0")
    storage.close()
