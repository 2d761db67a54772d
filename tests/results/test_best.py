"""Whether the best value of a search may be luck."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, create_trial

from tuner.results.best import Luck, luck_of
from tuner.results.confirm import Confirmation, Measured
from tuner.results.estimate import Estimate
from tuner.search.sampler import ERROR
from tuner.study.parse import parse

RATE = FloatDistribution(1e-4, 1e-1, log=True)
SMALL = parse(
    "small",
    {
        "data": {"source": "a:b"},
        "model": {"depth": 1, "width": 16},
        "regularization": {},
        "training": {"epochs": 3, "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}},
    },
)
OWN = parse("own", {"objective": "a.b:c", "direction": "maximize", "metric": "accuracy"})


def trials(*values: float, same: bool = False, **more: Any) -> list[FrozenTrial]:
    """One trial for each value, each with another configuration unless they have the same."""
    found = []
    for number, value in enumerate(values):
        params = {"learning_rate": 0.01 if same else 0.001 * (number + 1)}
        kinds = {"learning_rate": RATE}
        found.append(create_trial(value=value, params=params, distributions=kinds, **more))
        found[-1].number = number
    return found


def confirmed(*numbers: int) -> Confirmation:
    guess = Estimate(0.9, 0.1, 0.8, 1.0, (0.9, 0.9))
    rows = tuple(Measured(f"trial {n}", n, {}, guess, None) for n in numbers)
    return Confirmation("small", "accuracy", "maximize", rows, rows[0], None, 2)


def luck(*values: float, error: Any = 0.01, **more: Any) -> Luck | None:
    confirmation, study = more.pop("confirmation", None), more.pop("study", SMALL)
    direction = more.pop("direction", "maximize")
    stated = {} if error is None else {"user_attrs": {ERROR: error}}
    return luck_of(study, trials(*values, **stated, **more), direction, confirmation)


def test_trials_within_two_standard_errors_are_as_good() -> None:
    assert luck(0.9, 0.881, 0.879, 0.5) == Luck(error=0.01, rivals=1, complete=4)
    assert luck(0.9, 0.919, 0.921, 1.5, direction="minimize") == Luck(0.01, 1, 4)


def test_a_smaller_error_tells_more_apart() -> None:
    assert luck(0.9, 0.89) is not None
    assert luck(0.9, 0.89, error=0.001) is None


@pytest.mark.parametrize(
    "more",
    [
        {"error": None},
        {"error": "large"},
        {"error": float("nan")},
        {"study": OWN},
        {"same": True},
        {"confirmation": confirmed(3, 0)},
    ],
)
def test_there_is_none_where_it_is_unknown_settled_or_the_same(more: dict[str, Any]) -> None:
    assert luck(0.9, 0.899) is not None
    assert luck(0.9, 0.899, **more) is None


def test_a_best_trial_that_was_not_confirmed_may_be_luck() -> None:
    assert luck(0.9, 0.899, confirmation=confirmed(1)) is not None


def test_values_that_are_not_finite_are_no_rivals() -> None:
    assert luck(float("inf"), 0.9, float("-inf")) is None
    assert luck() is None
