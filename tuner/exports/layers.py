"""A configuration's network of plain torch layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tuner.layers import BatchNorm, Dropout, Shape
from tuner.models import Words
from tuner.space import Config
from tuner.training.plan import build_network, plan

DROPOUTS: dict[int, Callable[[float], nn.Module]] = {
    1: nn.Dropout,
    2: nn.Dropout1d,
    3: nn.Dropout2d,
}
"""By the dimensions of a row: of feature maps whole channels are dropped."""
NORMS: dict[int, Callable[..., nn.Module]] = {
    2: nn.BatchNorm1d,
    3: nn.BatchNorm1d,
    4: nn.BatchNorm2d,
}
"""By the dimensions of a batch."""


def network_of(
    config: Config,
    shape: Shape,
    outputs: int,
    words: Words | None = None,
    categories: Sequence[range] = (),
) -> nn.Module:
    """The network of a configuration in evaluation mode, with torch's own dropout and batch norm.

    Args:
        words: of a text.
        categories: where the numbers of each categorical column stand in a row.

    Shape:
        ``[B, *shape]`` to ``[B, outputs]``.
    """
    network = build_network(plan(config), shape, outputs, 0, words, categories).eval()
    dims = _dimensions(network, example(shape, words is not None))
    return _replaced(network, dims).eval()


def example(shape: Shape, text: bool, rows: int = 2) -> Tensor:
    """Rows ``[rows, *shape]`` of zeros; of unknown words, for text."""
    if text:
        return torch.ones(rows, *shape, dtype=torch.int32)
    return torch.zeros(rows, *shape)


def _replaced(module: nn.Module, dims: dict[nn.Module, int]) -> nn.Module:
    if isinstance(module, Dropout):
        return DROPOUTS[len(module.noise_shape)](module.rate)
    if isinstance(module, BatchNorm):
        kind = NORMS[dims[module]]
        return kind(len(module.weight), eps=module.eps, momentum=module.momentum)
    for name, child in module.named_children():
        setattr(module, name, _replaced(child, dims))
    return module


@torch.no_grad()
def _dimensions(network: nn.Module, x: Tensor) -> dict[nn.Module, int]:
    """How many dimensions a batch has before each layer that normalizes it."""
    found: dict[nn.Module, int] = {}

    def see(layer: nn.Module, given: tuple[Any, ...]) -> None:
        found[layer] = given[0].dim()

    norms = [layer for layer in network.modules() if isinstance(layer, BatchNorm)]
    hooks = [layer.register_forward_pre_hook(see) for layer in norms]
    network(x)
    for hook in hooks:
        hook.remove()
    return found
