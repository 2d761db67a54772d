"""Learning-rate schedules: functions from progress in [0, 1] to a multiplier of the learning rate.

To add one: write its function, and list it at the end. A function of the user's,
`lr_scheduler = "package.module:function"`, is called likewise: see ``OwnMultiplier``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from tuner.errors import StudyFileError, TrainingError, nearest
from tuner.imports import function
from tuner.space import Leaf, Range, shown


@dataclass(frozen=True)
class Schedule:
    """A schedule.

    Args:
        name: its name in a study file.
        multiplier: ``(progress, **leaves)`` to a multiplier in [0, 1], or at least 0 where it is a
            user's. Progress is the number of finished steps divided by all steps: 0 at the first
            step, below 1 at the last.
        leaves: its parameters.
        source: the paper.
    """

    name: str
    multiplier: Callable[..., float]
    leaves: tuple[Leaf, ...]
    source: str


def lookup(name: str) -> Schedule:
    """The schedule of that name; StudyFileError where there is none."""
    if name not in SCHEDULES:
        what, hint = f"no schedule is called {name!r}", nearest(name, SCHEDULES)
        raise StudyFileError(what, where="training.lr_scheduler", hint=hint)
    return SCHEDULES[name]


def learning_rates(
    schedule: Schedule, total_steps: int, start: int, stop: int, *, warmup: float, **leaves: float
) -> list[float]:
    """The multipliers of the learning rate at steps ``start`` to ``stop - 1``, counted from 0.

    The first ``W = round(warmup * total_steps)`` steps rise linearly to where the schedule begins,
    and the schedule runs over the others: at step s the multiplier is
    ``min(1, (s + 1) / W) * schedule(max(0, s - W) / (total_steps - W))``.

    Args:
        total_steps: all steps of the training, the warm-up included.
        start, stop: the steps asked for, ``0 <= start <= stop <= total_steps``.
        warmup: the fraction of all steps in [0, 0.5]; 0 is the schedule alone.
        leaves: the schedule's own.

    Raises:
        TrainingError: steps outside of the training were asked for.

    >>> learning_rates(SCHEDULES["polynomial"], 10, 0, 4, warmup=0.2, power=1.0)
    [0.5, 1.0, 1.0, 0.875]
    """
    if not 0 <= start <= stop <= total_steps:
        raise TrainingError(f"steps {start} to {stop} are not within {total_steps} steps")
    rising = round(warmup * total_steps)
    multiplier, remaining = schedule.multiplier, total_steps - rising
    begins = multiplier(0.0, **leaves)
    first = [(s + 1) / rising * begins for s in range(start, min(stop, rising))]
    return first + [
        multiplier((s - rising) / remaining, **leaves) for s in range(max(start, rising), stop)
    ]


def _position(progress: float, parts: int) -> tuple[int, float]:
    """Which of so many equal parts, and how far within it.

    A boundary belongs to the part that it begins. It is met up to a rounding error: 11/15 of 15
    parts is 10.999999999999998, and of fewer than 10^9 steps none is that near without being on it.
    """
    place = progress * parts
    if abs(place - round(place)) < 1e-9:
        place = round(place)
    part = math.floor(place)
    return part, float(place - part)


def _anneal(start: float, end: float, fraction: float) -> float:
    """Half a cosine from ``start`` to ``end``; beginning at 1 it begins at exactly 1."""
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2


def constant(progress: float) -> float:
    """``1``. Source: Bottou et al. 2018."""
    return 1.0


def exponential(progress: float, final: float) -> float:
    """``final^progress``: every step multiplies by the same. Source: Li and Arora 2020.

    >>> exponential(0.5, final=0.01)
    0.1
    """
    return float(final**progress)


def polynomial(progress: float, power: float) -> float:
    """``(1 - progress)^power``: to 0; linearly with power 1. Source: Chen et al. 2017.

    >>> polynomial(0.5, power=2.0)
    0.25
    """
    return float((1 - progress) ** power)


def cosine(progress: float, final: float) -> float:
    """``final + (1 - final)·(1 + cos(π·progress))/2``. Source: Loshchilov and Hutter 2017.

    >>> cosine(0.5, final=0.0)
    0.5
    """
    return _anneal(1.0, final, progress)


def cosine_restarts(progress: float, cycles: int, final: float) -> float:
    """``cosine`` over each of so many equal cycles. Source: Loshchilov and Hutter 2017.

    >>> [round(cosine_restarts(p, cycles=2, final=0.0), 3) for p in (0.0, 0.25, 0.49, 0.5)]
    [1.0, 0.5, 0.001, 1.0]
    """
    return _anneal(1.0, final, _position(progress, cycles)[1])


def step(progress: float, gamma: float, parts: int) -> float:
    """``gamma^⌊progress·parts⌋``: constant within each of equal parts. Source: Ge et al. 2019.

    >>> [round(step(p, gamma=0.1, parts=3), 3) for p in (0.3, 0.4, 0.9)]
    [1.0, 0.1, 0.01]
    """
    return float(gamma ** _position(progress, parts)[0])


def one_cycle(progress: float, peak_at: float, initial: float, final: float) -> float:
    """Half a cosine from ``initial`` up to 1 at ``peak_at``, another down to ``final``.

    ``a + (b - a)·(1 - cos(π·t))/2`` with a, b the ends and t in [0, 1] the time within each half.
    The learning rate is that of the peak. Source: Smith and Topin 2018.

    >>> [round(one_cycle(p, peak_at=0.3, initial=0.04, final=0.0), 3) for p in (0.0, 0.3, 0.65)]
    [0.04, 1.0, 0.5]
    """
    if progress < peak_at:
        return _anneal(initial, 1.0, progress / peak_at)
    return _anneal(1.0, final, (progress - peak_at) / (1 - peak_at))


def coslog4(progress: float) -> float:
    """``(1 - cos(2π·log2(1 + 15·progress)))/2``: four waves from 0 to 0, each twice as long as the
    one before. A warm-up before it would be all 0. Source: Holzmüller et al. 2024.

    >>> [round(coslog4(p), 3) for p in (0.0, (2**0.5 - 1) / 15, 1 / 15, 1.0)]
    [0.0, 1.0, 0.0, 0.0]
    """
    return (1 - math.cos(2 * math.pi * math.log2(1 + 15 * progress))) / 2


def flat_cosine(progress: float, flat: float, final: float) -> float:
    """``1`` up to ``flat``, then half a cosine to ``final``. Source: Wright 2019.

    >>> [round(flat_cosine(p, flat=0.5, final=0.0), 3) for p in (0.0, 0.5, 0.75)]
    [1.0, 1.0, 0.5]
    """
    return 1.0 if progress < flat else _anneal(1.0, final, (progress - flat) / (1 - flat))


# fmt: off
WARMUP = Leaf(
    "warmup", float, 0.0, 0.0, 0.5, off=0.0, search=Range(0.01, 0.2, off=0.0),
    doc="part of all steps in which the learning rate rises linearly to the schedule's beginning",
    unit="fraction of the steps", source="Goyal et al. 2017, arXiv:1706.02677",
)
"""Combines with every schedule."""


def _final(default: float, minimum: float, search: Range) -> Leaf:
    return Leaf("final", float, default, minimum, 1.0, search=search, doc="multiplier at the end")


_POWER = Leaf("power", float, 1.0, 0.0, 10.0, search=Range(0.5, 3.0),
              doc="1: linear; above: falls early; below: falls late")
_CYCLES = Leaf("cycles", int, 3, 1, 1000, search=Range(2, 5), doc="how many, of equal length")
_GAMMA = Leaf("gamma", float, 0.1, 0.0, 1.0, search=Range(0.05, 0.5), doc="factor at each drop")
_PARTS = Leaf("parts", int, 3, 1, 1000, search=Range(2, 5),
              doc="how many parts of equal length; between them are the drops")
_PEAK = Leaf("peak_at", float, 0.3, 0.0, 0.99, search=Range(0.1, 0.5), doc="progress at the peak")
_FLAT = Leaf("flat", float, 0.5, 0.0, 0.99, search=Range(0.3, 0.8),
             doc="progress up to which it is 1")
_INITIAL = Leaf("initial", float, 1 / 25, 0.0, 1.0, search=Range(0.01, 0.5, log=True),
                doc="multiplier at the beginning")


def _make(name: str, multiplier: Callable[..., float], source: str, *leaves: Leaf) -> Schedule:
    return Schedule(name, multiplier, tuple(replace(x, source=source) for x in leaves), source)


_LISTED = (
    _make("constant", constant, "Bottou, Curtis and Nocedal 2018, arXiv:1606.04838"),
    _make("exponential", exponential, "Li and Arora 2020, arXiv:1910.07454",
          _final(0.01, 1e-9, Range(1e-4, 0.1, log=True))),
    _make("polynomial", polynomial, "Chen et al. 2017, arXiv:1606.00915", _POWER),
    _make("cosine", cosine, "Loshchilov and Hutter 2017, arXiv:1608.03983",
          _final(0.0, 0.0, Range(0.0, 0.1))),
    _make("cosine_restarts", cosine_restarts, "Loshchilov and Hutter 2017, arXiv:1608.03983",
          _CYCLES, _final(0.0, 0.0, Range(0.0, 0.1))),
    _make("step", step, "Ge et al. 2019, arXiv:1904.12838", _GAMMA, _PARTS),
    _make("one_cycle", one_cycle, "Smith and Topin 2018, arXiv:1708.07120",
          _PEAK, _INITIAL, _final(1 / 250_000, 0.0, Range(1e-6, 1e-2, log=True))),
    _make("coslog4", coslog4, "Holzmüller et al. 2024, arXiv:2407.04491"),
    _make("flat-cosine", flat_cosine, "Wright 2019, the optimizer Ranger; Holzmüller et al. 2024, "
          "arXiv:2407.04491", _FLAT, _final(0.0, 0.0, Range(0.0, 0.1))),
)
# fmt: on
SCHEDULES: dict[str, Schedule] = {schedule.name: schedule for schedule in _LISTED}


# Schedules of the user's.


@dataclass(frozen=True)
class OwnMultiplier:
    """A function of the user's, called as ``function(progress, **options)``.

    It returns one finite number of at least 0, by which the learning rate is multiplied.

    Its module is imported at the first call, for a trained network needs no schedule.

    Raises (when called):
        TrainingError: the function raises, or returns something else.
        StudyFileError: there is none, or it is not allowed here.
    """

    reference: str

    @cached_property
    def call(self) -> Callable[..., Any]:
        return function(self.reference, "training.lr_scheduler", StudyFileError)

    def __call__(self, progress: float, **options: Any) -> float:
        call = self.call
        try:
            result = call(progress, **options)
        except Exception as error:
            what = f"the schedule raised {type(error).__name__}: {error}"
            hint = f"it was given progress {progress:g}"
            raise TrainingError(what, where=self.reference, hint=hint) from error
        try:
            number = math.nan if isinstance(result, str | bool) else float(result)
        except (TypeError, ValueError, RuntimeError):
            number = math.nan
        if not 0 <= number < math.inf:
            what = f"the schedule returned {shown(result)} at progress {progress:g}"
            hint = "return one number of at least 0, which multiplies the learning rate"
            raise TrainingError(what, where=self.reference, hint=hint)
        return number


def own_schedule(reference: str) -> Schedule:
    """The schedule of a user's function."""
    return Schedule(reference, OwnMultiplier(reference), (), "a function of the user's")


TRIED = 200
"""Places between 0 and 1 at which a user's schedule is tried."""


def try_out(schedule: Schedule, values: Mapping[str, Any]) -> None:
    """Asks a schedule for its multipliers twice, before any trial.

    Raises:
        StudyFileError: it cannot be imported here, fails, all multipliers are 0, or others the
            second time.
    """
    try:
        once, again = (
            [schedule.multiplier(place / TRIED, **values) for place in range(TRIED)]
            for _ in range(2)
        )
    except TrainingError as error:
        raise StudyFileError(error.message, where=error.where, hint=error.hint) from error
    if not any(once):
        what, hint = (
            "the schedule is 0 everywhere",
            "progress goes from 0 to 1, and counts no steps",
        )
        raise StudyFileError(what, where=schedule.name, hint=hint)
    if once != again:
        what = "the schedule gives other numbers for the same progress"
        hint = "compute them from progress and options alone"
        raise StudyFileError(what, where=schedule.name, hint=hint)
