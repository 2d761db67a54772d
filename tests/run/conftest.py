"""A Ray cluster of three nodes, one for all tests of a session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest


@dataclass(frozen=True)
class RayNodes:
    """A head without CPUs, a node with one, and one with two CPUs and one GPU by name.

    Args:
        address: of the cluster.
        folder: where Ray keeps its logs.
        doomed: process id of the node with one CPU.
    """

    address: str
    folder: Path
    doomed: int
    process: subprocess.Popen[str]

    def kill_one(self) -> None:
        """The node with one CPU and all that runs on it are gone, without a word."""
        runs = psutil.Process(self.doomed).children(recursive=True)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print("kill", file=self.process.stdin, flush=True)
        for each in runs:
            with_it = psutil.pid_exists(each.pid)
            if with_it:
                each.kill()
        assert self.process.stdout.readline() == "gone\n"


@pytest.fixture(scope="session")
def ray_nodes() -> Iterator[RayNodes]:
    # A socket's path may have about a hundred characters, fewer than tmp_path takes.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as name:
        knows = {"TUNER_SPOOL": f"{name}/spool", "TUNER_LEASE": "1.0"}
        knows |= {"PYTHONPATH": str(Path(__file__).parent), "HELD_UNTIL": f"{name}/go"}
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("cluster.py"))],
            env={**os.environ, **knows, "RAY_TMPDIR": name, "RAY_USAGE_STATS_ENABLED": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        yield RayNodes(said["address"], Path(name), said["doomed"], process)
        process.stdin.close()
        process.wait(60)
