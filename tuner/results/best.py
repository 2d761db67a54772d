"""Finds the best trials of a study and the configuration to use."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tuner.metrics import better
from tuner.results import confirm
from tuner.results.confirm import Confirmation
from tuner.search.promote import is_paused
from tuner.space import Config, matches
from tuner.study.trials import (
    LeftOut,
    Own,
    baseline_trial,
    best_first,
    best_trial,
    complete,
    config_or_params,
    nothing_complete,
    value_of,
)

if TYPE_CHECKING:
    import pandas as pd
    from optuna.trial import FrozenTrial
    from sqlalchemy import Connection

    from tuner.results.surrogate import Belief
    from tuner.storage import Storage
    from tuner.storage.rows import Head
    from tuner.study import Study


# Trials as people see them: in training, ended, the best.

STATES = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
}
"""Optuna's states as they are shown."""
INTERRUPTED, PAUSED = "interrupted", "paused"
"""The state of a trial that no worker trains now and that one will continue."""


@dataclass(frozen=True)
class Running:
    """A trial in training: epochs trained so far of those planned, and the metric by then.

    A user's objective has steps, and the number of planned ones is unknown.
    """

    number: int
    epoch: int
    epochs: int | None
    value: float | None
    config: Config


@dataclass(frozen=True)
class Best:
    """A complete trial, its value on the validation split and its configuration."""

    number: int
    value: float
    config: Config


@dataclass(frozen=True)
class Ended:
    """A finished trial.

    Attributes:
        state: "complete", "pruned" or "failed".
        value: the metric; of a pruned trial its last one.
        epoch: epochs trained.
        why: why it ended, if the worker recorded it: a failed one's message, or "diverged".
        best: number and value of the best complete trial by then.
        step: the name of the steps at which values are reported.
        left_out: why it does not count, if another program added it; else empty.
    """

    number: int
    state: str
    value: float | None
    epoch: int
    why: str = ""
    best: tuple[int, float] | None = None
    step: str = "epoch"
    left_out: str = ""


def best_of(study: Study, trials: Sequence[FrozenTrial], direction: str) -> Best | None:
    trial = best_trial(trials, direction)
    return None if trial is None else _as_best(study, trial)


def baseline_of(study: Study, trials: Sequence[FrozenTrial]) -> Best | None:
    """The baseline, if there is one and it is complete."""
    first = baseline_trial(study, trials)
    return None if first is None else _as_best(study, first)


def _as_best(study: Study, trial: FrozenTrial) -> Best:
    return Best(trial.number, value_of(trial), study.config(trial.params))


def running(
    study: Study, trials: Sequence[FrozenTrial], interrupted: Container[int] = ()
) -> Iterator[Running]:
    """The trials in training but for paused ones; `interrupted` are numbers of those that no
    worker trains.

    A trial of another program may have no parameters yet.
    """
    for trial in trials:
        if trial.state.name != "RUNNING" or is_paused(trial):
            continue
        if trial.number not in interrupted:
            config = config_or_params(study, trial)
            epoch = max(trial.intermediate_values, default=0)
            value = trial.intermediate_values.get(epoch)
            epochs = config.get("epochs")
            planned = epochs if isinstance(epochs, int) else None
            yield Running(trial.number, epoch, planned, value, config)


def ended(
    trials: Sequence[FrozenTrial],
    direction: str,
    before: int,
    step: str = "epoch",
    left_out: Mapping[int, str] = MappingProxyType({}),
) -> Iterator[Ended]:
    """The trials that ended after the first ``before`` complete or pruned ones, with the best by
    then.

    Args:
        left_out: by number, why a trial does not count.
    """
    over = [trial for trial in trials if trial.state.is_finished()]
    best: tuple[int, float] | None = None
    for trial in sorted(over, key=_completed):
        state = STATES[trial.state.name]
        counts = complete(trial) and trial.number not in left_out
        if counts and (best is None or better(value_of(trial), best[1], direction)):
            best = trial.number, value_of(trial)
        if before <= 0:
            epoch = max(trial.intermediate_values, default=0)
            value = trial.values[0] if trial.values else trial.intermediate_values.get(epoch)
            why = str(trial.user_attrs.get("error", trial.user_attrs.get("ended", "")))
            other = left_out.get(trial.number, "")
            yield Ended(trial.number, state, value, epoch, why, best, step, other)
        before -= state != "failed"


def _completed(trial: FrozenTrial) -> tuple[Any, int]:
    return trial.datetime_complete or datetime.min, trial.number


# Trials that are left out, of many studies at once, without reading those of their workers.


class LeftOutTrials:
    """Finds the trials that do not count in their studies; caches the result.

    For repeated looks at many studies; with the trials of one study at hand, use `Own`. Not for
    use by several threads at once.
    """

    def __init__(self) -> None:
        self._own: dict[tuple[int, str], Own] = {}
        self._known: dict[int, tuple[Own, LeftOut]] = {}

    def __call__(self, connection: Connection, ids: Iterable[int]) -> dict[int, dict[int, LeftOut]]:
        """The trials that do not count, by study and by the id of the trial."""
        from tuner.storage import status

        heads = status.results_of_others(connection, ids)
        left_out = {i: self._left_out(connection, i, heads[i]) for i in heads}
        return {i: each for i, each in left_out.items() if each}

    def _left_out(
        self, connection: Connection, study_id: int, heads: Sequence[Head]
    ) -> dict[int, LeftOut]:
        from tuner.storage import rows

        own = self._study(connection, study_id)
        if own is None:
            return {}
        new = [h for h in heads if self._known.get(h.trial_id, (None,))[0] is not own]
        for each in rows.read_trials(connection, new):
            entry = LeftOut(each.trial.number, own.reason(each.trial))
            self._known[each.trial._trial_id] = own, entry
        entries = {h.trial_id: self._known[h.trial_id][1] for h in heads}
        return {trial_id: each for trial_id, each in entries.items() if each.reason}

    def _study(self, connection: Connection, study_id: int) -> Own | None:
        """None for a study of another program, or with a broken specification, or a deleted one."""
        from tuner.errors import TunerError
        from tuner.storage import studies
        from tuner.study.parse import parse

        try:
            spec = studies.attrs(connection, studies.USER_ATTRS, study_id)[studies.SPEC]
            if (study_id, spec) not in self._own:
                name = studies.require(connection, study_id)
                self._own[study_id, spec] = Own(parse(name, json.loads(spec)))
        except (TunerError, KeyError, ValueError, TypeError, AttributeError):
            return None
        return self._own[study_id, spec]


# How many trials are as good as the best one within the noise of its value.


CLOSE = 2.0
"""So many standard errors are no difference."""


@dataclass(frozen=True)
class Luck:
    """The best trial is among several that its value cannot tell apart.

    Attributes:
        error: the standard error of the best value over the validation rows.
        rivals: the other complete configurations within CLOSE standard errors of the best.
        complete: the number of complete trials.
    """

    error: float
    rivals: int
    complete: int


def luck_of(
    study: Study,
    trials: Iterable[FrozenTrial],
    direction: str,
    confirmed: Confirmation | None,
) -> Luck | None:
    """How much of the best value may be luck; None where no other trial is as good, the noise is
    unknown, or `confirm` has the best trial, or cannot have it."""
    from tuner.search.sampler import ERROR

    mine = best_first(Own(study)(trials), direction)
    if not mine or not study.nodes:
        return None
    best, *others = mine
    error: Any = best.user_attrs.get(ERROR)
    settled = confirmed is not None and best.number in [row.number for row in confirmed.rows]
    if settled or not matches(float, error):
        return None
    close = {
        frozenset(each.params.items())
        for each in others
        if abs(value_of(each) - value_of(best)) <= CLOSE * error and each.params != best.params
    }
    return Luck(error, len(close), len(mine)) if close else None


# The configuration to use: the confirmed winner, else the best of the search.


@dataclass(frozen=True)
class Recommendation:
    """A configuration and its numbers.

    Attributes:
        study, metric, direction: "maximize" or "minimize".
        number, value: of its trial, one training of the search.
        measured_on: the rows that the value was measured on, in words.
        configuration: the value of every parameter.
        baseline: None where it is not complete.
        first: the number of the best trial of the search; `confirm` may have chosen another.
        believed: the value without noise, as a model of the trials expects it; None with too few
            results for a model.
        confirmed: what `confirm` measured, and whether it is finished; None where it has not run,
            and the trial was then chosen by the very value that is shown.
        facts: the trial's attributes: epochs, seconds, seed, device, …
        left_out: trials that other programs added and that do not count.
    """

    study: str
    metric: str
    direction: str
    number: int
    value: float
    measured_on: str
    configuration: Config
    baseline: Best | None
    first: int
    believed: Belief | None
    confirmed: Confirmation | None = field(repr=False)
    facts: Mapping[str, Any] = field(repr=False)
    left_out: tuple[LeftOut, ...] = field(default=(), repr=False)

    def to_frame(self) -> pd.DataFrame:
        """A row for each parameter: its value, the baseline's, and whether they differ."""
        import pandas as pd

        before = {} if self.baseline is None else self.baseline.config
        rows = [
            {
                "leaf": name,
                "value": value,
                "baseline": before.get(name),
                "differs": before.get(name) != value,
            }
            for name, value in self.configuration.items()
        ]
        return pd.DataFrame(rows).set_index("leaf")


def chosen_number(best: int, confirmation: Confirmation | None) -> int:
    """The number of the trial to use: of the winner of `confirm`, else of the best trial."""
    return best if confirmation is None else confirmation.winner.number


def recommended(storage: Storage, study: Study, study_id: int) -> Recommendation:
    """Reads the configuration to use.

    Raises:
        UsageError: no trial is complete yet.
        TrainingError: none is, and there will be none.
    """
    from tuner.results.surrogate import surrogate
    from tuner.storage import metric_and_direction

    trials = storage.get_all_trials(study_id, deepcopy=False)
    metric, direction = metric_and_direction(storage, study_id)
    own = Own(study)
    mine = own(trials)
    best = best_trial(mine, direction)
    if best is None:
        raise nothing_complete(study, trials, storage.progress(study_id).budget)
    confirmed = confirm.read(storage, study)
    trial = trials[chosen_number(best.number, confirmed)]
    assert trial.values is not None
    model = surrogate(study, trials, metric, direction)
    return Recommendation(
        study=study.name,
        metric=metric,
        direction=direction,
        number=trial.number,
        value=trial.values[0],
        measured_on=study.measured_on,
        configuration=study.config(trial.params),
        baseline=baseline_of(study, mine),
        first=best.number,
        believed=None if model is None else model([trial.params])[0],
        confirmed=confirmed,
        facts=trial.user_attrs,
        left_out=own.left_out(trials),
    )
