"""The PostgreSQL server of the tests, for benchmarks that are run as scripts."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any


def started(folder: Path) -> Any:
    """A server that runs, with its data in this folder."""
    path = Path(__file__).parents[1] / "conftest.py"
    spec = importlib.util.spec_from_file_location("tests_conftest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = module.PostgresServer(folder)
    server.start()
    return server
