"""An epoch's randomness: the order of the rows and what techniques and layers draw.

All of it is a function of the trial's seed and the epoch, and is drawn before the steps that use
it, in blocks of steps so that it fits in memory. So it depends neither on other trials nor on an
interruption.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from tuner.layers import Shape
from tuner.seeds import derive
from tuner.techniques import Draw, Noise, Technique

BLOCK = 2**21
"""How many numbers of data or of one mask a block may hold."""


class Drawing(Protocol):
    """A layer that is given its noise in ``mask``."""

    noise_shape: Shape
    mask: Tensor

    def draw(self, steps: int, batch: int, generator: torch.Generator) -> Tensor: ...


def drawing_layers(module: nn.Module) -> list[Drawing]:
    return [cast(Drawing, m) for m in module.modules() if hasattr(m, "draw")]


def generator_of(seed: int, epoch: int, device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(derive(seed, epoch))


@dataclass(frozen=True)
class Batch:
    """What one step uses: rows ``[B]``, noise by technique, a mask for each drawing layer."""

    rows: Tensor
    noise: dict[str, Noise]
    masks: list[Tensor]


def batches(
    rows: int,
    batch_size: int,
    shape: Shape,
    techniques: Sequence[tuple[Technique, Any]],
    layers: Sequence[Drawing],
    generator: torch.Generator,
) -> Iterator[list[Batch]]:
    """Blocks of batches that together hold every row once, in random order.

    The last batch may be smaller; it is left out if it has a single row, of which batch
    normalization could learn nothing.
    """
    order = torch.randperm(rows, generator=generator, device=generator.device)
    parts = [p for p in order.split(batch_size) if len(p) > 1 or rows == 1]
    largest = max(math.prod(s) for s in [shape, *(layer.noise_shape for layer in layers)])
    steps = max(1, BLOCK // (batch_size * largest))
    for first in range(0, len(parts), steps):
        block = parts[first : first + steps]
        draw = Draw(len(block), batch_size, shape, generator)
        drawn = {t.name: t.draw(value, draw) for t, value in techniques if t.draw}
        masks = [layer.draw(len(block), batch_size, generator) for layer in layers]
        yield [
            Batch(
                rows_of,
                {name: tuple(part[i] for part in noise) for name, noise in drawn.items()},
                [mask[i, : len(rows_of)] for mask in masks],
            )
            for i, rows_of in enumerate(block)
        ]
