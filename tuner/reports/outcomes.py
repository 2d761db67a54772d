"""How the winner's predictions on the test rows fell out, over its seeds; stored by `confirm`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """Predictions on the test rows.

    Attributes:
        seeds: trainings that are in it.
        classes: names, in the order of ``confusion``; empty for a quantity.
        confusion: rows of actual by columns of predicted class, added up over seeds.
        calibration: ``(rows, mean probability, observed accuracy)`` for each tenth of the
            predicted probability, where there are rows.
        actual, predicted: of a quantity, in its own unit; of every seed.
    """

    seeds: int
    classes: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    calibration: tuple[tuple[int, float, float], ...] = ()
    actual: tuple[float, ...] = ()
    predicted: tuple[float, ...] = ()

    @property
    def calibration_error(self) -> float:
        """The expected calibration error (Guo et al. 2017)."""
        total = sum(count for count, _, _ in self.calibration)
        return sum(n * abs(sure - right) for n, sure, right in self.calibration) / max(total, 1)

    @property
    def residuals(self) -> tuple[float, ...]:
        """Actual less predicted value, in the target's unit."""
        return tuple(a - p for a, p in zip(self.actual, self.predicted, strict=True))


def pooled(kept: Sequence[Mapping[str, Any]]) -> Outcome | None:
    """What the seeds of one configuration say together; None where nothing was stored."""
    if not kept:
        return None
    return Outcome(
        seeds=len(kept),
        classes=tuple(kept[0].get("classes", ())),
        confusion=_added([each["confusion"] for each in kept if "confusion" in each]),
        calibration=_bins([each["calibration"] for each in kept if "calibration" in each]),
        actual=tuple(value for each in kept for value in each.get("actual", ())),
        predicted=tuple(value for each in kept for value in each.get("predicted", ())),
    )


def _added(tables: Sequence[Sequence[Sequence[int]]]) -> tuple[tuple[int, ...], ...]:
    return tuple(
        tuple(sum(cells) for cells in zip(*rows, strict=True)) for rows in zip(*tables, strict=True)
    )


def _bins(tables: Sequence[Sequence[Sequence[float]]]) -> tuple[tuple[int, float, float], ...]:
    found = []
    for mine in zip(*tables, strict=True):
        count = int(sum(rows for rows, _, _ in mine))
        if count:
            sure = sum(rows * mean for rows, mean, _ in mine) / count
            right = sum(rows * share for rows, _, share in mine) / count
            found.append((count, sure, right))
    return tuple(found)
