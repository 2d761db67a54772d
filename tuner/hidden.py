"""The default database, and removing passwords from everything printed, logged or stored."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterable
from urllib.parse import quote, unquote

DEFAULT_STORAGE = "sqlite:///tuner.db"
"""The database that is used if none is named."""
HIDDEN = "***"
_SECRET = r"(?:\w*(?:passwor[dt]|passwd|pwd|secret)|\w*(?:secret|access|account|api)_key|token|sas)"
"""Names of passwords and keys in a URL's query, or before a =."""
_VARIABLES = ("PGPASSWORD",)
_SHORTEST = 3  # shorter ones would turn up in words
_known: set[str] = set()

_URL = re.compile(r"([A-Za-z][\w+.-]*://)(.*)", re.S)
_IN_TEXT = re.compile(r"[A-Za-z][\w+.-]*://\S*?(?=[\])}>'\",.;:!]*(?:\s|$))")
_USER = re.compile(r"[\w.%+-]*")
_HOST = r"(?:\[[\w:.%]*\]|[\w.%-]*)(?::\d{0,5})?"
_PLACE = re.compile(rf"{_HOST}(?:,{_HOST})*(?:[/?].*)?", re.S)
_IN_QUERY = re.compile(rf"([?&;]{_SECRET}=)([^&]*)", re.I)
_PAIR = re.compile(rf"(\b{_SECRET}\s*=\s*)(?:'[^']*'|\"[^\"]*\"|[^\s;&,)]+)", re.I)
_ODD = re.compile(
    r"@|//.*:|\w\w:/|;.*=|\b(?:jdbc|postgres\w*|mysql|mariadb|sqlserver|mongodb|redis)\b.*[:=]"
    rf"|{_SECRET}\W*[:=]",
    re.I | re.S,
)


def redact(url: str) -> str:
    """The URL with every password replaced by `***`, safe to print and to log.

    A text that is no URL becomes `***`: a password could be anywhere in it.
    """
    match = _URL.fullmatch(url)
    if match is None:
        return HIDDEN
    scheme, rest = match.groups()
    if scheme.startswith(("sqlite", "file")) and rest.startswith("/"):
        return url  # a path
    # Quotes and brackets too: hiding too much is better than showing part of a password.
    rest = _IN_QUERY.sub(rf"\1{HIDDEN}", rest)
    # Up to the last @: a password that was not escaped may hold any character.
    user, at, place = rest.rpartition("@")
    if "/" in user and ":" not in user:
        user, at, place = "", "", rest  # an @ in a path
    if not _PLACE.fullmatch(place):
        place = HIDDEN
    return f"{scheme}{_redact_user(user)}{at}{place}"


def storage_option(url: str) -> str:
    """What a command to go on with needs to find a database: ``--storage URL``, without a password.

    Args:
        url: empty where the command finds it by itself.
    """
    return f"--storage {shlex.quote(redact(url))}" if url else ""


def _redact_user(user: str) -> str:
    name, colon, _ = user.partition(":")
    shown = name if _USER.fullmatch(name) else HIDDEN
    return f"{shown}:{HIDDEN}" if colon else shown


def remember_secret(password: str | None) -> None:
    """Makes `hide` remove this password from now on."""
    if password is not None and len(password) >= _SHORTEST:
        _known.update(_spellings(password))


def remember_url(url: str) -> None:
    """Makes `hide` remove the passwords of a URL from now on."""
    match = _URL.fullmatch(url)
    if match is not None:
        user = match[2].rpartition("@")[0]
        values = [value for _, value in _IN_QUERY.findall(match[2])]
        for password in (user.partition(":")[2], *values):
            remember_secret(password)
            remember_secret(unquote(password))


def remember_odd(words: Iterable[str]) -> None:
    """Makes `hide` remove those of these words that may hold a password but are no URL.

    Args:
        words: as of a command line, or values of variables.
    """
    for word in words:
        value = word.partition("=")[2] if word.startswith("--") else word
        is_url = _URL.fullmatch(value) is not None and not re.search(r"\s", value)
        if not is_url and _ODD.search(value):
            remember_secret(value)


def _spellings(password: str) -> set[str]:
    """A password as it is, and as it is written in a URL, in Python and in JSON."""
    escaped = {repr(password)[1:-1], quote(password, safe="")}
    escaped |= {json.dumps(password, ensure_ascii=plain)[1:-1] for plain in (True, False)}
    return {password, *escaped}


def hide(text: str) -> str:
    """A text without the passwords that this process knows and those of URLs in the text."""
    for name in _VARIABLES:
        remember_secret(os.environ.get(name))
    for password in sorted(_known, key=len, reverse=True):
        text = text.replace(password, HIDDEN)
    text = _IN_TEXT.sub(lambda match: redact(match[0]), text)
    return _PAIR.sub(rf"\1{HIDDEN}", text)
