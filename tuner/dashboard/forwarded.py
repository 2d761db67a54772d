"""What a proxy in front says about a client; nobody else's word is taken."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

from tuner.dashboard.wsgi import Application, Environ
from tuner.errors import UsageError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_SAID = ("FORWARDED", *(f"X_FORWARDED_{name}" for name in ("FOR", "PROTO", "HOST", "PORT", "BY")))


def proxies(given: str) -> Network:
    """The address of a proxy, or the network that it is in.

    Raises:
        UsageError: it is a name, which no connection comes from, or every address there is.
    """
    try:
        found = ipaddress.ip_network(given, strict=False)
    except ValueError:
        what = f"{given!r} is no address"
    else:
        if found.prefixlen:
            return found
        what = "with every address trusted, everybody may say to be anybody"
    hint = "an address, as 10.0.0.2, or a network, as 10.244.0.0/16"
    raise UsageError(what, where="--trusted-proxy", hint=hint)


def parse(client: str) -> Address | None:
    """An address as proxies write it: in brackets, with a port, or IPv4 as one of IPv6."""
    text = client.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def believing(trusted: Network | None, application: Application) -> Application:
    """An application that sees the client and the scheme of which a trusted proxy tells.

    Of `X-Forwarded-For` the last address counts, which the proxy itself saw; what anybody else
    says is taken away, as what comes after reads it too.
    """

    def asked(environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        said = {name: str(environ.pop(f"HTTP_{name}", "")) for name in _SAID}
        peer = parse(str(environ.get("REMOTE_ADDR", "")))
        if trusted is not None and peer is not None and peer in trusted:
            client = said["X_FORWARDED_FOR"].rpartition(",")[2].strip()
            environ["REMOTE_ADDR"] = client or environ["REMOTE_ADDR"]
            scheme = said["X_FORWARDED_PROTO"].strip().lower()
            if scheme in ("http", "https"):
                environ["wsgi.url_scheme"] = scheme
        return application(environ, start)

    return asked
