"""The lock between processes: one at a time, and no file left."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from tuner.storage.filelock import file_lock


def _work(folder: Path) -> None:
    for _ in range(20):
        with file_lock(folder / "lock"):
            if not (folder / "done").exists():
                with (folder / "made").open("x"):
                    pass
                (folder / "done").touch()


def test_the_work_is_done_once_and_the_file_is_gone(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=_work, args=(tmp_path,)) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["done", "made"]


def test_it_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), file_lock(tmp_path / "lock"):
        raise ValueError("broken")
    with file_lock(tmp_path / "lock"):
        pass
    assert list(tmp_path.iterdir()) == []
