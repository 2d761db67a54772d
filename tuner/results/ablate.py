"""Measures the effect of each technique, changed alone, over seeds (Fawcett and Hoos 2016)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from tuner.metrics import sign_of
from tuner.results.confirm import BASELINE
from tuner.results.estimate import Estimate
from tuner.results.pooled import Pooled, pooled
from tuner.results.race import Race, race
from tuner.results.replicas import (
    Replica,
    ReplicaKey,
    Result,
    Standing,
    coming,
    comparable,
    diverged,
    enqueued,
    find_holder,
    gain,
    read_results,
    standing,
    study_id_of,
)
from tuner.results.surrogate import surrogate
from tuner.results.words import sentence
from tuner.space import Config
from tuner.storage import Storage, metric_and_direction
from tuner.study import Study
from tuner.study.catalogue import SECTIONS, model_leaves
from tuner.study.trials import LeftOut, Own, baseline_trial
from tuner.techniques import ENDING

if TYPE_CHECKING:
    import pandas as pd


# Configurations between the baseline and the best: some parameters of one, the rest of the other.


REST = "the rest"
"""All that is not changed alone: sizes of the network, optimizer, learning rate, batch size."""
ALONE = (
    *(leaf.name for each in SECTIONS.values() for leaf in each if leaf.off is not None),
    *(name for name, leaf in model_leaves().items() if leaf.off is not None),
    *("lr_scheduler", "activation", "preprocessing", "adam.beta2"),
)
"""What is changed alone: techniques, which can be off, and choices, of which the baseline has one.
"""


@dataclass(frozen=True)
class Mixture:
    """Configurations with some items of the best configuration and all else of the baseline.

    Attributes:
        baseline, best: trials of the search.
        techniques: those in which the two differ, in the order of the study.
        items: the techniques, and the rest if that differs.
        epochs: by label, after how many epochs a configuration was at its best in `confirm`.
    """

    baseline: FrozenTrial
    best: FrozenTrial
    configs: tuple[Config, Config]
    techniques: tuple[str, ...]
    items: tuple[str, ...]
    epochs: Mapping[str, int] = field(default_factory=dict)

    @property
    def everything(self) -> frozenset[str]:
        return frozenset(self.items)

    def label(self, state: frozenset[str]) -> str:
        names = " + ".join(name for name in self.items if name in state) or "nothing"
        return f"{names} of trial {self.best.number}"

    def has(self, label: str) -> bool:
        """Whether a label is one of this trial's."""
        return label.endswith(f" of trial {self.best.number}")

    def replica(self, state: frozenset[str], seed: int, final: bool) -> Replica:
        """One training with these items of the best configuration."""
        rest = self.best if REST in state or REST not in self.items else self.baseline
        override: dict[str, Any] = {}
        for name in self.techniques:
            override |= _part(self.configs[name in state], name)
        stop_after = None
        if final:
            override |= ENDING
            stop_after = self._epochs(state, rest)
        label = self.label(state)
        return Replica(label, rest.params, seed, final, stop_after, override)

    def _epochs(self, state: frozenset[str], rest: FrozenTrial) -> int | None:
        """The best number of epochs; None if the trials differ in techniques that end a training
        early and the state takes none of them from the best."""
        ending = [name for name in self.techniques if name in ENDING]
        source = self.best if any(name in state for name in ending) else rest
        if ending and not any(name in state for name in ending):
            return None
        label = BASELINE if source is self.baseline else f"trial {source.number}"
        known = source.user_attrs.get("best_epoch", source.user_attrs.get("epochs"))
        return self.epochs.get(label, known)


def mixture(
    study: Study,
    baseline: FrozenTrial,
    best: FrozenTrial,
    epochs: Mapping[str, int] | None = None,
) -> Mixture:
    """The mixture of two trials of a study."""
    before, after = (study.config(trial.params) for trial in (baseline, best))
    both = [name for name in ALONE if name in before and name in after]
    techniques = tuple(name for name in both if _part(before, name) != _part(after, name))
    changed = {name for each in techniques for name in (*_part(before, each), *_part(after, each))}
    names = {name for name in before.keys() | after.keys() if name not in changed}
    rest = any(before.get(name) != after.get(name) for name in names)
    items = (*techniques, REST) if rest else techniques
    return Mixture(baseline, best, (before, after), techniques, items, epochs or {})


def _part(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A parameter, and the parameters of the option that it names."""
    value = config[name]
    if not isinstance(value, str):
        return {name: value}
    return {name: value, **{k: v for k, v in config.items() if k.startswith(f"{value}.")}}


# What each technique contributes: each changed alone, over seeds (Fawcett and Hoos 2016).


COMMAND = "ablate"
OFF, ON, PATH = VIEWS = ("off", "on", "path")
"""Switched off alone in the confirmed configuration; switched on alone over the baseline; and the
greedy path from the baseline to it."""
TAKEN_APART = "tuner:ablated"
"""The attribute of the study of its trainings that holds the last request."""
ReplicaResults = dict[ReplicaKey, Result]
Contrast = tuple[str, str, frozenset[str], frozenset[str]]
"""A technique, a view, and the items of the best configuration with the technique and without."""


@dataclass(frozen=True)
class AblateRequest:
    """A request of `ablate`.

    Attributes:
        number: of the trial whose configuration is taken apart.
        final: measured on the test rows.
        confirmed: whether a finished `confirm` chose the trial.
        seeds: trainings of each configuration.
        views: of "off", "on" and "path".
        full: whether on the path every step has all seeds, also those that can hardly be chosen.
    """

    number: int
    final: bool
    confirmed: bool
    seeds: int
    views: tuple[str, ...] = VIEWS
    full: bool = False

    @property
    def options(self) -> str:
        """Of the command line, besides the study and the seeds."""
        views = [f"--view {view}" for view in self.views if self.views != VIEWS]
        return " ".join([*views, *["--full"] * self.full])


@dataclass(frozen=True)
class Effect:
    """The effect of one technique.

    Attributes:
        technique: its name; "the rest" is all that is not a technique.
        view: "off", "on" or "path".
        difference: of pairs with the same seed; above zero the technique helps.
        words: the same as a sentence.
    """

    technique: str
    view: str
    difference: Estimate
    words: str


@dataclass(frozen=True)
class Ablation:
    """The effects of all techniques.

    Attributes:
        study, metric, direction: of the search; a difference above zero is better in either
            direction.
        rows: "test" or "validation": where they were measured.
        number: the trial whose configuration was taken apart.
        confirmed: whether a finished `confirm` chose it.
        seeds: trainings of each configuration; while `ablate` is unfinished, the seeds that the
            effects share.
        effects: by view, as far as they are known; all over the same seeds.
        pooled: effects estimated from the trials of the search, which are no experiment.
        folds, asked, left_out: as in a ``Confirmation``.
    """

    study: str
    metric: str
    direction: str
    rows: str
    number: int
    confirmed: bool
    seeds: int
    effects: tuple[Effect, ...]
    pooled: Pooled = field(default_factory=Pooled)
    folds: int | None = None
    asked: Standing | None = None
    left_out: tuple[LeftOut, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether everything that was asked for is trained."""
        return self.asked is None or self.asked.finished

    def to_frame(self) -> pd.DataFrame:
        """A row for each technique and view; ``pooled`` has its own."""
        import pandas as pd

        return pd.DataFrame(
            {
                "technique": each.technique,
                "view": each.view,
                "difference": each.difference.mean,
                "low": each.difference.low,
                "high": each.difference.high,
                "seeds": len(each.difference.values),
                "words": each.words,
            }
            for each in self.effects
        )


def single_change_replicas(
    mixture: Mixture, views: Sequence[str], seeds: int, final: bool
) -> list[Replica]:
    """The trainings that the first two views need."""
    states = [frozenset[str](), mixture.everything]
    if OFF in views:
        states += [mixture.everything - {name} for name in mixture.techniques]
    if ON in views:
        states += [frozenset({name}) for name in mixture.techniques]
    return [mixture.replica(s, seed, final) for seed in range(seeds) for s in dict.fromkeys(states)]


@dataclass(frozen=True)
class Step:
    """A step of the path: the state among several that is the best by its mean over the seeds.

    Attributes:
        states: those to choose from, each with one item more than the state before.
        race: which of them get no further seeds.
        chosen: none while it is not known.
    """

    states: tuple[frozenset[str], ...]
    race: Race
    chosen: frozenset[str] | None


@dataclass(frozen=True)
class Variants:
    """The trainings of a request: what those that are done gave, and which it needs.

    Attributes:
        results, diverged: of those that are done, with a value and without.
        sign: 1 where more is better, else -1.
    """

    mixture: Mixture
    request: AblateRequest
    results: ReplicaResults
    diverged: frozenset[ReplicaKey]
    sign: int

    @cached_property
    def path(self) -> tuple[Step, ...]:
        """The steps from the baseline, as far as they are known."""
        state, steps = frozenset[str](), list[Step]()
        while state != self.mixture.everything:
            left = (name for name in self.mixture.items if name not in state)
            steps.append(self._step(tuple(state | {name} for name in left)))
            if steps[-1].chosen is None:
                break
            state = steps[-1].chosen
        return tuple(steps)

    def _step(self, states: tuple[frozenset[str], ...]) -> Step:
        seeds, final = range(self.request.seeds), self.request.final
        labels = [self.mixture.label(state) for state in states]
        values = {
            label: {
                s: self.results[key].value
                for s in seeds
                if (key := (label, s, final)) in self.results
            }
            for label in labels
        }
        lost = {label: {s for s in seeds if (label, s, final) in self.diverged} for label in labels}
        raced = Race({}, self.request.seeds)
        if not self.request.full:
            raced = race(values, lost, self.request.seeds, self.sign)
        running = [label for label in labels if label not in raced.stopped]
        means = {
            label: self.sign * fmean(values[label].values())
            for label in running
            if len(values[label]) == len(seeds)
        }
        done = all(len(values[label]) + len(lost[label]) == len(seeds) for label in running)
        if not (done and means):
            return Step(states, raced, None)
        return Step(states, raced, states[labels.index(max(means, key=means.__getitem__))])

    @property
    def states(self) -> list[frozenset[str]]:
        """The states of the path, the baseline first, as far as they are known."""
        return [frozenset(), *(step.chosen for step in self.path if step.chosen is not None)]

    @property
    def done(self) -> frozenset[ReplicaKey]:
        return self.diverged.union(self.results)

    @cached_property
    def wanted(self) -> frozenset[ReplicaKey]:
        """Keys of the trainings that the views need, in place of steps that are not known yet about
        as many others."""
        request, path = self.request, self.path if PATH in self.request.views else ()
        keys = {each.key for each in self._single}
        for step in path:
            keys |= {each.key for each in self._replicas(step)}
        ahead = () if not path or path[-1].chosen else range(2, len(path[-1].states))
        known = 2 if OFF in request.views else 1  # of the last steps all is trained for that view
        return frozenset(keys).union(
            (f"{k} of a step to {states} states", seed, request.final)
            for states in ahead
            if states > known
            for k in range(states)
            for seed in range(request.seeds)
        )

    @property
    def complete(self) -> bool:
        """Whether all that the views need has a result."""
        return self.wanted <= self.results.keys()

    @cached_property
    def _single(self) -> list[Replica]:
        asked = self.request
        return single_change_replicas(self.mixture, asked.views, asked.seeds, asked.final)

    def _replicas(self, step: Step) -> list[Replica]:
        """All that a step may need: its states over the seeds, those that were stopped over
        fewer."""
        stopped = step.race.stopped
        replicas = (
            self.mixture.replica(state, seed, self.request.final)
            for seed in range(self.request.seeds)
            for state in step.states
        )
        return [r for r in replicas if r.label not in stopped or r.seed < stopped[r.label].seeds]

    def batch(self, workers: int) -> list[Replica]:
        """The trainings that come next: those of single changes, and on the path up to the next
        decision, further ones while there is a worker for each."""
        first = [each for each in self._single if each.key not in self.done]
        if PATH not in self.request.views or not self.path:
            return first
        step, known = self.path[-1], {each.key for each in first}
        left = [r for r in self._replicas(step) if r.key not in self.done | known]
        return first + coming(left, step.race.look, self.request.seeds, workers - len(first))


def variants(
    storage: Storage, study: Study, mixture: Mixture, request: AblateRequest, sign: int
) -> Variants:
    """The trainings of a request, as the database has them."""
    results = read_results(storage, study, COMMAND)
    mine = {key: each for key, each in results.items() if mixture.has(key[0])}
    lost = diverged(storage, study, COMMAND)
    return Variants(mixture, request, mine, lost, sign)


def _pairs(known: Variants) -> Iterator[Contrast]:
    """What is compared in each view; nothing on the path until it is complete."""
    mixture = known.mixture
    everything, nothing = mixture.everything, frozenset[str]()
    for name in mixture.techniques:
        yield name, OFF, everything, everything - {name}
    for name in mixture.techniques:
        yield name, ON, frozenset({name}), nothing
    states = known.states
    if states[-1] == everything:
        for before, state in pairwise(states):
            (name,) = state - before
            yield name, PATH, state, before


def effects(known: Variants, metric: str, direction: str) -> Iterator[Effect]:
    """Every effect that the results allow, over the seeds that all of them have."""
    mixture, results, request = known.mixture, known.results, known.request
    pairs = [each for each in _pairs(known) if each[1] in request.views]
    have = {pair: _seeds(mixture, results, pair, request) for pair in pairs}
    compared, seeds = comparable(have)
    for pair in compared:
        name, view, *_ = pair
        difference = gain(_results(mixture, results, pair, request, seeds), known.sign, metric)
        yield Effect(name, view, difference, sentence(name, difference, metric, direction))


def _seeds(
    mixture: Mixture, results: ReplicaResults, pair: Contrast, request: AblateRequest
) -> frozenset[int]:
    """The seeds that both sides of a comparison have."""
    labels = [mixture.label(state) for state in pair[2:]]
    return frozenset(
        seed
        for seed in range(request.seeds)
        if all((label, seed, request.final) in results for label in labels)
    )


def _results(
    mixture: Mixture,
    results: ReplicaResults,
    pair: Contrast,
    request: AblateRequest,
    seeds: Sequence[int],
) -> list[tuple[Result, Result]]:
    """The results with a technique and without it, seed by seed."""
    having, lacking = (mixture.label(state) for state in pair[2:])
    return [(results[having, s, request.final], results[lacking, s, request.final]) for s in seeds]


def remember(storage: Storage, study_id: int, request: AblateRequest) -> None:
    """Stores a request with the study of its trainings; `read` answers it from then on."""
    storage.set_study_user_attr(study_id, TAKEN_APART, asdict(request))


def read(storage: Storage, study: Study, request: AblateRequest | None = None) -> Ablation | None:
    """The effects known so far; None if no ablation has begun.

    Args:
        request: to answer; by default the last one, and with it the views of earlier ones that are
            trained over as many seeds.
    """
    study_id, holder = study_id_of(storage, study.name), find_holder(storage, study.name, COMMAND)
    record = None if holder is None else storage.get_study_user_attrs(holder[1]).get(TAKEN_APART)
    if study_id is None or record is None:
        return None
    trials = storage.get_all_trials(study_id, deepcopy=False)
    metric, direction = metric_and_direction(storage, study_id)
    sign = sign_of(direction)
    baseline = baseline_trial(study, trials) or trials[0]
    number = record["number"] if request is None else request.number
    mixed = mixture(study, baseline, trials[number])
    wanted: frozenset[ReplicaKey] | None = None
    if request is None:
        request, wanted = _last_request(storage, study, mixed, record, sign)
    known = variants(storage, study, mixed, request, sign)
    shown = tuple(effects(known, metric, direction))
    model = surrogate(study, trials, metric, direction)
    needed = known.wanted if wanted is None else wanted
    return Ablation(
        study=study.name,
        metric=metric,
        direction=direction,
        rows="test" if request.final else "validation",
        folds=study.folds,
        number=request.number,
        confirmed=request.confirmed,
        seeds=len(shown[0].difference.values) if shown else 0,
        effects=shown,
        pooled=pooled(study, trials, metric, direction, model),
        asked=standing(study.name, COMMAND, request.options, request.seeds, needed, known.done),
        left_out=Own(study).left_out(trials),
    )


def _last_request(
    storage: Storage, study: Study, mixed: Mixture, record: Mapping[str, Any], sign: int
) -> tuple[AblateRequest, frozenset[ReplicaKey]]:
    """The last request, and the trainings that it needs.

    If its views were not stored, these are all trainings that were ever requested.
    """
    if "views" not in record:
        keys = frozenset(k for k in enqueued(storage, study, COMMAND) if mixed.has(k[0]))
        seeds = 1 + max((seed for _, seed, _ in keys), default=0)
        return AblateRequest(**record, seeds=seeds, full=True), keys
    # every step had all seeds before there was this option
    request = AblateRequest(**{"full": True, **record, "views": tuple(record["views"])})
    known = variants(storage, study, mixed, request, sign)
    more = (v for v in VIEWS if replace(known, request=replace(request, views=(v,))).complete)
    views = {*request.views, *more}
    return replace(request, views=tuple(view for view in VIEWS if view in views)), known.wanted
