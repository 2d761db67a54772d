"""Words as vectors: what networks of text begin with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuner.models.base import Words
from tuner.space import Leaf


class Embedding(nn.Module):
    """A vector for each word; that of padding is 0 and stays it (Bengio et al. 2003).

    A batch is cut to its longest text, so that the others of the data set cost nothing. Where many
    networks are mapped over (``torch.func.vmap``) shapes cannot depend on values: the driver sets
    ``mapped``, and no batch is cut. No row's output depends on how far it is filled up.

    Args:
        words: how many there are, and their pretrained vectors, if any.
        size: of a vector; the pretrained ones have their own.
        frozen: the pretrained vectors are a buffer, and are not trained.

    Shape:
        whole numbers ``[B, L]`` to ``[B, l, E]``, and which of these are words: ``[B, l]``.
    """

    weight: Tensor

    def __init__(self, words: Words, size: int, frozen: bool) -> None:
        super().__init__()
        vectors = words.vectors
        if vectors is None:
            start = torch.randn(words.size, size) * 0.1
            start[0] = 0.0
        else:
            start = vectors.clone()
        self.size = start.shape[1]
        self.mapped = False
        if frozen and vectors is not None:
            self.register_buffer("weight", start)
        else:
            self.weight = nn.Parameter(start)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        known = x != 0
        if not self.mapped:
            longest = max(1, int(known.any(0).sum()))
            x, known = x[:, :longest], known[:, :longest]
        return functional.embedding(x, self.weight, padding_idx=0), known


def embedding(words: Words, leaves: Mapping[str, Any]) -> Embedding:
    """As the leaves say."""
    return Embedding(words, leaves["embedding_size"], leaves["freeze_embeddings"])


EMBEDDING_SIZE = Leaf(
    name="embedding_size",
    kind=int,
    default=64,
    minimum=1,
    maximum=4096,
    search=(32, 64, 128),
    static=True,
    doc="numbers of a word's vector; pretrained vectors have their own size",
    unit="numbers",
    source="Bengio et al. 2003",
)
FREEZE_EMBEDDINGS = Leaf(
    name="freeze_embeddings",
    kind=bool,
    default=False,
    search=(True, False),
    static=True,
    doc="keeps pretrained word vectors as they are; without such a file it changes nothing",
    unit="on or off",
    source="Kim 2014",
)
