"""What is told of a trial that ended, beside its result: its user attributes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from optuna.trial import FrozenTrial

from tuner.training.epoch import Epoch
from tuner.training.folds import Folds
from tuner.training.plain import Trainer

TRAINED = ("epochs", "parameters", "train_loss", "validation_loss", "best_epoch")
"""What a training says of itself."""


def ending(why: str, seconds: float, worker: str, device: torch.device) -> dict[str, Any]:
    """Why the trial ended, how long all of its workers spent on it, which one told, and where."""
    return {
        "ended": why,
        "seconds": round(seconds, 3),
        "worker": worker,
        "device": str(device),
    }


def training_facts(trainer: Trainer | Folds | None, result: Epoch | None) -> dict[str, Any]:
    """Epochs trained, the number of weights, and the losses of the epoch that counts.

    Args:
        trainer: None where the trial failed before there was one.
        result: the epoch that counts; None is the last one.
    """
    if trainer is None:
        return {}
    facts: dict[str, Any] = {"epochs": trainer.epoch, "parameters": len(trainer.params)}
    shown = result or (trainer.past[-1] if trainer.past else None)
    if shown is not None:
        losses = {"train_loss": shown.train_loss, "validation_loss": shown.validation_loss}
        facts |= {key: loss for key, loss in losses.items() if math.isfinite(loss)}
    return facts if result is None else {**facts, "best_epoch": result.number}


def repeated_facts(
    first: FrozenTrial, number: int, worker: str, device: torch.device
) -> dict[str, Any]:
    """Of a trial that is told at once: the one of this number trained its configuration."""
    known = {key: first.user_attrs[key] for key in TRAINED if key in first.user_attrs}
    return {**ending(f"same as trial {number}", 0.0, worker, device), **known}


def amount(attrs: Mapping[str, Any], key: str, default: float = 0.0) -> float:
    """A number among a trial's attributes, to which other programs may have given any value."""
    value = attrs.get(key)
    usable = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if usable else default  # type: ignore[arg-type]
