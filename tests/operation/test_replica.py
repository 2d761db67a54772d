"""What only reads works where nobody may write, as at a replica."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from tuner.cli import app
from tuner.dashboard.serve import Options, application
from tuner.errors import StorageError
from tuner.storage import open_storage
from tuner.storage.database import parse_url


def _status(served: Any, path: str) -> str:
    environ: dict[str, object] = {"PATH_INFO": path}
    setup_testing_defaults(environ)
    answered: list[str] = []
    assert b"".join(served(environ, lambda status, *_: answered.append(status)))
    return answered[0]


def test_status_and_the_dashboard_answer_at_a_replica(
    postgres_url: str, make: Callable[..., int]
) -> None:
    primary = open_storage(postgres_url)
    study_id = make(primary, trials=2)
    name = parse_url(postgres_url).database
    with primary.database.write() as connection:
        connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    primary.close()

    outcome = CliRunner().invoke(app, ["status", "--storage", postgres_url])
    assert outcome.exit_code == 0
    assert "study" in outcome.stdout
    replica = open_storage(postgres_url)
    served = application(replica, Options(read_only=True))
    for path in ("/api/studies", f"/api/studies/{study_id}", "/metrics", "/healthz"):
        assert _status(served, path) == "200 OK", path
    with pytest.raises(StorageError, match="read-only transaction") as caught:
        replica.set_budget(study_id, 9)
    assert "primary" in caught.value.hint
    replica.close()
