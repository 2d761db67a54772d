"""Retrains known configurations as a study of its own, whose trials any worker may take."""

from __future__ import annotations

import json
import math
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import chain, count
from statistics import fmean
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from optuna.trial import FrozenTrial, TrialState

from tuner.errors import MissingError
from tuner.metrics import Metric, limits
from tuner.results.estimate import Estimate, of_differences, over_seeds_and_rows
from tuner.seeds import derive
from tuner.space import Config
from tuner.storage import Storage
from tuner.storage.studies import NAME_LETTERS, REPLICATES
from tuner.study import NetworkStudy, Study
from tuner.study.parse import parse
from tuner.study.record import canonical, fingerprint
from tuner.study.trials import complete, value_of
from tuner.worker.job import PREDICTED, REPLICA, Measure

ASKED = "tuner:asked"
"""The attribute of a study of replicas that holds the last request."""
ReplicaKey = tuple[str, int, bool]
"""A configuration's label, a seed, and whether it is measured on the test rows."""
ROOM = 20
"""The most letters that the name of a study of replicas adds to its study's name."""
Row = TypeVar("Row")


@dataclass(frozen=True)
class Replica:
    """One training of a configuration.

    Attributes:
        label: the configuration's name, the same for all of its seeds.
        params: its parameters in the study.
        seed: the index of its seed: 0, 1, 2, ...; all configurations get the same random numbers
            of one index, so that differences are of pairs.
        final: train on all rows of the search, measure on the test rows.
        stop_after: a number of epochs; None for the configuration's own.
        override: values that replace the configuration's.
        predictions: keep its predictions of the measured rows.
    """

    label: str
    params: Mapping[str, Any]
    seed: int
    final: bool = False
    stop_after: int | None = None
    override: Mapping[str, Any] = field(default_factory=dict)
    predictions: bool = False

    @property
    def key(self) -> ReplicaKey:
        return self.label, self.seed, self.final


@dataclass(frozen=True)
class Result:
    """The result of a replica.

    Attributes:
        value: the metric.
        left_out: the metric without each of some groups of rows; empty where it is not known.
    """

    value: float
    left_out: tuple[float, ...]


def gain(pairs: Sequence[tuple[Result, Result]], sign: int, metric: str) -> Estimate:
    """How much better the first of each pair is than the second, over seeds and rows.

    Args:
        sign: 1 where more is better, else -1.
    """
    values = [sign * (a.value - b.value) for a, b in pairs]
    without = [
        [sign * (x - y) for x, y in zip(a.left_out, b.left_out, strict=False)] for a, b in pairs
    ]
    return over_seeds_and_rows(values, without, of_differences(limits(metric)))


def coming(left: Sequence[Replica], look: int, seeds: int, workers: int) -> list[Replica]:
    """Of the replicas that are left, those to train next: for the seeds before a look, and further
    ones as long as not every worker has one.

    Args:
        seeds: of each configuration.
    """
    for end in range(look, seeds + 1):
        first = [each for each in left if each.seed < end]
        if len(first) >= workers:
            break
    return first


class Needed(Protocol):
    """The trainings that a request needs, as far as its results tell, and those that are done."""

    @property
    def wanted(self) -> frozenset[ReplicaKey]: ...

    @property
    def done(self) -> frozenset[ReplicaKey]: ...


@dataclass(frozen=True)
class Standing:
    """How many trainings of a request are done.

    Attributes:
        seeds: requested trainings of each configuration.
        trained, wanted: trainings that are done, of those that are needed; one that diverged is
            done, and has no result.
        finished: whether none is left.
        command: the request as a command line, which trains what is left.
    """

    seeds: int
    trained: int
    wanted: int
    finished: bool
    command: str

    def left(self, option: str = "") -> str:
        """How much is done and the command for the rest; empty if nothing is left.

        Args:
            option: what the command needs besides.
        """
        if self.finished:
            return ""
        done = f"{self.trained:,} of {self.wanted:,} trainings are done"
        return f"unfinished: {done}; `{f'{self.command} {option}'.strip()}` trains the rest"


def standing(
    study: str,
    command: str,
    options: str,
    seeds: int,
    wanted: frozenset[ReplicaKey],
    done: Iterable[ReplicaKey],
) -> Standing:
    """The standing of a request.

    Args:
        command: "confirm" or "ablate".
        options: of the command, besides the study and the seeds.
        wanted: the trainings that it needs.
        done: trainings that are done.
    """
    trained = len(wanted.intersection(done))
    words = ("tuner", command, "--study", shlex.quote(study), options, f"--seeds {seeds}")
    line = " ".join(word for word in words if word)
    return Standing(seeds, trained, len(wanted), trained == len(wanted), line)


def comparable(
    seeds: Mapping[Row, AbstractSet[int]], least: int = 1, must: AbstractSet[Row] = frozenset()
) -> tuple[tuple[Row, ...], tuple[int, ...]]:
    """The rows to compare and the seeds that all of them have: the largest full table; of two
    as large, the one with more rows.

    Args:
        seeds: of each row.
        least: rows below which there is no comparison.
        must: rows that have to be in it.
    """
    best: tuple[tuple[Row, ...], tuple[int, ...]] = ((), ())
    common = frozenset[int]().union(*seeds.values()).intersection(*seeds.values())
    for mine in dict.fromkeys([common, *map(frozenset, seeds.values())]):
        rows = tuple(row for row, have in seeds.items() if have >= mine)
        if mine and len(rows) >= least and must <= set(rows):
            table = rows, tuple(sorted(mine))
            best = max(best, table, key=lambda each: (len(each[0]) * len(each[1]), len(each[0])))
    return best


def find_holder(storage: Storage, study: str, command: str) -> tuple[str, int] | None:
    """Name and id of the study that holds a command's replicas of another study, if there is one.

    Its attribute names the other study; a name such as ``digits:confirm`` alone proves nothing.
    """
    for name, (study_id, of) in storage.having(REPLICATES).items():
        if of == study and command_of(name, study) == command:
            return name, study_id
    return None


def command_of(name: str, study: str) -> str:
    """The command, "confirm" or "ablate", whose replicas a study holds, by its name."""
    return name.removeprefix(f"{_stem(study)}:").partition(":")[0]


def _stem(study: str) -> str:
    """How the names of the studies of its replicas begin; a long name is cut to leave room."""
    return study[: NAME_LETTERS - ROOM]


def _replica_name(storage: Storage, study: str, command: str) -> str:
    """The name of the study that holds the replicas, or will: one that is not in use."""
    holder = find_holder(storage, study, command)
    if holder is not None:
        return holder[0]
    names = (f"{_stem(study)}:{command}{end}" for end in chain([""], (f":{i}" for i in count(2))))
    return next(name for name in names if study_id_of(storage, name) is None)


def enqueue(
    storage: Storage,
    study: Study,
    metric: Metric | Measure,
    command: str,
    wanted: Iterable[Replica],
    later: frozenset[ReplicaKey] = frozenset(),
    repeated: Mapping[ReplicaKey, FrozenTrial] = MappingProxyType({}),
) -> tuple[Study, int]:
    """Puts replicas that are not there yet into the database; returns their study and its id.

    Replicas that still wait for an earlier request, and that this one does not need, are withdrawn,
    unless the study is being trained right now.

    Args:
        later: those that this request needs besides.
        repeated: trials that were trained already, with what these replicas would give.
    """
    wanted = list(wanted)
    made = _study_of(study, _replica_name(storage, study.name, command))
    study_id = storage.join(
        made.name,
        direction=metric.direction,
        metric=metric.name,
        spec=canonical(made.document),
        fingerprint=fingerprint(made.document),
        budget=0,
        data=study.row_record if isinstance(study, NetworkStudy) else None,
        replicates=study.name,
    )
    if not storage.progress(study_id).running:
        needed = later.union(each.key for each in wanted)
        _withdraw(storage, _replicas(storage, study_id), needed)
    enqueued_keys = {_key(trial) for trial in _replicas(storage, study_id) if not _withdrawn(trial)}
    for replica in wanted:
        if replica.key not in enqueued_keys:
            known = repeated.get(replica.key)
            trial = _waiting_trial(study, replica)
            trial = trial if known is None else _repeating(trial, known)
            storage.create_new_trial(study_id, template_trial=trial)
    storage.set_budget(study_id, _budget(_replicas(storage, study_id)))
    return made, study_id


def _withdraw(
    storage: Storage, replicas: Sequence[FrozenTrial], wanted: AbstractSet[ReplicaKey]
) -> None:
    for trial in replicas:
        if trial.state == TrialState.WAITING and _key(trial) not in wanted:
            storage.set_trial_state_values(trial._trial_id, TrialState.PRUNED)


def _withdrawn(trial: FrozenTrial) -> bool:
    """Whether it was never trained; one that diverged has the attribute "ended"."""
    return trial.state == TrialState.PRUNED and "ended" not in trial.user_attrs


def diverged(storage: Storage, study: Study, command: str) -> frozenset[ReplicaKey]:
    """The trainings that ended without a value, as they would again."""
    holder = find_holder(storage, study.name, command)
    trials = [] if holder is None else _replicas(storage, holder[1])
    pruned = (trial for trial in trials if trial.state == TrialState.PRUNED)
    return frozenset(_key(trial) for trial in pruned if not _withdrawn(trial))


def _budget(replicas: Sequence[FrozenTrial]) -> int:
    """So many trials that none stays waiting: those that two commands enqueued at the same moment,
    and another try of each that failed."""
    counts = {_key(trial): 0 for trial in replicas}
    for trial in replicas:
        counts[_key(trial)] += trial.state != TrialState.FAIL
    return sum(max(1, count) for count in counts.values())


def read_results(storage: Storage, study: Study, command: str) -> dict[ReplicaKey, Result]:
    """The results of the finished replicas."""
    return {key: result for key, (result, _) in finished_replicas(storage, study, command).items()}


def finished_replicas(
    storage: Storage, study: Study, command: str
) -> dict[ReplicaKey, tuple[Result, FrozenTrial]]:
    """The finished replicas that have a value, with their trials."""
    holder = find_holder(storage, study.name, command)
    if holder is None:
        return {}
    by_key: dict[ReplicaKey, tuple[Result, FrozenTrial]] = {}
    for trial in _replicas(storage, holder[1]):
        if complete(trial):
            result = Result(value_of(trial), tuple(trial.user_attrs.get("left_out", ())))
            by_key.setdefault(_key(trial), (result, trial))
    return by_key


def enqueued(storage: Storage, study: Study, command: str) -> dict[ReplicaKey, None]:
    """All replicas that were ever requested, in the order of the requests."""
    holder = find_holder(storage, study.name, command)
    return {} if holder is None else dict.fromkeys(map(_key, _replicas(storage, holder[1])))


def seconds_of(storage: Storage, study: Study, command: str, keys: Iterable[ReplicaKey]) -> float:
    """Seconds of work of replicas: what they took, and of those that are left what others of the
    same configuration took, or else all others; on average. NaN before the first is finished."""
    took: dict[ReplicaKey, float] = {}
    of_label: dict[str, list[float]] = defaultdict(list)
    for key, (_, trial) in finished_replicas(storage, study, command).items():
        took[key] = float(trial.user_attrs.get("seconds", 0.0))
        of_label[key[0]].append(took[key])
    if not took:
        return math.nan
    average = {label: fmean(each) for label, each in of_label.items()}
    whole = fmean(took.values())
    return sum(took.get(key, average.get(key[0], whole)) for key in keys)


def study_id_of(storage: Storage, name: str) -> int | None:
    """The id of a study by its name; None if the database has none of this name."""
    try:
        return int(storage.get_study_id_from_name(name))
    except MissingError:
        return None


def _study_of(study: Study, name: str) -> Study:
    search: dict[str, Any] = {"pruner": "none", "seed": study.search.seed}
    if isinstance(study, NetworkStudy):
        search["duplicates"] = True
    elif study.search.trial_timeout is not None:  # an objective may never come to its end
        search["trial_timeout"] = study.search.trial_timeout
    document = {**study.document, "search": search}
    made = parse(name, json.loads(canonical(document)), study.folder)
    if isinstance(study, NetworkStudy) and isinstance(made, NetworkStudy):
        return replace(made, data=study.data, row_record=study.row_record)
    return made


def _replicas(storage: Storage, study_id: int) -> Sequence[FrozenTrial]:
    trials = storage.get_all_trials(study_id, deepcopy=False)
    return [trial for trial in trials if REPLICA in trial.user_attrs]


def _key(trial: FrozenTrial) -> ReplicaKey:
    record = trial.user_attrs[REPLICA]
    return record["label"], record["seed"], record["final"]


def same_trainings(
    storage: Storage, study: Study, command: str, wanted: Iterable[Replica]
) -> dict[ReplicaKey, FrozenTrial]:
    """The finished replicas of another command that were trained as these would be: the same
    configuration, seed, rows and epochs. They would give the same numbers again."""
    known: dict[tuple[int, bool, int | None], list[tuple[Config, FrozenTrial]]] = defaultdict(list)
    for (_, seed, final), (_, trial) in finished_replicas(storage, study, command).items():
        record = trial.user_attrs[REPLICA]
        config = {**study.config(trial.params), **record.get("override", {})}
        known[seed, final, record.get("stop_after")].append((config, trial))
    same = {}
    for each in wanted:
        own = {**study.config(each.params), **each.override}
        for config, trial in known[each.seed, each.final, each.stop_after]:
            if config == own:
                same[each.key] = trial
    return same


def _repeating(waiting: FrozenTrial, known: FrozenTrial) -> FrozenTrial:
    """A finished trial in place of a waiting one, with what another has given."""
    again = copy(known)
    again.system_attrs = waiting.system_attrs
    facts = {"ended": f"same as trial {known.number} of `confirm`", "seconds": 0.0}
    again.user_attrs = {**known.user_attrs, **waiting.user_attrs, **facts}
    return again


def _waiting_trial(study: Study, replica: Replica) -> FrozenTrial:
    record = {
        "label": replica.label,
        "seed": replica.seed,
        "final": replica.final,
        "stop_after": replica.stop_after,
        "override": dict(replica.override),
        PREDICTED: replica.predictions,
    }
    seed = derive(study.search.seed, "replica", replica.seed) % 2**32
    return FrozenTrial(
        number=-1,
        state=TrialState.WAITING,
        value=None,
        datetime_start=None,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={"seed": seed, REPLICA: record},
        system_attrs={"fixed_params": dict(replica.params)},
        intermediate_values={},
        trial_id=-1,
    )
