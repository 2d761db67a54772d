"""Under which names the dashboard answers, and from which pages it takes writes."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import urlsplit

from tuner.dashboard.wsgi import SAFE, Check, Environ, Refusal


def is_loopback(host: str) -> bool:
    """Whether an address, or every address of a name, is of this machine alone."""
    try:
        found = {str(each[4][0]) for each in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(each.partition("%")[0]).is_loopback for each in found)


def names_of(host: str, allowed: Iterable[str]) -> frozenset[str]:
    """The names of a server that listens at `host`, in lower case."""
    own = {"localhost", host}
    if not is_loopback(host):
        own |= {socket.gethostname(), socket.getfqdn()}
    return frozenset(name.lower() for name in (*own, *allowed))


def host_check(names: frozenset[str]) -> Check:
    """Refuses requests for a name that is not ours.

    A page whose own name was made to point here (DNS rebinding) may read what it gets; its
    requests carry that name. One made of digits cannot be made to point anywhere.
    """

    def check(environ: Environ) -> Refusal | None:
        host = _hostname(f"//{environ.get('HTTP_HOST', '')}")
        if host is not None and (host in names or _is_address(host)):
            return None
        reason = "this server has another name; --allowed-host NAME makes it answer to this one"
        return Refusal(HTTPStatus.MISDIRECTED_REQUEST, reason)

    return check


def origin_check(proxied: Iterable[str]) -> Check:
    """Refuses writes that a page from elsewhere sends with the reader's password.

    Every browser says where a write comes from; what says nothing is not a browser.

    Args:
        proxied: names under which a proxy in front of this server is known.
    """
    known = frozenset(name.lower() for name in proxied)
    refusal = Refusal(HTTPStatus.FORBIDDEN, "this was sent by a page from elsewhere")

    def check(environ: Environ) -> Refusal | None:
        if environ["REQUEST_METHOD"] in SAFE:
            return None
        if environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("same-origin", "none"):
            return refusal
        origin = environ.get("HTTP_ORIGIN")
        if origin is None or _hostname(origin) in known:
            return None
        same = origin.partition("://")[2].lower() == str(environ.get("HTTP_HOST", "")).lower()
        return None if same else refusal

    return check


def read_only_check(environ: Environ) -> Refusal | None:
    """Lets through nothing but GET and HEAD."""
    if environ["REQUEST_METHOD"] in SAFE:
        return None
    allow = (("Allow", ", ".join(SAFE)),)
    return Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "this dashboard is read-only", allow)


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
