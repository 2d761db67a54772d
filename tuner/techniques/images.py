"""Augmentation of images: crops, shifts, mirror images, random operations, hidden parts, CutMix.

Images are standardized: 0 is the mean of a channel, and what is hidden or comes in from outside
becomes 0.
"""

from __future__ import annotations

import math
from typing import Any

from tuner.lazy_torch import Tensor, functional, torch
from tuner.space import Leaf, Range
from tuner.techniques.base import Draw, Noise, Technique
from tuner.techniques.batches import beta

# Cutout: hides a random square of each image.


def _draw_squares(hp: Any, draw: Draw) -> Noise:
    """Centres in [0, 1), ``[steps, batch, 2]``."""
    return (draw.uniform(draw.batch, 2),)


def _cut(x: Tensor, y: Tensor, hp: Any, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Sets a square around the centre to 0, which is the mean of standardized images."""
    near = []
    for axis in (2, 3):
        size = x.shape[axis]
        pixels = torch.arange(size, device=x.device) + 0.5
        distance = (pixels - centre[: x.shape[0], axis - 2, None] * size).abs()
        near.append(distance < hp * size / 2)
    hidden = near[0][:, None, :, None] & near[1][:, None, None, :]
    return x * (~hidden).to(x.dtype), y


CUTOUT = Technique(
    leaf=Leaf(
        name="cutout",
        kind=float,
        default=0.0,
        off=0.0,
        minimum=0.0,
        maximum=0.9,
        search=Range(0.1, 0.5, off=0.0),
        doc="side of the hidden square; it may reach over the border",
        unit="share of the image's height and width",
        source="DeVries and Taylor 2017",
    ),
    draw=_draw_squares,
    batch=_cut,
    images=True,
)


# Random mirror images.


def _draw_flips(hp: Any, draw: Draw) -> Noise:
    return (draw.uniform(draw.batch),)


def _flip(x: Tensor, y: Tensor, hp: Any, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Mirrors each image [B, C, H, W] left to right with probability ``hp``."""
    flipped = (uniform[: x.shape[0]] < hp).view(-1, 1, 1, 1)
    return torch.where(flipped, x.flip(3), x), y


HORIZONTAL_FLIP = Technique(
    leaf=Leaf(
        name="horizontal_flip",
        kind=float,
        default=0.0,
        off=0.0,
        minimum=0.0,
        maximum=1.0,
        search=Range(0.1, 0.5, off=0.0),
        doc="how often an image is mirrored; not for digits or letters",
        unit="probability",
        source="Krizhevsky et al. 2012",
    ),
    draw=_draw_flips,
    batch=_flip,
    images=True,
)


# Random shifts of images: the same as a random crop of the zero-padded image.


def _draw_shifts(hp: Any, draw: Draw) -> Noise:
    """Offsets in [-1, 1), ``[steps, batch, 2]``."""
    return (draw.uniform(draw.batch, 2) * 2 - 1,)


def _shift(x: Tensor, y: Tensor, hp: Any, offset: Tensor) -> tuple[Tensor, Tensor]:
    """Moves each image [B, C, H, W] by whole pixels; what comes in from outside is 0."""
    for axis in (2, 3):
        size = x.shape[axis]
        pixels = torch.round(offset[: x.shape[0], axis - 2] * (hp * size)).long()
        source = torch.arange(size, device=x.device) + pixels[:, None]
        inside = (source >= 0) & (source < size)
        view = (-1, 1, size, 1) if axis == 2 else (-1, 1, 1, size)
        index = source.clamp(0, size - 1).view(view).expand_as(x)
        x = x.gather(axis, index) * inside.view(view).to(x.dtype)
    return x, y


SHIFT = Technique(
    leaf=Leaf(
        name="shift",
        kind=float,
        default=0.0,
        off=0.0,
        minimum=0.0,
        maximum=0.5,
        search=Range(0.02, 0.2, off=0.0),
        doc="largest shift of an image, up, down or sideways",
        unit="share of its height and width",
        source="Krizhevsky et al. 2012",
    ),
    draw=_draw_shifts,
    batch=_shift,
    images=True,
)


# Random crops, each resized to the whole image.


LONGEST_RATIO = 4 / 3
"""Of the sides of a crop, as shares of the image's."""


def _draw_crops(hp: Any, draw: Draw) -> Noise:
    """For the area, the ratio of the sides and the place, ``[steps, batch, 4]``."""
    return (draw.uniform(draw.batch, 4),)


def _crop(x: Tensor, y: Tensor, hp: Any, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Crops each image to a share 1 - hp·u of its area and resizes it, linearly, to the whole."""
    area, ratio, *place = uniform[: x.shape[0]].to(x.dtype).unbind(1)
    cut = hp * area
    height, width = _sides(1 - cut, ratio, LONGEST_RATIO)
    rows, columns = ((2 * u - 1) * (1 - s) for u, s in zip(place, (height, width), strict=True))
    none = torch.zeros_like(width)
    matrix = _matrix((width, none, columns), (none, height, rows))
    return torch.where(_each(cut > 0), _warped(x, matrix, "border"), x), y


def _sides(area: Tensor, uniform: Tensor, longest: float) -> tuple[Tensor, Tensor]:
    """Height and width of rectangles of that area, as shares of the image's; neither is above 1.

    The logarithm of their ratio is uniform up to that of ``longest``, as far as the area allows.
    """
    limit = -area.log()
    ratio = (2 * uniform - 1) * math.log(longest)
    half = torch.minimum(torch.maximum(ratio, -limit), limit) / 2
    root = area.sqrt()
    return root * (-half).exp(), root * half.exp()


def _matrix(*rows: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """``[B, 2, 3]``: from places in the new image to those in the old one, both from -1 to 1."""
    return torch.stack([torch.stack(row, 1) for row in rows], 1)


def _warped(x: Tensor, matrix: Tensor, outside: str) -> Tensor:
    height, width = x.shape[2:]
    down, right = (
        (2 * torch.arange(n, dtype=x.dtype, device=x.device) + 1) / n - 1 for n in (height, width)
    )
    across, along, shift = matrix[:, None, None].unbind(4)
    grid = across * right[:, None] + along * down[:, None, None] + shift
    return functional.grid_sample(x, grid, "bilinear", outside, align_corners=False)


def _each(of_images: Tensor) -> Tensor:
    """``[B]`` as ``[B, 1, 1, 1]``."""
    return of_images[:, None, None, None]


CROP_RESIZE = Technique(
    leaf=Leaf(
        name="crop_resize",
        kind=float,
        default=0.0,
        off=0.0,
        minimum=0.0,
        maximum=0.95,
        search=Range(0.1, 0.75, off=0.0),
        doc="most that a random crop leaves out of an image before it is resized to the whole; "
        "its sides change by a ratio of at most 4/3",
        unit="share of the image's area",
        source="Szegedy et al. 2015, arXiv:1409.4842",
    ),
    draw=_draw_crops,
    batch=_crop,
    images=True,
)


# TrivialAugment: one random operation on each image, of a random strength.


OPERATIONS = (
    *("identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate"),
    *("brightness", "colour", "contrast", "sharpness", "solarize"),
)
"""Those that mean something for standardized images, which have no black and white: brightness and
solarize go by the least and the largest number of each channel of the image, and colour by the mean
of its channels. Equalize, autocontrast and posterize need the scale of the pixels."""
MOVES, BLENDS = slice(1, 6), slice(6, 10)
SHEAR, SHIFTED, TURN, CHANGE = 0.99, 1 / 3, math.radians(135), 0.99
"""The largest shear, shift as a share of a side, angle, and change of a factor from 1."""


def _draw_operations(hp: Any, draw: Draw) -> Noise:
    """For the operation, its strength and its sign, ``[steps, batch, 3]``."""
    return (draw.uniform(draw.batch, 3),)


def _operate(x: Tensor, y: Tensor, hp: Any, uniform: Tensor) -> tuple[Tensor, Tensor]:
    which, strength, sign = uniform[: x.shape[0]].to(x.dtype).unbind(1)
    number = (which * len(OPERATIONS)).floor()
    chosen = [(number == i).to(x.dtype) for i in range(len(OPERATIONS))]
    strength = hp * strength
    signed = strength * ((sign < 0.5).to(x.dtype) * 2 - 1)
    acts = strength > 0
    x = torch.where(_each(acts & _any(chosen[MOVES])), _moved(x, signed, chosen[MOVES]), x)
    x = torch.where(_each(acts & _any(chosen[BLENDS])), _blended(x, signed, chosen[BLENDS]), x)
    return _solarized(x, strength * chosen[-1]), y


def _any(chosen: list[Tensor]) -> Tensor:
    return torch.stack(chosen).sum(0) > 0


def _moved(x: Tensor, signed: Tensor, chosen: list[Tensor]) -> Tensor:
    """Sheared, shifted or turned about the centre; what comes in from outside is 0."""
    height, width = x.shape[2:]
    shear_x, shear_y, right, down, turned = (signed * each for each in chosen)
    cosine, sine = (turned * TURN).cos(), (turned * TURN).sin()
    across = (shear_x * SHEAR - sine) * (height / width)  # in pixels, so that a turn is one
    along = (shear_y * SHEAR + sine) * (width / height)
    shift = 2 * SHIFTED
    matrix = _matrix((cosine, across, right * shift), (along, cosine, down * shift))
    return _warped(x, matrix, "zeros")


def _blended(x: Tensor, signed: Tensor, chosen: list[Tensor]) -> Tensor:
    """Moved away from, or towards: the darkest of each channel, the mean of the channels, the mean
    of each channel, a blurred image."""
    around = functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    blurred = (9 * around + 4 * x) / 13
    means = x.mean(1, keepdim=True), x.mean((2, 3), keepdim=True)
    bases = (x.amin((2, 3), keepdim=True), *means, blurred)
    base = sum(_each(on) * each for on, each in zip(chosen, bases, strict=True))
    return base + _each(1 + CHANGE * signed) * (x - base)


def _solarized(x: Tensor, strength: Tensor) -> Tensor:
    """Turns the brightest part of the range of each channel upside down."""
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return torch.where(x > high - _each(strength) * (high - low), low + high - x, x)


TRIVIAL_AUGMENT = Technique(
    leaf=Leaf(
        name="trivial_augment",
        kind=float,
        default=0.0,
        off=0.0,
        minimum=0.0,
        maximum=1.0,
        search=Range(0.2, 1.0, off=0.0),
        doc="each image is changed by one random operation (shear, shift, turn, brightness, "
        "colour, contrast, sharpness, solarize, none) of up to this strength; not for digits",
        unit="share of the largest strength",
        source="Müller and Hutter 2021, arXiv:2103.10158",
    ),
    draw=_draw_operations,
    batch=_operate,
    images=True,
)


# Random erasing: hides a random rectangle of some images.


SMALLEST_AREA, LARGEST_AREA, LONGEST_HIDDEN = 0.02, 0.33, 3.3
"""Of a rectangle, as shares of the image, and the ratio of its sides."""


def _draw_rectangles(hp: Any, draw: Draw) -> Noise:
    """For whether to hide, the area, the ratio of the sides and the place, [steps, batch, 5]."""
    return (draw.uniform(draw.batch, 5),)


def _erase(x: Tensor, y: Tensor, hp: Any, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Sets a rectangle to 0, which is the mean of standardized images, with probability ``hp``."""
    whether, area, ratio, *place = uniform[: x.shape[0]].to(x.dtype).unbind(1)
    area = SMALLEST_AREA + area * (LARGEST_AREA - SMALLEST_AREA)
    within = []
    for axis, share, at in zip((2, 3), _sides(area, ratio, LONGEST_HIDDEN), place, strict=True):
        size = x.shape[axis]
        side = (share * size).round().clamp(min=1)
        first = (at * (size - side + 1)).floor()
        within.append(_between(first, first + side, size))
    hidden = within[0][:, None, :, None] & within[1][:, None, None, :] & _each(whether < hp)
    return x * (~hidden).to(x.dtype), y


def _between(first: Tensor, end: Tensor, size: int) -> Tensor:
    """``[..., size]``: which pixels of a side are from ``first [...]`` on and before ``end``."""
    pixels = torch.arange(size, device=first.device)
    return (pixels >= first[..., None]) & (pixels < end[..., None])


RANDOM_ERASING = Technique(
    leaf=Leaf(
        name="random_erasing",
        kind=float,
        default=0.0,
        off=0.0,
        minimum=0.0,
        maximum=1.0,
        search=Range(0.1, 0.5, off=0.0),
        doc="how often a rectangle of 2 to 33 % of an image is hidden",
        unit="probability",
        source="Zhong et al. 2017, arXiv:1708.04896",
    ),
    draw=_draw_rectangles,
    batch=_erase,
    images=True,
)


# CutMix: a rectangle of each image comes from another, and its target as a share of the area.


def _draw_cutmix(hp: float, draw: Draw) -> Noise:
    """The share of the own image, one number a step, and the centre of the rectangle."""
    uniform = draw.uniform(3, dtype=torch.float64)
    return beta(hp, uniform[:, 0]), uniform[:, 1:]


def _cut_and_mix(
    x: Tensor, y: Tensor, hp: Any, share: Tensor, centre: Tensor
) -> tuple[Tensor, Tensor]:
    """A rectangle of the next image, which reaches at most to the border; the share is then that of
    the pixels. Rows come in random order, so the next is a random one."""
    within, area = [], torch.ones_like(share)
    for axis in (2, 3):
        size = x.shape[axis]
        half = ((1 - share).sqrt() * size).floor().div(2, rounding_mode="floor")
        middle = (centre[axis - 2] * size).floor()
        first, end = (middle - half).clamp(min=0), (middle + half).clamp(max=size)
        within.append(_between(first, end, size))
        area = area * (end - first) / size
    other = within[0][:, None] & within[1][None, :]
    own = (1 - area).to(y.dtype)
    return torch.where(other, x.roll(1, 0), x), y * own + y.roll(1, 0) * (1 - own)


CUTMIX = Technique(
    leaf=Leaf(
        name="cutmix",
        kind=float,
        default=0.0,
        off=0.0,
        minimum=0.0,
        maximum=10.0,
        search=Range(0.2, 1.0, off=0.0),
        doc="α of the Beta(α, α) distribution of the share that an image keeps of itself; a "
        "rectangle of another replaces the rest, one for all images of a step",
        unit="none",
        source="Yun et al. 2019, arXiv:1905.04899",
    ),
    draw=_draw_cutmix,
    batch=_cut_and_mix,
    images=True,
    mixes=True,
)
