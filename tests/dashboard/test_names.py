"""Names of a server, and which addresses only this machine reaches."""

from __future__ import annotations

import socket

import pytest

from tuner.dashboard.names import is_loopback, names_of


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "::1"])
def test_this_machine_alone(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "no-such-name.invalid", ""])
def test_others_may_come(host: str) -> None:
    assert not is_loopback(host)


def test_the_names_of_a_server() -> None:
    assert names_of("127.0.0.1", ["Proxy.example"]) == {"localhost", "127.0.0.1", "proxy.example"}
    assert socket.gethostname().lower() in names_of("0.0.0.0", [])
