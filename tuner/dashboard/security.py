"""Guards optuna-dashboard: host names, origins, password, read-only mode and headers."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import math
import re
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tuner.errors import UsageError

# Requests, refusals and answers of a WSGI application, which the parts of the guard share.


Environ = dict[str, Any]
Headers = list[tuple[str, str]]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

SAFE = ("GET", "HEAD")
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Refusal:
    """Why a request is refused, and the answer to the client."""

    status: HTTPStatus
    reason: str
    headers: tuple[tuple[str, str], ...] = ()


Check = Callable[[Environ], Refusal | None]


def path_of(environ: Environ) -> str:
    """The path of a request, with one slash at its beginning however many were sent."""
    return "/" + str(environ.get("PATH_INFO", "")).lstrip("/")


def answer(
    environ: Environ,
    start: Callable[..., Any],
    status: HTTPStatus,
    text: str,
    headers: Iterable[tuple[str, str]] = (("Content-Type", TEXT),),
) -> list[bytes]:
    """A whole answer; HEAD gets the headers alone."""
    body = text.encode()
    start(f"{status.value} {status.phrase}", [*headers, ("Content-Length", str(len(body)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def refuse(environ: Environ, start: Callable[..., Any], refusal: Refusal) -> list[bytes]:
    """The answer to a refused request."""
    headers = (("Content-Type", TEXT), *refusal.headers)
    return answer(environ, start, refusal.status, f"{refusal.reason}\n", headers)


# Headers of trusted proxies about the client; those of other clients are ignored.


Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_FORWARDED = (
    "FORWARDED",
    *(f"X_FORWARDED_{name}" for name in ("FOR", "PROTO", "HOST", "PORT", "BY")),
)


def parse_proxy(given: str) -> Network:
    """The address of a proxy, or the network that it is in.

    Raises:
        UsageError: it is a name, which no connection comes from, or covers every address.
    """
    try:
        trusted = ipaddress.ip_network(given, strict=False)
    except ValueError:
        message = f"{given!r} is not an address"
    else:
        if trusted.prefixlen:
            return trusted
        message = "if every address is trusted, any client can pose as another"
    hint = "give an address, such as 10.0.0.2, or a network, such as 10.244.0.0/16"
    raise UsageError(message, where="--trusted-proxy", hint=hint)


def parse_address(client: str) -> Address | None:
    """An address as proxies write it: in brackets, with a port, or IPv4 as one of IPv6."""
    text = client.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def with_proxy_headers(trusted: Network | None, application: Application) -> Application:
    """An application that sees the client and the scheme that a trusted proxy reports.

    Of `X-Forwarded-For` the last address counts, which the proxy itself saw. The headers of any
    other client are removed, because the application reads them too.

    waitress does the same for a proxy at one address, but not for a network; it takes all IPv4
    clients that a proxy writes as IPv6 for the same client, and refuses all requests to which
    several proxies have added a scheme.
    """

    def handle(environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        forwarded = {name: str(environ.pop(f"HTTP_{name}", "")) for name in _FORWARDED}
        peer = parse_address(str(environ.get("REMOTE_ADDR", "")))
        if trusted is not None and peer is not None and peer in trusted:
            client = forwarded["X_FORWARDED_FOR"].rpartition(",")[2].strip()
            environ["REMOTE_ADDR"] = client or environ["REMOTE_ADDR"]
            scheme = forwarded["X_FORWARDED_PROTO"].strip().lower()
            if scheme in ("http", "https"):
                environ["wsgi.url_scheme"] = scheme
        return application(environ, start)

    return handle


# Allowed host names, and the origins from which writes are accepted.


_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?", re.ASCII | re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}


def is_loopback(host: str) -> bool:
    """Whether an address, or every address of a name, can be reached from this machine alone."""
    try:
        addresses = {str(each[4][0]) for each in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    return all(ipaddress.ip_address(each.partition("%")[0]).is_loopback for each in addresses)


def names_of(host: str, allowed: Iterable[str]) -> frozenset[str]:
    """The names of a server that listens at `host`, in lower case."""
    own = {"localhost", host}
    if not is_loopback(host):
        own |= {socket.gethostname(), socket.getfqdn()}
    return frozenset(map(_normalized, (*own, *allowed)))


def require_names(given: Iterable[str]) -> None:
    """Raises UsageError for a name that no browser sends."""
    for name in given:
        if not _NAME.fullmatch(name) and not _is_address(name):
            message = f"{name!r} is not a host name"
            hint = (
                "give the name alone, such as dashboard.example.com: no scheme, no port, ASCII only"
            )
            raise UsageError(message, where="--allowed-host", hint=hint)


def host_check(names: frozenset[str]) -> Check:
    """Refuses requests for a name that is not this server's.

    A page whose own name was made to point here (DNS rebinding) could read the answers; its
    requests carry that name. A numeric address cannot be made to point elsewhere.
    """

    def check(environ: Environ) -> Refusal | None:
        host, _ = _name_and_port(f"//{environ.get('HTTP_HOST', '')}")
        if host is not None and (host in names or _is_address(host)):
            return None
        reason = "this server has another name; --allowed-host NAME allows this one"
        return Refusal(HTTPStatus.MISDIRECTED_REQUEST, reason)

    return check


def origin_check(proxied: Iterable[str]) -> Check:
    """Refuses writes that a page of another site sends with the reader's password.

    Every browser sends the origin of a write; a client without one is not a browser. A page is
    from here if it has the name and port of the request's Host. A proxy may send on another Host:
    then a page is from here too if it has the proxy's name and the scheme's own port.

    Args:
        proxied: names of a proxy in front of this server.
    """
    known = frozenset(map(_normalized, proxied))
    refusal = Refusal(HTTPStatus.FORBIDDEN, "this request comes from another site")

    def check(environ: Environ) -> Refusal | None:
        if environ["REQUEST_METHOD"] in SAFE:
            return None
        if environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("same-origin", "none"):
            return refusal
        origin = environ.get("HTTP_ORIGIN")
        return None if origin is None or _from_here(str(origin), environ, known) else refusal

    return check


def _from_here(origin: str, environ: Environ, known: frozenset[str]) -> bool:
    scheme = origin.partition("://")[0].lower()
    usual = _PORTS.get(scheme)
    # A proxy with TLS that is not trusted reports no scheme: then either is accepted.
    if usual is None or (environ.get("wsgi.url_scheme") == "https" and scheme != "https"):
        return False
    name, port = _name_and_port(origin)
    host, own = _name_and_port(f"//{environ.get('HTTP_HOST', '')}")
    if name is None or port == 0:
        return False
    if name == host:
        return (port or usual) == (own or usual)
    return name in known and port in (None, usual)


def read_only_check(environ: Environ) -> Refusal | None:
    """Refuses everything but GET and HEAD."""
    if environ["REQUEST_METHOD"] in SAFE:
        return None
    allow = (("Allow", ", ".join(SAFE)),)
    return Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "this dashboard is read-only", allow)


def _normalized(name: str) -> str:
    return name.lower().removesuffix(".")


def _name_and_port(url: str) -> tuple[str | None, int | None]:
    """Name and port of a URL; None for what it lacks, or if it is malformed."""
    try:
        parts = urlsplit(url)
        return (None if parts.hostname is None else _normalized(parts.hostname)), parts.port
    except ValueError:
        return None, None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


# The password: where it comes from, HTTP Basic, and a limit on wrong ones.
#
# HTTP Basic needs no page, no session and no key of its own, and Prometheus speaks it. Browsers
# send it unasked with every request; the Origin check is there because of that.


LETTERS = 8
"""The fewest of a password. One that is chosen at random withstands ``TRIES`` a minute; from many
addresses there may be more."""
TRIES, SECONDS = 10, 60.0
ADDRESSES = 10_000
NOWHERE = "nowhere"
"""The network of all clients without a valid address."""
_CHALLENGE = (("WWW-Authenticate", 'Basic realm="tuner", charset="UTF-8"'),)


def read_password(file: Path | None, given: str | None) -> str | None:
    """The password from a file or as it is; None if there is neither.

    Raises:
        UsageError: there are both, it cannot be read, or it is too short or blank.
    """
    if file is None:
        return None if not given else _long_enough(_checked_text(given), "TUNER_PASSWORD")
    if given:
        raise UsageError("give --password-file or TUNER_PASSWORD, not both")
    try:
        password = file.read_text(encoding="utf-8-sig").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(f"the password cannot be read: {why}", where=str(file)) from None
    return _long_enough(password, str(file))


def _checked_text(given: str) -> str:
    # Bytes of a variable that are not text are decoded to characters that cannot be encoded.
    try:
        given.encode()
    except UnicodeEncodeError:
        raise UsageError("it is not UTF-8", where="TUNER_PASSWORD") from None
    return given


def _long_enough(password: str, where: str) -> str:
    if len(password.strip()) < LETTERS:
        hint = "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
        message = f"a password needs at least {LETTERS} characters"
        raise UsageError(message, where=where, hint=hint)
    return password


class Limit:
    """Counts wrong passwords by client; after ``TRIES`` a minute no password is checked.

    Args:
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()

    def wait(self, client: str) -> float:
        """Seconds until another password of this client is checked; 0 if at once."""
        with self._lock:
            recent = self._recent(client)
            return recent[-TRIES] + SECONDS - self._clock() if len(recent) >= TRIES else 0.0

    def wrong(self, client: str) -> None:
        """Records a wrong password."""
        with self._lock:
            self._wrong[client] = [*self._recent(client), self._clock()]
            self._wrong.move_to_end(client)
            if len(self._wrong) > ADDRESSES:
                self._wrong.popitem(last=False)

    def _recent(self, client: str) -> list[float]:
        since = self._clock() - SECONDS
        return [moment for moment in self._wrong.get(client, ()) if moment > since]


def client_network(address: str) -> str:
    """The network that counts as one client: of IPv6 a client has 2**64 addresses."""
    parsed = parse_address(address)
    if parsed is None:
        return NOWHERE
    wide = ipaddress.ip_network((parsed, 64 if parsed.version == 6 else 32), strict=False)
    return str(wide)


class KnownUsers:
    """Users that gave the right password, each at an address; they have a limit of their own.

    So a client at the same address, such as a proxy's, that tries passwords does not lock them
    out, unless it guesses the user's name, which can be any.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: OrderedDict[str, None] = OrderedDict()

    def client(self, address: str, user: str) -> str:
        """The client that a wrong password counts against."""
        where = client_network(address)
        with self._lock:
            return _user(where, user) if _user(where, user) in self._users else where

    def add(self, address: str, user: str) -> None:
        """Records a user that gave the right password."""
        with self._lock:
            self._users[_user(client_network(address), user)] = None
            if len(self._users) > ADDRESSES:
                self._users.popitem(last=False)


class Login:
    """Refuses requests without the password; any user name will do."""

    def __init__(self, password: str, limit: Limit | None = None) -> None:
        self._digest = _digest(password)
        self._limit, self._known = limit or Limit(), KnownUsers()

    def __call__(self, environ: Environ) -> Refusal | None:
        given = environ.get("HTTP_AUTHORIZATION")
        if given is None:
            return Refusal(HTTPStatus.UNAUTHORIZED, "this dashboard needs a password", _CHALLENGE)
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
        return Refusal(HTTPStatus.UNAUTHORIZED, "wrong password", _CHALLENGE)


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
    # Of equal length whatever was sent, so that a comparison always takes the same time.
    return hashlib.sha256(password.encode()).digest()


# Headers that make browsers refuse foreign scripts, frames around the page, and guessed types.


PAGE = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'unsafe-eval'",  # plotly compiles what WebGL draws
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "media-src 'self' blob:",
        "worker-src 'self' blob:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
FILE = "default-src 'none'; sandbox; frame-ancestors 'none'"
SHOWN = ("/dashboard", "/static/", "/api/", "/favicon.ico", "/healthz", "/metrics")
"""Paths of the application itself; everything else is an upload."""
EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_REPLACED = {"content-security-policy", "access-control-allow-origin", "server"}


def protect(path: str, status: str, headers: Headers) -> Headers:
    """An answer's headers with those that protect its reader; uploads become downloads."""
    replaced = _REPLACED | {name.lower() for name in EVERYWHERE}
    others = [(name, value) for name, value in headers if name.lower() not in replaced]
    shown = path.startswith(SHOWN)
    if not shown and status.startswith("200") and not _has_header(others, "content-disposition"):
        others.append(("Content-Disposition", "attachment"))
    policy = ("Content-Security-Policy", PAGE if shown else FILE)
    return [*others, policy, *EVERYWHERE.items()]


def _has_header(headers: Headers, name: str) -> bool:
    return any(each.lower() == name for each, _ in headers)


# The guard around an application: checks in order, then the headers of its answers.


OPEN = ("/healthz",)
"""Paths without checks: a probe knows neither names nor passwords."""


def guarded(application: Application, checks: Sequence[Check]) -> Application:
    """An application that only sees requests that pass all checks."""

    def guard(environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        path = path_of(environ)

        def protected(status: str, headers: Headers, *error: Any) -> Any:
            return start(status, protect(path, status, headers), *error)

        if path not in OPEN:
            for check in checks:
                refusal = check(environ)
                if refusal is not None:
                    return refuse(environ, protected, refusal)
        return application(environ, protected)

    return guard
