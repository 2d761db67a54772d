"""The spool: results on disk, whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from tuner.errors import StorageError
from tuner.storage import Lease, Update
from tuner.storage.frozen import blank
from tuner.storage.spool import Spool


@pytest.fixture
def update() -> Update:
    lease = Lease(1, 7, 6, "me", 2, blank(6, 7))
    nan = float("nan")
    return Update(lease, reports={1: 0.5, 2: nan}, state=TrialState.COMPLETE, value=0.5, age=3.0)


def test_what_is_kept_is_loaded_and_what_is_told_is_gone(tmp_path: Path, update: Update) -> None:
    spool = Spool(tmp_path, "sqlite:///a.db")
    spool.keep([update, replace(update, lease=replace(update.lease, trial_id=8), state=None)])
    (loaded,) = spool.load()
    assert (loaded.lease.trial_id, loaded.lease.token, loaded.value) == (7, 2, 0.5)
    assert loaded.reports[1] == 0.5
    assert loaded.age >= 3.0
    assert list(Spool(tmp_path, "sqlite:///b.db").load()) == []
    spool.remove(update.lease)
    assert list(spool.load()) == []


def test_a_damaged_file_is_set_aside(tmp_path: Path, update: Update) -> None:
    spool = Spool(tmp_path, "sqlite:///a.db")
    spool.save(update)
    (path,) = tmp_path.rglob("*.json")
    path.write_text(path.read_text()[:40])
    assert list(spool.load()) == []
    assert [each.suffix for each in path.parent.iterdir()] == [".damaged"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, update: Update) -> None:
    spool = Spool(tmp_path, "sqlite:///a.db")
    (folder,) = tmp_path.iterdir()
    folder.rmdir()
    with pytest.raises(StorageError, match="a result that waits to be told cannot be kept") as e:
        spool.save(update)
    assert str(folder) in str(e.value)
    assert "TUNER_SPOOL" in str(e.value)


def test_parameters_and_artifacts_come_back_as_they_were(tmp_path: Path, update: Update) -> None:
    spool = Spool(tmp_path, "sqlite:///a.db")
    drawn = {"x": (0.5, FloatDistribution(0.0, 1.0)), "k": (1.0, CategoricalDistribution("ab"))}
    spool.save(replace(update, params=drawn, artifacts={"a-1": bytes(range(256))}))
    (loaded,) = spool.load()
    assert loaded.artifacts == {"a-1": bytes(range(256))}
    assert loaded.params == drawn
