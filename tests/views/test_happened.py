"""Events of the database, for people and for programs."""

from __future__ import annotations

import pytest

from tuner import hidden
from tuner.storage.history import Event
from tuner.views.happened import record, view


def test_neither_people_nor_programs_see_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hidden, "_known", set())
    hidden.remember('pä"5\\5')
    detail = {"error": 'no pä"5\\5', "at": ["postgresql://me:s3cret@h/x"]}
    event = Event(1, 0.0, "small", 2, "me", "ended", detail)
    assert record(event) == {
        "time": "1970-01-01T00:00:00.000Z",
        "kind": "ended",
        "study": "small",
        "trial": 2,
        "worker": "me",
        "error": "no ***",
        "at": ["postgresql://me:***@h/x"],
    }
    (said,) = view([event])
    assert 'error="no ***"' in said
    assert "s3cret" not in said
