from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tuner.data import Target
from tuner.losses import brier, cross_entropy, mae, mse
from tuner.metrics import METRICS, Metric
from tuner.optimizers import OPTIMIZERS
from tuner.space import Leaf
from tuner.techniques import Technique
from tuner.training.step import (
    Hyperparameters,
    StepRecipe,
    batch_loss,
    start,
    training_loss,
    update,
)

SGD = OPTIMIZERS["sgd"]
PLAIN = {"momentum": 0.0, "nesterov": False}


def recipe(*techniques: Technique) -> StepRecipe:
    return StepRecipe(techniques, SGD, {"weights": torch.ones(2)}, mse)


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


CLASSES, NUMBERS = Target("classification", ("a", "b")), Target("regression", (), 6.0, 2.0)


def loss_of(metric: Metric, target: Target = NUMBERS, **config: Any) -> Any:
    named = {key.replace("__", "."): value for key, value in config.items()}
    return training_loss({"loss": "auto", **named}, metric, target)


def test_the_loss_fits_the_metric_unless_a_configuration_names_another() -> None:
    assert loss_of(METRICS["mcc"], CLASSES) is cross_entropy
    assert loss_of(METRICS["brier"], CLASSES) is brier
    assert loss_of(METRICS["mae"]) is mse
    assert loss_of(METRICS["mae"], loss="mae") is mae
    outputs, targets = torch.zeros(1, 1), torch.ones(1, 1)
    high = METRICS["pinball"].bound({"quantile": 0.9})
    assert loss_of(high)(outputs, targets).item() == pytest.approx(0.9)
    assert loss_of(high, loss="pinball")(outputs, targets).item() == pytest.approx(0.5)
    named = {"loss": "pinball", "pinball__quantile": 0.2}
    assert loss_of(high, **named)(outputs, targets).item() == pytest.approx(0.2)


def test_a_share_of_the_target_is_of_the_target_in_its_own_unit() -> None:
    """Standardized, 6 and 8 are 0 and 1."""
    loss = loss_of(METRICS["mape"])
    assert loss(torch.tensor([[1.0]]), torch.tensor([[0.0]])).item() == pytest.approx(2 / 6)
    assert loss(torch.tensor([[0.0]]), torch.tensor([[1.0]])).item() == pytest.approx(2 / 8)


def test_a_loss_of_ones_own_gets_its_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "def power(outputs, targets, p=2.0):\n    return (outputs - targets).abs() ** p\n"
    (tmp_path / "powers.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    outputs, targets = torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1)
    assert loss_of(METRICS["rmse"], loss="powers:power")(outputs, targets).item() == 5
    config = {"loss": "powers:power", "powers:power.p": 1.0, "pinball.quantile": 0.1}
    assert training_loss(config, METRICS["rmse"], NUMBERS)(outputs, targets).item() == 2


def test_the_loss_of_members_is_the_mean_of_theirs() -> None:
    each = torch.randn(6, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = each[:, 0].softmax(1)
    for metric, target, wanted in (
        (METRICS["accuracy"], CLASSES, targets),
        (METRICS["rmse"], NUMBERS, targets[:, :1]),
        (METRICS["mape"], NUMBERS, targets[:, :1]),
    ):
        of = each[..., : wanted.shape[1]]
        one, several = loss_of(metric, target), loss_of(metric, target, members=3)
        alone = [one(of[:, k], wanted) for k in range(3)]
        torch.testing.assert_close(several(of, wanted), torch.stack(alone).mean())
        torch.testing.assert_close(several(of[:, 0], wanted), one(of[:, 0], wanted))


@pytest.mark.parametrize(
    ("form", "units"),
    [("linear", (1e-6, 1.0, 1e6)), ("log", (1e-6, 1.0, 1e6)), ("log1p", (1.0, 1e6))],
)
def test_a_loss_in_units_is_the_same_for_every_unit(form: str, units: tuple[float, ...]) -> None:
    """Targets of a millionth weigh as much as those of a million."""
    forward = {"linear": lambda y: y, "log": torch.log, "log1p": torch.log1p}[form]
    for unit in units:
        y = torch.tensor([[1.0], [2.0], [3.0], [10.0]], dtype=torch.float64) * unit
        mean, scale = float(forward(y).mean()), float(forward(y).std())
        target = Target("regression", mean=mean, scale=scale, form=form)
        loss = training_loss({"loss": "mape"}, METRICS["mape"], target)
        outputs, targets = ((forward(each) - mean) / scale for each in (y * 1.2, y))
        assert float(loss(outputs, targets)) == pytest.approx(0.2, rel=1e-6)
