"""Samplers that do not learn: their proposal depends on the seed and the trial's number.

Optuna's ``QMCSampler`` counts its points in the database and takes its space from the first
finished trial, so that a trial's parameters depend on which worker asked when. Here they do not,
so any number of workers try the same set. The grid's order depends on the seed alone, and each
trial gets the first configuration that no other has.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from tuner.space import (
    SWITCH,
    Choice,
    Node,
    Option,
    Range,
    Value,
    check_listable,
    inner_nodes,
    label,
    same,
    size,
)

COUNTABLE = 10_000
"""Of so many configurations one knows which were not tried."""
DIMENSIONS = 64
"""Coordinates of a point; the scramble depends on their number, so it is fixed."""


class IndependentSampler(BaseSampler):
    """A sampler that draws each parameter when it is asked for."""

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}


class QuasiRandomSampler(IndependentSampler):
    """The point of a low-discrepancy sequence that belongs to the trial's number.

    The k-th parameter that a trial draws takes the k-th coordinate, so a parameter that only some
    trials have needs no place of its own. Beyond 64 parameters, plain pseudo-random numbers.
    Sobol: Joe and Kuo, Constructing Sobol sequences with better two-dimensional projections,
    SIAM J. Sci. Comput. 30, 2008. Halton: Owen, A randomized Halton algorithm in R, 2017.

    Args:
        seed: of the scramble, one for the study.
        number: the trial's number, 0 or more.
        qmc_type: ``"sobol"`` or ``"halton"``.
        scramble: randomise the sequence by the seed; without it the seed has no effect.
    """

    def __init__(self, seed: int, number: int, qmc_type: str, scramble: bool) -> None:
        from scipy.stats import qmc

        engines = {"sobol": qmc.Sobol, "halton": qmc.Halton}
        engine = engines[qmc_type](DIMENSIONS, scramble=scramble, seed=seed)
        if number:
            engine.fast_forward(number)
        self._point: list[float] = engine.random(1)[0].tolist()
        self._beyond = random.Random(f"{seed}:{number}")
        self._drawn = 0

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        k, self._drawn = self._drawn, self._drawn + 1
        u = self._point[k] if k < DIMENSIONS else self._beyond.random()
        return from_unit(u, param_distribution)


class Point(IndependentSampler):
    """Gives each parameter the value that was chosen for it."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._values[param_name]


class SearchGrid:
    """The configurations of a space that can be listed, in an order shuffled by the seed.

    Each is there once, whatever is off or not chosen in it. A trial gets the first one that no
    other trial has. The grid may be of any size: it is listed only as far as it was handed out.

    Args:
        nodes: of the study.
        seed: of the order.

    Raises:
        StudyFileError: a range has no list of values.
    """

    def __init__(self, nodes: Sequence[Node], seed: int) -> None:
        check_listable(nodes)
        self._nodes, self._seed = tuple(nodes), seed
        self.size = int(size(nodes))
        self._order: list[int] = []

    def place(self, params: Mapping[str, Any]) -> int:
        """Which configuration these parameters stand for, which the study accepts."""
        return place_of(self._nodes, params)

    def next(self, tried: Mapping[int, int], again: bool = False) -> dict[str, Any] | None:
        """The parameters of the first configuration that was tried least.

        Args:
            tried: how often, by place.
            again: begin again after the last; otherwise None when all were tried.
        """
        most = min(tried.values()) if len(tried) == self.size else 0
        if most and not again:
            return None
        place = next(each for each in self._places() if tried.get(each, 0) <= most)
        return params_at(self._nodes, place)

    def fitting(self, tried: Mapping[int, int], known: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters of a configuration of which some are known: one that was not tried, if
        there is one."""
        nodes = narrowed(self._nodes, known)
        count = int(size(nodes))
        most = min(count, len(tried) + 1)  # one of so many is new, if any is
        made = ({**known, **params_at(nodes, shuffled(k, count, self._seed))} for k in range(most))
        first: dict[str, Any] | None = None
        for params in made:
            if first is None:
                first = params
            if not tried.get(self.place(params)):
                return params
        return first or dict(known)

    def _places(self) -> Iterator[int]:
        yield from self._order
        while len(self._order) < self.size:
            self._order.append(shuffled(len(self._order), self.size, self._seed))
            yield self._order[-1]


def countable(nodes: Sequence[Node]) -> bool:
    """Whether a space has so few configurations that one knows which were not tried."""
    return size(nodes) <= COUNTABLE


def params_at(nodes: Sequence[Node], place: int) -> dict[str, Any]:
    """The parameters of one configuration of a finite space, by its place below ``size(nodes)``.

    Each configuration has one place: what is off, or belongs to an option that is not chosen,
    makes no difference between two.
    """
    params: dict[str, Any] = {}
    for node in nodes:
        place, mine = divmod(place, int(size((node,))))
        params.update(_params_at(node, mine))
    return params


def _params_at(node: Node, place: int) -> dict[str, Any]:
    value = node.value
    if isinstance(value, Range):
        if value.off is None:
            return {node.name: value.number(place)}
        on = {node.name: value.number(place - 1)} if place else {}
        return {node.name + SWITCH: bool(place), **on}
    if not isinstance(value, Choice):
        return params_at(inner_nodes(value), place)
    for option in value.options:
        inner = inner_nodes(option)
        if place < size(inner):
            return {node.name: label(option), **params_at(inner, place)}
        place -= int(size(inner))
    raise AssertionError("an index beyond the last option")


def place_of(nodes: Sequence[Node], params: Mapping[str, Any]) -> int:
    """The place of a configuration by its parameters, which ``config_of`` accepts."""
    place = 0
    for node in reversed(nodes):
        place = place * int(size((node,))) + _place(node, params)
    return place


def _place(node: Node, params: Mapping[str, Any]) -> int:
    value = node.value
    if isinstance(value, Range):
        if value.off is None:
            return value.place(params[node.name])
        return 1 + value.place(params[node.name]) if params[node.name + SWITCH] else 0
    if not isinstance(value, Choice):
        return place_of(inner_nodes(value), params)
    before = 0
    for option in value.options:
        if same(label(option), params[node.name]):
            return before + place_of(inner_nodes(option), params)
        before += int(size(inner_nodes(option)))
    raise AssertionError("an option that the choice does not have")


def narrowed(nodes: Sequence[Node], known: Mapping[str, Any]) -> tuple[Node, ...]:
    """The space that is left where some parameters are known, as ``Prescribed`` accepts them."""
    return tuple(replace(node, value=_narrowed(node, known)) for node in nodes)


def _narrowed(node: Node, known: Mapping[str, Any]) -> Value | Range | Choice | Option:
    value = node.value
    if isinstance(value, Range):
        switch = known.get(node.name + SWITCH)
        if value.off is not None and switch is False:
            return value.off
        off = None if switch is True else value.off
        if not value.contains(known.get(node.name)):
            return replace(value, off=off)
        number = value.number(value.place(known[node.name])) if value.step else known[node.name]
        return Range(number, number, off=off)
    if isinstance(value, Choice):
        if any(same(name, known.get(node.name)) for name in value.labels):
            return _inner(value.option(known[node.name]), known)
        return Choice(tuple(_inner(option, known) for option in value.options))
    return _inner(value, known)


def _inner(option: Value | Option, known: Mapping[str, Any]) -> Value | Option:
    if not isinstance(option, Option):
        return option
    return Option(option.name, narrowed(option.nodes, known))


def shuffled(number: int, size: int, seed: int) -> int:
    """Where ``number`` (modulo size) goes in a permutation of range(size) drawn by the seed.

    A Feistel network of four rounds over the next even power of two; what falls outside the
    range walks on until it is inside (Black and Rogaway, Ciphers with arbitrary finite domains,
    CT-RSA 2002).
    """
    bits = max(1, ((size - 1).bit_length() + 1) // 2)
    place = number % size
    while True:
        left, right = divmod(place, 1 << bits)
        for step in range(4):
            key = random.Random(f"{seed}:{step}:{right}").getrandbits(bits)
            left, right = right, left ^ key
        place = (left << bits) | right
        if place < size:
            return place


def from_unit(u: float, distribution: BaseDistribution) -> Any:
    """The value at ``u`` in [0, 1) of a distribution: uniform, or uniform in the logarithm."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(u * len(distribution.choices))]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    if isinstance(distribution, FloatDistribution) and step is None:
        if distribution.log:
            value = math.exp(math.log(low) + u * (math.log(high) - math.log(low)))
        else:
            value = low + u * (high - low)
        return min(max(value, low), high)
    if distribution.log:  # an integer: each has its interval of width one, as in Optuna
        below, above = math.log(low - 0.5), math.log(high + 0.5)
        return min(max(round(math.exp(below + u * (above - below))), int(low)), int(high))
    assert step is not None
    return low + step * int(u * (round((high - low) / step) + 1))
