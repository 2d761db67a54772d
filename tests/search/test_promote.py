"""pruner = "promote": where trials pause, and which goes on."""

from __future__ import annotations

import math
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from tuner.errors import StudyFileError
from tuner.search.promote import Promotion, is_paused, promotion
from tuner.search.pruners import idle

NAN = float("nan")


def trials(*curves: list[float], **states: TrialState) -> list[FrozenTrial]:
    """Trials with these values by epoch; ``t2=FAIL`` for the state of the third."""
    made = []
    for number, curve in enumerate(curves):
        state = states.get(f"t{number}", TrialState.RUNNING)
        value = curve[-1] if state == TrialState.COMPLETE else None
        each = create_trial(
            state=state, value=value, intermediate_values=dict(enumerate(curve, start=1))
        )
        each.number = number
        made.append(each)
    return made


def choice(rule: Promotion, history: list[FrozenTrial], *paused: int, new: bool = True) -> Any:
    return rule.choice(history, paused, new)


@pytest.mark.parametrize(
    ("epochs", "rungs"),
    [
        (27, (1, 3, 9)),
        (30, (1, 3, 9)),
        (100, (1, 3, 9, 27)),
        (41, (1, 3, 9, 27)),
        (2, (1,)),
        (1, ()),
    ],
)
def test_each_rung_has_three_times_the_epochs_and_none_is_near_the_end(
    epochs: int, rungs: tuple[int, ...]
) -> None:
    rule = Promotion(1.0, epochs)
    assert rule.rungs == rungs
    stops, epoch = [], 0
    while epoch < epochs:
        epoch = rule.pause_at(epoch)
        stops.append(epoch)
    assert stops == [*rungs, epochs]


def test_the_first_rung_is_the_least_epoch() -> None:
    assert Promotion(1.0, 27, min_resource=2).rungs == (2, 6, 18)
    assert Promotion(1.0, 27, min_resource=20).rungs == ()


def test_the_options_may_say_how_long_a_full_trial_is() -> None:
    for epochs, rungs in ((None, (1, 3, 9)), (100, (1, 3, 9)), (9, (1, 3))):
        rule = promotion("promote", {"max_resource": 27}, epochs, 1.0)
        assert rule is not None
        assert rule.rungs == rungs
    assert promotion("none", {}, None, 1.0) is None
    never = idle("promote", {"max_resource": 1}, epochs=None, trials=9)
    assert never == "promote never pauses: its first rung would be epoch 1 of 1"
    assert idle("promote", {"max_resource": 27}, epochs=None, trials=9) == ""


def test_a_trial_is_paused_from_its_first_step_on_whatever_its_number() -> None:
    for step in (0, 1, 7):
        trial = create_trial(
            state=TrialState.RUNNING, intermediate_values={step: 1.0}, user_attrs={"paused": step}
        )
        assert is_paused(trial)
        trial.intermediate_values[step + 1] = 1.0
        assert not is_paused(trial)
    fresh = create_trial(state=TrialState.RUNNING, user_attrs={"paused": 0})
    assert not is_paused(fresh)


def test_a_trial_beyond_a_rung_pauses_at_the_next() -> None:
    rule = Promotion(1.0, 27)
    assert [rule.pause_at(epoch) for epoch in (0, 1, 2, 3, 8, 9, 26, 27, 40)] == [
        *(1, 3, 3, 9, 9, 27, 27, 27, 27)
    ]


def test_the_best_of_four_is_promoted_and_no_other() -> None:
    rule = Promotion(1.0, 27, 4)
    assert choice(rule, trials([3.0], [1.0], [2.0]), 0, 1, 2) is None
    assert choice(rule, trials([3.0], [1.0], [2.0], [4.0]), 0, 1, 2, 3) == 1
    assert choice(Promotion(-1.0, 27, 4), trials([3.0], [1.0], [2.0], [0.0]), 0, 1, 2, 3) == 0
    assert choice(Promotion(1.0, 27, 3), trials([3.0], [1.0], [2.0]), 0, 1, 2) == 1
    assert choice(rule, trials([3.0], [1.0, 1.0], [2.0], [4.0]), 0, 2, 3) is None


def test_one_of_two_goes_on_from_a_later_rung_which_comes_first() -> None:
    history = trials([2.0] * 3, [1.0] * 3, [0.5], [9.0], [9.0], [9.0], [9.0], [9.0])
    assert choice(Promotion(1.0, 27), history, *range(8)) == 1
    assert choice(Promotion(1.0, 27), history, 0, *range(2, 8)) == 2


def test_the_last_third_of_the_epochs_counts() -> None:
    lucky, steady = [1.0] * 8 + [0.1], [1.0] * 6 + [0.5] * 3
    assert choice(Promotion(1.0, 27), trials(lucky, steady), 0, 1) == 1


def test_each_rung_promotes_one_where_no_new_trial_may_start() -> None:
    rule = Promotion(1.0, 27)
    assert choice(rule, trials([3.0], [1.0], [2.0]), 0, 1, 2, new=False) == 1
    assert choice(rule, trials([3.0], [1.0] * 3, [2.0]), 0, 1, 2, new=False) == 1
    far = [1.0] * 10
    assert choice(rule, trials([3.0], far, [2.0], far), 0, 2, new=False) is None


def test_what_was_interrupted_goes_on_as_if_it_had_paused_before() -> None:
    rule = Promotion(1.0, 27)
    assert choice(rule, trials([3.0] * 5, [4.0] * 3, [9.0]), 0, 1, 2) == 0
    assert choice(Promotion(1.0, 27, min_resource=3), trials([3.0] * 2), 0) == 0


def test_what_has_diverged_is_counted_and_not_promoted() -> None:
    ended = {"t0": TrialState.PRUNED, "t1": TrialState.PRUNED}
    rule = Promotion(1.0, 27)
    assert choice(rule, trials([NAN], [NAN], [2.0], [3.0], **ended), 2, 3) == 2
    assert choice(rule, trials([NAN], [NAN], [math.inf], [NAN]), 0, 1, 2, 3) is None


def test_the_least_number_wins_a_tie() -> None:
    assert choice(Promotion(1.0, 27), trials([1.0], [1.0], [1.0], [1.0]), 3, 2, 1, 0) == 0


def test_a_trial_that_is_continued_does_not_count_twice() -> None:
    history = trials([1.0], [2.0], [3.0], [4.0], [1.0, 0.5], t0=TrialState.PRUNED)
    history[4].set_user_attr("continues", 0)
    assert choice(Promotion(1.0, 27), history, 0, 1, 2, 3) is None


def test_trials_of_other_programs_do_no_harm() -> None:
    history = trials([3.0], [1.0], [2.0], [4.0])
    history.append(create_trial(value=0.0))
    history.append(create_trial(state=TrialState.FAIL))
    history.append(create_trial(value=0.0, intermediate_values={50: 0.0}))
    assert choice(Promotion(1.0, 27), history, 0, 1, 2, 3) == 1


def test_only_this_pruner_has_a_rule() -> None:
    assert promotion("promote", {"reduction_factor": 3}, 16, -1.0) == Promotion(-1.0, 16, 3, 1)
    assert promotion("hyperband", {}, 27, 1.0) is None
    with pytest.raises(StudyFileError, match="no option 'bracket'"):
        promotion("promote", {"bracket": 1}, 27, 1.0)


def test_a_rule_without_a_rung_is_said_to_be_idle() -> None:
    assert not idle("promote", {}, epochs=27, trials=60)
    reason = idle("promote", {"min_resource": 19}, epochs=27, trials=60)
    assert reason == "promote never pauses: its first rung would be epoch 19 of 27"
    assert not idle("promote", {"min_resource": 18}, epochs=27, trials=60)


def test_at_the_end_of_a_budget_one_trial_besides_the_baseline_comes_to_its_end() -> None:
    rule = Promotion(1.0, 27)
    history = [create_trial(value=0.0, intermediate_values=dict.fromkeys(range(1, 28), 0.0))]
    for number, value in enumerate((0.3, 0.2, 0.4), start=1):
        state, reports = TrialState.RUNNING, {1: value}
        history.append(create_trial(state=state, intermediate_values=reports))
        history[-1].number = number
    assert rule.choice(history, {1, 2, 3}, new=True) is None
    assert rule.choice(history, {1, 2, 3}, new=False) == 2
