"""Where time goes: each second is counted once."""

from __future__ import annotations

import time

import pytest

from tuner.worker.run import Clock


def test_an_outer_measurement_stands_still_within_an_inner_one() -> None:
    clock, started = Clock(), time.perf_counter()
    with clock.measure("training"):
        time.sleep(0.02)
        with clock.measure("storage"):
            time.sleep(0.05)
        with clock.measure("storage"), clock.measure("pruner"):
            time.sleep(0.01)
    whole = time.perf_counter() - started
    assert set(clock.spent) == {"training", "storage", "pruner"}
    assert clock.spent["storage"] >= 0.05
    assert clock.spent["training"] >= 0.02
    assert sum(clock.spent.values()) <= whole


def test_an_error_ends_a_measurement() -> None:
    clock = Clock()
    with pytest.raises(ValueError, match="x"), clock.measure("a"), clock.measure("b"):
        raise ValueError("x")
    with clock.measure("c"):
        pass
    assert set(clock.spent) == {"a", "b", "c"}
