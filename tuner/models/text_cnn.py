"""Convolutions over the words of a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuner.layers import Shape
from tuner.models.base import ACTIVATION, Family, Inside, Words, activated
from tuner.models.words import EMBEDDING_SIZE, FREEZE_EMBEDDINGS, embedding
from tuner.space import Leaf


class Windows(nn.Module):
    """Windows of several widths slide over a text; each filter's largest answer counts.

    A window begins at a word and may reach over the end, where there are zeros.

    Shape:
        vectors ``[B, L, E]`` and which are words ``[B, L]`` to ``[B, filters * len(widths)]``.
    """

    def __init__(self, size: int, filters: int, widths: range, bias: bool) -> None:
        super().__init__()
        self.widths = widths
        self.windows = nn.ModuleList(nn.Conv1d(size, filters, w, bias=bias) for w in widths)

    def forward(self, read: tuple[Tensor, Tensor]) -> Tensor:
        vectors, known = read
        x, nothing = vectors.transpose(1, 2), ~known[:, None]
        found = []
        for width, window in zip(self.widths, self.windows, strict=True):
            answers = window(functional.pad(x, (0, width - 1)))
            found.append(answers.masked_fill(nothing, -torch.inf).amax(2))
        return torch.cat(found, 1)


def build(
    shape: Shape, outputs: int, leaves: Mapping[str, Any], inside: Inside, words: Words
) -> nn.Module:
    """Embedding, windows, the largest answer over time, activation, linear output.

    The activation comes after the largest is taken, which is the same for one that never falls
    (Kim 2014 has it before) and costs a fraction. Techniques are as in a block of an mlp.

    Shape:
        whole numbers ``[B, L]``, 0 at the end, to ``[B, outputs]``.
    """
    first = embedding(words, leaves)
    widths = range(leaves["window"], leaves["window"] + leaves["windows"])
    windows = Windows(first.size, leaves["filters"], widths, inside.bias)
    found = leaves["filters"] * len(widths)
    block = activated(windows, (found,), leaves["activation"], inside)
    return nn.Sequential(first, *block, nn.Linear(found, outputs))


WINDOW = Leaf(
    name="window",
    kind=int,
    default=3,
    minimum=1,
    maximum=32,
    search=(1, 2, 3),
    static=True,
    doc="width of the narrowest window over a text",
    unit="words",
    source="Kim 2014",
)
WINDOWS = Leaf(
    name="windows",
    kind=int,
    default=3,
    minimum=1,
    maximum=16,
    search=(1, 2, 3),
    static=True,
    doc="how many widths of windows there are, each one word wider",
    unit="widths",
    source="Kim 2014; Zhang and Wallace 2017",
)
FILTERS = Leaf(
    name="filters",
    kind=int,
    default=100,
    minimum=1,
    maximum=4096,
    search=(50, 100, 200),
    static=True,
    doc="filters of each width of window",
    unit="filters",
    source="Kim 2014",
)

TEXT_CNN = Family(
    name="text-cnn",
    build=build,
    leaves=(WINDOW, WINDOWS, FILTERS, ACTIVATION, EMBEDDING_SIZE, FREEZE_EMBEDDINGS),
    doc="convolutions over word vectors, and the largest answer of each over the text",
    source="Kim 2014",
    text=True,
)
