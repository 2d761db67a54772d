"""The pruners by name, with their options as leaves of ``search.pruner``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuner.errors import StudyFileError, nearest
from tuner.search.options import Option, resolve, split

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

WHERE = "search.pruner"


@dataclass(frozen=True)
class PrunerEntry:
    """A pruner of the catalogue.

    Args:
        name: as in the study file.
        build: (options, epochs) → pruner, with every option present.
        options: what may be set.
        doc: one line for people.
    """

    name: str
    build: Callable[[dict[str, Any], int], BasePruner]
    options: tuple[Option, ...]
    doc: str


def _hyperband(options: dict[str, Any], epochs: int) -> BasePruner:
    from optuna.pruners import HyperbandPruner

    most = epochs if options["max_resource"] is None else options["max_resource"]
    if most < options["min_resource"]:
        raise StudyFileError(
            f"min_resource {options['min_resource']} is more than max_resource {most}",
            where=f"{WHERE}.min_resource",
            hint="max_resource is training.epochs unless it is given",
        )
    return HyperbandPruner(**{**options, "max_resource": most})


def _asha(options: dict[str, Any], epochs: int) -> BasePruner:
    from optuna.pruners import SuccessiveHalvingPruner

    return SuccessiveHalvingPruner(**options)


def _median(options: dict[str, Any], epochs: int) -> BasePruner:
    return _percentile({**options, "percentile": 50.0}, epochs)


def _percentile(options: dict[str, Any], epochs: int) -> BasePruner:
    from tuner.search.percentile import KeptPercentilePruner

    return KeptPercentilePruner(**_with_warmup(options, epochs))


def _patient(options: dict[str, Any], epochs: int) -> BasePruner:
    from optuna.pruners import PatientPruner

    name, inner = split(options["pruner"], f"{WHERE}.pruner")
    wrapped = None if name == "none" else build_pruner(name, inner, epochs=epochs)
    return PatientPruner(wrapped, options["patience"], options["min_delta"])


def _none(options: dict[str, Any], epochs: int) -> BasePruner:
    from optuna.pruners import NopPruner

    return NopPruner()


def _with_warmup(options: dict[str, Any], epochs: int) -> dict[str, Any]:
    """A sixth of the epochs as warm-up: early curves of slow learners cross later."""
    given = options["n_warmup_steps"]
    return {**options, "n_warmup_steps": epochs // 6 if given is None else given}


_REDUCTION = Option("reduction_factor", int, 3, "one of this many goes on at each rung", low=2)
_RESOURCE = Option("min_resource", int, 1, "epochs before the first rung", low=1)
_BOOTSTRAP = Option("bootstrap_count", int, 0, "trials a rung needs before any goes on", low=0)
_COMPARE = (
    Option("n_startup_trials", int, 5, "complete trials before any is pruned", low=0),
    Option("n_warmup_steps", int, None, "epochs before a check; a sixth if not given", low=0),
    Option("interval_steps", int, 1, "epochs between checks", low=1),
    Option("n_min_trials", int, 1, "reports that an epoch needs to be compared", low=1),
)

_ENTRIES = (
    PrunerEntry(
        "hyperband",
        _hyperband,
        (
            _RESOURCE,
            Option("max_resource", int, None, "epochs of a full trial; training.epochs", low=1),
            _REDUCTION,
            _BOOTSTRAP,
        ),
        "successive halving at several rates (Li et al., JMLR 2018)",
    ),
    PrunerEntry(
        "asha",
        _asha,
        (
            _RESOURCE,
            _REDUCTION,
            Option("min_early_stopping_rate", int, 0, "rungs left out at the start", low=0),
            _BOOTSTRAP,
        ),
        "asynchronous successive halving (Li et al., MLSys 2020)",
    ),
    PrunerEntry("median", _median, _COMPARE, "ends what is worse than the median at its epoch"),
    PrunerEntry(
        "percentile",
        _percentile,
        (
            Option("percentile", float, 25.0, "per cent that go on, the best", low=0, high=100),
            *_COMPARE,
        ),
        "ends what is not among the best per cent at its epoch",
    ),
    PrunerEntry(
        "patient",
        _patient,
        (
            Option("pruner", dict, "median", "who is asked then: a name or a table; none: at once"),
            Option("patience", int, 5, "epochs without improvement", low=0),
            Option("min_delta", float, 0.0, "what counts as improvement", low=0),
        ),
        "asks another pruner once a trial has stopped to improve",
    ),
    PrunerEntry("none", _none, (), "every trial is trained to its end"),
)

PRUNERS: dict[str, PrunerEntry] = {entry.name: entry for entry in _ENTRIES}


def check_pruner(name: str, options: Mapping[str, Any], where: str = WHERE) -> dict[str, Any]:
    """Every option's value, checked; raises StudyFileError with its dotted path."""
    if name not in PRUNERS:
        raise StudyFileError(
            f"no pruner is called {name!r}", where=where, hint=nearest(name, PRUNERS)
        )
    values = resolve(name, PRUNERS[name].options, options, where)
    if "pruner" in values:
        inside = f"{where}.pruner"
        inner, inner_options = split(values["pruner"], inside)
        check_pruner(inner, inner_options, inside)
    return values


def build_pruner(name: str, options: Mapping[str, Any], *, epochs: int) -> BasePruner:
    """The pruner of a study whose trials train for ``epochs`` epochs, reported as steps from 0.

    Args:
        name: a key of PRUNERS.
        options: what the study file sets; the rest has defaults.
        epochs: of a trial that is not pruned, 1 or more.

    Raises:
        StudyFileError: an unknown name or option, or a wrong value.
    """
    values = check_pruner(name, options)
    with warnings.catch_warnings():
        # Optuna marks the patient pruner as experimental, which is for its authors to know.
        warnings.simplefilter("ignore")
        try:
            return PRUNERS[name].build(values, epochs)
        except ValueError as error:
            raise StudyFileError(str(error), where=WHERE) from error
