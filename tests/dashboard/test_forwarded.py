"""Whose word on a client is taken, and how proxies write an address."""

from __future__ import annotations

from typing import Any

import pytest

from tuner.dashboard.forwarded import believing, parse, proxies
from tuner.errors import UsageError


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1:4711", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("[::ffff:10.0.0.1]:4711", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ('"[2001:db8::1]:4711"', "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("unknown", "None"),
        ("", "None"),
        ("[", "None"),
    ],
)
def test_an_address_as_it_is_written(written: str, address: str) -> None:
    assert str(parse(written)) == address


@pytest.mark.parametrize("given", ["proxy", "*", "", "10.0.0.1:80", "0.0.0.0/0", "::/0"])
def test_a_proxy_that_is_no_address(given: str) -> None:
    with pytest.raises(UsageError, match="--trusted-proxy"):
        proxies(given)


@pytest.mark.parametrize(
    ("trusted", "seen"),
    [
        (None, ("10.244.3.7", "http")),
        ("10.244.3.7", ("192.0.2.1", "https")),
        ("10.244.0.0/16", ("192.0.2.1", "https")),
        ("10.244.3.8", ("10.244.3.7", "http")),
        ("2001:db8::/32", ("10.244.3.7", "http")),
    ],
)
def test_only_a_trusted_proxy_is_believed(trusted: str | None, seen: tuple[str, str]) -> None:
    asked: list[dict[str, Any]] = []

    def application(environ: dict[str, Any], start: Any) -> list[bytes]:
        asked.append(environ)
        return []

    said = {"FOR": "1.2.3.4, 192.0.2.1", "PROTO": "HTTPS", "HOST": "evil.example"}
    environ = {f"HTTP_X_FORWARDED_{name}": value for name, value in said.items()}
    environ |= {"REMOTE_ADDR": "10.244.3.7", "wsgi.url_scheme": "http"}
    believing(None if trusted is None else proxies(trusted), application)(environ, print)
    (found,) = asked
    assert (found.pop("REMOTE_ADDR"), found.pop("wsgi.url_scheme")) == seen
    assert found == {}
