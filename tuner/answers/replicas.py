"""Known configurations trained again: a study of its own, whose trials wait for any worker."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from tuner.metrics import Metric
from tuner.seeds import derive
from tuner.storage import Storage
from tuner.study import Study, parse
from tuner.study.fingerprint import canonical, fingerprint
from tuner.worker.building import REPLICA, REPLICATES


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
        override: leaves that are not as the parameters say.
    """

    label: str
    params: Mapping[str, Any]
    seed: int
    final: bool = False
    stop_after: int | None = None
    override: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, int, bool]:
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


def replica_name(study: str, what: str) -> str:
    """The name of the study that holds replicas of another's configurations."""
    return f"{study}:{what}"


def enqueue(
    storage: Storage, study: Study, metric: Metric, what: str, wanted: Iterable[Replica]
) -> tuple[Study, int]:
    """Puts replicas that are not there yet into the database; their study and its id."""
    held = _study_of(study, what)
    study_id = storage.join(
        held.name,
        direction=metric.direction,
        metric=metric.name,
        spec=canonical(held.document),
        fingerprint=fingerprint(held.document),
        budget=0,
    )
    storage.set_study_user_attr(study_id, REPLICATES, study.name)
    there = {_key(trial) for trial in _replicas(storage, study_id)}
    for replica in wanted:
        if replica.key not in there:
            storage.create_new_trial(study_id, template_trial=_waiting(study, replica))
    storage.set_budget(study_id, _budget(_replicas(storage, study_id)))
    return held, study_id


def _budget(replicas: Sequence[FrozenTrial]) -> int:
    """So many that none is left waiting: also what two commands put there at the same moment, and
    one more try of what failed."""
    counts = {_key(trial): 0 for trial in replicas}
    for trial in replicas:
        counts[_key(trial)] += trial.state != TrialState.FAIL
    return sum(max(1, count) for count in counts.values())


def results(storage: Storage, study: Study, what: str) -> dict[tuple[str, int, bool], Result]:
    """What the finished replicas gave, by label, seed and whether on the test rows."""
    return {key: result for key, (result, _) in finished(storage, study, what).items()}


def finished(
    storage: Storage, study: Study, what: str
) -> dict[tuple[str, int, bool], tuple[Result, FrozenTrial]]:
    """The finished replicas that have a value, with their trials."""
    study_id = find(storage, replica_name(study.name, what))
    if study_id is None:
        return {}
    found: dict[tuple[str, int, bool], tuple[Result, FrozenTrial]] = {}
    for trial in _replicas(storage, study_id):
        if trial.state == TrialState.COMPLETE and trial.values:
            result = Result(trial.values[0], tuple(trial.user_attrs.get("left_out", ())))
            found.setdefault(_key(trial), (result, trial))
    return found


def find(storage: Storage, name: str) -> int | None:
    """The id of a study by its name; none if the database holds none."""
    try:
        return int(storage.get_study_id_from_name(name))
    except KeyError:
        return None


def _study_of(study: Study, what: str) -> Study:
    search = {"pruner": "none", "duplicates": True, "seed": study.search.seed}
    document = {**study.document, "search": search}
    return parse(replica_name(study.name, what), json.loads(canonical(document)), study.folder)


def _replicas(storage: Storage, study_id: int) -> Sequence[FrozenTrial]:
    trials = storage.get_all_trials(study_id, deepcopy=False)
    return [trial for trial in trials if REPLICA in trial.user_attrs]


def _key(trial: FrozenTrial) -> tuple[str, int, bool]:
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
