"""Snapshots that were made up, and how a view looks as text."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console, RenderableType

from tuner.storage import Progress
from tuner.views.snapshot import Best, Ended, Running, Snapshot

PLAIN = {"depth": 2, "width": 64, "dropout": 0.0, "optimizer": "adam", "epochs": 30}
BETTER = {**PLAIN, "width": 128, "optimizer": "sgd", "sgd.momentum": 0.9}


def made(**changes: Any) -> Snapshot:
    """In the middle of a run: baseline and best are known, two trials are in training."""
    counts = {"budget": 60, "complete": 19, "pruned": 4, "failed": 1, "running": 2, "waiting": 0}
    counts |= {key: changes.pop(key) for key in list(changes) if key in counts.keys() - {"running"}}
    found = Snapshot(
        study="digits",
        metric="accuracy",
        direction="maximize",
        storage="sqlite:///tuner.db",
        progress=Progress(**counts, state=changes.pop("state", "open")),
        baseline=Best(0, 0.9556, PLAIN),
        best=Best(17, 0.9806, BETTER),
        running=(Running(24, 12, 30, 0.9611, BETTER), Running(25, 0, 30, None, PLAIN)),
        elapsed=41.0,
        left=65.0,
        searched=frozenset({"width", "dropout", "optimizer", "sgd.momentum"}),
        ended=(
            Ended(22, "complete", 0.97, 30, "all epochs", (17, 0.9806)),
            Ended(23, "pruned", 0.51, 3, "pruned", (17, 0.9806)),
        ),
    )
    return replace(found, **changes)


@pytest.fixture
def snapshot() -> Callable[..., Snapshot]:
    """Makes a snapshot; keyword arguments change it."""
    return made


@pytest.fixture
def shown() -> Callable[..., str]:
    """What a view looks like, without colours."""

    def show(view: RenderableType, width: int = 100) -> str:
        console = Console(file=io.StringIO(), width=width, markup=False, highlight=False)
        console.print(view)
        return console.file.getvalue()  # type: ignore[attr-defined]  # it is a StringIO

    return show
