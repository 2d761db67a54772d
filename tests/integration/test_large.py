"""A network whose checkpoint is too large for a database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from tuner.run.prepare import submit
from tuner.storage.attached import checkpoint_ids


def test_a_killed_workers_trial_goes_on_from_a_file(
    make: Callable[..., Any], until: Callable[..., None], tmp_path: Path, database_url: str
) -> None:
    files = tmp_path / "files"
    shared = make(database_url)
    shared.environment["TUNER_ARTIFACTS"] = str(files)
    shared.write(epochs=60, trials=1)
    shared.path.write_text(shared.path.read_text().replace("width = 8", "width = 40_000"))
    submit(str(shared.path), shared.url)
    worker = shared.worker()
    until(lambda: named(shared))
    worker.kill()
    assert set(named(shared)) <= {path.name for path in files.iterdir()}
    before = len(shared.trials()[0].intermediate_values)
    shared.finish()
    (trial,) = shared.trials()
    assert trial.state == TrialState.COMPLETE
    assert "restarted" not in trial.user_attrs  # as it had if the file had not been read
    assert 0 < before < 60 == len(trial.intermediate_values)
    assert named(shared) == []


def named(shared: Any) -> list[str]:
    """The files that the database knows."""
    with shared.storage.database.read() as connection:
        return list(checkpoint_ids(connection))
