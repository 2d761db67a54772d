"""Main effects in the search, importances, and differences seed by seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from scipy import stats

from tuner.reports.facts import Facts


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
    assert sum(searched.pooled.importances.values()) == pytest.approx(1.0)
    assert next(iter(searched.pooled.importances)) in ("dropout.on", "dropout")


def test_few_trials_have_no_importances(place: Any, make_trial: Callable[..., Any]) -> None:
    assert place.facts(*(make_trial(n) for n in range(5))).pooled.importances == {}


def test_equal_values_have_no_importances_or_equal_ones(
    place: Any, make_trial: Callable[..., Any]
) -> None:
    found = place.facts(*(make_trial(n, value=0.5) for n in range(12)))
    assert all(0 <= share <= 1 for share in found.pooled.importances.values())
