"""How much a metric owes to the rows that happen to be there."""

from __future__ import annotations

import math

import torch
from torch.func import functional_call

from tuner.training.evaluate import in_chunks, in_units
from tuner.training.folds import Folds
from tuner.training.plain import Trainer

GROUPS = 20


@torch.inference_mode()
def left_out(trainer: Trainer | Folds) -> list[float]:
    """The metric on the validation rows without each of 20 groups of them in turn.

    For the delete-a-group jackknife (Kott 2001). Row i is in group i modulo 20; empty where there
    are fewer rows than two a group, or a metric cannot be computed. Of folds the mean over them,
    each without that group of its own rows.
    """
    if isinstance(trainer, Folds):
        each = [left_out(part) for part in trainer.parts]
        return [sum(values) / len(each) for values in zip(*each, strict=True)] if all(each) else []
    if len(trainer.data.validation) < 2 * GROUPS:
        return []
    outputs, y = outputs_of(trainer)
    groups = torch.arange(len(y), device=y.device) % GROUPS
    kept = [groups != group for group in range(GROUPS)]
    values = [float(trainer.metric.function(outputs[k], y[k])) for k in kept]
    return values if all(map(math.isfinite, values)) else []


@torch.inference_mode()
def outputs_of(trainer: Trainer) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs and targets of the validation rows: logits ``[N, C]`` and classes ``[N]``, or two
    ``[N]`` in the target's own unit."""
    weights = trainer.weights()
    network = trainer.network.eval()

    def forward(x: torch.Tensor) -> torch.Tensor:
        return functional_call(network, weights, (x,))  # type: ignore[no-any-return]

    rows, target = trainer.data.validation, trainer.data.target
    outputs, y = in_chunks(forward, rows.x), rows.y
    if target.task == "regression":
        return in_units(outputs.squeeze(1), target), in_units(y, target)
    return outputs, y
