"""Passwords: kept out of everything that people or files get to see."""

from __future__ import annotations

import os
import re
from urllib.parse import quote

SECRETS = ("password", "passwd", "sslpassword")
"""Names of passwords in a URL's query."""
_VARIABLES = ("PGPASSWORD",)
_SHORTEST = 3  # shorter ones would turn up in words
_known: set[str] = set()


def redact(url: str) -> str:
    """The URL with every password replaced by `***`, safe to print and to log."""
    # Up to the last @: a password that was not escaped may hold any character.
    shown = re.sub(r"(://[^:/@]*):.*@", r"\1:***@", url)
    return re.sub(rf"([?&](?:{'|'.join(SECRETS)})=)[^&]*", r"\1***", shown, flags=re.I)


def remember(password: str | None) -> None:
    """From now on `hide` knows this one."""
    if password is not None and len(password) >= _SHORTEST:
        _known.update((password, quote(password, safe="")))


def hide(text: str) -> str:
    """Any text without the passwords that this process knows, and those of URLs in it."""
    for name in _VARIABLES:
        remember(os.environ.get(name))
    for password in sorted(_known, key=len, reverse=True):
        text = text.replace(password, "***")
    return re.sub(r"\S+://\S+", lambda found: redact(found[0]), text)
