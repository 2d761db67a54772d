"""The recorded tables as search problems, and a pool of workers that train by looking values up.

`record.py` makes the tables. Smaller is better: the error of digits, the cross entropy of wine and
fair, whose few rows or few classes would make too many ties. Regret is normalised: 0 for the best
configuration of a table, 1 for its median one, both by the value after the last epoch.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, Trial, TrialState

from tuner.search.promote import Promotion

Array = NDArray[np.float64]

FOLDER = Path(__file__).parent / "recorded"
KINDS = {"digits": "accuracy", "wine": "loss", "fair": "loss"}
EPOCHS = 27
RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
WIDTHS = (8, 24, 64)
ROWS = 300
"""Validation rows whose noise is added where a search is to be noisy."""
WORST = 2.0
"""Regret is counted up to this: how bad a diverged training is decides no comparison."""


class Table:
    """The recorded curves of one data set, or its final values smoothed over neighbouring levels.

    Attributes:
        curves: [n, EPOCHS], smaller is better; NaN where training diverged.
        final: [n], the last values; infinity where training diverged.
    """

    def __init__(self, name: str, smooth: bool = False) -> None:
        curves = np.load(FOLDER / f"{name}.npz")[KINDS[name]].astype(float)
        if KINDS[name] == "accuracy":
            curves = 1 - curves
        self.error = KINDS[name] == "accuracy"
        self.shape = curves.shape[:-1]
        final = np.where(np.isfinite(curves[..., -1]), curves[..., -1], np.inf)
        self.final = (smoothed(final) if smooth else final).ravel()
        self.curves = curves.reshape(-1, EPOCHS)
        self.best, self.median = float(self.final.min()), float(np.median(self.final))

    def regret(self, index: int) -> float:
        value = (self.final[index] - self.best) / (self.median - self.best)
        return min(float(value), WORST)

    def value(self, index: int, rng: np.random.Generator | None = None) -> float:
        """The final value; with a generator as ROWS rows would show it: an error is binomial, and
        the cross entropy of a row deviates about as much as its mean."""
        value = float(self.final[index])
        if rng is None or not math.isfinite(value):
            return value
        variance = value * (1 - value) if self.error else value**2
        return value + math.sqrt(variance / ROWS) * rng.standard_normal()

    def ask(self, trial: Trial, choices: bool = False) -> int:
        """The configuration of a trial, whose parameters are those of a study of ours.

        Args:
            choices: every parameter is one choice of several.
        """

        def level(name: str, count: int, values: Sequence[Any] = ()) -> int:
            if values or choices:
                values = values or range(count)
                return values.index(trial.suggest_categorical(name, tuple(values)))
            return trial.suggest_int(name, 0, count - 1)

        def switch(name: str) -> int:
            on = level(f"{name}.on", 2, (False, True))
            return 1 + level(name, 2) if on else 0

        sgd = level("optimizer", 2, ("sgd", "adam")) == 0
        place = (
            level("momentum", 3) if sgd else 3,
            level("learning_rate", 6, RATES if choices else ()),
            level("width", 3, WIDTHS),
            level("lr_scheduler", 2, ("constant", "cosine")),
            level("batch_norm", 2, (False, True)),
            switch("dropout"),
            switch("weight_decay"),
        )
        return int(np.ravel_multi_index(place, self.shape))


ORDERED = (1, 2, 5, 6)
"""The axes of a table whose levels have an order."""


def smoothed(final: Array) -> Array:
    """Each value averaged with those of its neighbours on every ordered axis, twice as heavy; what
    is worse than three in four configurations counts as these."""
    values = np.minimum(final, np.quantile(final, 0.75, method="lower"))
    for axis in ORDERED:
        padded = np.pad(values, [(int(a == axis),) * 2 for a in range(values.ndim)], mode="edge")
        count = values.shape[axis]
        parts = [np.take(padded, range(k, k + count), axis) for k in range(3)]
        values = (parts[0] + 2 * parts[1] + parts[2]) / 4
    return values


BASELINE = {
    "optimizer": "adam",
    "learning_rate": 0,
    "width": 64,
    "lr_scheduler": "constant",
    "batch_norm": False,
    "dropout.on": False,
    "weight_decay.on": False,
}


# A pool of workers that trains trials epoch by epoch, until a budget of epochs or trials is met.


@dataclass
class Budget:
    """How much may be trained.

    Args:
        epochs: after each of these a recommendation is made; the last is the end.
        trials: the most that may be started.
    """

    epochs: tuple[int, ...] = ()
    trials: int | None = None


@dataclass
class Pool:
    """Workers that train the trials of an Optuna study by looking up their curves.

    Args:
        study: its sampler proposes, and its pruner ends trials unless there is a rule.
        table: the curves.
        seed: of the run.
        rule: when trials pause and go on; None if they end.
        propose: makes the parameters of a trial in place of the study's sampler.
        workers: how many trials are trained at a time, an epoch of each in the same time.
        baseline: trial 0 is the baseline and never pauses.
    """

    study: optuna.Study
    table: Table
    seed: int
    rule: Promotion | None
    propose: Callable[[Pool], dict[str, Any]] | None = None
    workers: int = 1
    baseline: bool = False
    running: dict[int, Trial] = field(default_factory=dict)
    configs: list[int] = field(default_factory=list)
    pauses: dict[int, int] = field(default_factory=dict)
    paused: set[int] = field(default_factory=set)

    def run(self, budget: Budget) -> list[float]:
        """The regret after each budget of epochs, or at the end, of what is recommended then."""
        queue: list[tuple[int, int, int]] = []
        limit = budget.epochs[-1] if budget.epochs else 2**31
        self.spent, taken, clock, free, found = 0, 0, 0, self.workers, []
        while self.spent < limit:
            while free and taken < limit and (number := self._next(budget)) is not None:
                taken, free = taken + 1, free - 1
                heapq.heappush(queue, (clock + 1, taken, number))
            if not queue:
                break
            clock, _, number = heapq.heappop(queue)
            self.spent += 1
            goes_on = self._epoch(number)
            if goes_on and taken < limit:
                taken += 1
                heapq.heappush(queue, (clock + 1, taken, number))
            free += not goes_on
            if self.spent in budget.epochs:
                found.append(self.table.regret(self.recommended()))
        return found if budget.epochs else [self.table.regret(self.recommended())]

    def trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def recommended(self) -> int:
        """The configuration of the best complete trial; of the best last value if none is."""
        complete = [t for t in self.trials() if t.state == TrialState.COMPLETE]
        if complete:
            return self.configs[min(complete, key=lambda t: (t.value, t.number)).number]
        last = [
            (t.intermediate_values[t.last_step], t.number)
            for t in self.trials()
            if t.last_step is not None and math.isfinite(t.intermediate_values[t.last_step])
        ]
        return self.configs[min(last)[1]] if last else int(np.argmax(self.table.final))

    def _next(self, budget: Budget) -> int | None:
        """The number of the trial that a free worker trains, until it pauses or ends."""
        new = budget.trials is None or len(self.configs) < budget.trials
        number = self.rule.choice(self.trials(), self.paused, new) if self.rule else None
        if number is None and not new:
            return None
        if number is None:
            if self.propose:
                self.study.enqueue_trial(self.propose(self))
            trial = self.study.ask()
            number = trial.number
            self.running[number] = trial
            self.configs.append(self.table.ask(trial))
        self.paused.discard(number)
        trained = len(self.trials()[number].intermediate_values)
        whole = self.rule is None or (number == 0 and self.baseline)
        self.pauses[number] = EPOCHS if whole else self.rule.pause_at(trained)
        return number

    def _epoch(self, number: int) -> bool:
        """Trains an epoch of a trial; whether it goes on."""
        trial = self.running[number]
        epoch = len(self.trials()[number].intermediate_values) + 1
        value = self.table.curves[self.configs[number], epoch - 1]
        trial.report(value, epoch)
        if not math.isfinite(value):
            self.study.tell(trial, state=TrialState.PRUNED)
        elif epoch >= EPOCHS:
            self.study.tell(trial, value)
        elif self.rule is None and trial.should_prune():
            self.study.tell(trial, state=TrialState.PRUNED)
        elif epoch >= self.pauses[number]:
            trial.set_user_attr("paused", epoch)
            self.paused.add(number)
        else:
            return True
        return False


def as_pruned(trial: FrozenTrial) -> FrozenTrial:
    """A copy of a running trial that has ended."""
    copied = copy(trial)
    copied.state, copied.datetime_complete = TrialState.PRUNED, trial.datetime_start
    return copied


def sceptic(table: Table, seed: int, epochs: int, best: int) -> float:
    """The regret of "train all for one epoch, keep the best few", which train to their end."""
    best = max(1, min(best, epochs // EPOCHS - 1))
    rng = np.random.default_rng(seed)
    drawn = rng.choice(len(table.curves), epochs - best * (EPOCHS - 1), replace=False)
    first = np.nan_to_num(table.curves[drawn, 0], nan=np.inf)
    few = drawn[np.argsort(first, kind="stable")[:best]]
    return table.regret(int(few[np.argmin(table.final[few])]))
