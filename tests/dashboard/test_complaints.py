"""What an application writes on ``wsgi.errors`` is logged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tuner.dashboard.complaints import complaining


def test_a_complaint_is_one_record(caplog: pytest.LogCaptureFixture) -> None:
    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.errors"].write("Traceback:\n  odd\n")
        environ["wsgi.errors"].writelines(["one\n", "two\n"])
        environ["wsgi.errors"].write("\n")
        environ["wsgi.errors"].flush()
        return [b"done"]

    assert complaining(application)({}, print) == [b"done"]
    assert [record.getMessage() for record in caplog.records] == ["Traceback:\n  odd", "one\ntwo"]
