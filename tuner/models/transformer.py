"""A transformer for texts and for sequences of numbers (Vaswani et al. 2017)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from tuner.lazy_torch import Tensor, functional, nn, torch
from tuner.models.base import ACTIVATION, Family, Inside, WordTable, activated, depth
from tuner.models.text import FREEZE_EMBEDDINGS, READOUTS, Embedding, Steps
from tuner.space import Leaf
from tuner.techniques import Shape

# From words or numbers to vectors that know their place.


def sinusoidal(length: int, width: int) -> Tensor:
    """``[L, width]``: sines and cosines of falling frequency, in turn."""
    places = torch.arange(length, dtype=torch.float64)[:, None]
    pairs = torch.arange(width, dtype=torch.float64).div(2, rounding_mode="floor")
    angles = places / 10_000 ** (2 * pairs / width)
    odd = torch.arange(width) % 2 == 1
    return torch.where(odd, angles.cos(), angles.sin()).float()


class Placed(nn.Module):
    """Vectors of the network's width, to which those of their places are added.

    Padding may reach beyond the longest text: its places do not matter.

    Args:
        size: of the vectors that enter; those of words that have the width already are multiplied
            by its root, others go through a linear layer.
        length: of the longest sequence.
        learned: a place's vector is trained, else that of ``sinusoidal``.
        token: a vector before all others that stands for the whole sequence.

    Shape:
        ``[B, L, size]`` and which are known ``[B, L]`` to ``[B, L, width]`` and which are known;
        with the token to one place more.
    """

    table: Tensor

    def __init__(
        self, size: int, length: int, width: int, *, words: bool, learned: bool, token: bool
    ) -> None:
        super().__init__()
        wide = words and size == width
        self.scale = math.sqrt(width) if wide else 1.0
        self.entering = nn.Identity() if wide else nn.Linear(size, width)
        if learned:
            self.table = nn.Parameter(torch.randn(length, width) * 0.1)
        else:
            self.register_buffer("table", sinusoidal(length, width), persistent=False)
        self.token = nn.Parameter(torch.randn(width) * 0.1) if token else None

    def forward(self, embedded: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        vectors, known = embedded
        places = torch.arange(known.shape[1], device=known.device)
        places = places.clamp(max=self.table.shape[0] - 1)
        placed = self.entering(vectors) * self.scale + self.table.index_select(0, places)
        if self.token is None:
            return placed, known
        before = self.token.expand(placed.shape[0], 1, -1)
        always = known.new_ones(known.shape[0], 1)
        return torch.cat((before, placed), 1), torch.cat((always, known), 1)


# Blocks.


class Attention(nn.Module):
    """Each place takes from all that are known, by several heads.

    A bias of the keys would change nothing, and one of the values what that of the output does.
    torch's fused attention takes a third of the time, but has no rule for ``torch.func.vmap``, for
    which a driver sets ``mapped``, and on a GPU its gradients differ from run to run: there the
    equations are used, which give the same numbers.

    Shape:
        ``[B, L, width]`` and which are known ``[B, L]`` to ``[B, L, width]``.
    """

    def __init__(self, heads: int, head_width: int) -> None:
        super().__init__()
        width = heads * head_width
        self.heads, self.head_width = heads, head_width
        self.entering = nn.Linear(width, 3 * width, bias=False)
        self.leaving = nn.Linear(width, width)
        self.mapped = False

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        # [B, L, 3 * width] to three of [B, heads, L, head_width]
        split = self.entering(x).unflatten(2, (3, self.heads, self.head_width))
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        equations = self.mapped or x.device.type != "cpu"
        take = self._by_equations if equations else self._fused
        taken = take(query, key, value, known[:, None, None])
        return self.leaving(taken.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def _fused(self, query: Tensor, key: Tensor, value: Tensor, known: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=known)

    def _by_equations(self, query: Tensor, key: Tensor, value: Tensor, known: Tensor) -> Tensor:
        scores = query @ key.transpose(2, 3) / math.sqrt(self.head_width)
        return scores.masked_fill(~known, -torch.inf).softmax(3) @ value


class OverSteps(nn.Module):
    """A layer for ``[B, C, L]`` on ``[B, L, C]``."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x.transpose(1, 2))
        return out.transpose(1, 2)


class Block(nn.Module):
    """Attention, then two layers for each place alone; each is added to what came in, which is
    normalized before it (Xiong et al. 2020).

    Args:
        length: of a sequence.
        inner: units of the first of the two layers.
        inside: its layers after an activation stand there, and after the attention; those of
            residual branches end both.
        share: of the network's depth at which the block ends.

    Shape:
        as ``Attention``.
    """

    def __init__(
        self,
        attention: Attention,
        length: int,
        inner: int,
        activation: str,
        inside: Inside,
        share: float,
    ) -> None:
        super().__init__()
        width = attention.heads * attention.head_width
        self.attention = attention
        over = tuple(_over_steps(layer) for layer in inside.after)
        first = activated(nn.Linear(width, inner), (inner, length), activation, Inside(after=over))
        self.each = nn.Sequential(*first, nn.Linear(inner, width))
        self.norm, self.norm_each = nn.LayerNorm(width), nn.LayerNorm(width)
        after = [layer((width, length)) for layer in over]
        ends = [[layer((length, width), share) for layer in inside.branches] for _ in range(2)]
        self.after, self.end = nn.Sequential(*after, *ends[0]), nn.Sequential(*ends[1])

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        x = x + self.after(self.attention(self.norm(x), known))
        return x + self.end(self.each(self.norm_each(x)))  # type: ignore[no-any-return]


def _over_steps(layer: Any) -> Any:
    return lambda shape: OverSteps(layer(shape))


class Encoder(nn.Module):
    """Blocks, a last normalization, and one vector of a sequence.

    Args:
        summary: a name of SUMMARIES.
        bias: whether the last normalization adds one; not if a layer subtracts the mean.

    Shape:
        ``[B, L, width]`` and which are known ``[B, L]`` to ``[B, width]``.
    """

    def __init__(self, blocks: list[Block], width: int, summary: str, bias: bool) -> None:
        super().__init__()
        self.blocks, self.norm = nn.ModuleList(blocks), nn.LayerNorm(width, bias=bias)
        self.summary = SUMMARIES[summary]

    def forward(self, placed: tuple[Tensor, Tensor]) -> Tensor:
        x, known = placed
        for block in self.blocks:
            x = block(x, known)
        return self.summary(self.norm(x), known)


TOKEN = "token"
SUMMARIES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": READOUTS["mean"],
    "max": READOUTS["max"],
    TOKEN: lambda x, known: x[:, 0],
}


def build_transformer(
    shape: Shape,
    outputs: int,
    leaves: Mapping[str, Any],
    inside: Inside,
    words: WordTable | None = None,
) -> nn.Module:
    """Vectors with their places, ``depth`` blocks, one vector of the sequence, linear output.

    The layers that techniques place after an activation (dropout) stand after that of each block,
    after each attention, and before the output; those before an activation (batch normalization)
    before the output alone, for padding is no part of a batch.

    Shape:
        whole numbers ``[B, L]``, 0 at the end; or numbers ``[B, L]`` or ``[B, L, C]``; to
        ``[B, outputs]``.
    """
    heads, head_width, summary = leaves["heads"], leaves["head_width"], leaves["summary"]
    width = heads * head_width
    first: Embedding | Steps = Steps(shape)
    if words is not None:
        first = Embedding(words, width, leaves["freeze_embeddings"])
    placed = Placed(
        *(first.size, shape[0], width),
        words=words is not None,
        learned=leaves["positions"] == "learned",
        token=summary == TOKEN,
    )
    size = shape[0], leaves["expansion"] * width
    blocks = [
        Block(Attention(heads, head_width), *size, leaves["activation"], inside, number / count)
        for count in [leaves["depth"]]
        for number in range(1, count + 1)
    ]
    ending = [layer((width,)) for layer in (*inside.before, *inside.after)]
    encoder = Encoder(blocks, width, summary, inside.bias)
    return nn.Sequential(first, placed, encoder, *ending, nn.Linear(width, outputs))


_VASWANI = "Vaswani et al. 2017"
HEADS = Leaf(
    name="heads",
    kind=int,
    default=4,
    minimum=1,
    maximum=256,
    search=(2, 4, 8),
    static=True,
    doc="heads of each attention",
    unit="heads",
    source=_VASWANI,
)
HEAD_WIDTH = Leaf(
    name="head_width",
    kind=int,
    default=16,
    minimum=1,
    maximum=1024,
    search=(8, 16, 32),
    static=True,
    doc="units of each head; the network is heads times as wide",
    unit="units",
    source=_VASWANI,
)
EXPANSION = Leaf(
    name="expansion",
    kind=int,
    default=4,
    minimum=1,
    maximum=64,
    search=(2, 4),
    static=True,
    doc="how many times wider the layer within a block is",
    unit="times",
    source=_VASWANI,
)
POSITIONS = Leaf(
    name="positions",
    kind=str,
    default="sinusoidal",
    options={"sinusoidal": (), "learned": ()},
    search=("sinusoidal", "learned"),
    static=True,
    doc="what says where in a sequence a vector stands: waves, or trained vectors",
    unit="name",
    source=f"{_VASWANI}; Devlin et al. 2019",
)
SUMMARY = Leaf(
    name="summary",
    kind=str,
    default="mean",
    options=dict.fromkeys(SUMMARIES, ()),
    search=("mean", "max", TOKEN),
    static=True,
    doc="how a sequence becomes one vector: the mean, the largest, or a token before it",
    unit="name",
    source="Devlin et al. 2019",
)

TRANSFORMER = Family(
    name="transformer",
    build=build_transformer,
    leaves=(
        *(depth(2, 4), HEADS, HEAD_WIDTH, EXPANSION, ACTIVATION),
        *(POSITIONS, SUMMARY, FREEZE_EMBEDDINGS),
    ),
    doc="attention over words, or over the steps of a sequence of numbers",
    source=_VASWANI,
    text=True,
    sequences=True,
    branches=True,
)
