"""Which technique contributed how much: each changed alone, over seeds (Fawcett and Hoos 2016)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tuner.answers.estimate import Estimate, of_differences, over_seeds_and_rows
from tuner.answers.mixture import Mixture, mixture
from tuner.answers.pooled import Pooled, pooled
from tuner.answers.replicas import Replica, Result, find, replica_name, results
from tuner.answers.words import sentence
from tuner.metrics import limits
from tuner.storage import Storage, measured
from tuner.study import Study

if TYPE_CHECKING:
    import pandas as pd

WHAT = "ablate"
OFF, ON, PATH = VIEWS = ("off", "on", "path")
"""Switched off alone in the confirmed configuration; switched on alone over the baseline; and the
greedy path from the baseline to it."""
TAKEN_APART = "tuner:ablated"
"""The attribute of its study that says which trial, on which rows, and whether it is confirmed."""
Results = dict[tuple[str, int, bool], Result]


@dataclass(frozen=True)
class Effect:
    """What one technique does.

    Attributes:
        technique: its leaf; "the rest" is all that is no technique.
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
    """What each technique contributed.

    Attributes:
        study, metric, direction: whose differences these are; above zero is better, whether more
            or less of the metric is.
        rows: "test" or "validation": where they were measured.
        number: the trial whose configuration was taken apart.
        confirmed: whether it was chosen by `confirm`; otherwise by the search alone.
        seeds: trainings of each configuration.
        effects: by view, as far as they are known.
        pooled: what the trials of the search say beside it, which is no experiment.
        folds: as in a ``Confirmation``.
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
                "words": each.words,
            }
            for each in self.effects
        )


def alone(mixture: Mixture, views: Sequence[str], seeds: int, final: bool) -> list[Replica]:
    """The trainings that the first two views need."""
    states = [frozenset[str](), mixture.everything]
    if OFF in views:
        states += [mixture.everything - {name} for name in mixture.techniques]
    if ON in views:
        states += [frozenset({name}) for name in mixture.techniques]
    return [mixture.replica(s, seed, final) for seed in range(seeds) for s in dict.fromkeys(states)]


def next_steps(
    mixture: Mixture, found: Results, seeds: int, final: bool, sign: int
) -> list[Replica]:
    """The trainings that the path's next step needs; none when it has arrived."""
    state = [frozenset[str](), *path(mixture, found, seeds, final, sign)][-1]
    steps = [state | {name} for name in mixture.items if name not in state]
    return [mixture.replica(step, seed, final) for seed in range(seeds) for step in steps]


def path(
    mixture: Mixture, found: Results, seeds: int, final: bool, sign: int
) -> Iterator[frozenset[str]]:
    """From the baseline on, each time what helps most; as far as it is known."""
    state = frozenset[str]()
    while state != mixture.everything:
        steps = [state | {name} for name in mixture.items if name not in state]
        values = [_values(mixture, found, step, seeds, final) for step in steps]
        if any(len(each) < seeds for each in values):
            return
        means = [sign * sum(each) / seeds for each in values]
        state = steps[means.index(max(means))]
        yield state


def _values(
    mixture: Mixture, found: Results, state: frozenset[str], seeds: int, final: bool
) -> list[float]:
    keys = [(mixture.label(state), seed, final) for seed in range(seeds)]
    return [found[key].value for key in keys if key in found]


def effects(
    mixture: Mixture, found: Results, final: bool, metric: str, direction: str
) -> Iterator[Effect]:
    """Every effect that the results tell of."""
    seeds = 1 + max((key[1] for key in found if key[2] == final), default=-1)
    sign = 1 if direction == "maximize" else -1
    everything, nothing = mixture.everything, frozenset[str]()
    pairs = [(name, OFF, everything, everything - {name}) for name in mixture.techniques]
    pairs += [(name, ON, frozenset({name}), nothing) for name in mixture.techniques]
    before = nothing
    for state in path(mixture, found, seeds, final, sign):
        (name,) = state - before
        pairs.append((name, PATH, state, before))
        before = state
    if before != everything:
        pairs = [pair for pair in pairs if pair[1] != PATH]  # half a path answers nothing
    for name, view, having, lacking in pairs:
        pair = _pair(mixture, found, (having, lacking), seeds, final)
        if pair:
            difference = _difference(pair, sign, metric)
            yield Effect(name, view, difference, sentence(name, difference, metric, direction))


def _pair(
    mixture: Mixture,
    found: Results,
    states: tuple[frozenset[str], frozenset[str]],
    seeds: int,
    final: bool,
) -> list[tuple[Result, Result]]:
    """The results with and without, of the seeds that both have."""
    having, lacking = (mixture.label(state) for state in states)
    keys = [((having, seed, final), (lacking, seed, final)) for seed in range(seeds)]
    return [(found[a], found[b]) for a, b in keys if a in found and b in found]


def _difference(pairs: Sequence[tuple[Result, Result]], sign: int, metric: str) -> Estimate:
    values = [sign * (a.value - b.value) for a, b in pairs]
    parted = [
        [sign * (x - y) for x, y in zip(a.left_out, b.left_out, strict=False)] for a, b in pairs
    ]
    return over_seeds_and_rows(values, parted, of_differences(limits(metric)))


def read(storage: Storage, study: Study) -> Ablation | None:
    """What has been found so far; none where nothing was begun."""
    study_id, held = (find(storage, n) for n in (study.name, replica_name(study.name, WHAT)))
    said = None if held is None else storage.get_study_user_attrs(held).get(TAKEN_APART)
    if study_id is None or said is None:
        return None
    trials = storage.get_all_trials(study_id, deepcopy=False)
    metric, direction = measured(storage, study_id)
    mixed = mixture(study, trials[0], trials[said["number"]])
    final = bool(said["final"])
    found = {k: v for k, v in results(storage, study, WHAT).items() if mixed.has(k[0])}
    return Ablation(
        study=study.name,
        metric=metric,
        direction=direction,
        rows="test" if final else "validation",
        folds=study.folds,
        number=said["number"],
        confirmed=said["confirmed"],
        seeds=len({key[1] for key in found}),
        effects=tuple(effects(mixed, found, final, metric, direction)),
        pooled=pooled(storage, study, study_id),
    )
