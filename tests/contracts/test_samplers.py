"""Every sampler of the catalogue, over every kind of space and any history."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.pruners import NopPruner
from optuna.trial import FrozenTrial, TrialState, create_trial

from tuner.search.by_number import SearchGrid
from tuner.search.propose import propose
from tuner.search.samplers import SAMPLERS, build_sampler
from tuner.search.tpe import Past
from tuner.space import Choice, Leaf, Node, Option, Range, config_of, sample

optuna.logging.set_verbosity(optuna.logging.ERROR)


def node(name: str, value: Any) -> Node:
    return Node(name, Leaf(name, float, 0.0), value)


OPTIMIZERS = Choice(
    (
        Option("sgd", (node("momentum", Range(0.0, 0.9, step=0.3)),)),
        Option("adam", (node("beta", Range(0.8, 1.0, step=0.1, off=0.0)),)),
        Option("plain"),
    )
)
LISTABLE: dict[str, tuple[Node, ...]] = {
    "steps": (node("x", Range(0.0, 1.0, step=0.1)), node("y", Range(-0.5, 0.5, step=0.25))),
    "integers": (node("n", Range(1, 40)), node("m", Range(0, 100, step=20))),
    "integers in the logarithm": (node("n", Range(1, 300, log=True)),),
    "ordered choices": (node("size", Choice((16, 32, 64, 128))), node("n", Range(1, 9))),
    "choices": (node("kind", Choice(("a", "b", "c"))), node("flag", Choice((False, True)))),
    "switches": tuple(node(name, Range(0.1, 0.5, step=0.1, off=0.0)) for name in "abc"),
    "nested": (node("optimizer", OPTIMIZERS), node("n", Range(1, 5))),
    "choices alone": tuple(node(name, Choice(("x", "y", "z"))) for name in "abcd"),
    "one value": (node("n", Range(3, 3)), node("kind", Choice(("a", "b"))), node("fixed", 2.0)),
}
SPACES = LISTABLE | {
    "floats": (node("x", Range(-1.0, 1.0)), node("y", Range(0.0, 5.0))),
    "floats in the logarithm": (
        node("rate", Range(1e-5, 1.0, log=True)),
        node("x", Range(0.0, 1.0)),
    ),
    "everything": (
        node("rate", Range(1e-5, 1.0, log=True)),
        node("optimizer", OPTIMIZERS),
        node("dropout", Range(0.1, 0.7, off=0.0)),
        node("depth", Range(1, 6)),
        node("size", Choice((16, 32, 64))),
    ),
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in SAMPLERS},
    "tpe, not jointly": ("tpe", {"joint": False}),
}
"""Samplers by name, and those that an option makes another one."""
CASES = [(name, space) for name in VARIANTS for space in (LISTABLE if name == "grid" else SPACES)]


OTHERS = sorted(VARIANTS.keys() - {"grid"})
"""Those that need no space that can be listed."""


def worth(params: dict[str, Any]) -> float:
    """Of a configuration: a number that depends on each parameter."""
    return sum(
        float(value) if isinstance(value, int | float) else len(name + str(value)) / 7
        for name, value in params.items()
    )


class Search:
    """A study in memory whose trials a sampler of the catalogue proposes."""

    def __init__(self, name: str, space: str, trials: list[FrozenTrial] | None = None) -> None:
        self.name, self.nodes, self.past = name, SPACES[space], Past()
        self.grid = SearchGrid(self.nodes, 3) if name == "grid" else None
        self.study = optuna.create_study(study_name="made")
        self.study.add_trials(trials or [])

    def propose(self, **fixed: Any) -> FrozenTrial:
        trials = self.study.get_trials(deepcopy=False)
        point: dict[str, Any] = {}
        if self.grid is not None:
            tried = {self.grid.place(each.params): 1 for each in trials if each.params}
            point = self.grid.next(tried, again=True) or {}
        sampler = build_sampler(
            *VARIANTS[self.name],
            seed=3,
            number=len(trials),
            point=point,
            past=self.past,
            nodes=self.nodes,
        )
        return propose(
            self.study._storage,
            "made",
            sampler,
            NopPruner(),
            len(trials),
            lambda suggest: sample(self.nodes, suggest),
            fixed=fixed or None,
        )

    def run(self, trials: int) -> list[dict[str, Any]]:
        """The parameters of so many trials, each of which completes."""
        made = []
        for _ in range(trials):
            trial = self.propose()
            trial.state, trial.value = TrialState.COMPLETE, worth(trial.params)
            trial.datetime_complete = trial.datetime_start
            self.study._storage.create_new_trial(self.study._study_id, trial)
            made.append(trial.params)
        return made


@cache
def proposed(name: str, space: str) -> list[FrozenTrial]:
    """Thirteen trials, each of which is proposed when those before it are complete."""
    search = Search(name, space)
    search.run(13)
    return search.study.get_trials()


@pytest.mark.filterwarnings("ignore:every configuration was tried")
@pytest.mark.parametrize(("name", "space"), CASES)
def test_every_proposal_is_a_configuration_of_the_space(name: str, space: str) -> None:
    trials, nodes = proposed(name, space), SPACES[space]
    assert len(trials) == 13
    for trial in trials:
        assert config_of(nodes, trial.params).keys() >= {each.name for each in nodes}


@pytest.mark.filterwarnings("ignore:every configuration was tried")
@pytest.mark.parametrize(("name", "space"), CASES)
def test_the_same_history_gives_the_same_proposal(name: str, space: str) -> None:
    *history, last = copy.deepcopy(proposed(name, space))
    for trial in history:
        trial.params = dict(reversed(trial.params.items()))
    assert Search(name, space, history).propose().params == last.params


PROGRAM = """\
import json
from tests.contracts.test_samplers import VARIANTS, Search
print(json.dumps({name: Search(name, "nested").run(12) for name in VARIANTS}))
"""


@pytest.mark.filterwarnings("ignore")
def test_any_process_proposes_the_same() -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONWARNINGS": "ignore"}
    shown = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    here = {name: Search(name, "nested").run(12) for name in VARIANTS}
    assert json.loads(shown.stdout) == here


@pytest.mark.parametrize("name", OTHERS)
def test_sixteen_trials_that_run_at_once_do_not_cluster(name: str) -> None:
    search = Search(name, "everything")
    search.run(12)
    running = []
    for _ in range(4 if name == "gp" else 16):  # gp takes a second for each
        trial = search.propose()
        search.study._storage.create_new_trial(search.study._study_id, trial)
        running.append(trial.params)
    assert len({repr(sorted(params.items())) for params in running}) == len(running)
    rates = sorted(params["rate"] for params in running)
    assert rates[-1] > 3 * rates[0]


def odd(space: str) -> list[FrozenTrial]:
    """Trials without a usable value, and those that other programs made and queued."""
    [params] = Search("random", space).run(1)
    kinds = Search("random", space).propose().distributions
    whole = {"params": params, "distributions": kinds}
    part = {key: dict(list(each.items())[:1]) for key, each in whole.items()}
    other = {
        "params": {"rate": 20.0, "foreign": "b"},
        "distributions": {
            "rate": FloatDistribution(10.0, 30.0, log=True),
            "foreign": CategoricalDistribution(("a", "b")),
        },
    }
    nan = {2: float("nan")}
    states = TrialState
    return [
        create_trial(**whole, value=float("inf")),
        create_trial(**whole, value=float("-inf")),
        create_trial(**whole, value=1.7e308),
        create_trial(**whole, state=states.FAIL),
        create_trial(**whole, state=states.PRUNED),
        create_trial(**whole, state=states.PRUNED, value=1.0, intermediate_values={1: 1.0}),
        create_trial(**whole, state=states.PRUNED, intermediate_values=nan),
        create_trial(**whole, state=states.RUNNING),
        create_trial(**part, value=2.0),
        create_trial(**part, state=states.RUNNING),
        create_trial(**other, value=0.5),
        create_trial(**other, state=states.RUNNING),
        create_trial(state=states.WAITING, system_attrs={"fixed_params": {"rate": 0.1}}),
        create_trial(state=states.COMPLETE, value=1.0),
        create_trial(state=states.FAIL),
    ]


@pytest.mark.parametrize("name", OTHERS)
def test_any_history_is_borne(name: str) -> None:
    search = Search(name, "everything")
    search.run(12)
    search.study.add_trials(odd("everything"))
    for params in search.run(3):
        config_of(search.nodes, params)
    trial = search.propose(rate=0.25, optimizer="plain")
    assert (trial.params["rate"], trial.params["optimizer"]) == (0.25, "plain")
    config_of(search.nodes, trial.params)


@pytest.mark.parametrize("name", OTHERS)
def test_a_script_may_have_lists_and_none_as_choices(name: str) -> None:
    study = optuna.create_study()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a database could not keep lists
        past = Past()
        for number in range(13):
            study.sampler = build_sampler(*VARIANTS[name], seed=0, number=number, past=past)
            trial = study.ask()
            layers = trial.suggest_categorical("layers", ([64], [64, 32], [32]))
            gate = trial.suggest_categorical("gate", (None, "soft"))
            rate = trial.suggest_float("rate", 0.0, 1.0) if gate is None else 0.5
            study.tell(trial, len(layers) + rate)
    assert {trial.params["gate"] for trial in study.trials} == {None, "soft"}
