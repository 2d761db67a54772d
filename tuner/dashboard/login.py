"""The password: where it comes from, HTTP Basic, and a limit on wrong ones.

HTTP Basic needs no page, no session and no key of its own, and Prometheus speaks it; that a
browser sends it along by itself is what the Origin check is for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from tuner.dashboard.wsgi import Environ, Refusal
from tuner.errors import UsageError

LETTERS = 8
"""The fewest that a password may have: at ``TRIES`` a minute it then lasts."""
TRIES, SECONDS = 10, 60.0
ADDRESSES = 10_000
_CHALLENGE = (("WWW-Authenticate", 'Basic realm="tuner", charset="UTF-8"'),)


def read_password(file: Path | None, given: str | None) -> str | None:
    """The password from a file or as it is; None if there is neither.

    Raises:
        UsageError: there are both, the file cannot be read, or it is too short.
    """
    if file is None:
        return None if not given else _long_enough(given, "TUNER_PASSWORD")
    if given:
        raise UsageError("give --password-file or TUNER_PASSWORD, not both")
    try:
        found = file.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(f"the password cannot be read: {why}", where=str(file)) from None
    return _long_enough(found, str(file))


def _long_enough(password: str, where: str) -> str:
    if len(password) < LETTERS:
        hint = "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
        what = f"a password has at least {LETTERS} letters"
        raise UsageError(what, where=where, hint=hint)
    return password


class Limit:
    """Counts wrong passwords by address: so many a minute, then none is looked at.

    Args:
        clock: seconds that only go up.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until another password of this address is looked at; 0 if at once."""
        with self._lock:
            recent = self._recent(network(address))
            return recent[-TRIES] + SECONDS - self._clock() if len(recent) >= TRIES else 0.0

    def wrong(self, address: str) -> None:
        """One was wrong."""
        of = network(address)
        with self._lock:
            self._wrong[of] = [*self._recent(of), self._clock()]
            self._wrong.move_to_end(of)
            if len(self._wrong) > ADDRESSES:
                self._wrong.popitem(last=False)

    def _recent(self, of: str) -> list[float]:
        since = self._clock() - SECONDS
        return [moment for moment in self._wrong.get(of, ()) if moment > since]


def network(address: str) -> str:
    """An address as one client: of IPv6 a client has 2**64."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    wide = ipaddress.ip_network((found, 64 if found.version == 6 else 32), strict=False)
    return str(wide)


class Login:
    """Refuses requests without the password; any user name does."""

    def __init__(self, password: str, limit: Limit | None = None) -> None:
        self._digest = _digest(password)
        self._limit = limit or Limit()

    def __call__(self, environ: Environ) -> Refusal | None:
        given = environ.get("HTTP_AUTHORIZATION")
        if given is None:
            return Refusal(HTTPStatus.UNAUTHORIZED, "this dashboard wants a password", _CHALLENGE)
        address = str(environ.get("REMOTE_ADDR", ""))
        wait = self._limit.wait(address)
        if wait > 0:
            after = (("Retry-After", str(math.ceil(wait))),)
            return Refusal(HTTPStatus.TOO_MANY_REQUESTS, "too many wrong passwords", after)
        if hmac.compare_digest(_digest(password_in(given)), self._digest):
            return None
        self._limit.wrong(address)
        return Refusal(HTTPStatus.UNAUTHORIZED, "this is not the password", _CHALLENGE)


def password_in(header: str) -> str:
    """The password of an Authorization header; empty, which no password is, if it has none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
    return text.partition(":")[2]


def _digest(password: str) -> bytes:
    # Of equal length whatever was sent, so that comparing takes the same time.
    return hashlib.sha256(password.encode()).digest()
