"""Says in words how a study is searched: what its sampler and its pruner do, and what for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tuner.search.options import split
from tuner.search.promote import LATER
from tuner.search.pruners import PROMOTE, PRUNERS, check_pruner, idle, most_epochs, rungs_of
from tuner.search.samplers import SAMPLERS, check_sampler
from tuner.show.text import several
from tuner.space import Range, walk
from tuner.study import Study

Options = Mapping[str, Any]


def search_words(study: Study) -> dict[str, str]:
    """A line about the sampler of a study, and one about its pruner."""
    table = study.document.get("search", {})
    return {
        "sampler": f"{study.search.sampler[0]}{_default('sampler', table)}: {_sampler(study)}",
        "pruner": f"{study.search.pruner[0]}{_default('pruner', table)}: {_pruner(study)}",
    }


def _default(key: str, table: Options) -> str:
    return "" if key in table else " (the default)"


# The sampler: what proposes configurations.


@dataclass(frozen=True)
class Parameters:
    """How many parameters a study searches, as the database has them; None where unknown.

    Attributes:
        every: those that every trial has.
        numbers: those of them that are numbers.
        some: those that only some trials have: switched or nested ones.
    """

    every: int | None = None
    numbers: int | None = None
    some: int | None = None

    @classmethod
    def of(cls, study: Study) -> Parameters:
        if not study.nodes:
            return cls()
        top = [node for node in study.nodes if node.searched]
        nodes = [node for node in walk(study.nodes) if node.searched]
        switches = [n for n in nodes if isinstance(n.value, Range) and n.value.off is not None]
        numbers = [n for n in top if isinstance(n.value, Range) and n.value.off is None]
        return cls(len(top), len(numbers), len(nodes) - len(top) + len(switches))

    @property
    def all(self) -> str:
        """All of them in words."""
        if self.every is None or self.some is None:
            return "all parameters, nested ones included"
        more = ", switches and nested ones included" if self.some else ""
        return f"all {several(self.every + self.some, 'parameter')}{more}"

    def split(self, count: int | None, noun: str, rest: str) -> str:
        """So many parameters that every trial has, and what becomes of the others, in words."""
        if count is None or self.every is None or self.some is None:
            return f"the {noun}s that every trial has, others {rest}"
        others = self.every + self.some - count
        more = f", the other {others} {rest}" if others else ""
        return f"the {several(count, noun)} that every trial has{more}"


def _sampler(study: Study) -> str:
    """What proposes configurations, from which trial on it models them, what it is fit for."""
    search = study.search
    name, given = search.sampler
    entry, options = SAMPLERS[name], check_sampler(name, given)
    parameters = Parameters.of(study)
    if study.nodes and not parameters.every:
        return "nothing is searched: every trial has the same configuration"
    text = SAMPLED[name](options, parameters) if name in SAMPLED else entry.doc
    start = options.get("n_startup_trials", 0)
    if entry.learns and start >= search.trials:
        text += f"; the budget of {several(search.trials, 'trial')} ends before that"
    return text


def _auto(options: Options, parameters: Parameters) -> str:
    start = several(options["n_startup_trials"], "trial")
    process = f"a Gaussian process over {parameters.all}"
    return f"{start} of a design, then {process}: for tens to hundreds of costly trials"


def _tpe(options: Options, parameters: Parameters) -> str:
    over = "each parameter alone"
    if options["group"]:
        over = "each branch of the space jointly"
    elif options["multivariate"] and options["joint"]:
        over = parameters.all
    elif options["multivariate"]:
        over = parameters.split(parameters.every, "parameter", "each alone")
    return (
        f"{several(options['n_startup_trials'], 'trial')} at random, then a tree-structured Parzen "
        f"estimator over {over}: for hundreds of trials, also with noisy values"
    )


def _gp(options: Options, parameters: Parameters) -> str:
    over = parameters.all
    if not options["joint"]:
        over = parameters.split(parameters.every, "parameter", "at random")
    start = several(options["n_startup_trials"], "trial")
    process = f"Optuna's Gaussian process over {over}"
    return f"{start} at random, then {process}: for up to some hundreds of trials"


def _cmaes(options: Options, parameters: Parameters) -> str:
    over = parameters.split(parameters.numbers, "number", "at random")
    return (
        f"{several(options['n_startup_trials'], 'trial')} at random, then CMA-ES over {over}: for "
        "many trials of numbers"
    )


def _random(options: Options, parameters: Parameters) -> str:
    return "at random, whatever the results: to compare with, or for very many workers"


def _qmc(options: Options, parameters: Parameters) -> str:
    sequence = options["qmc_type"].capitalize()
    return (
        f"a {sequence} sequence, more even than random, whatever the results: for very many workers"
    )


def _grid(options: Options, parameters: Parameters) -> str:
    return "every configuration once, in a shuffled order, whatever the results: for small spaces"


SAMPLED: Mapping[str, Callable[[Options, Parameters], str]] = {
    "auto": _auto,
    "tpe": _tpe,
    "gp": _gp,
    "cmaes": _cmaes,
    "random": _random,
    "qmc": _qmc,
    "grid": _grid,
}
"""The words about a sampler; those of another one are its ``doc``."""


# The pruner: what ends bad trials early.


def _pruner(study: Study) -> str:
    """What ends bad trials early, and after which epochs or steps."""
    name, given = study.search.pruner
    reason = idle(name, given, epochs=study.max_epochs, trials=study.search.trials)
    return reason.removeprefix(f"{name} ") or _pruned(study, name, given)


def _pruned(study: Study, name: str, given: Options) -> str:
    options = check_pruner(name, given)
    return PRUNED[name](options, study) if name in PRUNED else PRUNERS[name].doc


def _halving(options: Options, study: Study) -> str:
    rungs = _rungs(options, study)
    more = "" if study.max_epochs else ", …"
    go_on = f"one trial in {options['reduction_factor']} goes on, by the values there"
    return f"after {study.step} {', '.join(map(str, rungs))}{more} {go_on}"


def _rungs(options: Options, study: Study) -> list[int]:
    """The epochs after which trials are compared; the first four where the last is unknown."""
    factor = options["reduction_factor"]
    first = options["min_resource"] * factor ** options.get("min_early_stopping_rate", 0)
    most = study.max_epochs or first * factor**4
    return [rung for k in range(most.bit_length()) if (rung := first * factor**k) < most]


def _hyperband(options: Options, study: Study) -> str:
    most = options["max_resource"] or study.max_epochs or 1
    factor, brackets = options["reduction_factor"], 1
    while options["min_resource"] * factor**brackets <= most:
        brackets += 1
    later = f"; of {brackets} groups of trials each begins one later than the one before"
    return _halving(options, study) + later * (brackets > 1)


def _promote(options: Options, study: Study) -> str:
    rungs = rungs_of(most_epochs(options, study.max_epochs) or 1, options["min_resource"])
    epochs = ", ".join(map(str, rungs))
    after = f"{study.step} {epochs}" if study.nodes else f"{epochs} reports"
    if_any = "" if study.nodes else ", if it has one of tuner.checkpoint"
    shares = f"one in {options['reduction_factor']} goes on from the first, one in {LATER} later"
    return (
        f"after {after} a trial pauses with its checkpoint{if_any}; of the best "
        f"{shares}, and the others end with the budget"
    )


def _median(options: Options, study: Study) -> str:
    return _compared("is worse than the median of all", options, study)


def _percentile(options: Options, study: Study) -> str:
    return _compared(f"is not among the best {options['percentile']:g}% of all", options, study)


def _compared(bad: str, options: Options, study: Study) -> str:
    warmup = options["n_warmup_steps"]
    first = study.first_step + ((study.max_epochs or 1) // 6 if warmup is None else warmup)
    often = "" if options["interval_steps"] == 1 else f", every {options['interval_steps']},"
    trials = options["n_startup_trials"]
    start = f", once {several(trials, 'trial')} came to the end" if trials else ""
    same = f"at the same {study.step}"
    return f"from {study.step} {first} on{often} it ends a trial that {bad} {same}{start}"


def _patient(options: Options, study: Study) -> str:
    name, inner = split(options["pruner"], "search.pruner.pruner")
    then = "it is pruned" if name == "none" else f"{name} decides: {_pruned(study, name, inner)}"
    return f"once a trial has not improved for {several(options['patience'], study.step)}, {then}"


def _none(options: Options, study: Study) -> str:
    return "every trial comes to its end"


PRUNED: Mapping[str, Callable[[Options, Study], str]] = {
    "hyperband": _hyperband,
    "asha": _halving,
    "median": _median,
    "percentile": _percentile,
    "patient": _patient,
    PROMOTE: _promote,
    "none": _none,
}
"""The words about a pruner; those of another one are its ``doc``."""
