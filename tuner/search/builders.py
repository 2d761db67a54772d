"""How each sampler of the catalogue is made; what it needs is imported only then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuner.errors import StudyFileError

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from tuner.search.tpe import Past

Grid = Mapping[str, Sequence[Any]]
"""The values of every parameter by name."""


@dataclass(frozen=True)
class Request:
    """What a sampler is built from: every option's value, the derived seed, and the trial."""

    options: dict[str, Any]
    seed: int
    number: int
    grid: Grid | None
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
    from tuner.search.by_number import GridByNumber

    if request.grid is None or not all(request.grid.values()):
        raise StudyFileError(
            "the grid sampler needs a list of values for every searched leaf",
            where="search.sampler",
            hint="give each range a step, or use another sampler",
        )
    return GridByNumber(request.grid, request.seed, request.number)
