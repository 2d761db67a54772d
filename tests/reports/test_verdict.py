"""The verdict says what is best and how sure that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tuner.reports.facts import Facts
from tuner.reports.report import report_of
from tuner.reports.verdict import verdict
from tuner.results.yardsticks import Rival


def test_before_confirm_it_warns(searched: Facts) -> None:
    first, caution, differs, counts = verdict(searched)
    assert first.startswith("Best of 31 complete trials: trial 7, accuracy 0.8590 on the val")
    assert "the baseline has 0.8000, so the gain is +0.0590" in first
    assert "`tuner confirm --study made`" in caution
    assert "dropout 0.4" in differs
    assert "31 complete, 7 pruned; 1 more failed; 1 still running" in counts


@pytest.mark.parametrize(
    ("best", "words"),
    [
        (0.95, "Seed by seed it gains +0.0500 (+0.0500 to +0.0500): better than the baseline."),
        (0.90, "no significant difference from the baseline."),
        (0.85, "worse than the baseline."),
    ],
)
def test_after_confirm_it_compares_seed_by_seed(
    searched: Facts, make_answers: Callable[..., Any], best: float, words: str
) -> None:
    said = verdict(replace(searched, answers=make_answers(best)))
    assert said[0].startswith(f"Confirmed over 3 seeds: trial 3 reaches accuracy {best:.4f} (")
    assert "test split" in said[0]
    assert said[1].endswith(words)


def test_without_the_test_split_it_says_validation(
    searched: Facts, make_answers: Callable[..., Any]
) -> None:
    said = verdict(replace(searched, answers=make_answers(tested=False)))
    assert "on the validation split" in said[0]
    assert "test split" not in said[0]


def test_less_is_better(place: Any, make_trial: Callable[..., Any], fixed: Any) -> None:
    trials = [make_trial(0, value=60.0, params={}), make_trial(1, value=50.0, params={})]
    first = verdict(place.facts(*trials, document=fixed))[0]
    assert "trial 1, rmse 50.0000" in first
    assert "the gain is +10.0000" in first


def test_nothing_is_complete(place: Any, make_trial: Callable[..., Any]) -> None:
    said = verdict(place.facts(make_trial(0, "PRUNED", 0.5)))
    assert said[0].startswith("Its only trial was pruned: prune later or less")


def test_without_a_baseline(place: Any, make_trial: Callable[..., Any]) -> None:
    facts = place.facts(make_trial(0, "FAIL", None), make_trial(1), make_trial(2))
    assert "baseline, trial 0, is not complete" in verdict(facts)[0]


def test_a_yardstick_that_wins_is_the_headline(
    searched: Facts, make_answers: Callable[..., Any]
) -> None:
    found = make_answers()
    better, worse = Rival("boosting", 0.97, 0.02, 0.01, 0.03, True), Rival("mean", 0.5, -0.45)
    confirmation = replace(found.confirmation, rivals=(worse, better))
    facts = replace(searched, answers=replace(found, confirmation=confirmation))
    said = verdict(facts)
    assert said[0] == (
        "Boosting beats trial 3 on the test rows: accuracy 0.9700 against 0.9500, "
        "+2.0 points (1.0 to 3.0)."
    )
    assert said[1].startswith("Confirmed over 3 seeds: trial 3 reaches")
    page = report_of(facts)
    assert ">boosting<" in page.html()
    assert "| boosting | 0.9700 | +2.0 points (1.0 to 3.0) | wins |  |" in page.markdown()
    assert page.document()["confirmation"]["rivals"][1]["wins"] is True
    assert page.document()["verdict"][0] == said[0]
    without = report_of(replace(searched, answers=found)).markdown()
    assert "without a search" not in without


def test_the_baseline_may_win(searched: Facts, make_answers: Callable[..., Any]) -> None:
    found = make_answers()
    confirmation = replace(found.confirmation, winner=found.confirmation.baseline)
    said = verdict(replace(searched, answers=replace(found, confirmation=confirmation)))
    headline = "The baseline wins: no confirmed configuration is better on the validation rows."
    assert said[0] == headline
    assert said[1].startswith("Confirmed over 3 seeds: baseline reaches accuracy 0.9000 (")
    alone = replace(found.confirmation, baseline=None)
    said = verdict(replace(searched, answers=replace(found, confirmation=alone)))
    assert "the baseline has no result" in said[0]
