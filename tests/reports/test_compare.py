"""Studies side by side: ranked only where the numbers mean the same."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from typing import Any

import pytest

import tuner
from tuner.errors import UsageError
from tuner.reports.compare import compare_facts
from tuner.reports.facts import numbers
from tuner.reports.report import compare

Trial = Callable[..., Any]


def test_the_better_of_two_studies_on_the_same_data(place: Any, make_trial: Trial) -> None:
    place.study(make_trial(0), make_trial(1), name="a")
    place.study(make_trial(0), make_trial(1, value=0.99), make_trial(2, "PRUNED"), name="b")
    found = compare(["a", "b"], tuner.RunOptions(storage=place.url))
    assert found.best == "b"
    assert [side.measured for side in found.sides] == ["search", "search"]
    assert "optimistic" in found.notes[-1]
    second = found.sides[1]
    assert (second.value, second.complete, second.pruned, second.failed) == (0.99, 2, 1, 0)
    assert second.gain == pytest.approx(0.19)
    assert second.seconds == 4.5
    frame = found.to_frame()
    assert list(frame.index) == ["a", "b"]
    assert frame.loc["b", "value"] == 0.99


def test_other_metrics_and_other_data_are_not_ranked(
    place: Any, make_trial: Trial, fixed: Any
) -> None:
    one = place.facts(make_trial(0), name="a")
    two = place.facts(make_trial(0, value=50.0, params={}), name="b", document=fixed)
    found = compare_facts([one, two])
    assert found.best is None
    assert found.notes[0].startswith("The metrics differ")
    assert "a accuracy, b rmse" in found.notes[0]
    assert "source of [data]" in found.notes[2]


def test_confirmed_beside_not_confirmed_is_not_ranked(
    place: Any, make_trial: Trial, make_answers: Callable[..., Any]
) -> None:
    trials = [make_trial(n) for n in range(4)]
    one = replace(place.facts(*trials, name="a"), answers=make_answers())
    two = place.facts(*trials, name="b")
    found = compare_facts([one, two])
    assert found.best is None
    assert "run `tuner confirm` for b" in found.notes[0]
    assert found.sides[0].measured == "test"
    assert found.sides[0].low == pytest.approx(0.94)
    confirmed = compare_facts([one, replace(two, answers=make_answers(best=0.99))])
    assert confirmed.best == "b"
    assert confirmed.notes == ()


def test_a_study_without_a_complete_trial(place: Any, make_trial: Trial) -> None:
    one = place.facts(make_trial(0), name="a")
    two = place.facts(make_trial(0, "FAIL", None), name="b")
    found = compare_facts([one, two])
    assert found.best == "a"
    assert found.sides[1].value is None
    assert found.sides[1].failed == 1


@pytest.mark.parametrize(
    ("names", "words"),
    [(["a"], "a comparison needs at least two studies"), (["a", "a"], "found 'a' twice")],
)
def test_what_cannot_be_compared(
    place: Any, make_trial: Trial, names: list[str], words: str
) -> None:
    place.study(make_trial(0), name="a")
    with pytest.raises(UsageError, match=words):
        compare(names, tuner.RunOptions(storage=place.url))


@pytest.mark.parametrize(
    ("change", "named"), [({"seed": 3}, "seed"), ({"validation": {"folds": 3}}, "folds")]
)
def test_other_rows_of_the_same_source_are_not_ranked(
    place: Any, make_trial: Trial, change: dict[str, Any], named: str
) -> None:
    document = copy(place.facts(make_trial(0), name="a").study.document)
    other = place.facts(
        make_trial(0),
        name="b",
        document={**document, "data": {**document["data"], **change}},
    )
    found = compare_facts([place.facts(make_trial(0), name="c"), other])
    assert found.best is None
    assert f"The rows differ, so nothing is ranked: {named}" in found.notes[0]


def test_other_features_of_the_same_rows_and_defaults_that_are_written_down_are_ranked(
    place: Any, make_trial: Trial
) -> None:
    document = copy(place.facts(make_trial(0), name="a").study.document)
    data = {**document["data"], "test": 0.2, "preprocessing": "quantile"}
    other = place.facts(make_trial(0, value=0.99), name="b", document={**document, "data": data})
    assert compare_facts([place.facts(make_trial(0), name="c"), other]).best == "b"


def test_the_numbers_of_an_own_objective_are_not_called_validation(
    place: Any, make_trial: Trial, make_answers: Callable[..., Any]
) -> None:
    own = {"objective": "forests:accuracy", "direction": "maximize", "metric": "accuracy"}
    facts = place.facts(*(make_trial(n) for n in range(4)), name="own", document=own)
    assert numbers(facts)["measured"] == "search"
    confirmation = make_answers().confirmation
    rows = tuple(replace(row, test=None) for row in confirmation.rows)
    answers = replace(make_answers(), confirmation=replace(confirmation, rows=rows))
    assert numbers(replace(facts, answers=answers))["measured"] == "objective"
