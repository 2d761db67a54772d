"""Passwords in any text."""

from __future__ import annotations

import json

import pytest

from tuner import hidden
from tuner.hidden import hide, redact, remember_secret, storage_option


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hidden, "_known", set())
    monkeypatch.delenv("PGPASSWORD", raising=False)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no secret: 1:2@3", "no secret: 1:2@3"),
        ("at postgresql://me:s3cret@host/x, and", "at postgresql://me:***@host/x, and"),
        ("(postgresql://h/x?password=s3cret)", "(postgresql://h/x?password=***"),
        ("two http://a:b@c http://d:e@f", "two http://a:***@c http://d:***@f"),
    ],
)
def test_urls_in_a_text_lose_their_passwords(text: str, shown: str) -> None:
    assert hide(text).startswith(shown)


def test_what_is_known_is_hidden_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    remember_secret("gr8 s/cret")
    monkeypatch.setenv("PGPASSWORD", "from-the-environment")
    assert hide("'gr8 s/cret' gr8%20s%2Fcret from-the-environment") == "'***' *** ***"


def test_what_would_turn_up_in_words_is_not_known() -> None:
    remember_secret("a")
    remember_secret("")
    remember_secret(None)
    assert hide("a bad day") == "a bad day"


@pytest.mark.parametrize("password", ['pä"5\\5', 'it\'s "5"\\n'])
def test_what_is_known_is_hidden_however_it_is_written(password: str) -> None:
    remember_secret(password)
    written = [password, repr(password), repr({"a": password})]
    written += [json.dumps(password), json.dumps(password, ensure_ascii=False)]
    for text in written:
        assert hide(text).count("***") == 1
        assert "5" not in hide(text)


def test_a_password_with_quotes_is_hidden_to_its_end() -> None:
    assert redact("postgresql://h/x?password=a\"b'c)d&sslmode=x").endswith("=***&sslmode=x")


def test_an_option_for_a_command_has_no_password() -> None:
    assert storage_option("") == ""
    assert storage_option("sqlite:///a b.db") == "--storage 'sqlite:///a b.db'"
    shown = storage_option("postgresql://u:s3cret@h/d")
    assert shown == "--storage 'postgresql://u:***@h/d'"
    assert storage_option(redact("postgresql://u:s3cret@h/d")) == shown
