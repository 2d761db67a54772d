"""Layers between a row of a table and a network: embeddings of its numbers, and a trained scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from tuner.lazy_torch import Tensor, nn, torch
from tuner.space import Leaf, Range

# Several numbers in place of one.


class Embedding(Protocol):
    """A module from ``[B, n]`` to ``[B, n, size]``, each number by weights of its own."""

    size: int

    def __call__(self, x: Tensor) -> Tensor: ...

    def learn(self, x: Tensor) -> None:
        """Sets what is not trained, by numbers ``[N, n]`` of training rows."""


class Numbers(nn.Module):
    """An embedding of each quantity of a row; the other numbers follow as they are.

    Args:
        width: numbers of an input row.
        positions: where the quantities stand in it.
        embedding: of all of them.

    Attributes:
        width: numbers of an output row.

    Shape:
        ``[B, width]`` to ``[B, self.width]``.
    """

    positions: Tensor
    others: Tensor

    def __init__(self, width: int, positions: Sequence[int], embedding: nn.Module) -> None:
        super().__init__()
        others = [place for place in range(width) if place not in set(positions)]
        self.register_buffer("positions", torch.tensor(positions), persistent=False)
        self.register_buffer("others", torch.tensor(others, dtype=torch.long), persistent=False)
        self.embedding = embedding
        self.width = len(positions) * int(embedding.size) + len(others)  # type: ignore[arg-type]

    def moved(self, column: range) -> range:
        """Where a column of other numbers stands in an output row."""
        others: list[int] = self.others.tolist()
        start = self.width - len(others) + others.index(column.start)
        return range(start, start + len(column))

    def learn(self, rows: Tensor) -> None:
        """Sets what is not trained, by training rows ``[N, width]``."""
        self.embedding.learn(rows[:, self.positions])  # type: ignore[operator]

    def forward(self, x: Tensor) -> Tensor:
        embedded = self.embedding(x.index_select(1, self.positions)).flatten(1)
        return torch.cat((embedded, x.index_select(1, self.others)), 1)


class ByColumn(nn.Module):
    """A linear layer for each number of a row; the biases are one vector, so no weights.

    Shape:
        ``[B, n, entering]`` to ``[B, n, leaving]``.
    """

    def __init__(self, count: int, entering: int, leaving: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(entering)  # that of ``torch.nn.Linear``
        self.weight = nn.Parameter(torch.empty(count, entering, leaving).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(count * leaving).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        products = torch.einsum("bni,nio->bno", x, self.weight)
        return products + self.bias.view(self.weight.shape[0], self.weight.shape[2])


ROUNDING = 1e-9
"""Quantiles that differ by less, as a part of the range, differ by rounding alone."""


class PiecewiseLinear(nn.Module):
    """How far a number is through each bin, then a linear layer and relu (Gorishniy et al. 2022).

    The bins lie between quantiles of the training rows; equal quantiles make fewer bins. Within a
    bin its entry rises from 0 to 1; the first and the last bin have no outer end.

    Attributes:
        low, slope, top: ``[n, bins]``, the beginning of each bin, 1 by its width (0 for a bin that
            a number does not have), and the largest value of its entry.
    """

    low: Tensor
    slope: Tensor
    top: Tensor

    def __init__(self, count: int, bins: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("low", torch.zeros(count, bins))
        self.register_buffer("slope", torch.zeros(count, bins))
        self.register_buffer("top", torch.ones(count, bins))
        bottom = torch.tensor([-math.inf] + [0.0] * (bins - 1))
        self.register_buffer("bottom", bottom, persistent=False)
        self.linear = ByColumn(count, bins, size)

    def learn(self, x: Tensor) -> None:
        levels = np.linspace(0, 1, self.low.shape[1] + 1)
        for j, column in enumerate(x.double().numpy(force=True).T):
            ends = np.unique(np.quantile(column, levels))
            ends = ends[np.diff(ends, prepend=-math.inf) > ROUNDING * np.ptp(ends)]
            bins = len(ends) - 1
            self.low[j, :bins] = torch.from_numpy(ends[:-1])
            self.slope[j, :bins] = torch.from_numpy(1 / np.diff(ends))
            self.top[j, bins - 1 : bins] = math.inf

    def forward(self, x: Tensor) -> Tensor:
        through = (x.unsqueeze(2) - self.low) * self.slope
        entries = torch.minimum(torch.maximum(through, self.bottom), self.top)
        return self.linear(entries).relu()  # type: ignore[no-any-return]

    bottom: Tensor


class Periodic(nn.Module):
    """Waves of trained frequencies, and a linear layer (Gorishniy et al. 2022).

    ``plr`` is ``relu(linear(sin(2πcx), cos(2πcx)))``; ``pbld`` is ``x`` beside
    ``linear(cos(2πcx + b))``, with trained phases b (Holzmüller et al. 2024).
    """

    def __init__(self, count: int, frequencies: int, scale: float, size: int, form: str) -> None:
        super().__init__()
        self.size, self.shape = size, (count, frequencies)
        # vectors, for neither frequencies nor phases are weights that a penalty makes small
        self.frequencies = nn.Parameter(torch.randn(count * frequencies) * scale)
        self.phases: nn.Parameter | None = None
        if form == "pbld":
            phases = torch.empty(count * frequencies).uniform_(-math.pi, math.pi)
            self.phases = nn.Parameter(phases)
            self.linear = ByColumn(count, frequencies, size - 1)
        else:
            self.linear = ByColumn(count, 2 * frequencies, size)

    def learn(self, x: Tensor) -> None:
        """All of it is trained."""

    def forward(self, x: Tensor) -> Tensor:
        angles = 2 * math.pi * self.frequencies.view(self.shape) * x.unsqueeze(2)
        if self.phases is None:
            waves = torch.cat((angles.sin(), angles.cos()), 2)
            return self.linear(waves).relu()  # type: ignore[no-any-return]
        waves = (angles + self.phases.view(self.shape)).cos()
        return torch.cat((x.unsqueeze(2), self.linear(waves)), 2)


MOST_ROWS = 2**17
"""Of more training rows, so many at even distances say where the bins lie."""


def learn(network: nn.Module, rows: Any) -> None:
    """Sets what the layers of a network learn from training rows ``[N, width]`` without training.

    Args:
        rows: a tensor, or what gives one for an index.
    """
    for module in network.modules():
        if isinstance(module, Numbers):
            places = torch.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).round().long()
            module.learn(rows[places.to(module.positions.device)])


def embedding_of(name: str, leaves: Mapping[str, Any], count: int) -> nn.Module | None:
    """The embedding of so many numbers; None where they stay as they are."""
    if name == "piecewise-linear":
        return PiecewiseLinear(count, **leaves)
    return Periodic(count, **leaves) if name == "periodic" else None


_GORISHNIY = "Gorishniy et al. 2022, arXiv:2203.05556"
SOURCES = {
    "plain": "none",
    "piecewise-linear": _GORISHNIY,
    "periodic": f"{_GORISHNIY}; Holzmüller et al. 2024, arXiv:2407.04491",
}


def _size(default: int) -> Leaf:
    return Leaf(
        name="size",
        kind=int,
        default=default,
        minimum=2,
        maximum=1024,
        search=Range(2, 32, log=True),
        static=True,
        doc="numbers that a network takes for each quantity",
        unit="numbers",
        source=_GORISHNIY,
    )


BINS = Leaf(
    name="bins",
    kind=int,
    default=16,
    minimum=2,
    maximum=1024,
    search=Range(4, 64, log=True),
    static=True,
    doc="bins of each quantity, between quantiles of the training rows",
    unit="bins",
    source=_GORISHNIY,
)
FREQUENCIES = Leaf(
    name="frequencies",
    kind=int,
    default=16,
    minimum=1,
    maximum=1024,
    search=Range(8, 64, log=True),
    static=True,
    doc="trained frequencies of each quantity",
    unit="frequencies",
    source=_GORISHNIY,
)
SCALE = Leaf(
    name="scale",
    kind=float,
    default=0.1,
    above=0.0,
    search=Range(0.01, 10.0, log=True),
    static=True,
    doc="deviation of the initial frequencies from 0",
    unit="waves per unit of the input",
    source=SOURCES["periodic"],
)
FORM = Leaf(
    name="form",
    kind=str,
    default="plr",
    options={"plr": (), "pbld": ()},
    search=("plr", "pbld"),
    static=True,
    doc="plr: sin and cos, a linear layer, relu; pbld: cos with phases, a linear layer, beside it "
    "the quantity itself",
    unit="name",
    source=SOURCES["periodic"],
)
NUMBERS = Leaf(
    name="numbers",
    kind=str,
    default="plain",
    off="plain",
    options={
        "plain": (),
        "piecewise-linear": (BINS, _size(8)),
        "periodic": (FREQUENCIES, SCALE, _size(8), FORM),
    },
    search=("plain", "piecewise-linear", "periodic"),
    static=True,
    doc="how a network for tables takes a quantity: as it is, by bins, or as waves",
    unit="name",
    source=SOURCES["periodic"],
)


# A trained scale of each input.


class Scale(nn.Module):
    """Multiplies each number of a row by a trained one, at first 1 (Holzmüller et al. 2024).

    Shape:
        ``[B, width]`` to the same.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


INPUT_SCALE = Leaf(
    name="input_scale",
    kind=bool,
    default=False,
    off=False,
    search=(True, False),
    static=True,
    doc="multiplies each input of a network for tables, after its embedding, by a trained number",
    unit="on or off",
    source="Holzmüller et al. 2024, arXiv:2407.04491",
)
