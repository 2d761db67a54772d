from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import pytest

from tuner.output import replacing, write


def _half(file: Path) -> None:
    with replacing(file) as part:
        part.write_text("half")
        raise KeyError


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "report.md"
    write(file, "before\r\n")
    with pytest.raises(KeyError):
        _half(file)
    assert file.read_bytes() == b"before\r\n"
    assert list(tmp_path.iterdir()) == [file]
    write(file, "é\n")
    assert file.read_bytes() == "é\n".encode()
    assert list(tmp_path.iterdir()) == [file]


def test_a_name_as_long_as_a_file_system_takes(tmp_path: Path) -> None:
    file = tmp_path / ("n" * 255)
    write(file, "text")
    assert file.read_text() == "text"


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", list[str]()
    os.mkfifo(pipe)
    reader = Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write(pipe, "through")
    reader.join()
    assert read == ["through"]
    assert pipe.is_fifo()


def test_why_it_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        write(tmp_path / "file" / "below", "text")
