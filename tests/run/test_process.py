"""Settings of a worker's process."""

from __future__ import annotations

import os
from multiprocessing import Pipe
from pathlib import Path

import pytest

from tuner.errors import LostDeviceError, UsageError
from tuner.run.process import (
    LOST_DEVICE,
    lease_seconds,
    new_holder,
    reporting_errors,
    spool_folder,
)


def test_a_lease_lasts_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNER_LEASE", raising=False)
    assert lease_seconds() == 30.0
    monkeypatch.setenv("TUNER_LEASE", "2.5")
    assert lease_seconds() == 2.5


@pytest.mark.parametrize("text", ["0", "-1", "soon", "nan", "inf", ""])
def test_a_lease_that_cannot_be(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TUNER_LEASE", text)
    with pytest.raises(UsageError, match=r"TUNER_LEASE: .* is not a time"):
        lease_seconds()


def test_the_spool_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TUNER_SPOOL", raising=False)
    assert spool_folder() == tmp_path / "tuner" / "spool"
    monkeypatch.setenv("TUNER_SPOOL", str(tmp_path / "here"))
    assert spool_folder() == tmp_path / "here"
    assert spool_folder().is_dir()


def test_a_spool_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TUNER_SPOOL", str(tmp_path / "file" / "spool"))
    with pytest.raises(UsageError, match="cannot be made"):
        spool_folder()


def test_no_two_holders_have_one_name() -> None:
    assert new_holder() != new_holder()


def test_a_process_that_lost_its_device_ends_at_once() -> None:
    """Python's own end frees tensors, at which CUDA aborts: the parent would count a death."""
    ours, theirs = Pipe()
    child = os.fork()
    if child == 0:
        try:
            with reporting_errors(theirs):
                raise LostDeviceError("nothing works on it any more")
        finally:
            os.abort()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == LOST_DEVICE
    ours.close()
    theirs.close()
