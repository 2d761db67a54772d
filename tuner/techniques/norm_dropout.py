"""Techniques that are layers: normalization, dropout and stochastic depth.

A layer never draws random numbers itself. A layer with a ``draw`` method is given its noise before
each step, in the buffer ``mask``, so that its forward pass is a pure function: the same lines serve
one network and many stacked ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from tuner.devices import upload
from tuner.lazy_torch import Tensor, functional, nn, torch
from tuner.space import Leaf, Range
from tuner.techniques.base import Shape, Technique

# Batch normalization, before the activation of every block.


class BatchNorm(nn.Module):
    """Batch normalization over features or over channels (Ioffe and Szegedy, 2015).

    Training uses the batch's mean and variance; evaluation uses running averages with the usual
    momentum of 0.1 and the unbiased variance, as ``torch.nn.BatchNorm1d`` and ``2d`` do.

    Args:
        width: features or channels.

    Shape:
        input and output ``[B, width]`` or ``[B, width, H, W]``, with more than one value a channel.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            self.momentum,
            self.eps,
        )


def _batch_norm(shape: Shape, hp: bool) -> nn.Module:
    return BatchNorm(shape[0])


BATCH_NORM = Technique(
    leaf=Leaf(
        name="batch_norm",
        kind=bool,
        default=False,
        off=False,
        search=(True, False),
        static=True,
        doc="normalizes each feature (mlp) or channel (cnn) over the batch",
        unit="on or off",
        source="Ioffe and Szegedy 2015",
    ),
    layer=_batch_norm,
    before_activation=True,
    centres=(True,),
)


# The same over a batch, or within each row: the same in training and evaluation.


GROUP = 8
"""Channels of a group at least; where there are fewer, they are one group."""


def _layer_norm(width: int) -> nn.Module:
    """Over all features of a row (Ba et al. 2016); for feature maps also over their pixels, as Wu
    and He compare it."""
    return nn.GroupNorm(1, width)


def _group_norm(width: int) -> nn.Module:
    """The most groups of the same size that have GROUP features or more each."""
    groups = next(n for n in range(max(1, width // GROUP), 0, -1) if width % n == 0)
    return nn.GroupNorm(groups, width)


NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda width: nn.Identity(),
    "batch": BatchNorm,
    "layer": _layer_norm,
    "group": _group_norm,
}


def _normalization(shape: Shape, hp: str) -> nn.Module:
    return NORMS[hp](shape[0])


NORMALIZATION = Technique(
    leaf=Leaf(
        name="normalization",
        kind=str,
        default="none",
        off="none",
        options=dict.fromkeys(NORMS, ()),
        search=("none", "batch", "layer", "group"),
        static=True,
        doc="normalizes each feature over the batch, all features of a row, or groups of at least "
        "8 features or channels; instead of batch_norm, which is its batch",
        unit="name",
        source="Ioffe and Szegedy 2015; Ba et al. 2016; Wu and He 2018",
    ),
    layer=_normalization,
    before_activation=True,
    centres=("batch",),
)


# Dropout: zero activations at random in training.


class Dropout(nn.Module):
    """Zeroes entries with probability ``rate`` in training and scales the others by 1/(1-rate).

    For features ``(C,)`` every entry is dropped on its own (Srivastava et al., 2014); for feature
    maps ``(C, H, W)`` whole channels are (spatial dropout, Tompson et al., 2015).

    Args:
        shape: of one input row.
        rate: in [0, 1); 0 is the identity.

    Shape:
        input and output ``[B, *shape]``.
    """

    use = "layer"
    mask: Tensor

    def __init__(self, shape: Shape, rate: float) -> None:
        super().__init__()
        self.noise_shape = shape if len(shape) == 1 else (shape[0],) + (1,) * (len(shape) - 1)
        self.rate = float(rate)
        self.register_buffer("mask", torch.ones(()), persistent=False)

    def draw(self, steps: int, batch: int, generator: torch.Generator) -> Tensor:
        """Masks ``[steps, batch, *noise_shape]`` for as many steps.

        A quarter of a random 64-bit word decides about an entry, which takes 0.4 of the time of
        ``torch.rand`` and rounds the rate to a multiple of 2⁻¹⁶; the scale is that of the rounded
        rate, so that the mean of a mask is exactly 1.
        """
        count = batch * math.prod(self.noise_shape)
        words = torch.empty(steps, -(-count // 4), dtype=torch.int64)
        words = upload(words.random_(-(2**63), None, generator=generator), self.mask.device)
        quarters = words.view(torch.int16)
        dropped = round(self.rate * 2**16)
        survives = quarters[:, :count] >= dropped - 2**15
        mask = survives.to(self.mask.dtype).mul_(2**16 / (2**16 - dropped))
        return mask.view(steps, batch, *self.noise_shape)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask if self.training else x


DROPOUT = Technique(
    leaf=Leaf(
        name="dropout",
        kind=float,
        default=0.0,
        off=0.0,
        minimum=0.0,
        maximum=0.95,
        search=Range(0.05, 0.6, off=0.0),
        doc="zeroes activations after each block; whole channels in a cnn",
        unit="probability",
        source="Srivastava et al. 2014; Tompson et al. 2015",
    ),
    layer=Dropout,
)


# Stochastic depth: some rows skip a residual branch in training.


class StochasticDepth(Dropout):
    """Leaves a row's branch out with probability ``rate`` in training, and scales it by 1/(1-rate)
    for the others, so that evaluation needs no factor (Huang et al. 2016 scale there).

    Shape:
        input and output ``[B, *shape]``.
    """

    use = "branch"

    def __init__(self, shape: Shape, rate: float) -> None:
        super().__init__(shape, rate)
        self.noise_shape = (1,) * len(shape)


STOCHASTIC_DEPTH = Technique(
    leaf=Leaf(
        name="stochastic_depth",
        kind=float,
        default=0.0,
        off=0.0,
        minimum=0.0,
        maximum=0.95,
        search=Range(0.05, 0.5, off=0.0),
        doc="how often a row skips the last residual branch in training; those before it less, in "
        "proportion to their depth; for networks with residual = true",
        unit="probability",
        source="Huang et al. 2016, arXiv:1603.09382",
    ),
    layer=StochasticDepth,
    branch=True,
)
