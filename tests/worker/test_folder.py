"""The folder of an objective's checkpoint: files together or not at all, within a limit."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuner.errors import TrainingError
from tuner.worker.folder import PREFIX, Folder, Saved, read_saved

SAVED = Saved(step=7, token=2)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def folder(place: Path) -> Iterator[Folder]:
    made = Folder("trial-3")
    yield made
    made.remove()


def packed(folder: Folder, limit: int = 2**20) -> bytes:
    data = folder.pack(SAVED, limit, "keep less")
    assert data is not None
    return data


def test_files_of_any_kind_come_back(folder: Folder) -> None:
    (folder.path / "état.json").write_text("{}")
    (folder.path / "deep" / "er").mkdir(parents=True)
    (folder.path / "deep" / "er" / "weights.bin").write_bytes(os.urandom(1000))
    (folder.path / "none").mkdir()
    os.utime(folder.path / "état.json", (0, 0))  # before the first year that ZIP knows
    data = packed(folder)
    assert read_saved(data) == SAVED
    other = Folder("trial-3")
    other.unpack(data)
    names = sorted(path.relative_to(other.path) for path in other.path.rglob("*"))
    assert names == sorted(path.relative_to(folder.path) for path in folder.path.rglob("*"))
    for name in names:
        if (folder.path / name).is_file():
            assert (other.path / name).read_bytes() == (folder.path / name).read_bytes()
    other.remove()
    assert not other.path.exists()


def test_nothing_is_no_checkpoint(folder: Folder) -> None:
    assert folder.pack(SAVED, 100, "") is None


def test_what_is_too_large_is_refused_with_the_limit(folder: Folder) -> None:
    (folder.path / "one").write_bytes(b"x" * 600)
    (folder.path / "two").write_bytes(b"x" * 400)
    assert len(packed(folder, 1000)) > 1000
    (folder.path / "three").touch()
    (folder.path / "two").write_bytes(b"x" * 401)
    with pytest.raises(TrainingError, match=r"0\.0 MiB, and the limit is .*\n  keep less"):
        packed(folder, 1000)
    with pytest.raises(TrainingError, match=r"0\.0 MiB, and the limit is .*\n  keep less"):
        folder.check(1000, "keep less")


def test_the_folder_itself_stays(folder: Folder) -> None:
    folder.path.rmdir()
    with pytest.raises(TrainingError, match=r"the folder of tuner\.checkpoint was removed"):
        folder.pack(SAVED, 100, "")


def test_a_link_is_refused_wherever_it_points(folder: Folder) -> None:
    (folder.path / "deep").mkdir()
    (folder.path / "deep" / "link").symlink_to(folder.path)
    with pytest.raises(TrainingError, match="deep/link: is a symbolic link"):
        packed(folder)


def damaged(data: bytes) -> dict[str, bytes]:
    """Archives that are not read."""
    compressed, other = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(compressed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", b"0" * 10**6)
        archive.comment = b'{"format": 1, "step": 1, "token": 1}'
    with zipfile.ZipFile(other, "w") as archive:
        archive.comment = b'{"format": 2, "step": 1, "token": 1}'
    changed = data.replace(b"content", b"CONTENT", 1)
    return {
        "empty": b"",
        "text": b"no archive",
        "cut": data[:-30],
        "changed": changed,
        "compressed": compressed.getvalue(),
        "later": other.getvalue(),
        "plain": data.replace(b'"format"', b'"formal"'),
    }


@pytest.mark.parametrize("kind", sorted(damaged(b"")))
def test_damaged_bytes_are_refused(folder: Folder, kind: str) -> None:
    (folder.path / "a").write_bytes(b"content")
    with pytest.raises(TrainingError, match="these bytes are no checkpoint of an objective"):
        read_saved(damaged(packed(folder))[kind])


def test_an_archive_cannot_write_outside(folder: Folder, place: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../outside", b"x")
        archive.writestr("/outside", b"x")
    folder.unpack(buffer.getvalue())
    assert {path.name for path in place.iterdir()} == {folder.path.name}
    assert not Path("/outside").exists()


def test_folders_of_killed_processes_are_removed_and_no_others(place: Path, folder: Folder) -> None:
    code = (
        "import os, signal\n"
        "from tuner.worker.folder import Folder\n"
        "folder = Folder('trial-0')\n"
        "(folder.path / 'file').touch()\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "TMPDIR": str(place)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    [killed] = set(place.glob(f"{PREFIX}*")) - {folder.path}
    Folder("trial-1").remove()
    assert killed.exists()  # it may be that of a process that starts just now
    early = time.time() - 120
    for path in (killed, folder.path):
        os.utime(path, (early, early))
    Folder("trial-1").remove()
    assert not killed.exists()
    assert folder.path.exists()


def test_a_fork_does_not_remove_its_parent_s_folder(folder: Folder) -> None:
    child = os.fork()
    if not child:
        folder.remove()
        os._exit(0)
    os.waitpid(child, 0)
    assert folder.path.exists()
