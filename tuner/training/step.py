"""One training step, written once for one trial and for many trials stacked.

Everything after the backward pass works on tensors ``[..., P]``: one trial is ``[P]``, K trials
are ``[K, P]`` with hyperparameters ``[K, 1]``. Before it, a trial is alone: a driver calls
``batch_loss`` for one, or maps it over many with ``torch.func.vmap``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tuner.optimizers import Optimizer
from tuner.techniques import Noise, State, Technique


@dataclass(frozen=True)
class StepRecipe:
    """The definition of a step; all trials of one step share it.

    Args:
        techniques: the active ones, in order.
        masks: by kind of parameters ``[P]``, 1 at those of the kind and 0 at others; of the kinds
            that techniques mark.
        loss: ``(outputs [B, O] or [B, K, O], targets [B, O]) → 0-d``.
    """

    techniques: tuple[Technique, ...]
    optimizer: Optimizer
    masks: Mapping[str, Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]


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


def start(recipe: StepRecipe, params: Tensor) -> StepState:
    states = {t.name: t.start(params) for t in recipe.techniques if t.start}
    return StepState(params, recipe.optimizer.init(params), states)


def classification_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean cross entropy of logits ``[B, C]``, or of K members ``[B, K, C]``, and rows of
    probabilities ``[B, C]``."""
    return functional.cross_entropy(*_by_member(outputs, targets))


def regression_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error of ``[B, 1]``, or of K members ``[B, K, 1]``, and ``[B, 1]``."""
    return functional.mse_loss(*_by_member(outputs, targets))


def _by_member(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Each member's outputs as rows of their own, with the targets of the row."""
    if outputs.dim() == targets.dim():
        return outputs, targets
    return outputs.flatten(0, 1), targets.unsqueeze(1).expand_as(outputs).flatten(0, 1)


LOSSES = {"classification": classification_loss, "regression": regression_loss}


def batch_loss(
    recipe: StepRecipe,
    forward: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    noise: Mapping[str, Noise],
    hp: Hyperparameters,
) -> Tensor:
    """batch hooks → forward → loss, for one trial (or inside ``vmap`` for one of many)."""
    for technique in recipe.techniques:
        if technique.batch:
            drawn = noise.get(technique.name, ())
            x, y = technique.batch(x, y, hp.techniques[technique.name], *drawn)
    return recipe.loss(forward(x), y)


@torch.no_grad()
def update(
    recipe: StepRecipe, state: StepState, gradient: Tensor, hp: Hyperparameters, rate: Tensor
) -> None:
    """gradient hooks → optimizer → update hooks → ``params −= rate·update`` → after hooks.

    Args:
        gradient: ``[..., P]``.
        rate: the learning rate, 0-d or ``[K, 1]``.
    """
    params, masks, values = state.params, recipe.masks, hp.techniques
    state.count = state.count + 1
    for t in recipe.techniques:
        if t.gradient:
            gradient = t.gradient(gradient, params, masks[t.marks], values[t.name])
    change, state.optimizer = recipe.optimizer.direction(
        gradient, state.optimizer, state.count, **hp.optimizer
    )
    for t in recipe.techniques:
        if t.update:
            change = t.update(change, params, masks[t.marks], values[t.name])
    params.addcmul_(change, rate, value=-1)
    for t in recipe.techniques:
        if t.after:
            state.techniques[t.name] = t.after(params, state.techniques[t.name], values[t.name])
