"""Differences in words, whichever way the metric counts."""

from __future__ import annotations

import pytest

from tuner.results.estimate import Estimate
from tuner.results.words import amount, sentence

FIVE = (0.0,) * 5


def around(mean: float, half: float) -> Estimate:
    return Estimate(mean, half, mean - half, mean + half, FIVE)


@pytest.mark.parametrize(
    ("difference", "metric", "direction", "said"),
    [
        (around(0.013, 0.004), "accuracy", "maximize", "+1.3 points (0.9 to 1.7)"),
        (around(-0.013, 0.004), "f1_macro", "maximize", "-1.3 points (-1.7 to -0.9)"),
        (around(0.21, 0.09), "cross_entropy", "minimize", "better by 0.21 (0.12 to 0.30)"),
        (around(-2.5, 0.6), "rmse", "minimize", "worse by 2.5 (1.9 to 3.1)"),
        (around(1250.0, 150.0), "mse", "minimize", "better by 1,250 (1,100 to 1,400)"),
        (around(0.0007, 0.0003), "accuracy", "maximize", "+0.07 points (0.04 to 0.10)"),
        (
            around(0.001, 0.004),
            "accuracy",
            "maximize",
            "no significant effect, 5 seeds (-0.3 to 0.5 points)",
        ),
        (
            around(-1.0, 3.0),
            "mae",
            "minimize",
            "no significant effect, 5 seeds (worse by 4.0 to better by 2.0)",
        ),
    ],
)
def test_sentences(difference: Estimate, metric: str, direction: str, said: str) -> None:
    assert sentence("batch_norm", difference, metric, direction) == f"batch norm: {said}"


def test_a_clear_effect_is_never_said_to_begin_at_zero() -> None:
    assert sentence("x", Estimate(0.2, 0.1, 0.0002, 0.4, FIVE), "accuracy") == (
        "x: +20.00 points (0.02 to 40.00)"
    )


def test_one_seed_says_little() -> None:
    one = Estimate(-0.5, float("nan"), float("nan"), float("nan"), (-0.5,))
    assert sentence("l1_lambda", one, "rmse", "minimize") == (
        "l1 lambda: worse by 0.50 with one seed, which says little"
    )
    assert sentence("l1_lambda", one, "accuracy").startswith("l1 lambda: -50.0 points with one")


def test_an_amount_whose_interval_holds_zero() -> None:
    assert amount(0.02, (-0.01, 0.05), "accuracy") == "+2.0 points (-1.0 to 5.0)"
    assert amount(0.0, None, "accuracy") == "0.0 points"
