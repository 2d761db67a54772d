"""Losses, against what torch and scikit-learn compute, and functions of the user's."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as reference
import torch
from torch import Tensor
from torch.nn import functional

from tuner import losses
from tuner.errors import StudyFileError, TrainingError
from tuner.imports import Allowed, allowing
from tuner.losses import LOSSES, USUAL, bound, fitting, own_loss
from tuner.metrics import METRICS

ROWS, CLASSES = 12, 3


def _batch(name: str) -> tuple[Tensor, Tensor]:
    """Outputs and targets, of a classification one-hot."""
    generator = torch.Generator().manual_seed(0)
    if LOSSES[name].task == "regression":
        outputs, targets = torch.randn(2, ROWS, 1, generator=generator).double()
        return outputs, targets + 3
    outputs = torch.randn(ROWS, CLASSES, generator=generator).double()
    if LOSSES[name].task == "multilabel":
        return outputs, (torch.rand(ROWS, CLASSES, generator=generator) > 0.5).double()
    classes = torch.randint(CLASSES, (ROWS,), generator=generator)
    return outputs, functional.one_hot(classes, CLASSES).double()


def _scored(score: Callable[..., float]) -> Callable[[Tensor, Tensor], float]:
    return lambda outputs, targets: score(targets.numpy(), outputs.numpy())


REFERENCE: dict[str, Callable[[Tensor, Tensor], float]] = {
    "cross_entropy": lambda o, t: float(functional.cross_entropy(o, t.argmax(1))),
    "brier": lambda o, t: reference.brier_score_loss(
        t.argmax(1).numpy(), o.softmax(1).numpy(), labels=np.arange(CLASSES)
    ),
    "binary_cross_entropy": lambda o, t: float(
        np.mean([reference.log_loss(t[:, k], o[:, k].sigmoid()) for k in range(CLASSES)])
    ),
    "mse": _scored(reference.mean_squared_error),
    "mae": _scored(reference.mean_absolute_error),
    "mape": _scored(reference.mean_absolute_percentage_error),
    "pinball": _scored(reference.mean_pinball_loss),
}


def test_every_loss_has_a_reference_and_is_documented() -> None:
    assert set(REFERENCE) == set(LOSSES)
    assert all(name == each.name and each.source and each.doc for name, each in LOSSES.items())


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_that_of_other_libraries(name: str) -> None:
    outputs, targets = _batch(name)
    loss = bound(LOSSES[name], {leaf.name: leaf.default for leaf in LOSSES[name].leaves})
    value = loss(outputs, targets)
    assert value.shape == ()
    assert value.item() == pytest.approx(REFERENCE[name](outputs, targets), rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_that_of_differences(name: str) -> None:
    outputs, targets = _batch(name)
    loss = bound(LOSSES[name], {leaf.name: 0.8 for leaf in LOSSES[name].leaves})
    assert torch.autograd.gradcheck(loss, (outputs.requires_grad_(), targets))


@pytest.mark.parametrize("name", LOSSES)
def test_many_trials_at_once(name: str) -> None:
    outputs, targets = _batch(name)
    loss = bound(LOSSES[name], {leaf.name: 0.8 for leaf in LOSSES[name].leaves})
    several = torch.stack([outputs, -outputs, 2 * outputs])
    gradient, values = torch.func.vmap(torch.func.grad_and_value(loss), in_dims=(0, None))(
        several, targets
    )
    for own, value, one in zip(gradient, values, several, strict=True):
        alone = one.clone().requires_grad_()
        loss(alone, targets).backward()
        torch.testing.assert_close(value, loss(one, targets))
        torch.testing.assert_close(own, alone.grad)


@pytest.mark.parametrize("name", LOSSES)
def test_a_row_of_weight_two_counts_as_two_rows(name: str) -> None:
    outputs, targets = _batch(name)
    loss = bound(LOSSES[name], {leaf.name: 0.8 for leaf in LOSSES[name].leaves})
    times = torch.arange(ROWS) % 3 + 1
    twice = loss(outputs.repeat_interleave(times, 0), targets.repeat_interleave(times, 0))
    value = loss(outputs, targets, times / times.double().mean())
    assert value.item() == pytest.approx(twice.item(), rel=1e-12)
    rows = [loss(o, t).item() for o, t in zip(outputs.split(1), targets.split(1), strict=True)]
    assert value.item() == pytest.approx(np.average(rows, weights=times), rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_many_trials_with_weights_at_once(name: str) -> None:
    outputs, targets = _batch(name)
    loss = bound(LOSSES[name], {leaf.name: 0.8 for leaf in LOSSES[name].leaves})
    several, weights = torch.stack([outputs, -outputs]), torch.rand(2, ROWS).double()
    together = torch.func.vmap(loss, in_dims=(0, None, 0))(several, targets, weights)
    alone = [loss(one, targets, w) for one, w in zip(several, weights, strict=True)]
    torch.testing.assert_close(together, torch.stack(alone))


def test_cross_entropy_takes_classes_too() -> None:
    outputs, targets = _batch("cross_entropy")
    loss = losses.cross_entropy
    torch.testing.assert_close(loss(outputs, targets.argmax(1)), loss(outputs, targets))


def test_the_weight_of_a_class_multiplies_the_brier_loss_of_its_rows() -> None:
    outputs, targets = _batch("brier")
    weights = torch.tensor([1.0, 2.0, 5.0]).double()
    pairs = zip(outputs.split(1), targets.split(1), strict=True)
    expected = torch.stack([losses.brier(o, t) * (t * weights).sum() for o, t in pairs]).mean()
    torch.testing.assert_close(losses.brier(outputs, targets * weights), expected)


def test_a_target_of_zero_does_not_outweigh_all_others() -> None:
    outputs, targets = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [4.0]])
    assert losses.mape(outputs, targets).item() == pytest.approx((1 / 0.01 + 0.5) / 2)


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_the_pinball_loss_is_least_at_the_quantile(quantile: float) -> None:
    targets = torch.randn(999, 1, generator=torch.Generator().manual_seed(1)).double()
    candidates = targets.sort(0).values[:, 0]
    costs = [
        losses.pinball(c.expand(999, 1), targets, quantile=quantile).item() for c in candidates
    ]
    assert candidates[int(np.argmin(costs))] == np.quantile(
        targets, quantile, method="inverted_cdf"
    )


def test_the_loss_that_fits_a_metric() -> None:
    chosen = {name: fitting(metric.bound({}))[0].name for name, metric in METRICS.items()}
    own = {name: loss for name, loss in chosen.items() if loss != USUAL[METRICS[name].task]}
    assert own == {"brier": "brier", "mape": "mape", "pinball": "pinball"}
    loss, options = fitting(METRICS["pinball"].bound({"quantile": 0.9}))
    assert (loss.name, options) == ("pinball", {"quantile": 0.9})


# Functions of the user's.


MINE = """
import torch
from torch.nn import functional

def focal(outputs, targets, gamma=2.0):
    logarithms = outputs.log_softmax(1)
    return -(targets * (1 - logarithms.exp()) ** gamma * logarithms).sum(1)

def column(outputs, targets): return (outputs - targets).square()
def mean(outputs, targets): return (outputs - targets).square().mean()
def raising(outputs, targets): return 1 / 0
def number(outputs, targets): return 0.5
def table(outputs, targets): return outputs * targets
def wrong(outputs, targets): return (outputs.argmax(1) != targets.argmax(1)).sum()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_losses.py").write_text(MINE)
    monkeypatch.delitem(sys.modules, "my_losses", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_function_of_ones_own(folder: Path) -> None:
    outputs, targets = _batch("cross_entropy")
    plain = own_loss("my_losses:focal", {"gamma": 0.0})(outputs, targets)
    torch.testing.assert_close(plain, losses.cross_entropy(outputs, targets))
    assert own_loss("my_losses:focal", {})(outputs, targets) < plain


def test_a_function_of_ones_own_with_weights_gives_each_row(folder: Path) -> None:
    outputs, targets = _batch("mse")
    weights = torch.arange(ROWS).double() / 5.5
    plain = losses.mse(outputs, targets, weights)
    torch.testing.assert_close(own_loss("my_losses:column", {})(outputs, targets, weights), plain)
    with pytest.raises(TrainingError, match="one number for all rows, but the rows have") as caught:
        own_loss("my_losses:mean", {})(outputs, targets, weights)
    assert caught.value.hint == "return one number for each of 12 rows, or remove data.weight"


def test_a_function_of_ones_own_gives_each_row_or_the_mean(folder: Path) -> None:
    outputs, targets = _batch("mse")
    for name in ("mean", "column"):
        assert torch.equal(
            own_loss(f"my_losses:{name}", {})(outputs, targets), losses.mse(outputs, targets)
        )


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("raising", {}, "the loss raised ZeroDivisionError: division by zero"),
        ("focal", {"gama": 1}, "the loss raised TypeError: focal() got an unexpected keyword"),
        ("number", {}, "the loss returned 0.5 of type float"),
        ("table", {}, "the loss returned a tensor of shape [12, 3]"),
        ("wrong", {}, "the loss returned a tensor of type torch.int64"),
    ],
)
def test_a_function_of_ones_own_that_fails(
    folder: Path, name: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(TrainingError) as caught:
        own_loss(f"my_losses:{name}", options)(*_batch("cross_entropy"))
    assert caught.value.where == f"my_losses:{name}"
    assert caught.value.message.startswith(words)
    assert caught.value.hint


def test_a_function_that_is_not_allowed_is_not_imported(folder: Path) -> None:
    with allowing(Allowed()), pytest.raises(StudyFileError, match="my_losses"):
        own_loss("my_losses:mean", {})
    assert "my_losses" not in sys.modules
