"""Under which names the dashboard answers, and from which pages it takes writes."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import urlsplit

from tuner.dashboard.wsgi import SAFE, Check, Environ, Refusal
from tuner.errors import UsageError

_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?", re.ASCII | re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}


def is_loopback(host: str) -> bool:
    """Whether an address, or every address of a name, is of this machine alone."""
    try:
        found = {str(each[4][0]) for each in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    return all(ipaddress.ip_address(each.partition("%")[0]).is_loopback for each in found)


def names_of(host: str, allowed: Iterable[str]) -> frozenset[str]:
    """The names of a server that listens at `host`, in lower case."""
    own = {"localhost", host}
    if not is_loopback(host):
        own |= {socket.gethostname(), socket.getfqdn()}
    return frozenset(map(_plain, (*own, *allowed)))


def require_names(given: Iterable[str]) -> None:
    """UsageError for a name that no browser sends."""
    for name in given:
        if not _NAME.fullmatch(name) and not _is_address(name):
            what = f"{name!r} is no host's name"
            hint = "the name alone, as dashboard.example.com: no scheme, no port, letters of ASCII"
            raise UsageError(what, where="--allowed-host", hint=hint)


def host_check(names: frozenset[str]) -> Check:
    """Refuses requests for a name that is not ours.

    A page whose own name was made to point here (DNS rebinding) may read what it gets; its
    requests carry that name. One made of digits cannot be made to point anywhere.
    """

    def check(environ: Environ) -> Refusal | None:
        host, _ = _place(f"//{environ.get('HTTP_HOST', '')}")
        if host is not None and (host in names or _is_address(host)):
            return None
        reason = "this server has another name; --allowed-host NAME makes it answer to this one"
        return Refusal(HTTPStatus.MISDIRECTED_REQUEST, reason)

    return check


def origin_check(proxied: Iterable[str]) -> Check:
    """Refuses writes that a page from elsewhere sends with the reader's password.

    Every browser says where a write comes from; what says nothing is not a browser. A page is
    from here if it has the name and port of the request's Host. Where a proxy sends on another
    Host, what is trusted is what answers under the proxy's name at the scheme's own port.

    Args:
        proxied: names under which a proxy in front of this server is known.
    """
    known = frozenset(map(_plain, proxied))
    refusal = Refusal(HTTPStatus.FORBIDDEN, "this was sent by a page from elsewhere")

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
    # A proxy with TLS that is not trusted tells of no scheme: then either is taken.
    if usual is None or (environ.get("wsgi.url_scheme") == "https" and scheme != "https"):
        return False
    name, port = _place(origin)
    host, own = _place(f"//{environ.get('HTTP_HOST', '')}")
    if name is None or port == 0:
        return False
    if name == host:
        return (port or usual) == (own or usual)
    return name in known and port in (None, usual)


def read_only_check(environ: Environ) -> Refusal | None:
    """Lets through nothing but GET and HEAD."""
    if environ["REQUEST_METHOD"] in SAFE:
        return None
    allow = (("Allow", ", ".join(SAFE)),)
    return Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "this dashboard is read-only", allow)


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")


def _place(url: str) -> tuple[str | None, int | None]:
    """Name and port; no name if it is no address of the web."""
    try:
        parts = urlsplit(url)
        return (None if parts.hostname is None else _plain(parts.hostname)), parts.port
    except ValueError:
        return None, None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
