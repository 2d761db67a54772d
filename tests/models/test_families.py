"""Every family over all values of its leaves."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tuner.data.text import Vocabulary
from tuner.models import FAMILIES, Family, Inside
from tuner.models.base import Residual
from tuner.models.mlp import Shared, average_as
from tuner.space import Leaf, Range
from tuner.techniques.norm_dropout import BatchNorm, Dropout

INSIDES = {
    "plain": Inside(),
    "all": Inside(
        before=(lambda shape: BatchNorm(shape[0]),),
        after=(partial(Dropout, rate=0.3),),
        bias=False,
    ),
}


def choices(leaf: Leaf) -> list[Any]:
    if leaf.options is not None:
        return list(leaf.options)
    if isinstance(leaf.search, Range):
        return [leaf.search.low, leaf.search.high]
    even = [2, 4] if leaf.name == "kernel_size" else []
    return [*(leaf.search or ()), *even, *([leaf.minimum] if leaf.minimum else [])]


def combinations(family: Family) -> Iterator[dict[str, Any]]:
    """Each value of each leaf with the others at defaults, and with them at their last values."""
    defaults = {leaf.name: leaf.default for leaf in family.leaves}
    last = {leaf.name: choices(leaf)[-1] for leaf in family.leaves} | {"residual": True}
    for others in (defaults, last):
        yield others
        for leaf in family.leaves:
            for value in choices(leaf):
                yield others | {leaf.name: value}


WORDS = Vocabulary(tuple("abcdefg"), 9)


def build(family: str, shape: tuple[int, ...], outputs: int, leaves: Any, inside: Inside) -> Any:
    told = {"words": WORDS} if FAMILIES[family].text else {}
    return FAMILIES[family].build(shape, outputs, leaves, inside, **told)


def batch(family: Family, rows: int, shape: tuple[int, ...]) -> torch.Tensor:
    if not family.text:
        return torch.randn(rows, *shape)
    x = torch.randint(1, WORDS.size, (rows, *shape))
    return x * (torch.arange(shape[0]) <= torch.randint(0, shape[0], (rows, 1)))


def shapes(family: Family) -> list[tuple[int, ...]]:
    if family.text:
        return [(1,), (2,), (9,)]
    images = [(1, 1, 1), (1, 2, 3), (3, 5, 4)]
    return images if family.images else [(1,), (7,), *images]


@pytest.mark.parametrize("inside", INSIDES)
@pytest.mark.parametrize("name", FAMILIES)
def test_shapes(name: str, inside: str) -> None:
    family = FAMILIES[name]
    for leaves, shape in zip(combinations(family), itertools.cycle(shapes(family)), strict=False):
        outputs = len(shape)
        network = build(name, shape, outputs, leaves, INSIDES[inside])
        for training, rows in ((True, 2), (False, 1)):
            result = network.train(training)(batch(family, rows, shape))
            members = [leaves["members"]] if training and leaves.get("members", 1) > 1 else []
            assert result.shape == (rows, *members, outputs), (leaves, shape)
            assert bool(result.isfinite().all())
        result.sum().backward()
        assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("name", FAMILIES)
def test_rows_do_not_see_each_other(name: str) -> None:
    """A row's outputs in evaluation are its own."""
    family = FAMILIES[name]
    shape = shapes(family)[-1]
    network = build(name, shape, 3, defaults(name), INSIDES["all"]).double().eval()
    x = batch(family, 6, shape)
    x = x.double() if x.is_floating_point() else x
    one_by_one = torch.cat([network(row[None]) for row in x])
    torch.testing.assert_close(network(x), one_by_one)


def defaults(name: str, **changes: Any) -> dict[str, Any]:
    return {leaf.name: leaf.default for leaf in FAMILIES[name].leaves} | changes


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def kinds(network: nn.Module) -> list[str]:
    return [type(m).__name__ for m in network.modules() if not list(m.children())]


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("width", [1, 32])
def test_mlp_parameters(depth: int, width: int) -> None:
    leaves = defaults("mlp", depth=depth, width=width)
    network = FAMILIES["mlp"].build((9,), 4, leaves, Inside())
    expected = 9 * width + width + (depth - 1) * (width + 1) * width + (width + 1) * 4
    assert parameters(network) == expected


def test_mlp_order_of_layers() -> None:
    network = FAMILIES["mlp"].build((9,), 4, defaults("mlp"), INSIDES["all"])
    block = ["Linear", "BatchNorm", "ReLU", "Dropout"]
    assert kinds(network) == [*block, *block, "Linear"]
    linear = [m for m in network if isinstance(m, nn.Linear)]
    assert [m.bias is not None for m in linear] == [False, False, True]


@pytest.mark.parametrize("name", ["gelu", "silu", "mish", "selu", "leaky_relu", "tanh"])
@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_activation(family: str, name: str) -> None:
    leaves = defaults(family, activation=name)
    network = FAMILIES[family].build((1, 4, 4), 2, leaves, Inside())
    found = [k for k in kinds(network) if k.lower() == name.replace("_", "")]
    assert len(found) == 2


def test_mlp_residual() -> None:
    """A block whose weights are zero hands on what came in; the first changes the width."""
    leaves = defaults("mlp", depth=3, width=5, residual=True)
    network = FAMILIES["mlp"].build((9,), 2, leaves, Inside())
    for _, parameter in network[2].named_parameters():
        parameter.data.zero_()
    x = torch.randn(4, 5)
    assert torch.equal(network[2](x), x)
    same_width = FAMILIES["mlp"].build((5,), 2, leaves, Inside())
    plain = FAMILIES["mlp"].build((5,), 2, leaves | {"residual": False}, Inside())
    assert parameters(same_width) == parameters(plain)
    assert "Identity" in kinds(same_width)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 15])
def test_cnn_parameters(kernel: int) -> None:
    """8x8 is pooled to 4x4 and 2x2, and then stays; channels double with each pooling."""
    leaves = defaults("cnn", depth=4, channels=4, kernel_size=kernel)
    network = FAMILIES["cnn"].build((2, 8, 8), 3, leaves, Inside())
    channels = [2, 4, 8, 16, 16]
    convolutions = sum((a * kernel**2 + 1) * b for a, b in itertools.pairwise(channels))
    assert parameters(network) == convolutions + 17 * 3
    assert kinds(network).count("MaxPool2d") == 2


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_cnn_convolution_is_torchs_same(kernel: int) -> None:
    leaves = defaults("cnn", depth=1, channels=4, kernel_size=kernel)
    block = FAMILIES["cnn"].build((2, 5, 6), 3, leaves, Inside())[0]
    weight, bias = block.parameters()
    x = torch.randn(3, 2, 5, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that its way is slow for even windows
        same = functional.conv2d(x, weight, bias, padding="same")
    torch.testing.assert_close(block(x), same.relu())


def test_cnn_channels_end_at_eight_times_the_first() -> None:
    leaves = defaults("cnn", depth=7, channels=2)
    network = FAMILIES["cnn"].build((1, 256, 256), 3, leaves, Inside())
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [2, 4, 8, 16, 16, 16, 16]


def test_cnn_residual_with_and_without_a_change_of_channels() -> None:
    leaves = defaults("cnn", depth=3, channels=4, residual=True)
    network = FAMILIES["cnn"].build((4, 5, 5), 3, leaves, Inside())
    shortcuts = [type(m.shortcut).__name__ for m in network.modules() if hasattr(m, "shortcut")]
    assert shortcuts == ["Identity", "Convolution", "Identity"]
    for parameter in network[0].parameters():
        parameter.data.zero_()
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(network[0](x), x)


def test_cnn_of_constant_images_is_blind_to_shifts() -> None:
    leaves = defaults("cnn", depth=1, pooling="average", kernel_size=1)
    network = FAMILIES["cnn"].build((1, 4, 4), 3, leaves, Inside()).double()
    x = torch.randn(2, 1, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(network(x), network(x.roll(2, 3)))


def test_linear_is_one_matrix() -> None:
    network = FAMILIES["linear"].build((2, 3, 3), 4, {}, INSIDES["all"])
    assert parameters(network) == 19 * 4
    x = torch.randn(5, 2, 3, 3)
    weight, bias = network.parameters()
    assert torch.allclose(network(x), x.flatten(1) @ weight.T + bias)


def test_residual_adds_what_comes_in() -> None:
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    inner, shortcut = nn.Linear(3, 3), nn.Linear(3, 3)
    assert torch.equal(Residual(inner)(x), x + inner(x))
    assert torch.equal(Residual(inner, shortcut)(x), shortcut(x) + inner(x))


def test_members_share_their_weights_and_are_told_apart_by_signs() -> None:
    torch.manual_seed(0)
    leaves = defaults("mlp", depth=1, width=5, members=8)
    network = FAMILIES["mlp"].build((6,), 3, leaves, Inside())
    assert kinds(network) == ["Copies", "Shared", "ReLU", "Shared", "Together"]
    first, last = (layer for layer in network if isinstance(layer, Shared))
    assert set(first.r.tolist()) == {1.0, -1.0}
    assert len({tuple(member) for member in first.r.view(8, 6).tolist()}) == 8
    assert set(last.r.tolist()) == set(first.s.tolist()) == set(last.s.tolist()) == {1.0}
    assert torch.equal(first.bias, first.bias[:5].repeat(8))
    own = parameters(network) - first.weight.numel() - last.weight.numel()
    assert own == 8 * (6 + 5 + 5 + 5 + 3 + 3)
    one = FAMILIES["mlp"].build((6,), 3, defaults("mlp", members=1), Inside())
    assert "Shared" not in kinds(one)


def test_members_are_averaged_in_evaluation() -> None:
    network = FAMILIES["mlp"].build((6,), 3, defaults("mlp", members=4), Inside())
    x = torch.randn(5, 6)
    each = network.train()(x)
    together = network.eval()(x)
    torch.testing.assert_close(together.softmax(1), each.softmax(2).mean(1))
    torch.testing.assert_close(together.exp().sum(1), torch.ones(5))
    quantity = FAMILIES["mlp"].build((6,), 1, defaults("mlp", members=4), Inside())
    torch.testing.assert_close(quantity.train()(x).mean(1), quantity.eval()(x))
    average_as(network, "regression")
    torch.testing.assert_close(network.eval()(x), each.mean(1))
    average_as(network, "multilabel")
    torch.testing.assert_close(network(x).sigmoid(), each.sigmoid().mean(1))


@pytest.mark.parametrize("kernel_size", [3, 4])
def test_convolutions_give_the_same_pixel_by_pixel(kernel_size: int) -> None:
    leaves = defaults("cnn", depth=2, channels=4, kernel_size=kernel_size, residual=True)
    network = FAMILIES["cnn"].build((3, 8, 6), 2, leaves, Inside()).double()
    x = torch.randn(5, 3, 8, 6, dtype=torch.float64)
    maps = network[0](x)
    assert maps.is_contiguous(memory_format=torch.channels_last)
    outputs = network(x)
    for module in network.modules():
        if hasattr(module, "mapped"):
            module.mapped = True
    assert network[0](x).is_contiguous()
    torch.testing.assert_close(network(x), outputs)
