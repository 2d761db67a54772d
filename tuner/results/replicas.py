"""Retrains known configurations as a study of its own, whose trials any worker may take."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from itertools import chain, count
from typing import Any, TypeVar

from optuna.trial import FrozenTrial, TrialState

from tuner.errors import MissingError
from tuner.metrics import Metric
from tuner.seeds import derive
from tuner.storage import Storage
from tuner.storage.studies import NAME_LETTERS, REPLICATES
from tuner.study import NetworkStudy, Study
from tuner.study.parse import parse
from tuner.study.record import canonical, fingerprint
from tuner.study.trials import complete, value_of
from tuner.worker.job import REPLICA

ASKED = "tuner:asked"
"""The attribute of a study of replicas that says what the last request asked for."""
ReplicaKey = tuple[str, int, bool]
"""A configuration's label, a seed, and whether it is measured on the test rows."""
ROOM = 20
"""Letters that the name of a study of replicas adds to that of its study."""
Row = TypeVar("Row")


@dataclass(frozen=True)
class Replica:
    """One training of a configuration.

    Attributes:
        label: the configuration's name, the same for all of its seeds.
        params: its parameters in the study.
        seed: which of the seeds: 0, 1, 2, ...; the same one gives all configurations the same
            random numbers, so that their differences are of pairs.
        final: train on all rows of the search, measure on the test rows.
        stop_after: epochs; none is as many as the configuration says.
        override: values that differ from the configuration's.
    """

    label: str
    params: Mapping[str, Any]
    seed: int
    final: bool = False
    stop_after: int | None = None
    override: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> ReplicaKey:
        return self.label, self.seed, self.final


@dataclass(frozen=True)
class Result:
    """What a replica gave.

    Attributes:
        value: the metric.
        left_out: the same without each of some groups of rows; empty where that is not known.
    """

    value: float
    left_out: tuple[float, ...]


@dataclass(frozen=True)
class Standing:
    """How much of what was asked for is trained.

    Attributes:
        seeds: trainings of each configuration that were asked for.
        trained, wanted: trainings that are done, of those that are needed; one that diverged is
            done, and has no result.
        finished: whether none is left.
        command: the request as a command, which trains what is left.
    """

    seeds: int
    trained: int
    wanted: int
    finished: bool
    command: str

    def left(self, option: str = "") -> str:
        """What is left and what to do about it; empty if nothing is left.

        Args:
            option: what the command needs besides.
        """
        if self.finished:
            return ""
        done = f"{self.trained:,} of {self.wanted:,} trainings are done"
        return f"unfinished: {done}; `{f'{self.command} {option}'.strip()}` trains the rest"


def standing(
    study: str,
    what: str,
    options: str,
    seeds: int,
    wanted: frozenset[ReplicaKey],
    found: Iterable[ReplicaKey],
) -> Standing:
    """Of a request.

    Args:
        options: of the command, besides the study and the seeds.
        wanted: the trainings that it needs.
        found: those that are done.
    """
    trained = len(wanted.intersection(found))
    words = ("tuner", what, "--study", shlex.quote(study), options, f"--seeds {seeds}")
    command = " ".join(word for word in words if word)
    return Standing(seeds, trained, len(wanted), trained == len(wanted), command)


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
            found = rows, tuple(sorted(mine))
            best = max(best, found, key=lambda each: (len(each[0]) * len(each[1]), len(each[0])))
    return best


def held(storage: Storage, study: str, what: str) -> tuple[str, int] | None:
    """Name and id of the study that holds replicas of another's configurations, if there is one.

    Its attribute says whose they are; a name alone, such as ``digits:confirm``, says nothing.
    """
    for name, (study_id, of) in storage.having(REPLICATES).items():
        if of == study and what_of(name, study) == what:
            return name, study_id
    return None


def what_of(name: str, study: str) -> str:
    """For which answer a study holds replicas of another one, by its name."""
    return name.removeprefix(f"{_stem(study)}:").partition(":")[0]


def _stem(study: str) -> str:
    """What the names of studies of its replicas begin with; a long name leaves no room for more."""
    return study[: NAME_LETTERS - ROOM]


def _replica_name(storage: Storage, study: str, what: str) -> str:
    """The name of the study that holds replicas, or will: one that is nobody else's."""
    there = held(storage, study, what)
    if there is not None:
        return there[0]
    names = (f"{_stem(study)}:{what}{end}" for end in chain([""], (f":{i}" for i in count(2))))
    return next(name for name in names if find(storage, name) is None)


def enqueue(
    storage: Storage, study: NetworkStudy, metric: Metric, what: str, wanted: Iterable[Replica]
) -> tuple[NetworkStudy, int]:
    """Puts replicas that are not there yet into the database; their study and its id.

    What an earlier request left waiting, and this one does not want, is withdrawn, unless somebody
    trains it right now.
    """
    wanted = list(wanted)
    made = _study_of(study, _replica_name(storage, study.name, what))
    study_id = storage.join(
        made.name,
        direction=metric.direction,
        metric=metric.name,
        spec=canonical(made.document),
        fingerprint=fingerprint(made.document),
        budget=0,
        data=study.row_record,
        replicates=study.name,
    )
    if not storage.progress(study_id).running:
        _withdraw(storage, _replicas(storage, study_id), {each.key for each in wanted})
    there = {_key(trial) for trial in _replicas(storage, study_id) if not _withdrawn(trial)}
    for replica in wanted:
        if replica.key not in there:
            storage.create_new_trial(study_id, template_trial=_waiting(study, replica))
    storage.set_budget(study_id, _budget(_replicas(storage, study_id)))
    return made, study_id


def _withdraw(
    storage: Storage, replicas: Sequence[FrozenTrial], wanted: AbstractSet[ReplicaKey]
) -> None:
    for trial in replicas:
        if trial.state == TrialState.WAITING and _key(trial) not in wanted:
            storage.set_trial_state_values(trial._trial_id, TrialState.PRUNED)


def _withdrawn(trial: FrozenTrial) -> bool:
    """Whether it was never trained; one that diverged says how it ended."""
    return trial.state == TrialState.PRUNED and "ended" not in trial.user_attrs


def diverged(storage: Storage, study: Study, what: str) -> frozenset[ReplicaKey]:
    """The trainings that ended without a value, as they would again."""
    there = held(storage, study.name, what)
    found = [] if there is None else _replicas(storage, there[1])
    pruned = (trial for trial in found if trial.state == TrialState.PRUNED)
    return frozenset(_key(trial) for trial in pruned if not _withdrawn(trial))


def _budget(replicas: Sequence[FrozenTrial]) -> int:
    """So many that none is left waiting: also what two commands put there at the same moment, and
    one more try of what failed."""
    counts = {_key(trial): 0 for trial in replicas}
    for trial in replicas:
        counts[_key(trial)] += trial.state != TrialState.FAIL
    return sum(max(1, count) for count in counts.values())


def results(storage: Storage, study: Study, what: str) -> dict[ReplicaKey, Result]:
    """What the finished replicas gave, by label, seed and whether on the test rows."""
    return {key: result for key, (result, _) in finished(storage, study, what).items()}


def finished(
    storage: Storage, study: Study, what: str
) -> dict[ReplicaKey, tuple[Result, FrozenTrial]]:
    """The finished replicas that have a value, with their trials."""
    there = held(storage, study.name, what)
    if there is None:
        return {}
    found: dict[ReplicaKey, tuple[Result, FrozenTrial]] = {}
    for trial in _replicas(storage, there[1]):
        if complete(trial):
            result = Result(value_of(trial), tuple(trial.user_attrs.get("left_out", ())))
            found.setdefault(_key(trial), (result, trial))
    return found


def enqueued(storage: Storage, study: Study, what: str) -> dict[ReplicaKey, None]:
    """Every training that was ever asked for, in the order of the requests."""
    there = held(storage, study.name, what)
    return {} if there is None else dict.fromkeys(map(_key, _replicas(storage, there[1])))


def find(storage: Storage, name: str) -> int | None:
    """The id of a study by its name; none if the database holds none."""
    try:
        return int(storage.get_study_id_from_name(name))
    except MissingError:
        return None


def _study_of(study: NetworkStudy, name: str) -> NetworkStudy:
    search = {"pruner": "none", "duplicates": True, "seed": study.search.seed}
    document = {**study.document, "search": search}
    made = parse(name, json.loads(canonical(document)), study.folder)
    assert isinstance(made, NetworkStudy)  # as the study it is made of
    return replace(made, data=study.data, row_record=study.row_record)


def _replicas(storage: Storage, study_id: int) -> Sequence[FrozenTrial]:
    trials = storage.get_all_trials(study_id, deepcopy=False)
    return [trial for trial in trials if REPLICA in trial.user_attrs]


def _key(trial: FrozenTrial) -> ReplicaKey:
    said = trial.user_attrs[REPLICA]
    return said["label"], said["seed"], said["final"]


def _waiting(study: Study, replica: Replica) -> FrozenTrial:
    said = {
        "label": replica.label,
        "seed": replica.seed,
        "final": replica.final,
        "stop_after": replica.stop_after,
        "override": dict(replica.override),
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
        user_attrs={"seed": seed, REPLICA: said},
        system_attrs={"fixed_params": dict(replica.params)},
        intermediate_values={},
        trial_id=-1,
    )
