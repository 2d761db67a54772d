from __future__ import annotations

import doctest
import itertools
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import SGD, lr_scheduler

import tuner.schedules
from tuner.errors import StudyFileError, TrainingError
from tuner.imports import Allowed, allowing
from tuner.schedules import (
    SCHEDULES,
    WARMUP,
    learning_rates,
    lookup,
    own_schedule,
    try_out,
)

RATE = 0.3  # the base learning rate of the references
Reference = Callable[[SGD, int], Any]


def _one_cycle(optimizer: SGD, total: int, peak_at: float, initial: float, final: float) -> Any:
    return lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=RATE,
        total_steps=total + 1,
        pct_start=(peak_at * total + 1) / (total + 1),
        div_factor=1 / initial,
        final_div_factor=initial / final,
        cycle_momentum=False,
    )


def _restarts(optimizer: SGD, total: int, cycles: int, final: float) -> Any:
    assert total % cycles == 0
    return lr_scheduler.CosineAnnealingWarmRestarts(
        optimizer, T_0=total // cycles, eta_min=final * RATE
    )


def _step(optimizer: SGD, total: int, gamma: float, parts: int) -> Any:
    assert total % parts == 0
    return lr_scheduler.StepLR(optimizer, total // parts, gamma)


def _coslog4(optimizer: SGD, total: int) -> Any:
    """From the definition in the paper."""
    return lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * step / total)))
    )


def _flat_cosine(optimizer: SGD, total: int, flat: float, final: float) -> Any:
    def falls(step: int) -> float:
        fallen = max(0.0, step / total - flat) / (1 - flat)
        return final + (1 - final) * math.cos(math.pi / 2 * fallen) ** 2

    return lr_scheduler.LambdaLR(optimizer, falls)


REFERENCES: dict[str, Callable[..., Any]] = {
    "constant": lambda o, t: lr_scheduler.ConstantLR(o, factor=1.0),
    "exponential": lambda o, t, final: lr_scheduler.ExponentialLR(o, gamma=final ** (1 / t)),
    "polynomial": lambda o, t, power: lr_scheduler.PolynomialLR(o, total_iters=t, power=power),
    "cosine": lambda o, t, final: lr_scheduler.CosineAnnealingLR(o, T_max=t, eta_min=final * RATE),
    "cosine_restarts": _restarts,
    "step": _step,
    "one_cycle": _one_cycle,
    "coslog4": _coslog4,
    "flat-cosine": _flat_cosine,
}
OTHER: dict[str, list[dict[str, Any]]] = {
    "constant": [],
    "exponential": [{"final": 0.5}, {"final": 1.0}],
    "polynomial": [{"power": 0.5}, {"power": 2.7}, {"power": 0.0}],
    "cosine": [{"final": 0.1}, {"final": 1.0}],
    "cosine_restarts": [{"cycles": 1, "final": 0.0}, {"cycles": 15, "final": 0.05}],
    "step": [{"gamma": 0.5, "parts": 15}, {"gamma": 0.0, "parts": 5}, {"gamma": 0.3, "parts": 1}],
    "one_cycle": [
        {"peak_at": 0.5, "initial": 0.1, "final": 0.01},
        {"peak_at": 0.123, "initial": 0.9, "final": 1e-6},
    ],
    "coslog4": [],
    "flat-cosine": [{"flat": 0.8, "final": 0.1}, {"flat": 0.0, "final": 0.0}],
}


def defaults(name: str) -> dict[str, Any]:
    return {leaf.name: leaf.default for leaf in SCHEDULES[name].leaves}


CASES = [(n, leaves) for n in SCHEDULES for leaves in (defaults(n), *OTHER[n])]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # SequentialLR passes a step on in a way that torch itself deprecates
        warnings.filterwarnings("ignore", message="The epoch parameter", category=UserWarning)
        yield


def rates(make: Reference, total: int) -> list[float]:
    """The multipliers that torch uses at each step."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=RATE)
    scheduler, used = make(optimizer, total), []
    for _ in range(total):
        used.append(float(optimizer.param_groups[0]["lr"]) / RATE)
        optimizer.step()
        scheduler.step()
    return used


def ours(name: str, total: int, warmup: float, leaves: dict[str, Any]) -> list[float]:
    return learning_rates(SCHEDULES[name], total, 0, total, warmup=warmup, **leaves)


def close(expected: list[float]) -> Any:
    return pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("name", "leaves"), CASES, ids=str)
@pytest.mark.parametrize("total", [15, 165, 1005])
def test_equals_torch(name: str, leaves: dict[str, Any], total: int) -> None:
    theirs = rates(lambda o, t: REFERENCES[name](o, t, **leaves), total)
    assert ours(name, total, 0.0, leaves) == close(theirs)


@pytest.mark.parametrize("warmup", [0.1, 0.25, 0.5])
@pytest.mark.parametrize(("name", "leaves"), CASES, ids=str)
def test_warmup_equals_torch(name: str, leaves: dict[str, Any], warmup: float) -> None:
    rising, remaining = round(warmup * 120 / (1 - warmup)), 120
    total = rising + remaining

    def sequential(optimizer: SGD, total: int) -> Any:
        main = REFERENCES[name](optimizer, remaining, **leaves)
        up = lr_scheduler.LinearLR(optimizer, 1 / rising, 1.0, total_iters=rising - 1)
        return lr_scheduler.SequentialLR(optimizer, [up, main], milestones=[rising])

    if SCHEDULES[name].multiplier(0.0, **leaves) == 0:  # there is nothing to rise to
        main = rates(lambda o, t: REFERENCES[name](o, t, **leaves), remaining)
        assert ours(name, total, warmup, leaves) == close([0.0] * rising + main)
        return
    theirs = rates(sequential, total)
    assert ours(name, total, warmup, leaves) == close(theirs)


@pytest.mark.parametrize(("name", "leaves"), CASES, ids=str)
def test_warmup_is_a_product(name: str, leaves: dict[str, Any]) -> None:
    total, rising, multiplier = 97, 19, SCHEDULES[name].multiplier  # 0.2 * 97 = 19.4

    def product(step: int) -> float:
        return min(1.0, (step + 1) / rising) * multiplier(max(0, step - rising) / 78, **leaves)

    theirs = rates(lambda o, t: lr_scheduler.LambdaLR(o, product), total)
    assert ours(name, total, 0.2, leaves) == close(theirs)


@pytest.mark.parametrize("name", SCHEDULES)
def test_no_warmup_is_exactly_the_schedule(name: str) -> None:
    leaves, multiplier = defaults(name), SCHEDULES[name].multiplier
    assert WARMUP.off == 0.0
    for total in (1, 7, 30, 1000):
        alone = [multiplier(step / total, **leaves) for step in range(total)]
        assert ours(name, total, 0.0, leaves) == alone


@pytest.mark.parametrize("warmup", [0.0, 0.07, 0.5])
@pytest.mark.parametrize("name", SCHEDULES)
def test_pieces_are_the_whole(name: str, warmup: float) -> None:
    schedule, leaves = SCHEDULES[name], defaults(name)
    bounds = [0, 0, 3, 40, 41, 90, 100]
    pieces = [
        rate
        for start, stop in itertools.pairwise(bounds)
        for rate in learning_rates(schedule, 100, start, stop, warmup=warmup, **leaves)
    ]
    assert pieces == ours(name, 100, warmup, leaves)


@pytest.mark.parametrize("parts", [2, 3, 7, 11, 15])
def test_boundaries_are_met_in_spite_of_rounding(parts: int) -> None:
    for size in (1, 2, 3, 7, 9, 10, 49, 97):
        total = parts * size
        drops = learning_rates(
            SCHEDULES["step"], total, 0, total, warmup=0.0, gamma=0.5, parts=parts
        )
        assert drops == [0.5 ** (step // size) for step in range(total)]
        restarts = learning_rates(
            SCHEDULES["cosine_restarts"], total, 0, total, warmup=0.0, cycles=parts, final=0.0
        )
        assert [s for s, rate in enumerate(restarts) if rate == 1.0] == list(range(0, total, size))


def test_drops_between_steps_come_at_the_next_step() -> None:
    rates = ours("step", 10, 0.0, {"gamma": 0.5, "parts": 3})
    assert rates == [1.0] * 4 + [0.5] * 3 + [0.25] * 3


def test_a_peak_at_the_beginning() -> None:
    leaves = {"peak_at": 0.0, "initial": 0.1, "final": 0.2}
    assert ours("one_cycle", 20, 0.0, leaves) == close(ours("cosine", 20, 0.0, {"final": 0.2}))


def test_a_warmup_shorter_than_a_step_is_none() -> None:
    assert ours("constant", 10, 0.04, {}) == [1.0] * 10
    assert ours("constant", 1, 0.5, {}) == [1.0]


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (4, 3), (0, 11)])
def test_steps_outside_of_the_training(start: int, stop: int) -> None:
    with pytest.raises(TrainingError, match="not within 10 steps"):
        learning_rates(SCHEDULES["constant"], 10, start, stop, warmup=0.0)


@pytest.mark.parametrize("warmup", [0.0, 0.3])
@pytest.mark.parametrize(("name", "leaves"), CASES, ids=str)
def test_multipliers_are_from_0_to_1(name: str, leaves: dict[str, Any], warmup: float) -> None:
    for total in (1, 2, 3, 50, 333):
        multipliers = ours(name, total, warmup, leaves)
        assert len(multipliers) == total
        assert all(type(m) is float and math.isfinite(m) for m in multipliers)
        assert all(0 <= m <= 1 for m in multipliers)
    assert 0 <= SCHEDULES[name].multiplier(1.0, **leaves) <= 1


def test_catalogue() -> None:
    expected = "constant exponential polynomial cosine cosine_restarts step one_cycle"
    assert list(SCHEDULES) == [*expected.split(), "coslog4", "flat-cosine"]
    for name, schedule in SCHEDULES.items():
        assert lookup(name) is schedule
        assert schedule.name == name
        assert schedule.source
        assert "Source:" in str(schedule.multiplier.__doc__)
        names = [leaf.name for leaf in schedule.leaves]
        assert len(set(names)) == len(names)
        for leaf in (*schedule.leaves, WARMUP):
            assert leaf.doc
            assert leaf.source
            assert leaf.search is not None
            assert leaf.allows(leaf.default)
        for leaf in schedule.leaves:
            assert all(leaf.allows(leaves[leaf.name]) for leaves in OTHER[name])


def test_doctests() -> None:
    failed, tried = doctest.testmod(tuner.schedules)
    assert tried >= len(SCHEDULES)
    assert failed == 0


def test_unknown_name() -> None:
    with pytest.raises(StudyFileError, match="did you mean 'cosine'") as caught:
        lookup("cosin")
    assert "one_cycle" in str(caught.value)


# Functions of the user's.


MINE = """
import torch

def falling(progress, by=0.5): return 1 - by * progress
def tensor(progress): return torch.tensor(2.0) * progress
def raising(progress): return 1 / progress
def absent(progress): return float("nan") if progress > 0.5 else 1.0
def nothing(progress): pass
def negative(progress): return 0.5 - progress
def several(progress): return torch.ones(2)
def text(progress): return "0.5"
def steps(progress): return 1.0 if progress > 1 else 0
calls = []
def remembering(progress):
    calls.append(progress)
    return 1 / len(calls)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_rates.py").write_text(MINE)
    monkeypatch.delitem(sys.modules, "my_rates", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_function_of_ones_own(folder: Path) -> None:
    own = own_schedule("my_rates:falling")
    assert learning_rates(own, 4, 0, 4, warmup=0.0, by=1.0) == [1.0, 0.75, 0.5, 0.25]
    assert learning_rates(own, 4, 0, 4, warmup=0.5, by=1.0) == [0.5, 1.0, 1.0, 0.5]
    assert learning_rates(own_schedule("my_rates:tensor"), 2, 0, 2, warmup=0.0) == [0.0, 1.0]
    try_out(own, {"by": 1.0})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raising", "the schedule raised ZeroDivisionError: float division by zero"),
        ("absent", "the schedule returned nan at progress 0.505"),
        ("nothing", "the schedule returned None at progress 0"),
        ("negative", "the schedule returned -0.0"),
        ("several", "the schedule returned tensor([1., 1.]) at progress 0"),
        ("text", "the schedule returned '0.5' at progress 0"),
        ("steps", "the schedule is 0 everywhere"),
        ("remembering", "the schedule gives other numbers for the same progress"),
    ],
)
def test_a_function_of_ones_own_that_is_no_schedule(folder: Path, name: str, words: str) -> None:
    with pytest.raises(StudyFileError) as caught:
        try_out(own_schedule(f"my_rates:{name}"), {})
    assert caught.value.where == f"my_rates:{name}"
    assert caught.value.message.startswith(words)
    assert caught.value.hint


def test_a_function_that_is_not_allowed_is_not_imported(folder: Path) -> None:
    with allowing(Allowed()), pytest.raises(StudyFileError, match="my_rates"):
        try_out(own_schedule("my_rates:falling"), {})
    assert "my_rates" not in sys.modules
