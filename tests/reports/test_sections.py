"""Main effects in the search, importances, and differences seed by seed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from scipy import stats

from tuner.reports.facts import Facts
from tuner.reports.report import report_of
from tuner.reports.space_figures import belief_of
from tuner.results.surrogate import METHOD


def test_a_main_effect_is_welchs_interval(searched: Facts) -> None:
    effects = {effect.technique: effect for effect in searched.pooled.effects}
    assert list(effects) == ["batch_norm", "dropout"]
    found = effects["dropout"]
    groups: dict[bool, list[float]] = {True: [], False: []}
    for entry in searched.complete:
        groups[entry.config["dropout"] > 0].append(entry.value or 0.0)
    interval = stats.ttest_ind(groups[True], groups[False], equal_var=False).confidence_interval()
    assert (found.with_it, found.without) == (len(groups[True]), len(groups[False]))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.low is not None
    assert found.low > 0.04  # dropout is worth 0.05 in these trials


def test_a_technique_that_was_never_off(place: Any, make_trial: Callable[..., Any]) -> None:
    effects = place.facts(make_trial(1), make_trial(3)).pooled.effects
    found = next(effect for effect in effects if effect.technique == "dropout")
    assert (found.with_it, found.without, found.off, found.gain) == (2, 0, None, None)


def test_importances_name_what_matters(searched: Facts) -> None:
    assert 0.8 < sum(searched.pooled.importances.values()) <= 1.01
    assert next(iter(searched.pooled.importances)) in ("dropout.on", "dropout")


def test_few_trials_have_no_importances(place: Any, make_trial: Callable[..., Any]) -> None:
    assert place.facts(*(make_trial(n) for n in range(5))).pooled.importances == {}


def test_equal_values_have_no_importances_or_equal_ones(
    place: Any, make_trial: Callable[..., Any]
) -> None:
    found = place.facts(*(make_trial(n, value=0.5) for n in range(12)))
    assert all(0 <= share <= 1 for share in found.pooled.importances.values())


def test_the_model_stands_in_the_report_from_ten_and_from_sixty_results_on(
    place: Any, make_trial: Callable[..., Any]
) -> None:
    few = report_of(place.facts(*(make_trial(n) for n in range(7)), name="few"))
    assert "it needs 3 more results" in few.markdown()
    some = report_of(place.facts(*(make_trial(n) for n in range(58)), name="some"))
    assert "After 2 more results the predicted best and slices stand here too." in some.markdown()
    assert "importances" in some.figures
    assert some.document()["predicted"] is None
    many = report_of(place.facts(*(make_trial(n) for n in range(64)), name="many"))
    assert "belief-dropout.on" in many.figures
    predicted = many.document()["predicted"]
    assert (predicted["results"], predicted["best"]["parameters"]["dropout.on"]) == (64, True)
    assert predicted["best"]["low"] <= predicted["best"]["mean"] <= predicted["best"]["high"]
    assert {each["name"] for each in predicted["slices"]} >= {"dropout.on"}
    assert json.loads(many.text("json"))["importances"]["method"] == METHOD
    text = many.markdown()
    assert "| predicted best | – |" in text
    assert f"| trial {many.facts.best.number} |" in text  # type: ignore[union-attr]
    assert "a diamond is the predicted best" in text


def test_a_slice_of_the_model_has_a_band_or_an_interval_for_each_choice(
    place: Any, make_trial: Callable[..., Any]
) -> None:
    facts = place.facts(*(make_trial(n) for n in range(64)))
    numbers = belief_of(facts, "dropout")
    assert [trace.fill for trace in numbers.data] == [None, "tonexty", None, None]
    low, high, mean, _ = (trace.y for trace in numbers.data)
    assert all(a <= b <= c for a, b, c in zip(low, mean, high, strict=True))
    names = belief_of(facts, "dropout.on")
    assert min(names.data[0].error_y.array) > 0
    assert names.layout.xaxis.ticktext == ("false", "true")


def test_a_study_of_replicas_has_no_model(place: Any, make_trial: Callable[..., Any]) -> None:
    trials = (make_trial(n, replica={"label": "baseline", "seed": n}) for n in range(64))
    text = report_of(place.facts(*trials)).markdown()
    assert "The trials train known configurations again" in text
