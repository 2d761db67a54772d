from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tuner.optimizers import OPTIMIZERS
from tuner.space import Leaf
from tuner.techniques import Technique
from tuner.training.step import LOSSES, Hyperparameters, StepRecipe, batch_loss, start, update

SGD = OPTIMIZERS["sgd"]
PLAIN = {"momentum": 0.0, "nesterov": False}


def recipe(*techniques: Technique) -> StepRecipe:
    return StepRecipe(techniques, SGD, {"weights": torch.ones(2)}, LOSSES["regression"])


def hp(*techniques: Technique) -> Hyperparameters:
    return Hyperparameters({t.name: 1.0 for t in techniques}, PLAIN)


def logging(name: str, log: list[str]) -> Technique:
    """Has every hook of a step, and writes down when it is called."""

    def same(hook: str) -> Any:
        def run(first: Any, second: Any, *rest: Any) -> Any:
            log.append(f"{name} {hook}")
            return (first, second) if hook == "batch" else second if hook == "after" else first

        return run

    leaf = Leaf(name, float, 0.0, off=0.0)
    hooks = {hook: same(hook) for hook in ("batch", "gradient", "update", "after")}
    return replace(Technique(leaf, start=lambda params: (params.clone(),)), **hooks)


def test_order() -> None:
    """batch → forward → loss → gradient hooks → optimizer → update hooks → after."""
    log: list[str] = []
    a, b = logging("a", log), logging("b", log)
    of = recipe(a, b)
    params = torch.zeros(2)
    state = start(of, params)

    def forward(x: Tensor) -> Tensor:
        log.append("forward")
        return x

    batch_loss(of, forward, torch.ones(3, 1), torch.ones(3, 1), {}, hp(a, b))
    update(of, state, torch.ones(2), hp(a, b), torch.tensor(0.5))
    assert log == [
        "a batch",
        "b batch",
        "forward",
        "a gradient",
        "b gradient",
        "a update",
        "b update",
        "a after",
        "b after",
    ]
    assert torch.equal(params, torch.full((2,), -0.5))
    assert state.count == 1
    assert state.params is params


def test_later_hooks_see_what_earlier_ones_made() -> None:
    leaf = Leaf("x", float, 0.0, off=0.0)
    double = Technique(replace(leaf, name="double"), gradient=lambda g, p, m, hp: g * 2)
    add = Technique(replace(leaf, name="add"), gradient=lambda g, p, m, hp: g + 1)
    grow = Technique(replace(leaf, name="grow"), update=lambda u, p, m, hp: u * 10)
    of = recipe(double, grow, add)
    state = start(of, torch.zeros(2))
    update(of, state, torch.ones(2), hp(double, grow, add), torch.tensor(1.0))
    assert state.params.tolist() == [-30.0, -30.0]


def test_the_gradient_is_not_changed() -> None:
    of, gradient = recipe(), torch.tensor([1.0, 2.0])
    state = start(of, torch.zeros(2))
    for _ in range(3):
        update(
            of,
            state,
            gradient,
            Hyperparameters({}, {"momentum": 0.9, "nesterov": True}),
            torch.tensor(1.0),
        )
    assert gradient.tolist() == [1.0, 2.0]


def test_losses_are_torchs() -> None:
    outputs = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([0, 1, 2, 3, 1, 1])
    ours = LOSSES["classification"](outputs, functional.one_hot(classes, 4).double())
    torch.testing.assert_close(ours, functional.cross_entropy(outputs, classes))
    numbers = outputs[:, :1] + 2
    assert float(LOSSES["regression"](outputs[:, :1], numbers)) == 4.0


def test_the_loss_of_members_is_the_mean_of_theirs() -> None:
    each = torch.randn(6, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = each[:, 0].softmax(1)
    for name, wanted in (("classification", targets), ("regression", targets[:, :1])):
        of = each[..., : wanted.shape[1]]
        alone = [LOSSES[name](of[:, k], wanted) for k in range(3)]
        torch.testing.assert_close(LOSSES[name](of, wanted), torch.stack(alone).mean())
