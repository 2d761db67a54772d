"""The joint space of a search: every parameter a column, those that are not asked for included.

A configuration is a row of numbers: a number in [0, 1] (ranges with ``log`` in the logarithm), the
index of a choice, OFF for a parameter that is not asked for. Which parameters are asked for is a
tree: a parameter stands below a choice (an option, or a switch), and only some of its values ask
for it.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial

from tuner.space import SWITCH, Choice, Node, Range, inner_nodes

Array = NDArray[np.float64]

OFF = -1.0
LEVELS = 1000
"""A range of more integers or steps is taken as continuous, and rounded."""
PARENTS = 64
"""A parameter with more values decides about no other."""


@dataclass(frozen=True)
class Dimension:
    """A parameter of the joint space.

    Attributes:
        name: of the parameter.
        distribution: what Optuna samples it from.
        parent: the column of the parameter that decides whether it is asked for; -1 for none.
        when: the levels of the parent for which it is.
    """

    name: str
    distribution: BaseDistribution
    parent: int = -1
    when: frozenset[int] = frozenset()

    @cached_property
    def choices(self) -> int:
        """How many choices without an order there are; 0 for numbers."""
        if isinstance(self.distribution, CategoricalDistribution) and not self._ordered:
            return len(self.distribution.choices)
        return 0

    @cached_property
    def levels(self) -> int:
        """How many values there are; 0 where it is continuous."""
        given = self.distribution
        if isinstance(given, CategoricalDistribution):
            return len(given.choices)
        low, high = _ends(given)
        if low == high:
            return 1
        step = given.step  # type: ignore[attr-defined]
        count = 0 if step is None else round((high - low) / step) + 1
        return count if count <= LEVELS else 0

    @cached_property
    def numbers(self) -> Array:
        """The number of each level, where there are levels."""
        if self.choices:
            return np.arange(float(self.choices))
        if not _is_log(self):
            return self.rounded(np.linspace(0, 1, self.levels))
        low = _ends(self.distribution)[0]
        return np.array([self.encode(low + i) for i in range(self.levels)])

    @cached_property
    def _ordered(self) -> bool:
        """Whether the choices are numbers that rise or fall."""
        choices = self.distribution.choices  # type: ignore[attr-defined]
        numbers = all(isinstance(c, int | float) and not isinstance(c, bool) for c in choices)
        if not numbers or len(choices) < 3:
            return False
        steps = np.diff(np.array(choices, dtype=float))
        return bool((steps > 0).all() or (steps < 0).all())

    @cached_property
    def middle(self) -> float:
        """The number of the value that stands for a missing one."""
        return 0.0 if self.choices else float(self.rounded(np.array([0.5]))[0])

    def encode(self, value: Any) -> float:
        """The number of a value; OFF for one that the distribution does not have."""
        given = self.distribution
        try:
            inner = given.to_internal_repr(value)
        except ValueError:
            return OFF
        if isinstance(given, CategoricalDistribution):
            return inner / (self.levels - 1) if self._ordered else inner
        low, high = _ends(given)
        if not np.isfinite(inner) or high == low:
            return 0.0 if high == low else OFF
        inner = min(max(inner, low), high)
        if given.log:  # type: ignore[attr-defined]
            return float(np.log(inner / low) / np.log(high / low))
        return float((inner - low) / (high - low))

    def decode(self, number: float) -> Any:
        """The value of a number."""
        given = self.distribution
        if isinstance(given, CategoricalDistribution):
            index = number * (self.levels - 1) if self._ordered else number
            return given.choices[round(index)]
        low, high = _ends(given)
        log, step = given.log, given.step  # type: ignore[attr-defined]
        value = low * (high / low) ** number if log else low + number * (high - low)
        if step is not None:
            value = low + round((value - low) / step) * step
        value = min(max(value, low), high)
        return int(value) if isinstance(given, IntDistribution) else float(value)

    def rounded(self, numbers: Array) -> Array:
        """The closest numbers [n] that stand for values."""
        given = self.distribution
        levels = self.levels
        if self.choices or not levels:
            return numbers
        if levels == 1:
            return np.zeros_like(numbers)
        if not isinstance(given, CategoricalDistribution) and given.log:  # type: ignore[attr-defined]
            low, high = _ends(given)
            whole = np.clip(np.rint(low * (high / low) ** numbers), low, high)
            return np.asarray(np.log(whole / low) / np.log(high / low))
        return np.asarray(np.rint(numbers * (levels - 1)) / (levels - 1))

    def level_of(self, number: float) -> int:
        """The index of a number's value; -1 for OFF."""
        if number == OFF:
            return -1
        if not self.choices and _is_log(self):  # only whole numbers have a logarithm and levels
            return int(self.decode(number) - _ends(self.distribution)[0])
        return round(number * (1 if self.choices else max(1, self.levels - 1)))


def _ends(given: BaseDistribution) -> tuple[float, float]:
    assert isinstance(given, FloatDistribution | IntDistribution)
    if given.step is None or given.log:
        return given.low, given.high
    return given.low, given.low + int((given.high - given.low) / given.step + 1e-9) * given.step


@dataclass(frozen=True)
class Joint:
    """A joint space; parents stand before the parameters that they decide about."""

    dimensions: tuple[Dimension, ...]

    def __len__(self) -> int:
        return len(self.dimensions)

    def encode(self, params: Iterable[Mapping[str, Any]]) -> Array:
        """Rows [n, d]: a parameter that is asked for and missing takes the middle."""
        given = list(params)
        rows = np.full((len(given), len(self)), OFF)
        for row, each in zip(rows, given, strict=True):
            for j, d in enumerate(self.dimensions):
                if d.name in each:
                    row[j] = d.encode(each[d.name])
        return self.settled(rows)

    def fixed(self, rows: Array, params: Mapping[str, Any]) -> Array:
        """Rows with the values of some parameters where these are asked for, in place."""
        for j, d in enumerate(self.dimensions):
            number = d.encode(params[d.name]) if d.name in params else OFF
            if number != OFF:
                rows[:, j] = number
        return self.settled(rows)

    def listed(self, most: int) -> Array | None:
        """Every row once; None where there are more than that."""
        rows = np.full((1, len(self)), OFF)
        for j, d in enumerate(self.dimensions):
            asked = self._asked(rows, j)
            if d.levels == 0:
                return None
            each = np.repeat(rows[asked], d.levels, axis=0)
            each[:, j] = np.tile(d.numbers, int(asked.sum()))
            rows = np.concatenate((rows[~asked], each))
            if len(rows) > most:
                return None
        return rows

    def decode(self, row: Array) -> dict[str, Any]:
        """The parameters of a row that are asked for."""
        return {
            d.name: d.decode(number)
            for d, number in zip(self.dimensions, row.tolist(), strict=True)
            if number != OFF
        }

    def settled(self, rows: Array) -> Array:
        """Rows in which exactly the parameters that are asked for have a number, in place."""
        for j, d in enumerate(self.dimensions):
            column, asked = rows[:, j], self._asked(rows, j)
            column[~asked] = OFF
            column[asked & (column == OFF)] = d.middle
        return rows

    def _asked(self, rows: Array, j: int) -> NDArray[np.bool_]:
        """Which rows ask for a parameter."""
        d = self.dimensions[j]
        if d.parent < 0:
            return np.ones(len(rows), dtype=bool)
        numbers, place = np.unique(rows[:, d.parent], return_inverse=True)
        level_of = self.dimensions[d.parent].level_of
        known = [level_of(number) in d.when for number in numbers.tolist()]
        return np.array(known, dtype=bool)[place]

    def placed(self, points: Array) -> Array:
        """Rows of points [n, d] in [0, 1): choices take equal shares."""
        rows = points.copy()
        for j, d in enumerate(self.dimensions):
            if d.levels and not _is_log(d):
                level = np.minimum((points[:, j] * d.levels).astype(int), d.levels - 1)
                rows[:, j] = level if d.choices else level / max(1, d.levels - 1)
            else:
                rows[:, j] = d.rounded(points[:, j])
        return self.settled(rows)

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Random rows [count, d]."""
        return self.placed(rng.random((count, len(self))))

    def moved(self, rows: Array, copies: int, scale: float, rng: np.random.Generator) -> Array:
        """Copies of rows, each with one parameter changed, at times more: numbers by a normal step
        of that scale, choices drawn anew."""
        near = np.repeat(rows, copies, axis=0)
        count, width = near.shape
        change = rng.random((count, width)) < 1 / width
        change[np.arange(count), self._any_asked(near, rng)] = True
        fresh = self.draw(count, rng)
        for j, d in enumerate(self.dimensions):
            now, step = near[:, j], rng.standard_normal(count) * scale
            if d.choices:
                new = fresh[:, j]
            else:
                if d.levels > 1 and not _is_log(d):  # at least to the next value
                    unit = 1 / (d.levels - 1)
                    whole = np.rint(step / unit)
                    step = np.where(whole == 0, rng.choice([-1, 1], count), whole) * unit
                new = np.where(now == OFF, fresh[:, j], d.rounded(np.clip(now + step, 0, 1)))
            near[:, j] = np.where(change[:, j], new, now)
        return self.settled(near)

    def _any_asked(self, rows: Array, rng: np.random.Generator) -> NDArray[np.int64]:
        """For each row a random parameter that is asked for in it."""
        return np.asarray(np.argmax(rng.random(rows.shape) * (rows != OFF), axis=1))


def _is_log(d: Dimension) -> bool:
    return bool(getattr(d.distribution, "log", False))


def joint_of_nodes(nodes: Sequence[Node]) -> Joint:
    """The joint space that a study declares.

    Leaves of one name below several options are one parameter if their values are the same, and
    several of that name if not: a configuration has one of them at most.
    """
    declared = _Declared()
    declared.add(nodes)
    return Joint(declared.dimensions)


class _Declared:
    """Collects the parameters of a study's leaves."""

    def __init__(self) -> None:
        self._dimensions: list[Dimension] = []
        self._values: list[Choice | Range] = []

    def add(self, nodes: Sequence[Node], parent: int = -1, level: int = -1) -> None:
        """Adds leaves that a level of a parent brings."""
        for node in nodes:
            name, value = node.name, node.value
            if isinstance(value, Choice):
                kind = CategoricalDistribution(value.labels)
                j = self._column(name, value, kind, parent, level)
                for i, option in enumerate(value.options):
                    self.add(inner_nodes(option), j, i)
            elif not isinstance(value, Range):
                self.add(inner_nodes(value), parent, level)
            elif value.off is None:
                self._column(name, value, _distribution(value), parent, level)
            else:
                switch = CategoricalDistribution((False, True))
                j = self._column(name + SWITCH, value, switch, parent, level)
                self._column(name, value, _distribution(value), j, 1)

    def _column(
        self, name: str, value: Choice | Range, kind: BaseDistribution, parent: int, level: int
    ) -> int:
        for j, d in enumerate(self._dimensions):
            if (d.name, d.parent) == (name, parent) and self._values[j] == value:
                self._dimensions[j] = replace(d, when=d.when | {level})
                return j
        when = frozenset() if parent < 0 else frozenset((level,))
        self._dimensions.append(Dimension(name, kind, parent, when))
        self._values.append(value)
        return len(self._values) - 1

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """Each below the parameter that decides about it."""
        final: list[Dimension] = []
        for d in self._dimensions:
            if d.parent >= 0 and len(d.when) == final[d.parent].levels:  # whatever that one is
                above = final[d.parent]
                d = replace(d, parent=above.parent, when=above.when)
            final.append(d)
        return tuple(final)


def _distribution(value: Range) -> BaseDistribution:
    """As Optuna makes it of what ``sample`` asks for."""
    if value.integer:
        step = int(value.step or 1)
        return IntDistribution(int(value.low), int(value.high), value.log, step)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the end is not a whole number of steps away
        return FloatDistribution(value.low, value.high, value.log, value.step)


def joint_of(trials: Sequence[FrozenTrial]) -> Joint:
    """The joint space of trials: of each parameter the distribution of the last one that has it.

    A parameter that some trials do not have stands below another whose values tell which have it:
    of several, below the one that the fewest trials have. Where none does, it is taken as always
    asked for. The order in which trials name their parameters does not matter.
    """
    last: dict[str, BaseDistribution] = {}
    counts: Counter[str] = Counter()
    for trial in trials:
        last.update(trial.distributions)
        counts.update(trial.distributions.keys())
    names = sorted(last, key=lambda name: (-counts[name], name))
    dimensions = [Dimension(name, last[name]) for name in names]
    columns = {d.name: _levels(d, trials) for d in dimensions}
    whole = [
        _below(d, dimensions[:j], columns) if counts[d.name] < len(trials) else d
        for j, d in enumerate(dimensions)
    ]
    return Joint(tuple(whole))


def _levels(d: Dimension, trials: Sequence[FrozenTrial]) -> list[int | None]:
    """The level of each trial's value; None where it has none, and -1 where too many have."""
    if not 0 < d.levels <= PARENTS:
        return [-1 if d.name in trial.params else None for trial in trials]
    return [d.level_of(d.encode(t.params[d.name])) if d.name in t.params else None for t in trials]


def _below(
    d: Dimension, before: Sequence[Dimension], columns: Mapping[str, list[int | None]]
) -> Dimension:
    has = [level is not None for level in columns[d.name]]
    for j in reversed(range(len(before))):
        if not 1 < before[j].levels <= PARENTS:
            continue
        levels = columns[before[j].name]
        when = {level for level, mine in zip(levels, has, strict=True) if mine}
        other = {level for level, mine in zip(levels, has, strict=True) if not mine}
        if None not in when and not when & other and other - {None}:
            return replace(
                d, parent=j, when=frozenset(level for level in when if level is not None)
            )
    return d
