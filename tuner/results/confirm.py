"""Retrains the best configurations over seeds and measures the winner on the test rows; repeats an
objective over seeds, which measures itself."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from statistics import median_high
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from tuner.metrics import Metric, limits, sign_of
from tuner.results.calibration import Calibration, calibrated
from tuner.results.ensemble import MOST, Ensemble, ensemble
from tuner.results.estimate import Estimate, Limits, over_seeds
from tuner.results.predictions import Predictions, Table, read_predictions, stacked
from tuner.results.race import Race, Stopped, race
from tuner.results.replicas import (
    ASKED,
    Replica,
    ReplicaKey,
    Result,
    Standing,
    coming,
    comparable,
    diverged,
    enqueued,
    find_holder,
    finished_replicas,
    gain,
    read_results,
    standing,
    study_id_of,
)
from tuner.results.yardsticks import Rival, rivals, stored
from tuner.space import Config
from tuner.storage import Artifacts, Storage, metric_and_direction
from tuner.study import Study
from tuner.study.objective import ObjectiveStudy
from tuner.study.trials import LeftOut, Own, baseline_trial, best_first, nothing_complete
from tuner.techniques import ENDING

if TYPE_CHECKING:
    import pandas as pd


COMMAND = "confirm"
BASELINE = "baseline"


@dataclass(frozen=True)
class ConfirmRequest:
    """A request of `confirm`.

    Attributes:
        labels: of the configurations.
        seeds: trainings of each.
        top: so many configurations of the search, if it has them.
        tests: whether the study has test rows, on which each is measured as well.
        ensemble: picks of the ensemble to choose among the trainings; 0 is none.
        yardsticks: whether models without a search are measured beside them.
        full: whether every configuration gets all seeds, on the test rows too, also where that can
            hardly change the answer.
    """

    labels: tuple[str, ...]
    seeds: int
    top: int
    tests: bool
    ensemble: int = MOST
    yardsticks: bool = True
    full: bool = False

    @property
    def options(self) -> str:
        """Of the command line, besides the study and the seeds."""
        picks = "" if self.ensemble == MOST else f" --ensemble {self.ensemble}"
        without = "" if self.yardsticks else " --no-yardsticks"
        full = " --full" if self.full else ""
        return f"--top {self.top}{picks}{without}{full}"

    @property
    def record(self) -> dict[str, Any]:
        """As it is stored."""
        return {**asdict(self), "labels": list(self.labels)}

    @property
    def everything(self) -> frozenset[ReplicaKey]:
        """Every configuration with every seed."""
        splits = (False, True) if self.tests else (False,)
        return frozenset(
            (label, seed, final)
            for label in self.labels
            for seed in range(self.seeds)
            for final in splits
        )

    @property
    def split(self) -> str:
        """The rows that judge: "test", or "validation" where there are no test rows."""
        return "test" if self.tests else "validation"


@dataclass(frozen=True)
class Measured:
    """The results of a configuration over seeds.

    Attributes:
        label: "baseline", or "trial N".
        number: of the trial in the search.
        config: the value of every parameter.
        validation: trained on the training rows, measured on the validation rows.
        test: trained on both, measured on the test rows; none where there are none, or not yet, and
            of configurations that are neither the winner nor the baseline, unless all was asked
            for. All have the same seeds here, which may be fewer than on the validation rows while
            `confirm` is unfinished.
        calibration: of its probabilities; none of values, or while `confirm` is unfinished.
        stopped: why it has fewer seeds than the others; none of those that have all.
    """

    label: str
    number: int
    config: Config
    validation: Estimate
    test: Estimate | None
    calibration: Calibration | None = None
    stopped: Stopped | None = None


@dataclass(frozen=True)
class Confirmation:
    """The result of ``confirm``.

    Attributes:
        study, metric, direction: "maximize" or "minimize".
        rows: the configurations that are compared, the best by the mean on the validation rows
            first, all over the same seeds; after them those that were stopped.
        winner: the first of them, which may be the baseline; never chosen by the test rows.
        baseline: none where it is not among them.
        seeds: trainings of each on the validation rows. While `confirm` is unfinished these are
            the seeds that the compared configurations share.
        folds: over which a number on the validation rows is the mean, with a network of each; the
            test rows have one network, trained on all others.
        asked: the seeds that were asked for, how many trainings are done, and the command that
            trains the rest.
        too_few: configurations that have too few seeds to be compared, and how many; because
            `confirm` is unfinished, or because their trainings diverged.
        left_out: trials of the search that other programs added and that do not count.
        gain: of the winner over the baseline, in pairs of one seed, over seeds and rows; on the
            test rows where both are measured there; none where the baseline is the winner, or not
            among them.
        ensemble: chosen among the trainings, if that was asked for; `helps` says whether it is
            better than the winner by the rows of the search, and is then what `export` writes.
        rivals: the baseline, unless it is the winner, and the yardsticks against the winner: on the
            test rows, or on the validation rows where there are no test rows; empty until all is
            trained. Where `judged` is an ensemble, against that, on the test rows.
        own_objective: whether the user's own objective was repeated. Then `validation` is what it
            returned, by its own measure, and there is nothing else.
    """

    study: str
    metric: str
    direction: str
    rows: tuple[Measured, ...]
    winner: Measured
    baseline: Measured | None
    seeds: int
    folds: int | None = None
    asked: Standing | None = None
    too_few: Mapping[str, int] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    gain: Estimate | None = None
    ensemble: Ensemble | None = None
    rivals: tuple[Rival, ...] = ()
    own_objective: bool = False

    @property
    def finished(self) -> bool:
        """Whether everything that was asked for is trained."""
        return self.asked is None or self.asked.finished

    @property
    def answer(self) -> Ensemble | None:
        """The ensemble, where it helps: it is then the answer, in place of the winner."""
        return self.ensemble if self.ensemble is not None and self.ensemble.helps else None

    @property
    def judged(self) -> Ensemble | Measured:
        """That with which the rivals are compared: the ensemble where it is the answer, if it is
        known how much its value depends on the test rows; else the winner."""
        together = self.answer
        return together if together is not None and together.left_out else self.winner

    @property
    def calibration(self) -> Calibration | None:
        """That of the answer, the ensemble or the winner."""
        return (self.answer or self.winner).calibration

    @property
    def best_but_baseline(self) -> Measured | None:
        """The first configuration that the search found."""
        return next((each for each in self.rows if each is not self.baseline), None)

    def to_frame(self) -> pd.DataFrame:
        """A row for each configuration, for the ensemble, and for each yardstick; of a rival what
        it gains over what is judged."""
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for each in self.rows:
            row: dict[str, Any] = {"label": each.label, "trial": each.number}
            for name, estimate in (("validation", each.validation), ("test", each.test)):
                for key in ("mean", "sd", "low", "high"):
                    row[f"{name} {key}"] = None if estimate is None else asdict(estimate)[key]
                row[f"{name} seeds"] = 0 if estimate is None else len(estimate.values)
            rows.append(row)
        if self.ensemble is not None:
            test = {} if self.ensemble.test is None else asdict(self.ensemble.test)
            rows.append({"label": "ensemble", **{f"test {key}": x for key, x in test.items()}})
        split = "validation" if self.winner.test is None else "test"
        known = {row["label"]: row for row in rows}
        for rival in self.rivals:
            if rival.name not in known:
                rows.append({"label": rival.name, f"{split} mean": rival.value})
            row = known.get(rival.name, rows[-1])
            row |= {"gain": rival.gain, "gain low": rival.low, "gain high": rival.high}
        frame = pd.DataFrame(rows)
        whole = ["trial", "validation seeds", "test seeds"]
        return frame.astype(dict.fromkeys(whole, "Int64"))


def candidates(
    study: Study, trials: Sequence[FrozenTrial], direction: str, top: int, budget: int | None = None
) -> list[FrozenTrial]:
    """The best complete trials, one for each configuration, without the baseline.

    Args:
        budget: of the search, if it is not the study's own.

    Raises:
        UsageError: no trial is complete yet.
        TrainingError: none is, and there will be none.
    """
    mine = Own(study)(trials)
    done = best_first(mine, direction)
    if not done:
        raise nothing_complete(study, trials, budget)
    first = baseline_trial(study, mine)
    baseline = study.baseline() if first is None else first.params
    distinct: list[FrozenTrial] = []
    for trial in done:
        if trial.params not in (baseline, *(each.params for each in distinct)):
            distinct.append(trial)
    return distinct[:top]


def validation_replicas(
    study: Study,
    trials: Sequence[FrozenTrial],
    direction: str,
    top: int,
    seeds: int,
    budget: int | None = None,
) -> list[Replica]:
    """The trainings that are measured on the validation rows, with those of the baseline."""
    chosen = {f"trial {t.number}": t for t in candidates(study, trials, direction, top, budget)}
    first = baseline_trial(study, Own(study)(trials))
    if first is not None:
        chosen[BASELINE] = first
    return [
        Replica(label, trial.params, seed, predictions=True)
        for seed in range(seeds)
        for label, trial in chosen.items()
    ]


def final_replicas(
    validated: Sequence[Replica], wanted: Container[ReplicaKey], epochs: Mapping[str, int]
) -> list[Replica]:
    """Those of the same trainings on all rows of the search that are wanted, each with its best
    number of epochs."""
    finals = (
        replace(
            each,
            final=True,
            stop_after=epochs.get(each.label),
            override={**each.override, **ENDING},
        )
        for each in validated
    )
    return [each for each in finals if each.key in wanted]


def epochs_found(storage: Storage, study: Study) -> dict[str, int]:
    """After how many epochs each configuration was at its best on the validation rows.

    The median over its seeds: one alone may have been lucky early.
    """
    epochs_of: dict[str, list[int]] = defaultdict(list)
    for (label, _, final), (_, trial) in finished_replicas(storage, study, COMMAND).items():
        if not final and "best_epoch" in trial.user_attrs:
            epochs_of[label].append(int(trial.user_attrs["best_epoch"]))
    return {label: median_high(epochs) for label, epochs in epochs_of.items()}


def remember(storage: Storage, study_id: int, request: ConfirmRequest) -> None:
    """Stores a request with the study of its trainings; `read` answers it from then on."""
    storage.set_study_user_attr(study_id, ASKED, request.record)


@dataclass(frozen=True)
class Trainings:
    """The trainings of a request: what those that are done gave, and which it needs.

    The search has trained each of these configurations once already. That training is not among
    them: its configuration was chosen for the value that it gave.

    Attributes:
        results: of those that are done, but for those that diverged.
        bounds: of the metric.
        members: label and seed of each network of the ensemble, where that is the answer.
    """

    request: ConfirmRequest
    results: Mapping[ReplicaKey, Result]
    diverged: frozenset[ReplicaKey]
    sign: int
    bounds: Limits
    members: frozenset[tuple[str, int]] = frozenset()

    @cached_property
    def race(self) -> Race:
        """The configurations that are stopped; the baseline never is, for it is reported."""
        asked = self.request
        if asked.full:
            return Race({}, asked.seeds)
        values = {label: _values(asked, self.results, label, False) for label in asked.labels}
        diverged: dict[str, set[int]] = defaultdict(set)
        for label, seed, final in self.diverged:
            if not final:
                diverged[label].add(seed)
        return race(values, diverged, asked.seeds, self.sign, {BASELINE})

    @cached_property
    def compared(self) -> dict[str, Estimate]:
        """The configurations that can be compared, on the validation rows, the best first."""
        running = [label for label in self.request.labels if label not in self.race.stopped]
        known = _validated(self.request, self.results, running, self.bounds)
        return dict(sorted(known.items(), key=lambda each: -self.sign * each[1].mean))

    @cached_property
    def done(self) -> frozenset[ReplicaKey]:
        return self.diverged.union(self.results)

    @cached_property
    def wanted(self) -> frozenset[ReplicaKey]:
        """What is done and what is left: all seeds of whatever is not stopped yet, and on the test
        rows those of the leader, of the baseline and of the ensemble."""
        asked, stopped = self.request, self.race.stopped
        if asked.full:
            return asked.everything
        last = {label: stopped[label].seeds if label in stopped else None for label in asked.labels}
        keys = {
            (label, seed, False) for label in last for seed in range(asked.seeds)[: last[label]]
        }
        if asked.tests:
            leader = next(iter(self.compared), asked.labels[0])
            reported = {leader, BASELINE}.intersection(asked.labels)
            keys |= {(label, seed, True) for label in reported for seed in range(asked.seeds)}
            keys |= {(*member, True) for member in self.members}
        return frozenset(keys)

    def batch(self, replicas: Sequence[Replica], workers: int) -> list[Replica]:
        """The trainings on the validation rows that come next: up to the next decision, further
        ones while there is a worker for each, and those of the baseline, which are sure."""
        left = [r for r in replicas if r.key in self.wanted and r.key not in self.done]
        first = coming(left, self.race.look, self.request.seeds, workers)
        return first + [r for r in left if r.label == BASELINE and r not in first]


def trainings(storage: Storage, study: Study, request: ConfirmRequest) -> Trainings:
    """The trainings of a request, as the database has them."""
    study_id = study_id_of(storage, study.name)
    holder = find_holder(storage, study.name, COMMAND)
    assert study_id is not None
    metric, direction = metric_and_direction(storage, study_id)
    together = None if holder is None else _stored_ensemble(storage, holder[1], request)
    chosen = together.members if together is not None and together.helps else ()
    return Trainings(
        request,
        read_results(storage, study, COMMAND),
        diverged(storage, study, COMMAND),
        sign_of(direction),
        _bounds(study, metric),
        frozenset((each.label, each.seed) for each in chosen),
    )


def read(
    storage: Storage, study: Study, request: ConfirmRequest | None = None
) -> Confirmation | None:
    """The results so far; None if there is nothing to compare.

    Args:
        request: to answer; by default the last one.
    """
    study_id, holder = study_id_of(storage, study.name), find_holder(storage, study.name, COMMAND)
    if study_id is None or holder is None or not read_results(storage, study, COMMAND):
        return None
    request, known = (
        _last_request(storage, study, holder[1]) if request is None else (request, None)
    )
    done = trainings(storage, study, request)
    if not done.compared:
        return None
    trials = storage.get_all_trials(study_id, deepcopy=False)
    metric, direction = metric_and_direction(storage, study_id)
    wanted = done.wanted if known is None else known
    asked = standing(study.name, COMMAND, request.options, request.seeds, wanted, done.done)
    calibrations = _calibrations(storage, holder[1], request) if asked.finished else {}
    rows = _rows(study, trials, done, calibrations)
    shown = {row.label for row in rows}
    counts = {label: len(_values(request, done.results, label, False)) for label in request.labels}
    found = Confirmation(
        study=study.name,
        metric=metric,
        direction=direction,
        rows=rows,
        winner=rows[0],
        baseline=next((each for each in rows if each.label == BASELINE), None),
        seeds=len(rows[0].validation.values),
        folds=study.folds,
        asked=asked,
        too_few={label: n for label, n in counts.items() if label not in shown},
        left_out=Own(study).left_out(trials),
        ensemble=_stored_ensemble(storage, holder[1], request) if asked.finished else None,
        own_objective=isinstance(study, ObjectiveStudy),
    )
    found = replace(found, gain=_gain(request, done.results, found))
    return replace(found, rivals=_rivals(storage, holder[1], request, done.results, found))


def _rows(
    study: Study,
    trials: Sequence[FrozenTrial],
    done: Trainings,
    calibrations: Mapping[str, Calibration],
) -> tuple[Measured, ...]:
    """The configurations that are compared, the best first, and those that were stopped, the last
    one first."""
    stopped = {
        label: over_seeds(
            [_values(done.request, done.results, label, False)[s] for s in range(stop.seeds)],
            done.bounds,
        )
        for label, stop in done.race.stopped.items()
    }
    early = sorted(
        stopped,
        key=lambda label: (-done.race.stopped[label].seeds, -done.sign * stopped[label].mean),
    )
    first = baseline_trial(study, trials)
    zero, test = 0 if first is None else first.number, _tested(done)
    validation = done.compared | stopped
    return tuple(
        Measured(
            label,
            n,
            study.config(trials[n].params),
            validation[label],
            test.get(label),
            calibrations.get(label),
            done.race.stopped.get(label),
        )
        for label in [*done.compared, *early]
        for n in [zero if label == BASELINE else _number(label)]
    )


def _bounds(study: Study, metric: str) -> Limits:
    """The limits of a study's metric; the value of an own objective has that name, and any size."""
    return (-math.inf, math.inf) if isinstance(study, ObjectiveStudy) else limits(metric)


def _gain(
    request: ConfirmRequest, results: Mapping[ReplicaKey, Result], found: Confirmation
) -> Estimate | None:
    """The winner against the baseline, over the seeds that all compared configurations have."""
    winner, baseline = found.winner, found.baseline
    if baseline is None or baseline is winner:
        return None
    final = winner.test is not None and baseline.test is not None
    compared = [row for row in found.rows if row.stopped is None]
    rows = [row for row in compared if not final or row.test is not None]
    of = {row.label: _results(request, results, row.label, final) for row in rows}
    seeds = sorted(set[int].intersection(*(set(each) for each in of.values())))
    pairs = [(of[winner.label][seed], of[BASELINE][seed]) for seed in seeds]
    return gain(pairs, sign_of(found.direction), found.metric)


def _rivals(
    storage: Storage,
    holder_id: int,
    request: ConfirmRequest,
    results: Mapping[ReplicaKey, Result],
    found: Confirmation,
) -> tuple[Rival, ...]:
    """The baseline and the yardsticks against what is judged."""
    if not found.finished:
        return ()
    measured = stored(storage, holder_id, request.split) if request.yardsticks else ()
    judged, together = found.judged, None
    if isinstance(judged, Ensemble) and judged.test is not None:
        together = Result(judged.test.mean, judged.left_out)
    own = _results(request, results, found.winner.label, request.tests)
    is_own = found.winner.label == BASELINE and together is None
    others = {} if is_own else _results(request, results, BASELINE, request.tests)
    return rivals(measured, others, own, *metric_and_direction(storage, holder_id), together)


def _last_request(
    storage: Storage, study: Study, holder_id: int
) -> tuple[ConfirmRequest, frozenset[ReplicaKey] | None]:
    """The last request; if none was stored, that for all trainings that were ever requested, and
    these."""
    record = storage.get_study_user_attrs(holder_id).get(ASKED)
    if record is not None:
        request = ConfirmRequest(
            tuple(record["labels"]),
            record["seeds"],
            record["top"],
            record["tests"],
            record.get("ensemble", MOST),
            record.get("yardsticks", True),
            record.get("full", True),  # as everything was before there was this option
        )
        return request, None
    keys = enqueued(storage, study, COMMAND)
    labels = tuple(dict.fromkeys(label for label, _, _ in keys))
    seeds, top = 1 + max(seed for _, seed, _ in keys), sum(label != BASELINE for label in labels)
    tests = any(final for *_, final in keys)
    return ConfirmRequest(labels, seeds, max(1, top), tests, full=True), frozenset(keys)


def _number(label: str) -> int:
    return 0 if label == BASELINE else int(label.removeprefix("trial "))


def _values(
    request: ConfirmRequest, results: Mapping[ReplicaKey, Result], label: str, final: bool
) -> dict[int, float]:
    """The metric of a configuration by seed, of the requested seeds."""
    return {seed: r.value for seed, r in _results(request, results, label, final).items()}


def _results(
    request: ConfirmRequest, results: Mapping[ReplicaKey, Result], label: str, final: bool
) -> dict[int, Result]:
    """The results of a configuration by seed, of the requested seeds."""
    keys = {seed: (label, seed, final) for seed in range(request.seeds)}
    return {seed: results[key] for seed, key in keys.items() if key in results}


def _validated(
    request: ConfirmRequest,
    results: Mapping[ReplicaKey, Result],
    running: Sequence[str],
    bounds: Limits,
) -> dict[str, Estimate]:
    """The configurations that can be compared, on the validation rows, over the same seeds.

    One alone is compared with nothing, unless it has all of its seeds and is not the baseline, or
    all others were stopped.

    Args:
        running: labels of those that were not stopped.
    """
    values = {label: _values(request, results, label, False) for label in running}
    labels, seeds = comparable({k: set(v) for k, v in values.items()}, min(2, len(values)))
    if not labels:
        whole = (label for label in running if len(values[label]) == request.seeds)
        labels = tuple(label for label in whole if label != BASELINE)
        seeds = tuple(range(request.seeds))
    return {label: over_seeds([values[label][s] for s in seeds], bounds) for label in labels}


def _tested(done: Trainings) -> dict[str, Estimate]:
    """Those of the compared configurations that are measured on the test rows as well, over the
    same seeds; empty unless the winner and the baseline are, and of these alone unless all was
    asked for."""
    winner, *_ = ordered = list(done.compared)
    must = {winner, BASELINE}.intersection(ordered)
    judged = ordered if done.request.full else sorted(must, key=ordered.index)
    values = {label: _values(done.request, done.results, label, True) for label in judged}
    labels, seeds = comparable({k: set(v) for k, v in values.items()}, must=must)
    return {label: over_seeds([values[label][s] for s in seeds], done.bounds) for label in labels}


# The ensemble and the temperatures, which are chosen once, by the rows of the search, and stored:
# the ensemble before the trainings for the test rows, for it says which of them are needed.


ENSEMBLE, CALIBRATIONS = "tuner:ensemble", "tuner:calibrations"
"""The attributes of a study of replicas that hold the ensemble of a request, and the temperature of
each configuration."""
DECISIVE = ("labels", "seeds", "tests", "ensemble", "full")
"""What of a request they depend on."""


def has_ensemble(storage: Storage, study: Study, request: ConfirmRequest) -> bool:
    """Whether the ensemble of a request is chosen and stored, or none was asked for."""
    holder = find_holder(storage, study.name, COMMAND)
    if holder is None or not request.ensemble:
        return True
    return _stored(storage, holder[1], ENSEMBLE, request) is not None


def has_choices(storage: Storage, study: Study, metric: Metric, request: ConfirmRequest) -> bool:
    """Whether all that a finished request chooses is stored, and measured."""
    holder = find_holder(storage, study.name, COMMAND)
    if holder is None:
        return False
    wanted = [ENSEMBLE] if request.ensemble else []
    wanted += [CALIBRATIONS] if metric.task == "classification" else []
    stored = [_stored(storage, holder[1], key, request) for key in wanted]
    return all(each is not None and each.get(MEASURED, True) for each in stored)


def store_choices(
    storage: Storage,
    store: Artifacts,
    study: Study,
    metric: Metric,
    request: ConfirmRequest,
    confirmation: Confirmation,
    *,
    measured: bool,
) -> None:
    """Chooses the ensemble by the predictions that the trainings kept of the rows of the search, if
    they did, and the temperatures once all is trained; `read` gives them from then on.

    A single training makes no ensemble.

    Args:
        measured: whether the trainings for the test rows are over, those of the ensemble too.
    """
    holder = find_holder(storage, study.name, COMMAND)
    table = _table(storage, store, study, request, confirmation)
    if holder is None or table is None:
        return
    if measured and metric.task == "classification":
        labels = dict.fromkeys(label for label, *_ in table.keys)
        of = {label: asdict(calibrated(*table.of(label))) for label in labels}
        storage.set_study_user_attr(holder[1], CALIBRATIONS, {"request": request.record, "of": of})
    if request.ensemble and len(table.keys) > 1:
        made = asdict(ensemble(metric, table, request.ensemble))
        record = {"request": request.record, MEASURED: measured, **made}
        storage.set_study_user_attr(holder[1], ENSEMBLE, record)


MEASURED = "measured"
"""The key of a stored ensemble that says whether the trainings for the test rows were over."""


def _stored(
    storage: Storage, holder_id: int, key: str, request: ConfirmRequest
) -> dict[str, Any] | None:
    """What an attribute holds of a request; None where that is of one that decides otherwise."""
    record = dict(storage.get_study_user_attrs(holder_id).get(key, {}))
    before, now = record.pop("request", None), request.record
    if before is None or any({"full": True, **before}.get(x) != now[x] for x in DECISIVE):
        return None
    return record


def _stored_ensemble(storage: Storage, holder_id: int, request: ConfirmRequest) -> Ensemble | None:
    record = _stored(storage, holder_id, ENSEMBLE, request) if request.ensemble else None
    if record is None:
        return None
    return Ensemble.from_json({key: x for key, x in record.items() if key != MEASURED})


def _calibrations(
    storage: Storage, holder_id: int, request: ConfirmRequest
) -> dict[str, Calibration]:
    """The calibration of each configuration, by its label."""
    record = _stored(storage, holder_id, CALIBRATIONS, request) or {"of": {}}
    return {label: Calibration(**each) for label, each in record["of"].items()}


def _table(
    storage: Storage,
    store: Artifacts,
    study: Study,
    request: ConfirmRequest,
    confirmation: Confirmation,
) -> Table | None:
    """The predictions of the compared configurations with the seeds that all of them have, and of
    those that were stopped with theirs."""
    done = finished_replicas(storage, study, COMMAND)
    whole = [row for row in confirmation.rows if row.stopped is None]
    seeds = tuple(
        seed
        for seed in range(request.seeds)
        if all((row.label, seed, False) in done for row in whole)
    )
    few = tuple(
        (row.label, row.number, seed)
        for row in confirmation.rows
        if row.stopped is not None
        for seed in range(row.stopped.seeds)
    )

    def predictions(label: str, seed: int, final: bool) -> Predictions | None:
        key = (label, seed, final)
        return read_predictions(store, done[key][1]) if key in done else None

    validation = stacked([[predictions(row.label, seed, False) for seed in seeds] for row in whole])
    also = stacked([[predictions(label, seed, False) for label, _, seed in few]]) if few else None
    if validation is None or (few and (also is None or not also.same_rows(validation))):
        return None
    labels, numbers = (tuple(x) for x in zip(*((r.label, r.number) for r in whole), strict=True))
    known = Table(labels, numbers, seeds, validation, {}, few, None if also is None else also.flat)
    wanted = trainings(storage, study, request).wanted
    tested = {
        (label, seed): each
        for label, _, seed in known.keys
        if (label, seed, True) in wanted and (each := predictions(label, seed, True)) is not None
    }
    return replace(known, tested=tested)
