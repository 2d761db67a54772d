"""One training step, written once for one trial and for many trials stacked.

Everything after the backward pass works on tensors ``[..., P]``: one trial is ``[P]``, K trials
are ``[K, P]`` with hyperparameters ``[K, 1]``. Before it, a trial is alone: a driver calls
``batch_loss`` for one, or maps it over many with ``torch.func.vmap``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tuner.data import Target
from tuner.imports import is_reference
from tuner.losses import FITTING, LOSS, LOSSES, LossFunction, bound, fitting, own_loss
from tuner.metrics import Metric
from tuner.models.mlp import MEMBERS
from tuner.optimizers import Numbers, Optimizer
from tuner.space import Config
from tuner.techniques import Noise, State, Technique
from tuner.training.network import nested_values, own_options


@dataclass(frozen=True)
class StepRecipe:
    """The definition of a step; all trials of one step share it.

    Args:
        techniques: the active ones, in order.
        masks: by kind of parameters ``[P]``, 1 at those of the kind and 0 at others; of the kinds
            that techniques mark.
        loss: ``(outputs [B, O] or [B, K, O], targets [B, O], weights [B] or None) → 0-d``.
    """

    techniques: tuple[Technique, ...]
    optimizer: Optimizer
    masks: Mapping[str, Tensor]
    loss: LossFunction


@dataclass(frozen=True)
class Hyperparameters:
    """The dynamic numbers of a step: Python numbers, or tensors ``[K, 1]`` for K trials."""

    techniques: Mapping[str, Any]
    optimizer: Mapping[str, Any]


@dataclass
class StepState:
    """The state that a step changes: the parameters in place, the rest by new tensors.

    Args:
        params: ``[..., P]``.
        optimizer: the optimizer's state.
        techniques: the state of each technique with an ``after`` hook, by name.
        count: steps taken: a number, or ``[K, 1]``.
    """

    params: Tensor
    optimizer: State
    techniques: dict[str, State]
    count: Any = 0

    @property
    def made(self) -> list[Tensor]:
        """The tensors that a step replaces."""
        return [*self.optimizer, *(t for state in self.techniques.values() for t in state)]

    def replace(self, made: Sequence[Tensor]) -> None:
        """Puts in their place what a step has made."""
        rest = iter(made)
        self.optimizer = tuple(next(rest) for _ in self.optimizer)
        for name, state in self.techniques.items():
            self.techniques[name] = tuple(next(rest) for _ in state)


def start(recipe: StepRecipe, params: Tensor) -> StepState:
    states = {t.name: t.start(params) for t in recipe.techniques if t.start}
    return StepState(params, recipe.optimizer.init(params), states)


def training_loss(config: Config, metric: Metric, target: Target) -> LossFunction:
    """The loss of a configuration: the one that it names, or the one that fits the metric.

    Raises:
        StudyFileError: it is a function of the user's that cannot be imported here.
    """
    loss = _loss_of_one(config, metric, target)
    return _of_members(loss) if config.get(MEMBERS.name, 1) > 1 else loss


def _of_members(loss: LossFunction) -> LossFunction:
    """The loss of K members ``[B, K, O]``: each member's outputs are rows of their own."""

    def call(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        if outputs.dim() == targets.dim():  # in evaluation they are one
            return loss(outputs, targets, weights)
        shared = targets.unsqueeze(1).expand(*outputs.shape[:2], *targets.shape[1:])
        each = None if weights is None else weights.repeat_interleave(outputs.shape[1])
        return loss(outputs.flatten(0, 1), shared.flatten(0, 1), each)

    return call


def _loss_of_one(config: Config, metric: Metric, target: Target) -> LossFunction:
    """The loss of a network of one member.

    Raises:
        StudyFileError: as ``training_loss``.
    """
    name = config[LOSS.name]
    if is_reference(name):
        return own_loss(name, own_options(config, name))
    if name == FITTING:
        loss, options = fitting(metric)
    else:
        loss = LOSSES[name]
        options = nested_values(loss.leaves, config, name)
    made = bound(loss, options)
    return _in_units(made, target) if loss.in_units else made


def _in_units(loss: LossFunction, target: Target) -> LossFunction:
    """The loss of numbers in the target's own unit, divided by its deviation."""

    def call(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        values, actual = (target.in_deviations(each) for each in (outputs, targets))
        return loss(values, actual, weights)

    return call


def batch_loss(
    recipe: StepRecipe,
    forward: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    noise: Mapping[str, Noise],
    hp: Hyperparameters,
    weights: Tensor | None = None,
) -> Tensor:
    """batch hooks → forward → loss, for one trial (or inside ``vmap`` for one of many).

    Args:
        weights: of the rows ``[B]``; what mixes targets mixes them as well.
    """
    for technique in recipe.techniques:
        if technique.batch:
            drawn, value = noise.get(technique.name, ()), hp.techniques[technique.name]
            if technique.mixes and weights is not None:
                y = torch.cat((y, weights.unsqueeze(1)), 1)
            x, y = technique.batch(x, y, value, *drawn)
            if technique.mixes and weights is not None:
                y, weights = y[:, :-1], y[:, -1]
    return recipe.loss(forward(x), y, weights)


def update(
    recipe: StepRecipe, state: StepState, gradient: Tensor, hp: Hyperparameters, rate: Tensor
) -> None:
    """Counts the step, and takes it by ``move``."""
    move(recipe, state, gradient, hp, rate, next_numbers(recipe, state, hp))


def next_numbers(recipe: StepRecipe, state: StepState, hp: Hyperparameters) -> Numbers:
    """Counts a step; the optimizer's numbers for it."""
    state.count = state.count + 1
    return recipe.optimizer.numbers(state.count, **hp.optimizer)


@torch.no_grad()
def move(
    recipe: StepRecipe,
    state: StepState,
    gradient: Tensor,
    hp: Hyperparameters,
    rate: Tensor,
    numbers: Numbers,
) -> None:
    """gradient hooks → optimizer → update hooks → ``params −= rate·update`` → after hooks.

    Args:
        gradient: ``[..., P]``.
        rate: the learning rate, 0-d or ``[K, 1]``.
        numbers: the optimizer's for this step.
    """
    params, masks, values = state.params, recipe.masks, hp.techniques
    for t in recipe.techniques:
        if t.gradient:
            gradient = t.gradient(gradient, params, masks[t.marks], values[t.name])
    change, state.optimizer = recipe.optimizer.rule(
        gradient, state.optimizer, numbers, **hp.optimizer
    )
    for t in recipe.techniques:
        if t.update:
            change = t.update(change, params, masks[t.marks], values[t.name])
    params.addcmul_(change, rate, value=-1)
    for t in recipe.techniques:
        if t.after:
            state.techniques[t.name] = t.after(params, state.techniques[t.name], values[t.name])
