"""How each sampler of the catalogue is made; what it needs is imported only then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from tuner.search.tpe import Past


@dataclass(frozen=True)
class Request:
    """What a sampler is built from: every option's value, the derived seed, the trial, and for the
    grid the trial's parameters."""

    options: dict[str, Any]
    seed: int
    number: int
    point: Mapping[str, Any]
    past: Past | None


def build_tpe(request: Request) -> BaseSampler:
    if request.past is None:
        from optuna.samplers import TPESampler

        return TPESampler(seed=request.seed, **request.options)
    from tuner.search.tpe import KeptTPESampler

    return KeptTPESampler(request.past, seed=request.seed, **request.options)


def build_random(request: Request) -> BaseSampler:
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=request.seed)


def build_gp(request: Request) -> BaseSampler:
    from optuna.samplers import GPSampler

    return GPSampler(seed=request.seed, warn_independent_sampling=False, **request.options)


def build_cmaes(request: Request) -> BaseSampler:
    from tuner.search.cmaes import NumbersCmaEsSampler

    return NumbersCmaEsSampler(
        seed=request.seed, warn_independent_sampling=False, **request.options
    )


def build_qmc(request: Request) -> BaseSampler:
    from tuner.search.by_number import QuasiRandomSampler

    return QuasiRandomSampler(request.seed, request.number, **request.options)


def build_grid(request: Request) -> BaseSampler:
    from tuner.search.by_number import Point

    return Point(request.point)
