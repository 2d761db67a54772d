"""Defines a family of networks and the blocks that families share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tuner.lazy_torch import Tensor, nn
from tuner.space import Leaf, Range
from tuner.techniques import Shape

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(),
    "gelu": lambda: nn.GELU(),
    "silu": lambda: nn.SiLU(),
    "mish": lambda: nn.Mish(),
    "selu": lambda: nn.SELU(),
    "leaky_relu": lambda: nn.LeakyReLU(),
    "tanh": lambda: nn.Tanh(),
}


@dataclass(frozen=True)
class Inside:
    """The layers that techniques put into every block, before and after its activation.

    Args:
        branches: end residual branches, given the share of the network's depth at which one stands.
        bias: whether the block's weights have a bias; not if a layer subtracts the mean.
    """

    before: tuple[Callable[[Shape], nn.Module], ...] = ()
    after: tuple[Callable[[Shape], nn.Module], ...] = ()
    branches: tuple[Callable[[Shape, float], nn.Module], ...] = ()
    bias: bool = True


class WordTable(Protocol):
    """The vocabulary of a network's input."""

    @property
    def size(self) -> int:
        """How many word ids there are; 0 is the padding after a text."""

    @property
    def vectors(self) -> Tensor | None:
        """Pretrained ``[size, E]``."""


@dataclass(frozen=True)
class Family:
    """A family of networks.

    Args:
        build: ``(shape, outputs, leaves, inside) → Module``; shape is of one row, leaves the value
            of each of ``leaves`` by name; the module maps ``[B, *shape]`` to ``[B, outputs]``;
            in training to ``[B, K, outputs]`` where it is K members, whose losses are averaged.
        images: it needs rows of shape ``[C, H, W]``.
        text: it needs rows of word ids ``[L]``, and ``build`` takes the vocabulary as ``words``.
        sequences: instead of words it also takes rows of numbers ``[L]`` or ``[L, C]``; ``words``
            is none then.
        branches: it has residual branches whatever its leaves are.
        own: it is a user's, not one of tuner's.
    """

    name: str
    build: Callable[..., nn.Module]
    leaves: tuple[Leaf, ...]
    doc: str
    source: str
    images: bool = False
    text: bool = False
    own: bool = False
    sequences: bool = False
    branches: bool = False


ACTIVATION = Leaf(
    name="activation",
    kind=str,
    default="relu",
    options=dict.fromkeys(ACTIVATIONS, ()),
    search=("relu", "gelu", "silu"),
    static=True,
    doc="the function after each block's weights",
    unit="name",
    source="Nair and Hinton 2010; Hendrycks and Gimpel 2016; Elfwing et al. 2018; Misra 2019; "
    "Klambauer et al. 2017",
)
RESIDUAL = Leaf(
    name="residual",
    kind=bool,
    default=False,
    search=(True, False),
    static=True,
    doc="adds a block's input to its output",
    unit="on or off",
    source="He et al. 2016",
)


def depth(default: int, high: int) -> Leaf:
    return Leaf(
        name="depth",
        kind=int,
        default=default,
        minimum=1,
        maximum=64,
        search=Range(1, high),
        static=True,
        doc="hidden blocks",
        unit="blocks",
        source="Goodfellow et al. 2016, chapter 6",
    )


def activated(weights: nn.Module, shape: Shape, activation: str, inside: Inside) -> list[nn.Module]:
    """weights → layers before → activation → layers after, for a block that gives ``shape``."""
    before = [layer(shape) for layer in inside.before]
    after = [layer(shape) for layer in inside.after]
    return [weights, *before, ACTIVATIONS[activation](), *after]


class Residual(nn.Module):
    """Adds the input to the output of ``inner`` (He et al., 2016).

    Args:
        inner: the block.
        shortcut: brings the input to the block's output shape; identity if it has it already.
    """

    def __init__(self, inner: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.inner = inner
        self.shortcut = shortcut or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.shortcut(x) + self.inner(x)
        return added


def residual(
    block: Sequence[nn.Module],
    shape: Shape,
    inside: Inside,
    depth: float,
    shortcut: nn.Module | None = None,
) -> Residual:
    """A block that gives ``shape`` as a residual branch, at a share of the network's depth."""
    ending = [layer(shape, depth) for layer in inside.branches]
    return Residual(nn.Sequential(*block, *ending), shortcut)
