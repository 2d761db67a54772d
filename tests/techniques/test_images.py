"""test_images"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from torch import Tensor
from torch.nn import functional

from tuner.techniques import Draw, Technique
from tuner.techniques.images import (
    CROP_RESIZE,
    CUTMIX,
    CUTOUT,
    HORIZONTAL_FLIP,
    OPERATIONS,
    RANDOM_ERASING,
    SHIFT,
    TRIVIAL_AUGMENT,
)

CUTOUT_Y = torch.eye(2)


def hidden(hp: float, row: float, column: float) -> Tensor:
    assert CUTOUT.batch
    x, _ = CUTOUT.batch(torch.ones(1, 2, 6, 6), CUTOUT_Y, hp, torch.tensor([[row, column]]))
    assert torch.equal(x[0, 0], x[0, 1])
    return x[0, 0] == 0


@pytest.mark.parametrize(("row", "column"), [(2, 3), (3, 3), (2, 2)])
def test_a_square_of_the_right_side(row: int, column: int) -> None:
    expected = torch.zeros(6, 6, dtype=torch.bool)
    expected[row - 1 : row + 1, column - 1 : column + 1] = True
    assert torch.equal(hidden(2 / 6, row / 6, column / 6), expected)


def test_over_the_border() -> None:
    expected = torch.zeros(6, 6, dtype=torch.bool)
    expected[:2, 4:] = True  # the centre is just left of the right border
    assert torch.equal(hidden(0.5, 0.5 / 6, 0.999), expected)


def test_oblong_images_and_images_on_their_own() -> None:
    assert CUTOUT.batch
    x = torch.full((2, 1, 4, 8), 3.0)
    centres = torch.tensor([[0.25, 0.25], [0.75, 0.5], [0.1, 0.1]])
    out, y = CUTOUT.batch(x, CUTOUT_Y, 0.5, centres)
    assert y is CUTOUT_Y
    expected = x.clone()
    expected[0, 0, 0:2, 0:4] = 0
    expected[1, 0, 2:4, 2:6] = 0
    assert torch.equal(out, expected)


def test_everything_else_stays() -> None:
    assert CUTOUT.batch
    x = torch.randn(3, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    out, _ = CUTOUT.batch(
        x, CUTOUT_Y, 0.4, torch.rand(3, 2, generator=torch.Generator().manual_seed(1))
    )
    assert torch.equal(out[out != 0], x[out != 0])
    assert 0 < int((out == 0).sum()) < x.numel()


def test_centres_are_everywhere(draw: Draw) -> None:
    assert CUTOUT.draw
    (centres,) = CUTOUT.draw(0.3, draw)
    counts = torch.histc(centres, 10, 0, 1) / centres.numel()
    assert torch.allclose(counts, torch.full((10,), 0.1), atol=0.01)


X = torch.arange(24.0).view(2, 2, 2, 3)
HORIZONTAL_FLIP_Y = torch.eye(2)


def test_with_probability_1_every_image(draw: Draw) -> None:
    assert HORIZONTAL_FLIP.draw
    assert HORIZONTAL_FLIP.batch
    for uniform in HORIZONTAL_FLIP.draw(1.0, draw)[0][:50]:
        x, y = HORIZONTAL_FLIP.batch(X, HORIZONTAL_FLIP_Y, 1.0, uniform)
        assert torch.equal(x, X[..., [2, 1, 0]])
        assert y is HORIZONTAL_FLIP_Y


def test_some_of_a_batch() -> None:
    assert HORIZONTAL_FLIP.batch
    x, _ = HORIZONTAL_FLIP.batch(X, HORIZONTAL_FLIP_Y, 0.5, torch.tensor([0.5, 0.49, 0.1]))
    assert torch.equal(x[0], X[0])
    assert torch.equal(x[1], X[1].flip(2))


def test_how_often(draw: Draw) -> None:
    assert HORIZONTAL_FLIP.draw
    (uniform,) = HORIZONTAL_FLIP.draw(0.3, draw)
    assert abs(float((uniform < 0.3).double().mean()) - 0.3) < 0.01


IMAGE = torch.arange(1.0, 13).view(1, 1, 3, 4)
SHIFT_Y = torch.zeros(1, 2)


def moved(hp: float, down: float, right: float, image: Tensor = IMAGE) -> Tensor:
    assert SHIFT.batch
    return SHIFT.batch(image, SHIFT_Y, hp, torch.tensor([[down, right]]))[0]


def by_hand(down: int, right: int) -> Tensor:
    """Where a pixel comes from: so many rows below and so many columns to the right, else 0."""
    expected = torch.zeros_like(IMAGE)
    for row in range(3):
        for column in range(4):
            if 0 <= row + down < 3 and 0 <= column + right < 4:
                expected[0, 0, row, column] = IMAGE[0, 0, row + down, column + right]
    return expected


@pytest.mark.parametrize("right", [-3, -2, -1, 0, 1, 2, 3])
@pytest.mark.parametrize("down", [-2, -1, 0, 1, 2])
def test_moves_by_whole_pixels_and_zeros_come_in(down: int, right: int) -> None:
    assert torch.equal(moved(1.0, down / 3, right / 4), by_hand(down, right))


def test_one_column() -> None:
    expected = torch.tensor([[2.0, 3, 4, 0], [6, 7, 8, 0], [10, 11, 12, 0]])
    assert torch.equal(moved(0.25, 0.0, 0.99)[0, 0], expected)


def test_everything_may_leave() -> None:
    assert torch.equal(moved(1.0, 1.0, 0.0), torch.zeros_like(IMAGE))


def test_each_image_on_its_own_and_all_channels_alike() -> None:
    images = torch.stack([IMAGE[0].repeat(2, 1, 1), -IMAGE[0].repeat(2, 1, 1)])
    assert SHIFT.batch
    offsets = torch.tensor([[0.0, 0.25], [1 / 3, 0.0], [0.9, 0.9]])  # more than there are rows
    x, y = SHIFT.batch(images, SHIFT_Y, 1.0, offsets)
    assert y is SHIFT_Y
    for channel in (0, 1):
        assert torch.equal(x[0, channel], by_hand(0, 1)[0, 0])
        assert torch.equal(x[1, channel], -by_hand(1, 0)[0, 0])


def test_offsets_are_even_and_reach_the_limit(draw: Draw) -> None:
    assert SHIFT.draw
    (offsets,) = SHIFT.draw(0.2, draw)
    assert offsets.shape == (4000, 8, 2)
    assert -1 <= offsets.min() < -0.999
    assert 0.999 < offsets.max() < 1
    assert abs(float(offsets.mean())) < 0.01


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def changed(technique: Technique, x: Tensor, hp: float, *noise: Tensor) -> Tensor:
    """The images, of targets that do not change."""
    assert technique.batch
    y = torch.eye(len(x))
    after, targets = technique.batch(x, y, hp, *noise)
    assert targets is y
    return after


def test_a_crop_is_resized_as_torch_does_it() -> None:
    """Half of each side at the left border, the lower half: interpolated to the whole."""
    x = some(1, 2, 8, 12)
    noise = torch.tensor([[1.0, 0.5, 1.0, 0.0]], dtype=torch.float64)
    found = changed(CROP_RESIZE, x, 0.75, noise)
    alone = x[:, :, 4:, :6]
    wanted = functional.interpolate(alone, (8, 12), mode="bilinear", align_corners=False)
    inner = (..., slice(1, -1), slice(1, -1))  # at its border a crop sees what is beside it
    torch.testing.assert_close(found[inner], wanted[inner], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9])
def test_crops_stay_within_the_image_and_have_their_area(cut: float, draw: Draw) -> None:
    """Of an image that holds its own coordinates, a crop shows where it is."""
    assert CROP_RESIZE.draw
    noise = CROP_RESIZE.draw(cut, draw)[0][:200].flatten(0, 1).double()
    down, right = torch.linspace(0, 1, 32).double(), torch.linspace(0, 1, 48).double()
    x = torch.stack((down[:, None].expand(32, 48), right.expand(32, 48)))
    x = x.expand(len(noise), -1, -1, -1)
    after = changed(CROP_RESIZE, x, cut, noise)
    sides = [after[:, 0].amax((1, 2)) - after[:, 0].amin((1, 2))]
    sides.append(after[:, 1].amax((1, 2)) - after[:, 1].amin((1, 2)))
    ratio = sides[1] / sides[0]
    assert 0.7 < float(ratio.min()) < float(ratio.max()) < 1.43
    areas = sides[0] * sides[1]
    assert 1 - cut - 0.06 < float(areas.min()) < 1 - 0.9 * cut
    assert float(areas.max()) > 0.97
    assert float(areas.mean()) == pytest.approx(1 - cut / 2, abs=0.04)


def operated(name: str, x: Tensor, strength: float, hp: float = 1.0) -> Tensor:
    """One operation on all images; a negative strength has the other sign."""
    which = (OPERATIONS.index(name) + 0.5) / len(OPERATIONS)
    given = [which, abs(strength), 0.9 if strength < 0 else 0.1]
    noise = torch.tensor([given], dtype=torch.float64)
    return changed(TRIVIAL_AUGMENT, x, hp, noise.expand(len(x), -1))


def test_no_operation_and_no_strength_change_nothing() -> None:
    x = some(2, 3, 5, 7)
    assert torch.equal(operated("identity", x, 1.0), x)
    for name in OPERATIONS:
        assert torch.equal(operated(name, x, 0.0), x)
        assert torch.equal(operated(name, x, 1.0, hp=0.0), x)
        assert torch.equal(operated(name, x, 0.4, hp=0.5), operated(name, x, 0.2))


def by_places(x: Tensor, place: Callable[[float, float], tuple[float, float]]) -> Tensor:
    """Each pixel from a place (right, down) in pixels from the centre, in between linearly."""
    height, width = x.shape[2:]
    out = torch.zeros_like(x)
    for i in range(height):
        for j in range(width):
            right, down = place(j - (width - 1) / 2, i - (height - 1) / 2)
            right, down = right + (width - 1) / 2, down + (height - 1) / 2
            left, top = math.floor(right), math.floor(down)
            for b in (top, top + 1):
                for a in (left, left + 1):
                    if 0 <= b < height and 0 <= a < width:
                        weight = (1 - abs(right - a)) * (1 - abs(down - b))
                        out[:, :, i, j] += weight * x[:, :, b, a]
    return out


@pytest.mark.parametrize("strength", [0.3, -0.8])
@pytest.mark.parametrize("name", ["shear_x", "shear_y", "translate_x", "translate_y", "rotate"])
def test_moves_equal_a_loop_over_pixels(name: str, strength: float) -> None:
    x = some(2, 2, 6, 9)
    angle = math.radians(135) * strength
    places = {
        "shear_x": lambda right, down: (right + 0.99 * strength * down, down),
        "shear_y": lambda right, down: (right, down + 0.99 * strength * right),
        "translate_x": lambda right, down: (right + strength * 9 / 3, down),
        "translate_y": lambda right, down: (right, down + strength * 6 / 3),
        "rotate": lambda right, down: (
            math.cos(angle) * right - math.sin(angle) * down,
            math.sin(angle) * right + math.cos(angle) * down,
        ),
    }
    torch.testing.assert_close(
        operated(name, x, strength), by_places(x, places[name]), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("strength", [0.4, -0.4, -1.0])
@pytest.mark.parametrize("name", ["brightness", "contrast", "sharpness"])
def test_operations_on_grey_equal_those_of_pillow(name: str, strength: float) -> None:
    """Of pixels so grey that nothing is cut off at black or white; for brightness one is black."""
    pixels = np.random.default_rng(0).integers(90, 130, (6, 7))
    pixels[3, 3] = 0 if name == "brightness" else 90
    enhancer = getattr(ImageEnhance, name.capitalize())(Image.fromarray(pixels.astype(np.uint8)))
    wanted = np.asarray(enhancer.enhance(1 + 0.99 * strength)).astype(float)
    found = operated(name, torch.from_numpy(pixels).double()[None, None], strength)[0, 0].numpy()
    within = np.s_[1:-1, 1:-1] if name == "sharpness" else np.s_[:]
    assert np.abs(found - wanted)[within].max() < (3 if name == "sharpness" else 1.6)


def test_colour_moves_the_channels_apart_or_together() -> None:
    x = some(2, 3, 4, 4)
    grey = x.mean(1, keepdim=True)
    torch.testing.assert_close(operated("colour", x, 0.5) - grey, 1.495 * (x - grey))
    torch.testing.assert_close(operated("colour", x, -1.0) - grey, 0.01 * (x - grey))
    torch.testing.assert_close(operated("colour", x[:, :1], 0.5), x[:, :1])


def test_solarize_turns_the_brightest_upside_down() -> None:
    x = torch.tensor([0.0, 2, 5, 7, 8, 10]).double().view(1, 1, 2, 3)
    assert operated("solarize", x, 0.25).flatten().tolist() == [0, 2, 5, 7, 2, 0]
    assert operated("solarize", x, 1.0).flatten().tolist() == [0, 8, 5, 3, 2, 0]


@pytest.mark.parametrize("name", ["brightness", "contrast", "sharpness", "solarize"])
def test_standardizing_a_channel_before_or_after_is_the_same(name: str) -> None:
    x = some(2, 3, 5, 5)
    mean, scale = some(3, 1, 1, seed=1), some(3, 1, 1, seed=2).abs() + 0.1
    after = operated(name, (x - mean) / scale, 0.6)
    torch.testing.assert_close(after, (operated(name, x, 0.6) - mean) / scale)


def test_every_operation_is_as_frequent(draw: Draw) -> None:
    assert TRIVIAL_AUGMENT.draw
    (noise,) = TRIVIAL_AUGMENT.draw(1.0, draw)
    which = (noise[..., 0] * len(OPERATIONS)).long().flatten()
    shares = torch.bincount(which, minlength=len(OPERATIONS)) / len(which)
    assert torch.allclose(shares, torch.full_like(shares, 1 / len(OPERATIONS)), atol=0.01)


def test_each_image_has_its_own_operation() -> None:
    x = some(1, 2, 6, 6).expand(3, -1, -1, -1)
    noise = torch.tensor([[0.0, 1, 0], [0.99, 0.5, 0], [0.5, 0.5, 0], [0.1, 1, 0]]).double()
    after = changed(TRIVIAL_AUGMENT, x, 1.0, noise)  # more noise than images
    assert torch.equal(after[0], x[0])
    assert torch.equal(after[1:2], operated("solarize", x[:1], 0.5))
    assert torch.equal(after[2:], operated("rotate", x[:1], 0.5))


def test_a_rectangle_is_hidden_in_some_images(draw: Draw) -> None:
    assert RANDOM_ERASING.draw
    noise = RANDOM_ERASING.draw(0.3, draw)[0][:250].flatten(0, 1)
    x = torch.ones(len(noise), 2, 30, 40)
    hidden = changed(RANDOM_ERASING, x, 0.3, noise) == 0
    assert torch.equal(hidden[:, 0], hidden[:, 1])
    some_of = hidden[:, 0].flatten(1).any(1)
    assert float(some_of.double().mean()) == pytest.approx(0.3, abs=0.03)
    areas = []
    for image in hidden[some_of, 0]:
        rows, columns = image.any(1).nonzero(), image.any(0).nonzero()
        height, width = (int(each.max() - each.min()) + 1 for each in (rows, columns))
        assert int(image.sum()) == height * width  # nothing but a rectangle
        areas.append(height * width / 1200)
        assert 0.2 < height / 30 / (width / 40) < 5
    assert 0.01 < min(areas) < 0.05
    assert 0.3 < max(areas) < 0.36


def test_a_rectangle_by_numbers() -> None:
    x = torch.ones(1, 1, 10, 10)
    area = (0.16 - 0.02) / 0.31  # 16 %: 4 x 4 pixels
    after = changed(RANDOM_ERASING, x, 0.5, torch.tensor([[0.49, area, 0.5, 0.999, 0.0]]))
    expected = x.clone()
    expected[..., 6:, :4] = 0
    assert torch.equal(after, expected)
    assert torch.equal(changed(RANDOM_ERASING, x, 0.5, torch.tensor([[0.5, area, 0.5, 0, 0]])), x)


@pytest.mark.parametrize(
    ("share", "centre", "box"),
    [
        (0.75, (0.5, 0.5), (2, 6, 3, 9)),  # half of each side: 4 of 8 and 6 of 12 pixels
        (0.75, (0.0, 0.99), (0, 2, 8, 12)),  # cut off at the borders
        (0.0, (0.5, 0.5), (0, 8, 0, 12)),
        (1.0, (0.3, 0.3), (0, 0, 0, 0)),
    ],
)
def test_cutmix_as_its_authors_compute_the_rectangle(
    share: float, centre: tuple[float, float], box: tuple[int, int, int, int]
) -> None:
    x, y = some(3, 2, 8, 12), torch.eye(3).double()
    assert CUTMIX.batch
    noise = torch.tensor(share).double(), torch.tensor(centre).double()
    after, targets = CUTMIX.batch(x, y, 1.0, *noise)
    top, bottom, left, right = box
    expected, partner = x.clone(), [2, 0, 1]
    expected[:, :, top:bottom, left:right] = x[partner][:, :, top:bottom, left:right]
    assert torch.equal(after, expected)
    own = 1 - (bottom - top) * (right - left) / 96
    torch.testing.assert_close(targets, own * y + (1 - own) * y[partner])


def test_shares_of_cutmix(draw: Draw) -> None:
    assert CUTMIX.draw
    share, centre = CUTMIX.draw(1.0, draw)
    assert share.shape == (4000,)
    assert centre.shape == (4000, 2)
    assert float(share.mean()) == pytest.approx(0.5, abs=0.02)
    assert set(CUTMIX.draw(0.0, draw)[0].tolist()) == {1.0}
