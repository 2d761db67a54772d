"""Workers and the server are killed, and every result is there, once and right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "chaos.py"
SMALLER = "--trials 8 --workers 3 --epochs 3000 --every 0.7 --lease 1 --away 1"


PAUSING = "--pruner promote --sampler random --budget 9000"


@pytest.mark.parametrize("pausing", ["", PAUSING])
@pytest.mark.parametrize("database", ["postgresql", "sqlite"])
def test_nothing_is_lost_whatever_is_killed(database: str, pausing: str) -> None:
    options = [*SMALLER.split(), *pausing.split(), "--database", database]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *options],
        env={k: v for k, v in os.environ.items() if not k.startswith("TUNER_")},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    if pausing:
        assert found["epochs"] == 9000
    else:
        assert found["trials"] == 8
    assert found["workers killed"] > 0
    assert found["trials interrupted"] > 0
    assert found["server killed"] == (database == "postgresql")
