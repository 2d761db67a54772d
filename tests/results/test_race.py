"""Which configurations get no further seeds, and how often that is an error."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

from tuner.results.race import LEVEL, Race, race

NONE: dict[str, frozenset[int]] = {}


def by_seed(rows: dict[str, list[float]]) -> dict[str, dict[int, float]]:
    return {label: dict(enumerate(values)) for label, values in rows.items()}


CLEAR = {
    "a": [0.90, 0.92, 0.91, 0.90, 0.92],
    "b": [0.91, 0.90, 0.92, 0.92, 0.90],
    "c": [0.60, 0.63, 0.61, 0.60, 0.62],
}


def test_who_is_far_behind_is_stopped_after_the_first_look() -> None:
    made = race(by_seed(CLEAR), NONE, 5, 1)
    assert made.look == 5
    assert made.stopped.keys() == {"c"}
    stop = made.stopped["c"]
    assert (stop.seeds, stop.leader) == (2, "a")
    assert stop.behind == pytest.approx(0.91 - 0.615)
    # by hand: what rows and columns leave unexplained, with two degrees of freedom
    first = np.array([values[:2] for values in CLEAR.values()])
    rest = first - first.mean(1, keepdims=True) - first.mean(0) + first.mean()
    deviation = math.sqrt(2 * (rest**2).sum() / 2)  # of a difference with one seed
    # the mean over five is that over two, and three fifths of what three more differ from it
    spread = 3 / 5 * deviation * math.sqrt(1 / 2 + 1 / 3)
    assert stop.margin == pytest.approx(student.ppf(1 - LEVEL / 2, 2) * spread)
    assert stop.behind > stop.margin


def test_where_less_is_better() -> None:
    losses = {label: [1 - value for value in values] for label, values in CLEAR.items()}
    forwards, backwards = race(by_seed(CLEAR), NONE, 5, 1), race(by_seed(losses), NONE, 5, -1)
    assert backwards.stopped.keys() == forwards.stopped.keys() == {"c"}
    assert backwards.stopped["c"].behind == pytest.approx(forwards.stopped["c"].behind)


def test_decisions_wait_for_all_and_do_not_depend_on_what_came_after() -> None:
    known = by_seed(CLEAR)
    assert race({label: {} for label in known}, NONE, 5, 1) == Race({}, 2)
    assert race({**known, "b": {0: 0.89}}, NONE, 5, 1) == Race({}, 2)
    two = {label: {0: each[0], 1: each[1]} for label, each in known.items()}
    early = race(two, NONE, 5, 1)
    assert early.look == 3
    assert early.stopped == race(known, NONE, 5, 1).stopped


@pytest.mark.parametrize("seeds", [1, 2])
def test_with_few_seeds_nobody_is_stopped(seeds: int) -> None:
    assert race(by_seed(CLEAR), NONE, seeds, 1) == Race({}, seeds)


def test_who_keeps_all_seeds() -> None:
    assert race(by_seed(CLEAR), NONE, 5, 1, {"c"}).stopped == {}


def test_values_that_never_vary_stop_nobody() -> None:
    same = {"a": [1.0] * 5, "b": [0.95] * 5}
    assert race(by_seed(same), NONE, 5, 1) == Race({}, 5)
    shifted = {"a": [0.7, 0.8, 0.9, 0.6, 0.5], "b": [0.6, 0.7, 0.8, 0.5, 0.4]}
    assert race(by_seed(shifted), NONE, 5, 1) == Race({}, 5)


def test_a_training_that_diverged_is_no_reason_to_wait() -> None:
    known = by_seed(CLEAR)
    del known["b"][1]
    made = race(known, {"b": frozenset({1})}, 5, 1)
    assert made.look == 5
    assert "b" not in made.stopped


@pytest.mark.parametrize(
    ("means", "deviations"),
    [
        ([0.0] * 6, [1.0] * 6),
        ([0.0, -0.5, -1.0, -1.3, -2.2, -3.0], [1.0] * 6),
        ([0.0, 0.0, -1.0, -1.0, -2.0, -3.0], [2.0] + [0.5] * 5),
    ],
)
def test_the_winner_is_nearly_always_that_of_all_seeds(
    means: list[float], deviations: list[float]
) -> None:
    rng, races, seeds, errors, trained = np.random.default_rng(0), 400, 5, 0, 0
    for _ in range(races):
        drawn: Any = rng.normal(size=(6, seeds)) * np.array(deviations)[:, None]
        drawn += np.array(means)[:, None] + rng.normal(size=seeds)
        rows = {str(i): row.tolist() for i, row in enumerate(drawn)}
        stopped = race(by_seed(rows), NONE, seeds, 1).stopped
        errors += str(drawn.mean(1).argmax()) in stopped
        trained += sum(stopped[k].seeds if k in stopped else seeds for k in rows)
    assert errors <= LEVEL * races
    assert trained < races * 6 * seeds
