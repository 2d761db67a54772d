"""Trained embeddings of categorical columns, the first layer of a network for tables."""

from __future__ import annotations

from collections.abc import Sequence

from tuner.lazy_torch import Tensor, nn, torch
from tuner.space import Leaf, Range

FEWEST = 3
"""A column of fewer one-hot numbers stays one-hot: an equivalent vector would be no shorter."""
STD = 0.1
"""Standard deviation of the initial vectors, as for words."""


class Categories(nn.Module):
    """A vector for each category in place of its column's one-hot numbers (Guo and Berkhahn 2016).

    The product of a one-hot row and a matrix is a row of the matrix, so that a column is a linear
    layer without bias; a category that the training rows lack is zeros before and after.

    Args:
        width: numbers of an input row.
        columns: where each categorical column stands in it, in order; the other numbers stay.
        size: of the vectors, but at most half as long as a column has numbers, rounded up.

    Attributes:
        width: numbers of an output row.

    Shape:
        ``[B, width]`` to ``[B, self.width]``.
    """

    def __init__(self, width: int, columns: Sequence[range], size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.parts: list[int] = []
        self.width = at = 0
        for column in columns:
            self._pass_through(column.start - at, layers)
            length = min(size, -(-len(column) // 2))
            layers.append(_vectors(len(column), length))
            self.parts.append(len(column))
            self.width += length
            at = column.stop
        self._pass_through(width - at, layers)
        self.layers = nn.ModuleList(layers)

    def _pass_through(self, count: int, layers: list[nn.Module]) -> None:
        if count:
            layers.append(nn.Identity())
            self.parts.append(count)
            self.width += count

    def forward(self, x: Tensor) -> Tensor:
        parts = zip(self.layers, torch.split(x, self.parts, 1), strict=True)
        return torch.cat([layer(part) for layer, part in parts], 1)


def _vectors(count: int, size: int) -> nn.Linear:
    layer = nn.Linear(count, size, bias=False)
    nn.init.normal_(layer.weight, std=STD)  # torch's own is smaller the more categories there are
    return layer


SOURCES = {"one-hot": "Suits 1957", "embedding": "Guo and Berkhahn 2016, arXiv:1604.06737"}
SIZE = Leaf(
    name="size",
    kind=int,
    default=8,
    minimum=1,
    maximum=4096,
    search=Range(2, 16, log=True),
    static=True,
    doc="numbers of a category's vector; at most half as many as its column has categories",
    unit="numbers",
    source=SOURCES["embedding"],
)
CATEGORIES = Leaf(
    name="categories",
    kind=str,
    default="one-hot",
    options={"one-hot": (), "embedding": (SIZE,)},
    search=("one-hot", "embedding"),
    static=True,
    doc="how a network takes a column of more than two categories: a number or a vector for each",
    unit="name",
    source=SOURCES["embedding"],
)
