"""Families of networks by name."""

from __future__ import annotations

from tuner.models.base import Family, Inside, Words
from tuner.models.cnn import CNN
from tuner.models.linear import LINEAR
from tuner.models.mlp import MLP

FAMILIES: dict[str, Family] = {family.name: family for family in (MLP, CNN, LINEAR)}

__all__ = ["FAMILIES", "Family", "Inside", "Words"]
