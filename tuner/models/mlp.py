"""Fully connected networks: the linear model and the multilayer perceptron."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tuner.lazy_torch import Tensor, functional, nn, torch
from tuner.metrics import Task
from tuner.models.base import ACTIVATION, RESIDUAL, Family, Inside, activated, depth, residual
from tuner.space import Leaf, Range
from tuner.techniques import Shape

# Logistic and linear regression.


def build_linear(
    shape: Shape, outputs: int, leaves: Mapping[str, Any], inside: Inside
) -> nn.Module:
    """One linear layer: there is no block that a technique could enter.

    Shape:
        ``[B, *shape]`` to ``[B, outputs]``; a row is flattened first.
    """
    flatten = [nn.Flatten()] if len(shape) > 1 else []
    return nn.Sequential(*flatten, nn.Linear(math.prod(shape), outputs))


LINEAR = Family(
    name="linear",
    build=build_linear,
    leaves=(),
    doc="logistic regression for classes, linear regression for numbers",
    source="Cox 1958",
)


# Members: networks that share their weights (Wen et al. 2020; Gorishniy et al. 2025). Between two
# layers a row is the units of each member, one member after the other.


class Copies(nn.Module):
    """The same row for each member.

    Shape:
        ``[B, n]`` to ``[B, members * n]``.
    """

    def __init__(self, members: int) -> None:
        super().__init__()
        self.members = members

    def forward(self, x: Tensor) -> Tensor:
        return x.unsqueeze(1).expand(-1, self.members, -1).flatten(1)


class Shared(nn.Module):
    """A linear layer of all members: ``(x·r)Wᵀ·s + b``, with r, s and b of each member's own.

    At first they are 1, 1, and one b for all; ``signs`` makes each number of r 1 or -1 at random,
    which tells the members apart. They are vectors, and so no weights that a penalty makes small.

    Shape:
        ``[B, members * entering]`` to ``[B, members * leaving]``.
    """

    def __init__(
        self, members: int, entering: int, leaving: int, bias: bool = True, signs: bool = False
    ) -> None:
        super().__init__()
        self.members = members
        plain = nn.Linear(entering, leaving, bias)
        self.weight = plain.weight
        r = torch.randint(2, (members * entering,)) * 2.0 - 1 if signs else torch.ones(1)
        self.r = nn.Parameter(r.expand(members * entering).clone())
        self.s = nn.Parameter(torch.ones(members * leaving))
        self.bias = nn.Parameter(plain.bias.detach().repeat(members)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        each = (x * self.r).reshape(-1, self.members, self.weight.shape[1])
        out = (each @ self.weight.T).flatten(1) * self.s
        return out if self.bias is None else out + self.bias


class Together(nn.Module):
    """The outputs of each member in training; in evaluation those of all members together.

    These are the logarithms of the mean of the probabilities of classes, the logits of the mean of
    those of labels, or the mean of quantities.

    Attributes:
        task: what several outputs are; see ``average_as``.

    Shape:
        ``[B, members * outputs]`` to ``[B, members, outputs]`` in training, else ``[B, outputs]``.
    """

    def __init__(self, members: int, outputs: int) -> None:
        super().__init__()
        self.members, self.outputs = members, outputs
        self.task: Task = "classification"

    def forward(self, x: Tensor) -> Tensor:
        each = x.reshape(-1, self.members, self.outputs)
        if self.training:
            return each
        if self.outputs == 1 or self.task == "regression":
            return each.mean(1)
        if self.task == "multilabel":
            yes, no = (functional.logsigmoid(sign * each).logsumexp(1) for sign in (1, -1))
            return yes - no
        return each.log_softmax(2).logsumexp(1) - math.log(self.members)


def average_as(network: nn.Module, task: Task) -> None:
    """Lets the members of a network, if it has any, average their outputs as the task needs it."""
    for module in network.modules():
        if isinstance(module, Together):
            module.task = task


# Fully connected networks.


def build_mlp(shape: Shape, outputs: int, leaves: Mapping[str, Any], inside: Inside) -> nn.Module:
    """``depth`` blocks of ``width`` units and a linear output.

    Shape:
        ``[B, *shape]`` to ``[B, outputs]``, of several members as ``Together`` gives it; a row is
        flattened first.
    """
    width, entering, members = leaves["width"], math.prod(shape), leaves["members"]
    layers: list[nn.Module] = [nn.Flatten()] if len(shape) > 1 else []
    layers += [Copies(members)] if members > 1 else []
    for number in range(leaves["depth"]):
        weights = _weights(members, entering, width, inside.bias, number == 0)
        shape = (members * width,)
        block = _apart(activated(weights, shape, leaves["activation"], inside), members)
        if leaves["residual"] and entering == width:
            block = [residual(block, shape, inside, (number + 1) / leaves["depth"])]
        layers += block
        entering = width
    ending = [Together(members, outputs)] if members > 1 else []
    return nn.Sequential(*layers, _weights(members, entering, outputs, True, False), *ending)


def _apart(block: list[nn.Module], members: int) -> list[nn.Module]:
    """The layers of a block; those that normalize within a row do so within each member."""
    for layer in block:
        if isinstance(layer, nn.GroupNorm):
            layer.num_groups *= members
    return block


def _weights(members: int, entering: int, leaving: int, bias: bool, signs: bool) -> nn.Module:
    if members == 1:
        return nn.Linear(entering, leaving, bias)
    return Shared(members, entering, leaving, bias, signs)


WIDTH = Leaf(
    name="width",
    kind=int,
    default=64,
    minimum=1,
    maximum=65536,
    search=(32, 64, 128, 256),
    static=True,
    doc="units of each hidden block",
    unit="units",
    source="Goodfellow et al. 2016, chapter 6",
)

MEMBERS = Leaf(
    name="members",
    kind=int,
    default=1,
    off=1,
    minimum=1,
    maximum=1024,
    search=Range(8, 32, off=1),
    static=True,
    doc="networks that share their weights but for vectors at the input and output of each layer, "
    "and whose predictions are averaged; 1 is a plain network",
    unit="networks",
    source="Wen et al. 2020, arXiv:2002.06715; Gorishniy et al. 2025, arXiv:2410.24210",
)

MLP = Family(
    name="mlp",
    build=build_mlp,
    leaves=(depth(2, 4), WIDTH, ACTIVATION, RESIDUAL, MEMBERS),
    doc="fully connected blocks of one width",
    source="Rumelhart et al. 1986",
)
