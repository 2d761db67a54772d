"""Many processes, and plain Optuna scripts, on one study."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from tuner.run.optimize import optimize
from tuner.run.options import RunOptions
from tuner.run.plain import objective
from tuner.run.prepare import submit


def test_sixteen_processes_create_and_join_one_study(make: Any, empty_url: str) -> None:
    shared = make(empty_url).write()
    ids = shared.folder / "ids"

    def create() -> None:
        study_id = submit(str(shared.path), shared.url)
        with ids.open("a") as file:
            file.write(f"{study_id}\n")

    processes = [shared.fork(create) for _ in range(16)]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 16, shared.said()
    assert set(ids.read_text().split()) == {str(shared.study_id)}
    assert len(shared.storage.get_all_studies()) == 1
    shared.finish()
    assert shared.progress.complete == 4


def test_a_plain_script_and_workers_run_one_study_and_learn_from_each_other(
    make: Any, until: Callable[..., None], database_url: str
) -> None:
    shared = make(database_url).submit(sampler="tpe", trials=14, epochs=150)
    url = shared.storage.database.url.render_as_string(hide_password=False)

    def script() -> None:
        never = optuna.pruners.NopPruner()
        study = optuna.load_study(study_name="small", storage=url, pruner=never)
        seen = []
        study.optimize(
            objective(str(shared.path)), n_trials=4, callbacks=[lambda s, t: seen.append(t.number)]
        )
        theirs = [t for t in study.get_trials() if "worker" in t.user_attrs]
        study.set_user_attr("seen", {"mine": seen, "theirs": [t.number for t in theirs]})

    other = shared.fork(script)
    until(lambda: len(shared.trials()) > 1)
    worker = shared.worker()
    other.join(60)
    worker.join(60)
    assert (other.exitcode, worker.exitcode) == (0, 0), shared.said()
    progress = shared.progress
    assert (progress.running, progress.failed) == (0, 0)
    assert 14 <= progress.finished <= 14 + 4
    trials = shared.trials()
    ours = {t.number for t in trials if "worker" in t.user_attrs}
    seen = shared.storage.get_study_user_attrs(shared.study_id)["seen"]
    assert set(seen["mine"]) == {t.number for t in trials} - ours
    assert len(seen["mine"]) == 4
    assert seen["theirs"]  # the script has seen what the worker did
    assert len(ours) >= 10
    for trial in trials:
        assert trial.state == TrialState.COMPLETE
        assert trial.user_attrs["seed"] is not None
    # TPE proposes otherwise after another history: the same worker alone tries something else.
    alone = make(f"sqlite:///{shared.folder}/alone.db").submit(sampler="tpe", trials=14, epochs=30)
    alone.finish()
    late = max(ours)
    same = {t.number: t.params for t in alone.trials()}
    assert late not in same or same[late] != trials[late].params


@pytest.mark.parametrize("sampler", ["random", "grid", "qmc"])
def test_two_workers_find_what_one_finds(make: Any, sqlite_url: str, sampler: str) -> None:
    space = {"sampler": sampler, "trials": 8, "epochs": 2}
    if sampler == "grid":
        space["search"] = "duplicates = true"
    results = []
    for workers in (1, 2):
        shared = make(f"{sqlite_url}{workers}").write(**space)
        if sampler == "grid":
            text = shared.path.read_text().replace("low = 1e-3, high = 1e-1, log = true", GRID)
            shared.path.write_text(text.replace("off = 0.0, low = 0.05, high = 0.5", GRID_OFF))
        optimize(str(shared.path), RunOptions(shared.url, workers=workers, device="cpu"))
        assert {t.user_attrs["worker"] for t in shared.trials()} != set()
        results.append({(t.number, str(t.params), t.value) for t in shared.trials()})
    assert len(results[0]) == 8
    assert results[0] == results[1]


GRID = "choices = [0.001, 0.003, 0.01, 0.03, 0.1]"
GRID_OFF = "choices = [0.0, 0.2]"


def test_the_same_study_twice_gives_the_same_trials(make: Any, sqlite_url: str) -> None:
    results = []
    for i in range(2):
        shared = make(f"{sqlite_url}{i}").write(sampler="tpe", trials=15, epochs=10)
        shared.path.write_text(shared.path.read_text().replace('"none"', '"hyperband"'))
        optimize(str(shared.path), RunOptions(shared.url, workers=1, device="cpu"))
        trials = shared.trials()
        results.append([(t.state, t.params, t.value, t.intermediate_values) for t in trials])
    assert results[0] == results[1]
    assert len(results[0]) == 15


def test_at_most_two_connections_a_worker_and_no_password_anywhere(
    make: Any, until: Callable[..., None], postgres_url: str
) -> None:
    import subprocess

    secret = "pa55word"
    url = postgres_url.replace("tuner@", f"tuner:{secret}@")
    shared = make(url).submit(epochs=100_000, trials=3)
    before = connections(shared)
    run = shared.command(
        "optimize", "--study", "small", "--workers", "3", "--device", "cpu", TUNER_STORAGE=url
    )
    until(lambda: len(shared.tokens()) == 3, seconds=60)
    most = 0
    for _ in range(20):
        most = max(most, connections(shared) - before)
        until(lambda: True)
    assert most <= 2 * 3 + 2  # three workers, and the process that watches them
    listed = subprocess.run(
        ["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True
    )
    assert "optimize" in listed.stdout
    assert secret not in listed.stdout
    run.terminate()
    out, said = run.communicate(timeout=30)
    assert run.returncode == 130
    assert secret not in out + said
    for table in ("study_user_attributes", "trial_user_attributes", "tuner_workers"):
        with shared.storage.database.read() as connection:
            found = connection.exec_driver_sql(f"SELECT CAST(t.* AS text) FROM {table} t").all()
        assert secret not in str(found)
    kept = [path.read_text() for path in (shared.folder / "spool").rglob("*") if path.is_file()]
    assert secret not in "".join([*kept, *map(str, (shared.folder / "spool").rglob("*"))])


def connections(shared: Any) -> int:
    with shared.storage.database.read() as connection:
        return int(
            connection.exec_driver_sql(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            ).scalar_one()
        )
