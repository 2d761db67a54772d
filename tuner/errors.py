"""One tree of errors: each says what is wrong, where, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from tuner.hidden import hide

USAGE, FAILED, TERMINATED = 2, 1, 143


class TunerError(Exception):
    """What went wrong, where, and what to do; the command line prints it without a traceback.

    Passwords are taken out of all three.

    Args:
        message: one sentence without a final full stop.
        where: the file, dotted path or URL it is about.
        hint: what to do next.
    """

    exit_code = FAILED

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(hide(message))
        self.message = hide(message)
        self.where = hide(where)
        self.hint = hide(hint)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        hint = f"\n  {self.hint}" if self.hint else ""
        return f"{place}{self.message}{hint}"


class UsageError(TunerError):
    """An argument or an option is wrong."""

    exit_code = USAGE


class StudyFileError(UsageError):
    """A study file, or a study built in Python, has a mistake."""


class DataError(UsageError):
    """The data does not exist, cannot be read, or does not fit the task."""


class ReaderError(DataError):
    """A process that reads rows ended, for which the rows may not be to blame."""


class StorageError(UsageError):
    """The database cannot be reached, read or written, or holds something else."""


class MissingError(TunerError, KeyError):
    """The requested record is not in the database, or was deleted meanwhile.

    Also a KeyError, which Optuna expects of a storage.
    """


class TrainingError(TunerError):
    """A trial cannot be trained."""


class LostDeviceError(TunerError):
    """A GPU does nothing any more in this process."""


class TerminatedError(TunerError):
    """SIGTERM stopped the work early; the exit code is that of a process that SIGTERM kills."""

    exit_code = TERMINATED


class LeaseLostError(TunerError):
    """Another worker holds the trial now; this worker's unwritten results are dropped."""


def check_platform(platform: str) -> None:
    """Raises UsageError on Windows: tuner forks, maps memory and is stopped by signals, as Linux
    and macOS allow.

    Args:
        platform: as ``sys.platform`` calls it.
    """
    if platform == "win32":
        raise UsageError(
            "tuner runs on Linux and macOS, not on Windows",
            hint="run it in WSL (Windows Subsystem for Linux): wsl --install",
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known name and lists all of them."""
    names = sorted(str(k) for k in known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}known: {', '.join(names)}"
