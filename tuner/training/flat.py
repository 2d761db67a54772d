"""A network's parameters as one flat vector, of which the parameters are views."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layout:
    """Where each parameter that is trained stands in the vector: name, offset and shape.

    P is the length. A parameter of two names stands there once.
    """

    entries: tuple[tuple[str, int, torch.Size], ...]
    length: int

    def views(self, vector: Tensor) -> dict[str, Tensor]:
        """Views into a vector ``[P]`` by parameter name."""
        return {
            name: vector[at : at + math.prod(shape)].view(shape) for name, at, shape in self.entries
        }

    def mask(self, like: Tensor) -> Tensor:
        """``[P]``: 1 at weights (two dimensions or more), 0 at biases and norm parameters."""
        mask = torch.zeros(self.length, dtype=like.dtype, device=like.device)
        for view in self.views(mask).values():
            view.fill_(float(view.dim() > 1))
        return mask


def trained(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The parameters that take a gradient, by name."""
    return [(name, p) for name, p in module.named_parameters() if p.requires_grad]


def give_gradients(module: nn.Module, views: dict[str, Tensor]) -> None:
    """The gradient of each parameter is a view from here on, and added to in place."""
    for name, parameter in trained(module):
        parameter.grad = views[name]


def kept(module: nn.Module) -> dict[str, Tensor]:
    """What a network remembers besides what is trained: averages, parameters without gradient."""
    names = module.state_dict().keys()
    frozen = [(n, p.detach()) for n, p in module.named_parameters() if not p.requires_grad]
    return {n: tensor for n, tensor in [*frozen, *module.named_buffers()] if n in names}


def layout(module: nn.Module) -> Layout:
    entries, at = [], 0
    for name, parameter in trained(module):
        entries.append((name, at, parameter.shape))
        at += parameter.numel()
    return Layout(tuple(entries), at)


def flatten(module: nn.Module) -> tuple[Layout, Tensor]:
    """Moves the parameters into one vector ``[P]`` and makes them views of it, in place."""
    plan = layout(module)
    vector = torch.cat([p.detach().reshape(-1) for _, p in trained(module)])
    views = plan.views(vector)
    for name, parameter in trained(module):
        parameter.data = views[name]
    return plan, vector
