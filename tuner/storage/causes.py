"""What a database's errors mean to people: what is wrong, and what to do."""

from __future__ import annotations

_OPTION = ("an option of its URL cannot be", "give another value, or leave it out")
_CAUSES = (
    ("database is locked", "is locked by another program", "end that program, then go on"),
    ("is full", "the disk is full", "free some space, then go on"),
    ("could not extend file", "the server's disk is full", "free some space, then go on"),
    ("No space left", "the disk is full", "free some space, then go on"),
    ("disk I/O error", "the disk cannot be read or written", "check the disk, then go on"),
    ("readonly", "cannot be written", "change its permissions, or move it"),
    ("unable to open", "cannot be opened", "check its path and permissions"),
    ("not a database", "is not a database", "give the path of another file"),
    ("connection option", *_OPTION),
    ("value: ", *_OPTION),
    ("startup parameter", *_OPTION),
    ("certificate file", *_OPTION),
    ("malformed", "is damaged", "restore a backup, or give another file"),
)
_REFUSALS = {  # by the server's code
    "42501": ("this user may not do that", "GRANT it, or give another user in the URL"),
    "22001": ("a name is longer than the database's column", "give a shorter one"),
    "25006": ("cannot be written", "a replica is only read; give the URL of the primary"),
}


def failure(cause: str) -> tuple[str, str] | None:
    """What is wrong and what to do, by the driver's words; None if the database is just away."""
    return next(((what, hint) for words, what, hint in _CAUSES if words in cause), None)


def refusal(error: BaseException | None) -> tuple[str, str] | None:
    """The same where a server knows its user but refuses what was asked; None if it did not."""
    return _REFUSALS.get(str(getattr(getattr(error, "orig", None), "sqlstate", "")))
