"""Which trials are a study's own, and what to say where none is complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from typer.testing import CliRunner

from tuner.cli import app
from tuner.study.objective import ObjectiveStudy
from tuner.study.parse import parse
from tuner.study.trials import (
    TOO_LARGE,
    LeftOut,
    Own,
    best_first,
    best_trial,
    epochs_trained,
    left_out_words,
    nothing_complete,
    trained,
    without_pruning,
    without_result,
)

RATE = {"low": 1e-3, "high": 1e-1, "log": True}
KIND = FloatDistribution(1e-3, 1e-1, log=True)


def small(**search: Any) -> Any:
    document = {"data": {"source": "a:b"}, "training": {"epochs": 3, "learning_rate": RATE}}
    return parse("small", {**document, "search": {"trials": 2, **search}})


def ended(*whys: str) -> list[FrozenTrial]:
    return [
        create_trial(value=float("inf"), user_attrs={"ended": "returned", "worker": "w"})
        if why == "infinite"
        else create_trial(state=TrialState.PRUNED, user_attrs={"ended": why, "worker": "w"})
        for why in whys
    ]


def numbered(*trials: FrozenTrial) -> list[FrozenTrial]:
    for number, trial in enumerate(trials):
        trial.number = number
    return list(trials)


def test_a_value_that_cannot_be_compared_is_left_out() -> None:
    objective = parse("own", {"objective": "a:b", "direction": "maximize"})
    trials = numbered(*(create_trial(value=0.5) for _ in range(4)))
    trials[0].values, trials[1].values, trials[2].values = [0.1, 0.2], [float("nan")], None
    assert [each.reason for each in Own(objective).left_out(trials)] == [
        "it has 2 values, and the study searches for one",
        "its value is not a number",
        "it has no value",
    ]
    assert Own(objective)(trials) == trials[3:]


@pytest.mark.parametrize(
    ("direction", "numbers"), [("maximize", [2, 4, 0]), ("minimize", [0, 2, 4])]
)
def test_the_best_is_the_first_of_equal_ones_and_has_a_finite_value(
    direction: str, numbers: list[int]
) -> None:
    values = [0.1, 9.0, 0.7, 0.5, 0.7, 0.9]
    trials = numbered(*(create_trial(value=value) for value in values))
    trials[1].state, trials[3].values, trials[5].values = TrialState.PRUNED, None, [float("inf")]
    assert [trial.number for trial in best_first(trials, direction)] == numbers
    best = best_trial(trials, direction)
    assert best is not None
    assert best.number == numbers[0]
    assert best_trial(trials[5:], direction) is None


def test_samplers_see_a_paused_trial_as_pruned_with_its_last_value() -> None:
    study = small()
    reports = {"intermediate_values": {1: 0.25, 2: 0.5}, "distributions": {"learning_rate": KIND}}
    running = create_trial(
        state=TrialState.RUNNING,
        params={"learning_rate": 0.01},
        user_attrs={"paused": 2},
        **reports,
    )
    [seen] = Own(study).learned([running])
    assert (seen.state, seen.value) == (TrialState.PRUNED, 0.5)
    assert running.state == TrialState.RUNNING
    running.intermediate_values[3] = 0.75  # it went on
    [seen] = Own(study).learned([running])
    assert seen.state == TrialState.RUNNING


def test_samplers_see_a_trial_that_ran_out_of_memory_as_one_that_diverged() -> None:
    """So they learn that its size does not fit; of other failures they learn nothing."""
    failed = numbered(
        *(
            create_trial(
                state=TrialState.FAIL,
                params={"learning_rate": 0.01},
                distributions={"learning_rate": KIND},
                intermediate_values={1: 0.25},
                user_attrs=attrs,
            )
            for attrs in ({TOO_LARGE: True}, {})
        )
    )
    large, other = Own(small()).learned(failed)
    assert (large.state, large.values, large.intermediate_values) == (TrialState.PRUNED, None, {})
    assert large.params == {"learning_rate": 0.01}
    assert other is failed[1]
    assert failed[0].state == TrialState.FAIL


def test_epochs_that_a_study_trained() -> None:
    def trial(number: int, last: int, **attrs: Any) -> FrozenTrial:
        reports = dict.fromkeys(range(1, last + 1), 0.5)
        made = create_trial(value=0.5, intermediate_values=reports, user_attrs=attrs)
        made.number = number
        return made

    trials = [
        trial(0, 3, seed=1),
        trial(1, 9, seed=1, continues=0),  # 6 more
        trial(2, 3, seed=1, duplicate_of=0),  # none
        trial(3, 5),  # another program's
    ]
    assert epochs_trained(trials) == 9
    assert trained(trials[1], {0: trials[0]}, target=12) == 9  # what its holder may train counts


def test_the_words_name_the_first_few() -> None:
    found = [LeftOut(number, "it has no value") for number in range(5)]
    assert left_out_words(found).startswith("5 trials of another program are left out: trial 0 (")
    assert left_out_words(found).endswith("trial 2 (it has no value), 2 more")
    assert left_out_words(()) == ""


@pytest.mark.parametrize(
    ("whys", "what", "hint"),
    [
        (["diverged"] * 2, "all 2 trials diverged", "lower learning_rate (0.001 to 0.1, log)"),
        (["time limit"] * 3, "all 3 trials reached the time limit", "trial_timeout, which is 5"),
        (["pruned"] * 2, "all 2 trials were pruned", 'pruner = "none"'),
        (["pruned", "diverged", "diverged"], "none of 3 trials is complete: 2 diverged", "lower"),
        (["infinite"] * 2, "all 2 trials ended without a finite value", "lower"),
        (["diverged"], "no trial of 'small' is complete yet", "tuner optimize --study small"),
    ],
)
def test_where_none_is_complete_it_says_what_to_change(
    whys: list[str], what: str, hint: str
) -> None:
    trials = numbered(*ended(*whys))
    for trial in trials:
        trial.params = {"learning_rate": 0.01}
    found = nothing_complete(small(trial_timeout=5), trials)
    assert without_result(trials) == ("pruned" not in whys and "time limit" not in whys)
    assert what in found.message
    assert hint in found.hint
    assert found.exit_code == (2 if len(whys) < 2 else 1)


def test_an_objective_without_a_finite_value_is_told_to_return_one() -> None:
    own = parse("own", {"objective": "a:b", "direction": "minimize", "search": {"trials": 2}})
    trials = numbered(*ended("infinite", "infinite"))
    assert "return a finite number" in nothing_complete(own, trials).hint


def test_an_objective_that_never_reports_leaves_a_pruner_nothing_to_do() -> None:
    def own(**search: Any) -> ObjectiveStudy:
        document = {"objective": "a:b", "direction": "maximize", "search": search}
        found = parse("own", document)
        assert isinstance(found, ObjectiveStudy)
        return found

    silent, loud = create_trial(value=0.5), create_trial(value=0.5, intermediate_values={0: 0.1})
    assert "median never prunes" in without_pruning(own(pruner="median"), [silent])
    assert without_pruning(own(pruner="median"), [silent, loud]) == ""
    assert without_pruning(own(pruner="none"), [silent]) == ""
    assert without_pruning(own(), [silent]) == ""  # nobody asked for one
    promote = own(pruner={"name": "promote", "max_resource": 9})
    assert "promote never prunes" in without_pruning(promote, [silent])
    assert "saves no checkpoint (tuner.checkpoint)" in without_pruning(promote, [loud])
    paused = create_trial(value=0.5, intermediate_values={0: 0.1}, user_attrs={"paused": 0})
    assert without_pruning(promote, [paused, loud]) == ""


STUDY = """\
[data]
source = "sklearn.datasets:load_iris"
[model]
depth = 1
width = 8
[training]
epochs = 2
optimizer = "sgd"
learning_rate = { low = 1e20, high = 1e30, log = true }
[search]
trials = 2
pruner = { name = "median", n_startup_trials = 0, n_warmup_steps = 2 }
"""


def test_where_every_trial_diverges_it_ends_with_1_and_what_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wild.toml").write_text(STUDY)
    run = CliRunner()
    checked = run.invoke(app, ["check", "--study", "wild.toml"])
    warning = "warning: search.pruner: median never prunes: by n_warmup_steps a trial may be pru"
    assert checked.exit_code == 0
    assert warning in checked.stderr
    done = run.invoke(app, ["optimize", "--study", "wild.toml", "--workers", "1"])
    assert warning in " ".join(done.stderr.split())
    assert "2 of 2 trials, 2 pruned" in done.stdout
    for found in (done, *(run.invoke(app, words) for words in OTHERS)):
        assert found.exit_code == 1
        assert "error: wild: all 2 trials diverged\n  lower learning_rate (1e+20 to" in found.stderr
    report = run.invoke(app, ["report", "--study", "wild"])
    assert report.stdout.startswith("All 2 trials diverged: lower learning_rate (1e+20 to 1e+30")


OTHERS = (
    ["best", "--study", "wild"],
    ["confirm", "--study", "wild"],
    ["export", "--study", "wild", "--out", "m"],
    ["optimize", "--study", "wild.toml"],
)


def test_a_pruner_that_nobody_asked_for_is_not_complained_of() -> None:
    assert small(pruner={"name": "asha", "min_resource": 3}).warnings()
    study = parse("small", {"data": {"source": "a:b"}, "training": {"epochs": 1}})
    assert study.warnings() == ()
