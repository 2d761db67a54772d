"""Passwords: where they come from, how they arrive, and how often they may be wrong."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tuner.dashboard.login import (
    ADDRESSES,
    Known,
    Limit,
    Login,
    credentials,
    network,
    read_password,
)
from tuner.errors import UsageError


def test_a_password_is_read_without_the_end_of_its_line(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("correct horse\n", encoding="utf-8")
    assert read_password(file, None) == "correct horse"
    file.write_bytes("\ufeffcorrect horse\r\n".encode())  # as an editor of Windows writes it
    assert read_password(file, None) == "correct horse"
    assert read_password(None, " kept as it is ") == " kept as it is "
    assert read_password(None, None) is None
    assert read_password(None, "") is None


@pytest.mark.parametrize(
    ("content", "given", "words"),
    [
        (b"", None, "at least 8"),
        (b"seven77\n", None, "at least 8"),
        (None, "seven77", "TUNER_PASSWORD: a password has at least 8"),
        (b"\xff" * 9, None, "it is not UTF-8"),
        (None, "\udcff" * 9, "TUNER_PASSWORD: it is not UTF-8"),
        (b" " * 9, None, "at least 8"),
        (None, "\t seven77 ", "at least 8"),
        (b"correct horse", "correct horse", "not both"),
    ],
)
def test_a_password_that_cannot_be_says_why(
    tmp_path: Path, content: bytes | None, given: str | None, words: str
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=words) as raised:
        read_password(None if content is None else file, given)
    assert "seven77" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_password(tmp_path / "absent", None)


def test_only_so_many_wrong_ones_a_minute() -> None:
    now = [0.0]
    limit = Limit(lambda: now[0])
    for _ in range(10):
        assert limit.wait("10.0.0.1") == 0
        limit.wrong("10.0.0.1")
        now[0] += 1
    assert limit.wait("10.0.0.1") == 50  # the first is a minute old by then
    assert limit.wait("10.0.0.2") == 0
    now[0] += 50
    assert limit.wait("10.0.0.1") == 0


def test_the_limit_keeps_no_more_than_so_many_addresses() -> None:
    limit = Limit(lambda: 0.0)
    for i in range(ADDRESSES + 10):
        limit.wrong(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}")
    assert len(limit._wrong) == ADDRESSES


def test_a_client_of_ipv6_is_its_network() -> None:
    assert network("2001:db8::1") == network("2001:db8::ffff:2%eth0")
    assert network("2001:db8::1") != network("2001:db8:0:1::1")
    assert network("10.0.0.1") != network("10.0.0.2")
    assert network("[2001:db8::1]:4711") == network("[2001:db8::1]:4712")
    assert network("::ffff:10.0.0.1") == network("10.0.0.1:4711") == network("10.0.0.1")
    assert network("::ffff:10.0.0.1") != network("::ffff:10.0.0.2")
    assert network("somewhere") == network("elsewhere")  # all that are none are one client


def test_no_more_users_are_known_than_so_many() -> None:
    known = Known()
    for i in range(ADDRESSES + 1):
        known.add("10.0.0.1", str(i))
    assert known.client("10.0.0.1", "0") == network("10.0.0.1") != known.client("10.0.0.1", "1")


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !", "Bearer YTpi", "Basic /w==", "Basic YWI=", "Basic YTpi YTpi"]
)
def test_a_header_that_says_nothing_has_no_password(header: str) -> None:
    assert credentials(header)[1] == ""
    refused = Login("correct horse")({"HTTP_AUTHORIZATION": header, "REMOTE_ADDR": "10.0.0.1"})
    assert refused is not None
    assert refused.status == 401


@pytest.mark.parametrize("password", ["with: a colon", "mit Ümlaut ✓"])
def test_any_user_with_the_password_is_let_in(password: str) -> None:
    for user in ("", "me"):
        header = "bASIC " + base64.b64encode(f"{user}:{password}".encode()).decode()
        assert credentials(header) == (user, password)
        assert Login(password)({"HTTP_AUTHORIZATION": header, "REMOTE_ADDR": "::1"}) is None
