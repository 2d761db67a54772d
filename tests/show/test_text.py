"""Numbers, durations and configurations as text."""

from __future__ import annotations

import math

import pytest

from tuner.show.text import (
    budget_text,
    difference,
    duration,
    leaves,
    number,
    progress_text,
    several,
)
from tuner.storage import Progress
from tuner.study.record import UNLIMITED


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.97222, "0.9722"),
        (-0.5, "-0.5000"),
        (54.31, "54.3100"),
        (0.0, "0.0000"),
        (2e-5, "2e-05"),
        (123456.0, "1.235e+05"),
        (math.inf, "inf"),
        (None, "–"),
    ],
)
def test_number(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3599.0, "59 min 59 s"),
        (7380.0, "2 h 3 min"),
        (50 * 3600.0, "2 d 2 h"),
        (-1.0, "0 s"),
        (math.inf, "–"),
        (None, "–"),
    ],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_difference_has_a_sign() -> None:
    assert difference(0.98, 0.95) == "+0.0300"
    assert difference(0.95, 0.98) == "-0.0300"
    assert difference(0.95, 0.95) == "+0.0000"


@pytest.mark.parametrize(
    ("budget", "epochs", "text", "done"),
    [
        (60, None, "60 trials", "12 of 60 trials"),
        (UNLIMITED, 1800, "1,800 epochs", "12 trials, 90 of 1,800 epochs"),
        (60, 1800, "60 trials or 1,800 epochs", "12 of 60 trials, 90 of 1,800 epochs"),
        (12, 90, "90 epochs", "12 trials, 90 of 90 epochs"),  # its epochs are spent
    ],
)
def test_budgets_are_in_trials_epochs_or_both(
    budget: int, epochs: int | None, text: str, done: str
) -> None:
    progress = Progress(budget, 8, 4, 0, 0, 0, "open", epochs=epochs)
    assert budget_text(progress) == text
    assert progress_text(progress, 90) == done


def test_several() -> None:
    assert several(1, "trial") == "1 trial"
    assert several(1200, "trial") == "1,200 trials"


def test_leaves_are_those_searched_or_different() -> None:
    baseline = {"depth": 2, "width": 64, "l1": 0.0, "epochs": 30}
    best = {"depth": 2, "width": 128, "l1": 0.0, "epochs": 30, "sgd.momentum": 0.9}
    assert leaves(best, baseline, {"depth"}) == [
        ("depth", "2", False),
        ("width", "128", True),
        ("sgd.momentum", "0.9", True),
    ]
    assert leaves(best, None, {"width"}) == [("width", "128", False)]
