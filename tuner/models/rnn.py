"""Recurrent networks for text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tuner.layers import Shape
from tuner.models.base import Family, Inside, Words, depth
from tuner.models.mlp import WIDTH
from tuner.models.recurrent import STEPS, Layer
from tuner.models.words import EMBEDDING_SIZE, FREEZE_EMBEDDINGS, embedding
from tuner.space import Leaf


class Recurrent(nn.Module):
    """Layers over word vectors, and one vector of a text from them.

    Args:
        layers: each reads what the one before gives.
        between: what stands before each layer, for ``[B, C, L]``.
        readout: over the words: a name of READOUTS.

    Shape:
        ``[B, L, E]`` and which are words ``[B, L]`` to ``[B, C]``, or for both ``[B, 2C]``.
    """

    def __init__(
        self, layers: Sequence[nn.Module], between: Sequence[nn.Module], readout: str
    ) -> None:
        super().__init__()
        self.layers, self.between = nn.ModuleList(layers), nn.ModuleList(between)
        self.readout = READOUTS[readout]

    def forward(self, read: tuple[Tensor, Tensor]) -> Tensor:
        x, known = read
        for between, layer in zip(self.between, self.layers, strict=True):
            x = layer(between(x.transpose(1, 2)).transpose(1, 2), known)
        return self.readout(x, known)


def _max(x: Tensor, known: Tensor) -> Tensor:
    return x.masked_fill(~known[..., None], -torch.inf).amax(1)


def _mean(x: Tensor, known: Tensor) -> Tensor:
    share = known.to(x.dtype) / known.sum(1, keepdim=True)
    return (x * share[..., None]).sum(1)


def _both(x: Tensor, known: Tensor) -> Tensor:
    return torch.cat((_max(x, known), _mean(x, known)), 1)


READOUTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "max": _max,
    "mean": _mean,
    "both": _both,
}


def build(
    shape: Shape, outputs: int, leaves: Mapping[str, Any], inside: Inside, words: Words
) -> nn.Module:
    """Embedding, ``depth`` recurrent layers, one vector of the text, linear output.

    The layers that techniques place after a block (dropout) stand before each recurrent layer, the
    same for every word of a text (Gal and Ghahramani 2016), and before the output; those before an
    activation (batch normalization) before the output alone.

    Shape:
        whole numbers ``[B, L]``, 0 at the end, to ``[B, outputs]``.
    """
    first = embedding(words, leaves)
    width = leaves["width"] * (2 if leaves["bidirectional"] else 1)
    entering = [first.size] + [width] * (leaves["depth"] - 1)
    between = [nn.Sequential(*(layer((n, *shape)) for layer in inside.after)) for n in entering]
    layers = [Layer(leaves["cell"], n, leaves["width"], leaves["bidirectional"]) for n in entering]
    found = width * (2 if leaves["readout"] == "both" else 1)
    ending = [layer((found,)) for layer in (*inside.before, *inside.after)]
    text = Recurrent(layers, between, leaves["readout"])
    return nn.Sequential(first, text, *ending, nn.Linear(found, outputs))


CELL = Leaf(
    name="cell",
    kind=str,
    default="gru",
    options=dict.fromkeys(STEPS, ()),
    search=("gru", "lstm"),
    static=True,
    doc="kind of recurrent unit",
    unit="name",
    source="Cho et al. 2014; Hochreiter and Schmidhuber 1997",
)
BIDIRECTIONAL = Leaf(
    name="bidirectional",
    kind=bool,
    default=True,
    search=(True, False),
    static=True,
    doc="reads a text from both ends",
    unit="on or off",
    source="Schuster and Paliwal 1997",
)
READOUT = Leaf(
    name="readout",
    kind=str,
    default="max",
    options=dict.fromkeys(READOUTS, ()),
    search=("max", "mean", "both"),
    static=True,
    doc="how the states at a text's words become one vector: the largest, the mean, both",
    unit="name",
    source="Collobert and Weston 2008; Conneau et al. 2017",
)

RNN = Family(
    name="rnn",
    build=build,
    leaves=(
        *(CELL, depth(2, 4), WIDTH, BIDIRECTIONAL),
        *(READOUT, EMBEDDING_SIZE, FREEZE_EMBEDDINGS),
    ),
    doc="GRU or LSTM layers over word vectors",
    source="Elman 1990; Cho et al. 2014",
    text=True,
)
