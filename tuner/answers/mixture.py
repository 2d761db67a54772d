"""Configurations between the baseline and the best: some things of the one, some of the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial

from tuner.answers.confirm import BASELINE
from tuner.answers.replicas import Replica
from tuner.space import Config
from tuner.study import Study
from tuner.study.catalogue import SECTIONS
from tuner.techniques import ENDING

REST = "the rest"
"""All that is no technique: architecture, optimizer, learning rate, batch size."""
OFFS = {
    **{leaf.name: leaf.off for each in SECTIONS.values() for leaf in each if leaf.off is not None},
    "lr_scheduler": "constant",
}
"""What each technique is when it is off."""


@dataclass(frozen=True)
class Mixture:
    """What may be taken from the best configuration, and all else from the baseline.

    Attributes:
        baseline, best: trials of the search.
        techniques: those in which the two differ, in the order of the study.
        items: the techniques, and the rest if that differs.
        epochs: after which each configuration was at its best, where `confirm` knows.
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
        """Epochs as the search found them, unless what ends a training early is taken out."""
        ending = [name for name in self.techniques if name in ENDING]
        found = self.best if any(name in state for name in ending) else rest
        if ending and not any(name in state for name in ending):
            return None
        label = BASELINE if found is self.baseline else f"trial {found.number}"
        known = found.user_attrs.get("best_epoch", found.user_attrs.get("epochs"))
        return self.epochs.get(label, known)


def mixture(
    study: Study,
    baseline: FrozenTrial,
    best: FrozenTrial,
    epochs: Mapping[str, int] | None = None,
) -> Mixture:
    """All between two trials of a study."""
    before, after = (study.config(trial.params) for trial in (baseline, best))
    techniques = tuple(n for n in OFFS if n in after and _part(before, n) != _part(after, n))
    changed = {name for each in techniques for name in (*_part(before, each), *_part(after, each))}
    names = {name for name in before.keys() | after.keys() if name not in changed}
    rest = any(before.get(name) != after.get(name) for name in names)
    items = (*techniques, REST) if rest else techniques
    return Mixture(baseline, best, (before, after), techniques, items, epochs or {})


def _part(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A parameter, with those of the option that it names."""
    value = config[name]
    if not isinstance(value, str):
        return {name: value}
    return {name: value, **{k: v for k, v in config.items() if k.startswith(f"{value}.")}}
