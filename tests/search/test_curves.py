"""What trials that stopped early would have reached."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from tuner.search.curves import is_paused, observed

RUNNING, PRUNED, COMPLETE = TrialState.RUNNING, TrialState.PRUNED, TrialState.COMPLETE


def history(*trials: tuple[TrialState, list[float]], **attrs: dict[str, Any]) -> list[FrozenTrial]:
    """Trials with these values by epoch; ``t2={...}`` for the user attributes of the third."""
    made = []
    for number, (state, curve) in enumerate(trials):
        each = create_trial(
            state=state,
            value=curve[-1] if state == COMPLETE else None,
            intermediate_values=dict(enumerate(curve, start=1)),
            user_attrs=attrs.get(f"t{number}", {}),
        )
        each.number = number
        made.append(each)
    return made


def values(trials: list[FrozenTrial], sign: float = 1.0) -> dict[int, float]:
    measured, reached = observed(trials, sign)
    return dict(zip([each.number for each in measured], reached.tolist(), strict=True))


LONG = [(COMPLETE, [8.0 - k, 4.0 - k, 1.0 - k / 4]) for k in range(4)]
"""Four whose last values are in the order of their first."""


def test_a_pruned_trial_counts_as_what_it_would_have_reached() -> None:
    reached = values(history(*LONG, (PRUNED, [6.5]), (PRUNED, [9.0]), (PRUNED, [5.5, 2.5])))
    assert reached[3] < reached[4] < reached[0]
    assert reached[4] < reached[5]
    assert reached[3] < reached[6] < reached[0]


def test_no_early_value_is_taken_for_a_last_one() -> None:
    """Where it says nothing about the end, or the opposite, the mean of the others is expected."""
    crossed = [(COMPLETE, [8.0 - k, 1.0 + k]) for k in range(4)]
    reached = values(history(*crossed, (PRUNED, [2.0]), (PRUNED, [20.0])))
    assert reached[4] == reached[5] == 2.5
    alone = values(history((COMPLETE, [3.0, 1.0]), (PRUNED, [2.0]), (PRUNED, [4.0])))
    assert alone == {0: 1.0, 1: 1.0, 2: 1.0}


def test_without_a_longer_curve_values_are_compared_as_they_are() -> None:
    assert values(history((PRUNED, [2.0]), (PRUNED, [3.0]))) == {0: 2.0, 1: 3.0}
    assert values(history((PRUNED, [2.0]), (PRUNED, [3.0])), sign=-1.0) == {0: -2.0, 1: -3.0}


def test_a_paused_trial_tells_as_much_as_a_pruned_one() -> None:
    pruned = history(*LONG, (PRUNED, [6.5]))
    paused = history(*LONG, (RUNNING, [6.5]), t4={"paused": 1})
    assert values(paused) == values(pruned)
    assert [is_paused(each) for each in paused] == [False] * 4 + [True]


@pytest.mark.parametrize("attrs", [{}, {"paused": 1}, {"paused": 3}])
def test_a_trial_that_is_trained_at_the_moment_tells_nothing_yet(attrs: dict[str, Any]) -> None:
    trials = history(*LONG, (RUNNING, [6.5, 4.0]), t4=attrs)
    assert not is_paused(trials[4])
    assert 4 not in values(trials)


def test_a_trial_that_another_continues_is_left_out() -> None:
    trials = history(*LONG, (PRUNED, [6.5]), (COMPLETE, [6.5, 3.0, 0.4]), t5={"continues": 4})
    assert list(values(trials)) == [0, 1, 2, 3, 5]


def test_what_diverged_is_no_better_than_the_worst() -> None:
    reached = values(history(*LONG, (PRUNED, [6.5, float("nan")]), (PRUNED, [])))
    assert reached[4] == reached[5] == max(reached.values()) == 1.0


def test_lines_are_fitted_to_many_trials_of_any_length() -> None:
    rng = np.random.default_rng(0)
    curves = [list(rng.random(1 + k % 27)) for k in range(3000)]
    trials = history(*((COMPLETE if len(c) == 27 else PRUNED, c) for c in curves))
    reached = values(trials)
    assert len(reached) == 3000
    assert np.isfinite(list(reached.values())).all()
