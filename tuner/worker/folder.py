"""The folder of an objective's trial, whose files are saved together and are there again later.

What is saved is one archive, a ZIP file without compression, so that the files of a checkpoint are
stored, replaced and restored together. A comment in it says which report it belongs to.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import stat
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tuner.errors import TrainingError

# The archive.


FORMAT = 1
_UNKNOWN = "these bytes are no checkpoint of an objective"


class Saved(NamedTuple):
    """The report with which a folder was saved.

    Attributes:
        step: of the report.
        token: of the lease of the worker that saved it.
    """

    step: int
    token: int


def read_saved(data: bytes) -> Saved:
    """The report that an archive belongs to.

    Raises:
        TrainingError: it is no archive of this format, or its files are not whole.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            comment = json.loads(archive.comment)
            stored = {each.compress_type for each in archive.infolist()} <= {zipfile.ZIP_STORED}
            damaged = None if stored else "a compressed file"
            damaged = damaged or archive.testzip()
        if comment["format"] != FORMAT or damaged is not None:
            raise TrainingError(f"{_UNKNOWN}: {damaged or comment}")
        return Saved(int(comment["step"]), int(comment["token"]))
    except (zipfile.BadZipFile, EOFError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{_UNKNOWN}: {error}") from error


# The folder.


PREFIX = "tuner-checkpoint-"
SWEEP_SECONDS = 60.0
"""A folder that was made so long ago belongs to a process that holds its lock, or to none."""


class Folder:
    """A new folder for temporary files; it lasts until ``remove``, or the end of the process.

    Args:
        name: a part of its name, for people.
    """

    def __init__(self, name: str) -> None:
        _sweep()
        self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-"))
        self._process = os.getpid()
        self._lock = os.open(self.path, os.O_RDONLY)
        with suppress(OSError):  # a file system without locks, where nobody sweeps either
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def check(self, limit: int, hint: str) -> list[Path]:
        """What is in it, in order.

        Args:
            limit: the most bytes that the files may have together.
            hint: what to do where they have more.

        Raises:
            TrainingError: there are more, or something in it is neither a file nor a folder, or the
                objective removed it.
        """
        if not self.path.is_dir():
            what, advice = "the folder of tuner.checkpoint was removed", "remove only what is in it"
            raise TrainingError(what, where=str(self.path), hint=advice)
        entries = sorted(self._entries(self.path))
        size = sum(path.stat().st_size for path in entries if path.is_file())
        if size > limit:
            most = f"the limit is {limit / 2**20:.4g} MiB"
            what = f"the checkpoint has {size / 2**20:.1f} MiB, and {most}"
            raise TrainingError(what, where=str(self.path), hint=hint)
        return entries

    def pack(self, saved: Saved, limit: int, hint: str) -> bytes | None:
        """The archive of all its files, as ``check`` allows them; None if it has none."""
        entries = self.check(limit, hint)
        if not entries:
            return None
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", strict_timestamps=False) as archive:
            for path in entries:
                archive.write(path, path.relative_to(self.path))
            archive.comment = json.dumps({"format": FORMAT, **saved._asdict()}).encode()
        return buffer.getvalue()

    def _entries(self, folder: Path) -> Iterator[Path]:
        for entry in os.scandir(folder):
            mode = entry.stat(follow_symlinks=False).st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                kind = "a symbolic link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
                what = f"is {kind}, and another machine would not have it"
                hint = "write or copy the file itself into the folder of tuner.checkpoint"
                raise TrainingError(what, where=entry.path, hint=hint)
            yield Path(entry.path)
            if stat.S_ISDIR(mode):
                yield from self._entries(Path(entry.path))

    def unpack(self, data: bytes) -> None:
        """Puts the files of an archive, which ``read_saved`` has read, into the empty folder."""
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            archive.extractall(self.path)  # which leaves no file outside of it

    def remove(self) -> None:
        if self._process != os.getpid():  # this one was forked within the trial
            return
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):
            os.close(self._lock)


def _sweep() -> None:
    """Removes folders of processes that were killed, which hold no lock on them any more."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # another process holds it, removes it, or is another user's
            if path.stat().st_uid != os.getuid() or _age(path) < SWEEP_SECONDS:
                continue
            lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime
