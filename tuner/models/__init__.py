"""Families of networks by name."""

from __future__ import annotations

from tuner.models.base import Family, Inside, Words
from tuner.models.cnn import CNN
from tuner.models.linear import LINEAR
from tuner.models.mlp import MLP
from tuner.models.rnn import RNN
from tuner.models.text_cnn import TEXT_CNN

FAMILIES: dict[str, Family] = {family.name: family for family in (MLP, CNN, LINEAR, RNN, TEXT_CNN)}

__all__ = ["FAMILIES", "Family", "Inside", "Words"]
