"""Names of a server, and which addresses only this machine reaches."""

from __future__ import annotations

import socket

import pytest

from tuner.dashboard.names import is_loopback, names_of
from tuner.dashboard.serve import Options, listen
from tuner.errors import UsageError


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "::1"])
def test_this_machine_alone(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "no-such-name.invalid", "", "a" * 64 + ".example"]
)
def test_others_may_come(host: str) -> None:
    assert not is_loopback(host)


def test_the_names_of_a_server() -> None:
    assert names_of("127.0.0.1", ["Proxy.example"]) == {"localhost", "127.0.0.1", "proxy.example"}
    assert socket.gethostname().lower() in names_of("0.0.0.0", [])
    assert names_of("::1", ["proxy.example."]) == {"localhost", "::1", "proxy.example"}


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example"])
def test_a_name_that_no_address_can_have_says_so(host: str) -> None:
    with pytest.raises(UsageError, match="cannot be listened at"):
        listen(host, 0)


@pytest.mark.parametrize(
    "name",
    ["https://a.example", "a.example:8080", "a.example/", "*.example", "", ".", "ä.example", "a b"],
)
def test_a_name_that_no_browser_sends(name: str) -> None:
    with pytest.raises(UsageError, match="--allowed-host"):
        Options(allowed_hosts=("fine.example", name))


def test_names_and_addresses_that_browsers_send() -> None:
    names = ("a.example.", "gpu_box", "xn--mller-kva.example", "10.0.0.1", "::1")
    assert Options(allowed_hosts=names).allowed_hosts == names
