"""Convolutional networks for images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tuner.lazy_torch import Tensor, nn, torch
from tuner.models.base import ACTIVATION, RESIDUAL, Family, Inside, activated, depth, residual
from tuner.space import Leaf
from tuner.techniques import Shape


class Convolution(nn.Conv2d):
    """A convolution whose maps lie in memory pixel by pixel, all channels of one beside each other.

    So do the maps of the layers behind it, for it is how they find them. On a CPU a step takes 0.65
    to 0.8 of the time then. ``torch.func.vmap`` knows no such order: where a driver maps over
    networks, it sets ``mapped``. Both give the same numbers but for rounding.

    Shape:
        ``[B, C, H, W]`` to ``[B, D, H, W]``.
    """

    mapped = False

    def forward(self, input: Tensor) -> Tensor:
        plain = self.mapped or input.device.type != "cpu"
        return super().forward(input) if plain else self._by_pixels(input)

    def _by_pixels(self, x: Tensor) -> Tensor:
        maps = super().forward(x.contiguous(memory_format=torch.channels_last))
        return maps.contiguous(memory_format=torch.channels_last)


POOLINGS: dict[str, Callable[[], nn.Module]] = {
    "max": lambda: nn.MaxPool2d(2),
    "average": lambda: nn.AvgPool2d(2),
}
SMALLEST = 4
"""Feature maps are halved while their shorter side is at least this long."""


def build(shape: Shape, outputs: int, leaves: Mapping[str, Any], inside: Inside) -> nn.Module:
    """``depth`` convolutions, each followed by pooling while the maps are large enough.

    Channels double after each pooling, up to eight times the first; the mean over each map goes to
    a linear output.

    Shape:
        ``[B, C, H, W]`` to ``[B, outputs]``.
    """
    entering, *size = shape
    channels = limit = leaves["channels"]
    layers: list[nn.Module] = []
    for number in range(leaves["depth"]):
        layers.append(_block(number, entering, (channels, *size), leaves, inside))
        entering = channels
        if min(size) >= SMALLEST:
            layers.append(POOLINGS[leaves["pooling"]]())
            size = [side // 2 for side in size]
            channels = min(channels * 2, limit * 8)
    head = nn.Linear(entering, outputs)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


def _block(
    number: int, entering: int, shape: Shape, leaves: Mapping[str, Any], inside: Inside
) -> nn.Module:
    """The block of that number, counted from 0, that gives ``shape``."""
    channels = shape[0]
    convolution = _convolution(entering, channels, leaves["kernel_size"], inside.bias)
    block = activated(convolution, shape, leaves["activation"], inside)
    if not leaves["residual"]:
        return nn.Sequential(*block)
    shortcut = Convolution(entering, channels, 1) if entering != channels else None
    return residual(block, shape, inside, (number + 1) / leaves["depth"], shortcut)


def _convolution(entering: int, channels: int, kernel: int, bias: bool) -> nn.Module:
    """A convolution that keeps the size; an even window reaches one further right and down."""
    if kernel % 2:
        return Convolution(entering, channels, kernel, padding=kernel // 2, bias=bias)
    before, after = (kernel - 1) // 2, kernel // 2
    padding = nn.ZeroPad2d((before, after, before, after))
    return nn.Sequential(padding, Convolution(entering, channels, kernel, bias=bias))


CHANNELS = Leaf(
    name="channels",
    kind=int,
    default=16,
    minimum=1,
    maximum=4096,
    search=(8, 16, 32),
    static=True,
    doc="channels of the first block; they double after each pooling",
    unit="channels",
    source="Simonyan and Zisserman 2015",
)
KERNEL_SIZE = Leaf(
    name="kernel_size",
    kind=int,
    default=3,
    minimum=1,
    maximum=15,
    search=(3, 5),
    static=True,
    doc="side of each convolution's window",
    unit="pixels",
    source="LeCun et al. 1998",
)
POOLING = Leaf(
    name="pooling",
    kind=str,
    default="max",
    options=dict.fromkeys(POOLINGS, ()),
    search=("max", "average"),
    static=True,
    doc="how maps are halved",
    unit="name",
    source="Scherer et al. 2010",
)

CNN = Family(
    name="cnn",
    build=build,
    leaves=(depth(2, 4), CHANNELS, KERNEL_SIZE, POOLING, ACTIVATION, RESIDUAL),
    doc="convolutions with pooling and a mean over each feature map",
    source="LeCun et al. 1998; Lin et al. 2014",
    images=True,
)
