"""An epoch's randomness: the order of the rows and what techniques and layers draw.

All of it is a function of the trial's seed and the epoch, and is drawn before the steps that use
it, in blocks of steps so that it fits in memory. So it depends neither on other trials nor on an
interruption. Each use has a stream of its own: a technique that is on or off changes no other's.
It is drawn on the CPU and uploaded, so that it does not depend on the device either.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from tuner.devices import upload
from tuner.errors import TrainingError
from tuner.seeds import derive
from tuner.techniques import Draw, Noise, Shape, Technique
from tuner.techniques.batches import OwnRows

BLOCK = 2**21
"""How many numbers of data or of one mask a block may hold. No result depends on it."""


class Drawing(Protocol):
    """A layer that is given its noise in ``mask``.

    Attributes:
        use: layers of one use have streams by their number among these.
    """

    use: str
    noise_shape: Shape
    mask: Tensor

    def draw(self, steps: int, batch: int, generator: torch.Generator) -> Tensor: ...


def drawing_layers(module: nn.Module) -> list[Drawing]:
    return [
        cast(Drawing, m)
        for m in module.modules()
        if hasattr(m, "draw") and hasattr(m, "noise_shape")
    ]


@dataclass(frozen=True)
class Streams:
    """The random streams of one epoch of one trial, and the device that trains it."""

    seed: int
    epoch: int
    device: torch.device

    def generator(self, *use: int | str) -> torch.Generator:
        """The stream of one use, from its beginning."""
        seed = derive(self.seed, self.epoch, *use)
        return torch.Generator().manual_seed(seed)


@dataclass(frozen=True)
class Batch:
    """The input of one step: rows ``[B]``, noise by technique, a mask for each drawing layer.

    The rows are on the CPU, all else is on the device.
    """

    rows: Tensor
    noise: dict[str, Noise]
    masks: list[Tensor]


def steps_of(rows: int, batch_size: int) -> int:
    """Steps of an epoch.

    A last batch of a single row is left out: batch normalization could learn nothing of it.
    """
    full, rest = divmod(rows, batch_size)
    return full + (rest > 1 or (rest == 1 and full == 0))


def batches(
    rows: int,
    batch_size: int,
    shape: Shape,
    techniques: Sequence[tuple[Technique, Any]],
    layers: Sequence[Drawing],
    streams: Streams,
    targets: Tensor | None = None,
) -> Iterator[list[Batch]]:
    """Blocks of batches that together hold every row once, in random order; see ``steps_of``.

    The last batch may be smaller. A technique may choose ``rows`` others by the ``targets``, which
    are on the CPU.
    """
    parts = order_of(rows, batch_size, techniques, streams, targets)
    drawing = [
        (t, value, streams.generator("technique", t.name)) for t, value in techniques if t.draw
    ]
    shares = _shares(targets) if drawing else None
    uses = [layer.use for layer in layers]
    masking = [
        (layer, streams.generator(layer.use, uses[:i].count(layer.use)))
        for i, layer in enumerate(layers)
    ]
    largest = max(math.prod(s) for s in [shape, *(layer.noise_shape for layer in layers)])
    steps = max(1, BLOCK // (batch_size * largest))
    for first in range(0, len(parts), steps):
        block = parts[first : first + steps]
        drawn = {}
        for t, value, generator in drawing:
            draw = Draw(len(block), batch_size, shape, generator, shares)
            drawn[t.name] = _unbound(t, value, draw, streams.device)
        masks = [layer.draw(len(block), batch_size, g).unbind() for layer, g in masking]
        yield [
            Batch(
                rows_of,
                {name: noise[i] for name, noise in drawn.items()},
                [mask[i][: len(rows_of)] for mask in masks],
            )
            for i, rows_of in enumerate(block)
        ]


def rows_of_epoch(
    rows: int,
    techniques: Sequence[tuple[Technique, Any]],
    streams: Streams,
    targets: Tensor | None,
) -> int:
    """How many rows an epoch takes: all, or as many as a user's function chooses.

    Args:
        streams: of the first epoch.
    """
    if not any(isinstance(value, OwnRows) for _, value in techniques):
        return rows
    return len(_order(rows, techniques, streams, targets))


def order_of(
    rows: int,
    batch_size: int,
    techniques: Sequence[tuple[Technique, Any]],
    streams: Streams,
    targets: Tensor | None = None,
) -> Sequence[Tensor]:
    """The rows of each batch of an epoch, on the CPU; the same each time.

    Raises:
        TrainingError: they are not as many as in the first epoch.
    """
    order = _order(rows, techniques, streams, targets)
    if len(order) != rows:
        given = f"for epoch {streams.epoch + 1}, and for the first epoch {rows}"
        raise TrainingError(
            f"the sampler chose {len(order)} rows {given}",
            where=next(v.reference for _, v in techniques if isinstance(v, OwnRows)),
            hint="choose as many rows in each epoch, for the learning rate follows the steps",
        )
    return torch.split(order, batch_size)[: steps_of(rows, batch_size)]


def _order(
    rows: int,
    techniques: Sequence[tuple[Technique, Any]],
    streams: Streams,
    targets: Tensor | None,
) -> Tensor:
    generator = streams.generator("rows")
    for t, value in techniques:
        if t.rows and targets is not None:
            try:
                return t.rows(value, targets, generator)
            except TrainingError as error:
                what = f"epoch {streams.epoch + 1}: {error.message}"
                raise TrainingError(what, where=error.where, hint=error.hint) from error
    return torch.randperm(rows, generator=generator)


def _shares(targets: Tensor | None) -> Tensor | None:
    """The share of each class; None where the targets are none."""
    if targets is None or targets.is_floating_point() or targets.dim() > 1:
        return None
    return torch.bincount(targets).double() / len(targets)


def _unbound(technique: Technique, value: Any, draw: Draw, device: torch.device) -> list[Noise]:
    """A technique's noise on the device, step by step."""
    assert technique.draw is not None
    parts = (upload(part, device).unbind() for part in technique.draw(value, draw))
    return list(zip(*parts, strict=True))


@contextmanager
def seeded_torch(own: bool, seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Seeds torch's generators by a trial's seed and epoch, where the network is a user's own.

    A layer such as ``nn.Dropout`` draws from them; tuner's layers do not.
    """
    if not own:
        yield
        return
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive(seed, epoch, "network"))
        yield
