"""test_network"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tuner.models.categories import Categories
from tuner.models.inputs import Numbers, Scale
from tuner.techniques.norm_dropout import BatchNorm, Dropout, StochasticDepth
from tuner.training.network import KINDS, build_network, flatten, layout, plan


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), BatchNorm(4), nn.Linear(4, 2))


def test_parameters_become_views() -> None:
    module = network()
    before = [p.detach().clone() for p in module.parameters()]
    _, vector = flatten(module)
    assert len(vector) == 12 + 4 + 4 + 4 + 8 + 2
    for old, new in zip(before, module.parameters(), strict=True):
        assert torch.equal(old, new)
    vector.zero_()
    assert all(not p.any() for p in module.parameters())
    with torch.no_grad():
        next(module.parameters()).fill_(3.0)
    assert vector[:12].eq(3).all()


def test_order_is_the_modules() -> None:
    plan = layout(network())
    assert [(name, at) for name, at, _ in plan.entries] == [
        ("0.weight", 0),
        ("0.bias", 12),
        ("1.weight", 16),
        ("1.bias", 20),
        ("2.weight", 24),
        ("2.bias", 32),
    ]


def test_mask_is_1_at_weights_only() -> None:
    module = network()
    plan, vector = flatten(module)
    mask = plan.mask(KINDS["weights"](module), vector)
    assert {name: int(view.sum()) for name, view in plan.views(mask).items()} == {
        "0.weight": 12,
        "0.bias": 0,
        "1.weight": 0,
        "1.bias": 0,
        "2.weight": 8,
        "2.bias": 0,
    }
    assert mask.dtype == vector.dtype


def test_kinds_of_parameters(config: Any) -> None:
    own = {"categories": "embedding", "numbers": "periodic", "input_scale": True, "members": 2}
    of = plan(config(depth=1, **own))
    module = build_network(of, (17,), 2, seed=1, categories=COLUMNS, numbers=(5,))
    assert KINDS["scales"](module) == {"2.scale"}
    assert KINDS["first"](module) == {f"3.1.{name}" for name in ("weight", "r", "s", "bias")}
    inputs = {"0.embedding.linear.weight", "1.layers.1.weight", "1.layers.3.weight"}
    assert KINDS["weights"](module) == inputs | {"3.1.weight", "3.3.weight"}
    assert KINDS["biases"](module) == {"0.embedding.linear.bias", "3.1.bias", "3.3.bias"}
    assert KINDS["first"](nn.Sequential(nn.ReLU(), nn.Linear(2, 2, bias=False))) == {"1.weight"}
    assert KINDS["biases"](nn.GRU(2, 2)) == {"bias_ih_l0", "bias_hh_l0"}
    assert KINDS["scales"](network()) == set()


def test_views_have_the_shapes_and_share_the_memory() -> None:
    plan, vector = flatten(network())
    views = plan.views(vector)
    assert views["2.weight"].shape == (2, 4)
    views["2.weight"].fill_(7.0)
    assert vector[24:32].eq(7).all()


def names(of: Any) -> list[str]:
    return [t.name for t in of.techniques]


def test_off_techniques_take_no_part(config: Any) -> None:
    assert names(plan(config())) == []
    of = plan(config(weight_decay=0.1, dropout=0.2, batch_norm=True))
    assert names(of) == ["batch_norm", "dropout", "weight_decay"]
    assert of.values == {"batch_norm": True, "dropout": 0.2, "weight_decay": 0.1}


def test_a_configuration_may_know_less_than_all_techniques(config: Any) -> None:
    old = {name: value for name, value in config().items() if name not in ("ema", "mixup")}
    assert names(plan(old)) == []


def test_kept_techniques(config: Any) -> None:
    of = plan(config(l1_lambda=0.1), keep=["dropout", "batch_norm"])
    assert names(of) == ["dropout", "l1_lambda"]  # a static one is not
    assert of.values["dropout"] == 0.0


def test_nested_before_own_before_default(config: Any) -> None:
    of = plan(config(optimizer="sgd", **{"sgd.momentum": 0.3, "adam.beta1": 0.1}))
    assert of.optimizer_values == {"momentum": 0.3, "nesterov": False}
    assert plan(config(width=5)).family_values["width"] == 5
    assert plan(config(width=5, **{"mlp.width": 6})).family_values["width"] == 6
    assert plan(config(depth=3)).family_values["depth"] == 3
    decaying = plan(config(lr_scheduler="cosine", **{"cosine.final": 0.1}))
    assert decaying.schedule_values == {"final": 0.1}


def test_an_optimizers_own_learning_rate(config: Any) -> None:
    own = {"sgd.learning_rate": 0.5}
    assert plan(config(optimizer="sgd", **own)).learning_rate == 0.5
    assert plan(config(optimizer="adam", **own)).learning_rate == 0.01


def test_network_with_layers_in_their_places(config: Any) -> None:
    of = plan(config(batch_norm=True, dropout=0.2, depth=1))
    network = build_network(of, (3,), 2, seed=1)
    kinds = [type(module).__name__ for module in network]
    assert kinds == ["Linear", "BatchNorm", "ReLU", "Dropout", "Linear"]
    assert isinstance(network[1], BatchNorm)
    assert isinstance(network[3], Dropout)
    assert network[0].bias is None
    assert build_network(plan(config(depth=1)), (3,), 2, seed=1)[0].bias is not None


@pytest.mark.parametrize(
    ("normalization", "kind", "bias"),
    [("batch", "BatchNorm", False), ("layer", "GroupNorm", True), ("group", "GroupNorm", True)],
)
def test_normalization_stands_where_batch_norm_does(
    config: Any, normalization: str, kind: str, bias: bool
) -> None:
    network = build_network(plan(config(normalization=normalization, depth=1)), (3,), 2, seed=1)
    assert [type(module).__name__ for module in network] == ["Linear", kind, "ReLU", "Linear"]
    assert (network[0].bias is not None) == bias


def test_members_are_normalized_each_on_its_own(config: Any) -> None:
    """What one member gives does not depend on the others."""
    of = plan(config(normalization="layer", depth=1, members=3))
    network = build_network(of, (3,), 2, seed=1).train()
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(2))
    before = network(x)
    with torch.no_grad():
        network[1].s[:6] *= torch.arange(1, 7)
    after = network(x)
    assert not torch.allclose(after[:, 0], before[:, 0])
    assert torch.equal(after[:, 1:], before[:, 1:])


def test_stochastic_depth_grows_with_depth(config: Any) -> None:
    on = {"residual": True, "stochastic_depth": 0.6, "depth": 3, "width": 6}
    for family, shape, wanted in (
        ("mlp", (6,), [0.2, 0.4, 0.6]),
        ("mlp", (3,), [0.4, 0.6]),  # the first block changes the width, so that it is no branch
        ("cnn", (2, 6, 5), [0.2, 0.4, 0.6]),
    ):
        network = build_network(plan(config(family=family, **on)), shape, 2, seed=1)
        found = [m for m in network.modules() if isinstance(m, StochasticDepth)]
        assert [m.rate for m in found] == pytest.approx(wanted)
    assert not any(isinstance(m, StochasticDepth) for m in _without(config).modules())
    attending = config(family="transformer", stochastic_depth=0.6, depth=2)
    network = build_network(plan(attending), (7, 2), 2, seed=1)
    found = [m for m in network.modules() if isinstance(m, StochasticDepth)]
    assert [m.rate for m in found] == pytest.approx([0.3, 0.3, 0.6, 0.6])


def _without(config: Any) -> nn.Module:
    """A network that has no residual branch to leave out."""
    return build_network(plan(config(stochastic_depth=0.6, depth=3)), (6,), 2, seed=1)


def test_initial_weights_are_a_function_of_the_seed(config: Any) -> None:
    of = plan(config())

    def weights(seed: int) -> torch.Tensor:
        return torch.cat([p.reshape(-1) for p in build_network(of, (3,), 2, seed).parameters()])

    torch.manual_seed(3)
    one = weights(1)
    state = torch.get_rng_state()
    assert torch.equal(weights(1), one)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(weights(2), one)


COLUMNS = (range(5), range(6, 8), range(8, 17))
"""Of five, two and nine categories; number 5 is a quantity."""


@pytest.mark.parametrize("family", ["mlp", "linear"])
def test_columns_of_two_stay_as_they_are(config: Any, family: str) -> None:
    own = {"categories": "embedding", "embedding.size": 3}
    of = plan(config(family=family, **own))
    network = build_network(of, (17,), 2, seed=1, categories=COLUMNS)
    assert [type(layer) for layer in network] == [Categories, nn.Sequential]
    assert network[0].width == 3 + 1 + 2 + 3
    assert network(torch.randn(4, 17)).shape == (4, 2)
    kinds = {type(layer) for layer in network.modules()} - {Categories}
    assert all(kind.__module__.startswith("torch.nn.") for kind in kinds)


def test_layers_between_a_row_and_the_network(config: Any) -> None:
    own = {"categories": "embedding", "embedding.size": 3, "numbers": "piecewise-linear"}
    of = plan(config(input_scale=True, **own))
    network = build_network(of, (17,), 2, seed=1, categories=COLUMNS, numbers=(5,))
    assert [type(layer) for layer in network] == [Numbers, Categories, Scale, nn.Sequential]
    assert network[0].width == 8 + 16
    assert network[1].width == network[2].width == 8 + 3 + 2 + 3
    assert network(torch.randn(4, 17)).shape == (4, 2)
    alone = build_network(of, (17,), 2, seed=1)  # no columns
    assert [type(layer) for layer in alone] == [Scale, nn.Sequential]
    image = build_network(plan(config(family="cnn", **own)), (1, 4, 4), 2, seed=1)
    assert type(image[0]) is nn.Sequential


@pytest.mark.parametrize("family", ["mlp", "linear", "cnn"])
def test_off_is_the_network_without(config: Any, family: str) -> None:
    """Not a weight differs, and neither does its name."""
    shape = (2, 4, 4) if family == "cnn" else (17,)
    off = config(family=family, numbers="plain", input_scale=False)
    usual = {name: v for name, v in off.items() if name not in ("numbers", "input_scale")}
    found, before = (build_network(plan(of), shape, 2, 1, numbers=(5,)) for of in (off, usual))
    assert found.state_dict().keys() == before.state_dict().keys()
    assert all(map(torch.equal, found.state_dict().values(), before.state_dict().values()))
    assert not any(isinstance(layer, Numbers | Scale) for layer in found.modules())


@pytest.mark.parametrize(
    ("categories", "columns"), [("one-hot", COLUMNS), ("embedding", (range(2),))]
)
def test_the_network_is_the_usual_one_without_vectors(
    config: Any, categories: str, columns: tuple[range, ...]
) -> None:
    """Not a weight differs, so that the numbers of a baseline are those of a study without."""
    usual = build_network(plan(config()), (17,), 2, seed=1)
    found = build_network(plan(config(categories=categories)), (17,), 2, 1, categories=columns)
    assert found.state_dict().keys() == usual.state_dict().keys()
    assert all(map(torch.equal, found.state_dict().values(), usual.state_dict().values()))
