"""Families of networks by name."""

from __future__ import annotations

from tuner.models.base import Family, Inside, WordTable
from tuner.models.cnn import CNN
from tuner.models.mlp import LINEAR, MLP
from tuner.models.text import RNN, TEXT_CNN
from tuner.models.transformer import TRANSFORMER

FAMILIES: dict[str, Family] = {
    family.name: family for family in (MLP, CNN, LINEAR, RNN, TEXT_CNN, TRANSFORMER)
}

__all__ = ["FAMILIES", "Family", "Inside", "WordTable"]
