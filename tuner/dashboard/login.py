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

from tuner.dashboard.forwarded import parse
from tuner.dashboard.wsgi import Environ, Refusal
from tuner.errors import UsageError

LETTERS = 8
"""The fewest that a password may have: at ``TRIES`` a minute and address it then lasts, if it is
chosen at random: whoever has many addresses tries more."""
TRIES, SECONDS = 10, 60.0
ADDRESSES = 10_000
NOWHERE = "nowhere"
"""Where all clients are whose address is none."""
_CHALLENGE = (("WWW-Authenticate", 'Basic realm="tuner", charset="UTF-8"'),)


def read_password(file: Path | None, given: str | None) -> str | None:
    """The password from a file or as it is; None if there is neither.

    Raises:
        UsageError: there are both, it cannot be read, or it is too short or blank.
    """
    if file is None:
        return None if not given else _long_enough(_text(given), "TUNER_PASSWORD")
    if given:
        raise UsageError("give --password-file or TUNER_PASSWORD, not both")
    try:
        found = file.read_text(encoding="utf-8-sig").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(f"the password cannot be read: {why}", where=str(file)) from None
    return _long_enough(found, str(file))


def _text(given: str) -> str:
    # Bytes that are no text stand in a variable as what cannot be encoded.
    try:
        given.encode()
    except UnicodeEncodeError:
        raise UsageError("it is not UTF-8", where="TUNER_PASSWORD") from None
    return given


def _long_enough(password: str, where: str) -> str:
    if len(password.strip()) < LETTERS:
        hint = "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
        what = f"a password has at least {LETTERS} letters"
        raise UsageError(what, where=where, hint=hint)
    return password


class Limit:
    """Counts wrong passwords by client: so many a minute, then none is looked at.

    Args:
        clock: seconds that only go up.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()

    def wait(self, client: str) -> float:
        """Seconds until another password of this client is looked at; 0 if at once."""
        with self._lock:
            recent = self._recent(client)
            return recent[-TRIES] + SECONDS - self._clock() if len(recent) >= TRIES else 0.0

    def wrong(self, client: str) -> None:
        """One was wrong."""
        with self._lock:
            self._wrong[client] = [*self._recent(client), self._clock()]
            self._wrong.move_to_end(client)
            if len(self._wrong) > ADDRESSES:
                self._wrong.popitem(last=False)

    def _recent(self, client: str) -> list[float]:
        since = self._clock() - SECONDS
        return [moment for moment in self._wrong.get(client, ()) if moment > since]


def network(address: str) -> str:
    """An address as one client: of IPv6 a client has 2**64."""
    found = parse(address)
    if found is None:
        return NOWHERE
    wide = ipaddress.ip_network((found, 64 if found.version == 6 else 32), strict=False)
    return str(wide)


class Known:
    """Users that had the password, each at an address; they have a limit of their own.

    Who shares their address, such as a proxy's, and tries passwords does not lock them out: they
    would have to know the user's name, of which any does.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: OrderedDict[str, None] = OrderedDict()

    def client(self, address: str, user: str) -> str:
        """Whose wrong passwords are counted together."""
        where = network(address)
        with self._lock:
            return _user(where, user) if _user(where, user) in self._users else where

    def add(self, address: str, user: str) -> None:
        """This one had the password."""
        with self._lock:
            self._users[_user(network(address), user)] = None
            if len(self._users) > ADDRESSES:
                self._users.popitem(last=False)


class Login:
    """Refuses requests without the password; any user name does."""

    def __init__(self, password: str, limit: Limit | None = None) -> None:
        self._digest = _digest(password)
        self._limit, self._known = limit or Limit(), Known()

    def __call__(self, environ: Environ) -> Refusal | None:
        given = environ.get("HTTP_AUTHORIZATION")
        if given is None:
            return Refusal(HTTPStatus.UNAUTHORIZED, "this dashboard wants a password", _CHALLENGE)
        address, (user, password) = str(environ.get("REMOTE_ADDR", "")), credentials(given)
        client = self._known.client(address, user)
        wait = self._limit.wait(client)
        if wait > 0:
            after = (("Retry-After", str(math.ceil(wait))),)
            return Refusal(HTTPStatus.TOO_MANY_REQUESTS, "too many wrong passwords", after)
        if hmac.compare_digest(_digest(password), self._digest):
            self._known.add(address, user)
            return None
        self._limit.wrong(client)
        return Refusal(HTTPStatus.UNAUTHORIZED, "this is not the password", _CHALLENGE)


def credentials(header: str) -> tuple[str, str]:
    """User and password of an Authorization header; empty, which no password is, if it has none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return "", ""
    user, _, password = text.partition(":")
    return user, password


def _user(where: str, user: str) -> str:
    return f"{where} {_digest(user).hex()}"


def _digest(password: str) -> bytes:
    # Of equal length whatever was sent, so that comparing takes the same time.
    return hashlib.sha256(password.encode()).digest()
