"""A database cannot make a worker import anything that its operator did not allow."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tuner.cli import app
from tuner.run.prepare import submit

PLANTED = """\
open("imported", "w").close()
from sklearn.datasets import load_iris
def load():
    return load_iris(return_X_y=True)
"""


def planted(make: Any, url: str) -> Any:
    """A study in a database whose data comes from a module in the workers' own folder."""
    shared = make(url, "planted")
    sys.modules.pop("planted_module", None)  # another test's
    (shared.folder / "planted_module.py").write_text(PLANTED)
    submit(str(shared.write(source="planted_module:load").path), url)
    (shared.folder / "imported").unlink(missing_ok=True)
    return shared


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUNER_ALLOW", raising=False)


def test_a_worker_refuses_a_planted_module_and_serves_the_other_studies(
    make: Any, sqlite_url: str
) -> None:
    shared, other = planted(make, sqlite_url), make(sqlite_url, "other").submit()
    worker = shared.warm("worker", "--idle-exit", "--device", "cpu")
    _, said = worker.communicate(timeout=60)
    assert worker.returncode == 1, said
    assert "cannot serve planted: planted_module:load: the module 'planted_module'" in said
    assert "not allowed here, and was not imported" in said
    assert "--allow planted_module" in said
    assert "Traceback" not in said
    assert not (shared.folder / "imported").exists()
    assert other.progress.complete == 4
    assert (shared.progress.state, len(shared.trials())) == ("open", 0)  # it is not spoilt


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_worker_that_was_allowed_the_module_serves_it(
    make: Any, sqlite_url: str, how: str
) -> None:
    shared = planted(make, sqlite_url)
    words = ["--allow", "planted_module"] if how == "option" else []
    variable = {} if how == "option" else {"TUNER_ALLOW": "json,planted_module"}
    worker = shared.warm("worker", "--idle-exit", "--device", "cpu", *words, **variable)
    _, said = worker.communicate(timeout=60)
    assert worker.returncode == 0, said
    assert shared.progress.complete == 4


def test_optimize_and_its_workers_may_use_the_folder_they_run_in(
    make: Any, sqlite_url: str
) -> None:
    shared = planted(make, sqlite_url)
    shared.path.unlink()  # from the database alone
    command = shared.warm("optimize", "--study", "planted", "--workers", "2", "--json")
    out, said = command.communicate(timeout=60)
    assert command.returncode == 0, said
    assert json.loads(out)["complete"] == 4
    command = shared.warm("retrain", "--study", "planted", "--trial", "0")
    assert "the same" in command.communicate(timeout=60)[0]


@pytest.mark.parametrize("command", ["optimize", "check", "submit"])
def test_a_library_has_to_be_allowed_even_by_a_person(
    make: Any, sqlite_url: str, command: str
) -> None:
    shared = make(sqlite_url, "library").write(source="sklearn.utils:shuffle")
    words = [command, "--study", str(shared.path)]
    assert "the module 'sklearn.utils' is not allowed here" in refused(shared, *words)
    words += ["--allow", "sklearn"]
    assert "sklearn.utils:shuffle: returned nothing" in refused(shared, *words)


def test_an_allowance_that_is_no_package_is_refused(make: Any, sqlite_url: str) -> None:
    shared = make(sqlite_url).submit()
    for command in (["worker", "--idle-exit"], ["optimize", "--study", "small"]):
        said = refused(shared, *command, "--allow", "os:system")
        assert "'os:system' is not the name of a package" in said


def refused(shared: Any, *words: str) -> str:
    """What a command, run in this process, says on stderr before it ends with 2."""
    found = CliRunner().invoke(app, list(words), env=shared.environment)
    assert found.exit_code == 2, found.output
    return found.stderr
