"""The catalogue of pruners, with the options of ``search.pruner``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuner.errors import StudyFileError, nearest
from tuner.search.options import resolve, split
from tuner.space import Leaf

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

WHERE = "search.pruner"
PROMOTE = "promote"
"""The pruner that pauses trials and ends none."""
STRETCH = 3
"""Each rung of PROMOTE has so many times the epochs of the one before."""


@dataclass(frozen=True)
class StepRange:
    """The steps that a trial reports.

    Args:
        epochs: of a trial that is not pruned, 1 or more.
        first: the first step; epochs are counted from 1, and an own objective usually from 0.
    """

    epochs: int
    first: int


@dataclass(frozen=True)
class PrunerEntry:
    """A pruner of the catalogue.

    Args:
        name: as in the study file.
        build: (options, steps) → pruner, with every option present.
        options: of the study file.
        doc: one line for people.
    """

    name: str
    build: Callable[[dict[str, Any], StepRange], BasePruner]
    options: tuple[Leaf, ...]
    doc: str


def _hyperband(options: dict[str, Any], steps: StepRange) -> BasePruner:
    from optuna.pruners import HyperbandPruner

    most = steps.epochs if options["max_resource"] is None else options["max_resource"]
    if most < options["min_resource"]:
        raise StudyFileError(
            f"min_resource {options['min_resource']} is more than max_resource {most}",
            where=f"{WHERE}.min_resource",
            hint="max_resource is training.epochs unless it is given",
        )
    return HyperbandPruner(**{**options, "max_resource": most})


def _asha(options: dict[str, Any], steps: StepRange) -> BasePruner:
    from optuna.pruners import SuccessiveHalvingPruner

    return SuccessiveHalvingPruner(**options)


def _median(options: dict[str, Any], steps: StepRange) -> BasePruner:
    return _percentile_pruner({**options, "percentile": 50.0}, steps)


def _percentile_pruner(options: dict[str, Any], steps: StepRange) -> BasePruner:
    from tuner.search.prune import CachedPercentilePruner

    # Optuna asks from the step of this number on, which is the one after so many steps from 0.
    first = _warmup(options, steps.epochs) + steps.first
    return CachedPercentilePruner(**{**options, "n_warmup_steps": first})


def _patient(options: dict[str, Any], steps: StepRange) -> BasePruner:
    from optuna.pruners import PatientPruner

    name, inner = split(options["pruner"], f"{WHERE}.pruner")
    wrapped = None
    if name != "none":
        wrapped = build_pruner(name, inner, epochs=steps.epochs, first=steps.first)
    return PatientPruner(wrapped, options["patience"], options["min_delta"])


def _none(options: dict[str, Any], steps: StepRange) -> BasePruner:
    from optuna.pruners import NopPruner

    return NopPruner()


def rungs_of(epochs: int, first: int) -> tuple[int, ...]:
    """The epochs at which trials of PROMOTE pause, ascending; none in the last third of a trial."""
    rungs = [first]
    while 3 * rungs[-1] <= 2 * epochs:
        rungs.append(STRETCH * rungs[-1])
    return tuple(rungs[:-1])


def most_epochs(options: Mapping[str, Any], epochs: int | None) -> int | None:
    """The epochs of a full trial of PROMOTE, by its options and the study; None where unknown."""
    given: int | None = options["max_resource"]
    return min(filter(None, (given, epochs)), default=None)


def _warmup(options: dict[str, Any], epochs: int) -> int:
    """The given warm-up, else a sixth of the epochs: early curves of slow learners cross later."""
    given = options["n_warmup_steps"]
    return epochs // 6 if given is None else int(given)


_REDUCTION = Leaf(
    "reduction_factor", int, 3, minimum=2, doc="one in this many trials is promoted at each rung"
)
_RESOURCE = Leaf(
    "min_resource", int, 1, minimum=1, doc="epochs of every trial before the first rung"
)
_MOST = Leaf("max_resource", int, None, minimum=1, doc="epochs of a full trial; training.epochs")
_BOOTSTRAP = Leaf(
    "bootstrap_count", int, 0, minimum=0, doc="trials a rung needs before it promotes any"
)
_COMPARE = (
    Leaf("n_startup_trials", int, 5, minimum=0, doc="complete trials before pruning starts"),
    Leaf(
        "n_warmup_steps",
        int,
        None,
        minimum=0,
        doc="first epochs without pruning; default: a sixth of all",
    ),
    Leaf("interval_steps", int, 1, minimum=1, doc="epochs between checks"),
    Leaf(
        "n_min_trials",
        int,
        1,
        minimum=1,
        doc="trials that must have reported an epoch before it is compared",
    ),
)

_ENTRIES = (
    PrunerEntry(
        "hyperband",
        _hyperband,
        (
            _RESOURCE,
            _MOST,
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
            Leaf("min_early_stopping_rate", int, 0, minimum=0, doc="rungs left out at the start"),
            _BOOTSTRAP,
        ),
        "asynchronous successive halving (Li et al., MLSys 2020)",
    ),
    PrunerEntry("median", _median, _COMPARE, "ends trials worse than the median at their epoch"),
    PrunerEntry(
        "percentile",
        _percentile_pruner,
        (
            Leaf(
                "percentile", float, 25.0, minimum=0, maximum=100, doc="per cent of trials to keep"
            ),
            *_COMPARE,
        ),
        "ends trials outside the best per cent at their epoch",
    ),
    PrunerEntry(
        "patient",
        _patient,
        (
            Leaf(
                "pruner",
                object,
                "median",
                doc="the pruner to ask then: a name or a table; none: prune at once",
            ),
            Leaf("patience", int, 5, minimum=0, doc="epochs without improvement before it acts"),
            Leaf(
                "min_delta", float, 0.0, minimum=0, doc="smallest change that counts as improvement"
            ),
        ),
        "asks another pruner once a trial stops improving",
    ),
    PrunerEntry(
        PROMOTE,
        _none,  # a trial that pauses asks no pruner: see tuner.search.promote
        (
            _RESOURCE,
            _MOST,
            Leaf(
                "reduction_factor",
                int,
                3,
                minimum=2,
                doc="one in this many trials goes on from the first rung; from later ones one in 2",
            ),
        ),
        "pauses trials at rungs and goes on with the best (asynchronous; Li et al., MLSys 2020)",
    ),
    PrunerEntry("none", _none, (), "trains every trial to its end"),
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


def build_pruner(
    name: str, options: Mapping[str, Any], *, epochs: int, first: int = 1
) -> BasePruner:
    """The pruner of a study whose trials train for ``epochs`` epochs.

    A warm-up of n epochs protects the first n: the epoch after it is the first after which a trial
    may be pruned. A rung after n epochs compares the values of trials after exactly n.

    Args:
        name: a key of PRUNERS.
        options: those that the study file sets; the rest has defaults.
        epochs: of a trial that is not pruned, 1 or more.
        first: the number of the first step that is reported.

    Raises:
        StudyFileError: an unknown name or option, or a wrong value.
    """
    values = check_pruner(name, options)
    with warnings.catch_warnings():
        # Optuna marks the patient pruner as experimental, which is for its authors to know.
        warnings.simplefilter("ignore")
        try:
            return PRUNERS[name].build(values, StepRange(epochs, first))
        except ValueError as error:
            raise StudyFileError(str(error), where=WHERE) from error


def idle(name: str, options: Mapping[str, Any], *, epochs: int | None, trials: int) -> str:
    """Why a pruner can never end a trial, or lets none come to its end; empty if it can and does.

    A trial may be pruned after each of its epochs but the last.

    Args:
        epochs: of a trial that is not pruned; None where it is unknown.
        trials: the budget.
    """
    values = check_pruner(name, options)
    if name == PROMOTE:
        epochs = most_epochs(values, epochs)
    if "pruner" in values:
        inner, inner_options = split(values["pruner"], f"{WHERE}.pruner")
        inside = "" if inner == "none" else idle(inner, inner_options, epochs=epochs, trials=trials)
        return inside or _too_late(name, "patience", values["patience"] + 2, epochs)
    if values.get("bootstrap_count", 0) >= trials:
        most = f"bootstrap_count is {values['bootstrap_count']}, and there are {trials} trials"
        return f"{name} prunes every trial at its first rung: {most}"
    for option, needed in (("n_startup_trials", 1), ("n_min_trials", 1)):
        if values.get(option, 0) + needed > trials:
            return f"{name} never prunes: {option} is {values[option]}, of {trials} trials"
    if epochs is None:
        return ""
    if name in ("median", "percentile"):
        return _too_late(name, "n_warmup_steps", _warmup(values, epochs) + 1, epochs)
    if name in ("asha", "hyperband"):
        rate = values.get("min_early_stopping_rate", 0)
        rung = values["min_resource"] * values["reduction_factor"] ** rate
        return _too_late(name, "its first rung", rung, epochs)
    if name == PROMOTE and not rungs_of(epochs, values["min_resource"]):
        first = values["min_resource"]
        return f"promote never pauses: its first rung would be epoch {first} of {epochs}"
    return ""


def _too_late(name: str, option: str, first: int, epochs: int | None) -> str:
    if epochs is None or first < epochs:
        return ""
    return (
        f"{name} never prunes: by {option} a trial may be pruned after epoch {first} at the "
        f"earliest, and trains for {epochs}"
    )
