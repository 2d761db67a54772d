"""Passwords: kept out of everything that people or files get to see."""

from __future__ import annotations

import json
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
    # Quotes and brackets too, for the same reason: better none of a text's than some of a password.
    return re.sub(rf"([?&](?:{'|'.join(SECRETS)})=)[^&]*", r"\1***", shown, flags=re.I)


def remember(password: str | None) -> None:
    """From now on `hide` knows this one."""
    if password is not None and len(password) >= _SHORTEST:
        _known.update(_written(password))


def _written(password: str) -> set[str]:
    """As it is, and as it stands in a URL, in Python, and in JSON."""
    found = {repr(password)[1:-1], quote(password, safe="")}
    found |= {json.dumps(password, ensure_ascii=plain)[1:-1] for plain in (True, False)}
    return {password, *found}


def hide(text: str) -> str:
    """Any text without the passwords that this process knows, and those of URLs in it."""
    for name in _VARIABLES:
        remember(os.environ.get(name))
    for password in sorted(_known, key=len, reverse=True):
        text = text.replace(password, "***")
    return re.sub(r"\S+://\S+", lambda found: redact(found[0]), text)
