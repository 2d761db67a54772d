"""Normalization, dropout and stochastic depth: the layers, and where the techniques put them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from tuner.techniques.norm_dropout import (
    BATCH_NORM,
    DROPOUT,
    NORMALIZATION,
    STOCHASTIC_DEPTH,
    BatchNorm,
    Dropout,
    StochasticDepth,
)


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 3 + 1


@pytest.mark.parametrize(
    ("theirs", "shape"), [(nn.BatchNorm1d, (6,)), (nn.BatchNorm2d, (6, 4, 3))], ids=["1d", "2d"]
)
def test_batch_norm_equals_torch(theirs: type[nn.Module], shape: tuple[int, ...]) -> None:
    one, two = BatchNorm(6), theirs(6)
    assert torch.equal(one.weight, two.weight)
    assert torch.equal(one.bias, two.bias)
    for module in (one, two):
        module.weight.data.copy_(numbers(6, seed=8))
        module.bias.data.copy_(numbers(6, seed=9))
    for seed in range(4):
        x = [numbers(5, *shape, seed=seed).requires_grad_() for _ in range(2)]
        outputs = [one.train()(x[0]), two.train()(x[1])]
        assert torch.equal(outputs[0], outputs[1])
        for output in outputs:
            output.square().sum().backward()
        for a, b in ((x[0], x[1]), (one.weight, two.weight), (one.bias, two.bias)):
            assert torch.equal(a.grad, b.grad)
        assert torch.equal(one.running_mean, two.running_mean)
        assert torch.equal(one.running_var, two.running_var)
        assert torch.equal(one.eval()(x[0]), two.eval()(x[1]))


def test_batch_norm_is_in_the_state() -> None:
    assert list(BatchNorm(2).state_dict()) == ["weight", "bias", "running_mean", "running_var"]


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.5, 0.95])
def test_dropout_drops_at_its_rate(rate: float) -> None:
    mask = Dropout((50,), rate).draw(20, 100, torch.Generator().manual_seed(1))
    assert mask.shape == (20, 100, 50)
    kept, count = float((mask > 0).double().mean()), mask.numel()
    assert abs(kept - (1 - rate)) < 4 * (rate * (1 - rate) / count) ** 0.5 + 2**-17
    scales = mask.unique()
    assert len(scales) == 2
    assert scales[0] == 0
    assert float(scales[1]) == pytest.approx(1 / (1 - rate), rel=2**-16 / (1 - rate))


def test_dropout_entries_are_independent() -> None:
    """Neighbours, steps and rows have nothing in common, though four entries share a word."""
    kept = Dropout((64,), 0.5).draw(64, 64, torch.Generator().manual_seed(1)) > 0
    centred = kept.double() - 0.5
    for dim in range(3):
        for distance in (1, 2, 3, 4, 8):
            common = (centred * centred.roll(distance, dim)).mean() * 4
            assert abs(float(common)) < 4 / kept.numel() ** 0.5


def test_dropout_mean_is_exact() -> None:
    """The scale is that of the rounded rate: 2**16 equally likely quarters have a mean of 1."""
    for rate in (0.1, 1 / 3, 0.77):
        dropped = round(rate * 2**16)
        kept = 2**16 - dropped
        mask = Dropout((8,), rate).draw(1, 100, torch.Generator().manual_seed(0))
        assert kept * float(mask.max()) == pytest.approx(2**16, rel=1e-12)


def test_dropout_of_maps_drops_channels() -> None:
    layer = Dropout((7, 4, 5), 0.5).train()
    layer.mask = layer.draw(1, 30, torch.Generator().manual_seed(1))[0]
    assert layer.mask.shape == (30, 7, 1, 1)
    dropped = (layer(torch.ones(30, 7, 4, 5)) == 0).flatten(2)
    assert torch.equal(dropped.any(2), dropped.all(2))
    assert 0.2 < float(dropped.double().mean()) < 0.8


def test_dropout_multiplies_by_its_mask_in_training_only() -> None:
    layer, x = Dropout((3,), 0.5), numbers(2, 3)
    layer.mask = torch.tensor([[0.0, 2.0, 2.0], [2.0, 0.0, 0.0]])
    assert torch.equal(layer.train()(x), x * layer.mask)
    assert layer.eval()(x) is x


def test_dropout_has_no_state_and_follows_the_precision() -> None:
    layer = Dropout((3,), 0.5)
    assert not layer.state_dict()
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.float32, torch.float64):
        assert layer.to(dtype).draw(1, 2, generator).dtype is dtype


@pytest.mark.parametrize("size", [1, 3, 5])
def test_dropout_steps_do_not_depend_on_how_many_are_drawn_at_once(size: int) -> None:
    layer = Dropout((size,), 0.4)
    one, two = (torch.Generator().manual_seed(6) for _ in range(2))
    together = layer.draw(9, 3, one)
    parts = [layer.draw(steps, 3, two) for steps in (1, 3, 5)]
    assert torch.equal(together, torch.cat(parts))


@pytest.mark.parametrize("shape", [(7,), (7, 4, 5)])
def test_the_technique_batch_norm(shape: tuple[int, ...]) -> None:
    assert BATCH_NORM.layer
    layer = BATCH_NORM.layer(shape, True)
    assert isinstance(layer, BatchNorm)
    assert layer.weight.shape == (7,)
    assert BATCH_NORM.before_activation
    assert BATCH_NORM.centres
    assert BATCH_NORM.leaf.static


@pytest.mark.parametrize("shape", [(7,), (7, 4, 5)])
def test_the_technique_dropout(shape: tuple[int, ...]) -> None:
    assert DROPOUT.layer
    layer = DROPOUT.layer(shape, 0.3)
    assert isinstance(layer, Dropout)
    assert layer.rate == 0.3
    assert not DROPOUT.before_activation
    assert not DROPOUT.centres
    assert not DROPOUT.leaf.static


@pytest.mark.parametrize(
    ("width", "groups"), [(64, 8), (24, 3), (16, 2), (20, 2), (12, 1), (7, 1), (1, 1), (22, 2)]
)
def test_groups_have_eight_features_or_more(width: int, groups: int) -> None:
    assert NORMALIZATION.layer
    layer = NORMALIZATION.layer((width,), "group")
    assert isinstance(layer, nn.GroupNorm)
    assert layer.num_groups == groups


@pytest.mark.parametrize("shape", [(16,), (16, 4, 5)])
def test_layer_and_group_norm_by_their_formulas(shape: tuple[int, ...]) -> None:
    x = numbers(3, *shape)
    assert NORMALIZATION.layer
    for name, groups in (("layer", 1), ("group", 2)):
        layer = NORMALIZATION.layer(shape, name)
        parts = x.reshape(3, groups, -1)
        mean, variance = parts.mean(2, keepdim=True), parts.var(2, correction=0, keepdim=True)
        expected = ((parts - mean) / (variance + 1e-5).sqrt()).reshape(x.shape)
        torch.testing.assert_close(layer(x), expected)
        assert torch.equal(layer.eval()(x), layer.train()(x))


def test_the_technique_normalization() -> None:
    assert NORMALIZATION.layer
    assert isinstance(NORMALIZATION.layer((7,), "batch"), BatchNorm)
    x = numbers(3, 7)
    assert NORMALIZATION.layer((7,), "none")(x) is x
    assert NORMALIZATION.before_activation
    assert NORMALIZATION.centres == ("batch",)
    assert NORMALIZATION.leaf.static


@pytest.mark.parametrize("shape", [(7,), (7, 4, 5)])
def test_stochastic_depth_leaves_out_whole_rows(shape: tuple[int, ...]) -> None:
    assert STOCHASTIC_DEPTH.layer
    layer = STOCHASTIC_DEPTH.layer(shape, 0.4)
    assert isinstance(layer, StochasticDepth)
    masks = layer.draw(50, 200, torch.Generator().manual_seed(1))
    assert masks.shape == (50, 200) + (1,) * len(shape)
    assert float((masks == 0).double().mean()) == pytest.approx(0.4, abs=0.02)
    layer.mask = masks[0]
    x = numbers(200, *shape).abs() + 1
    gone = (layer.train()(x) == 0).flatten(1)
    assert torch.equal(gone.any(1), gone.all(1))
    assert layer.eval()(x) is x
