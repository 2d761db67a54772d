from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import sklearn.metrics as reference
import torch
from torch import Tensor

from tuner import metrics
from tuner.errors import StudyFileError
from tuner.metrics import METRICS


def _auc(logits: Tensor, targets: Tensor) -> float:
    scores = logits.double().softmax(1).numpy()
    if logits.shape[1] == 2:
        return float(reference.roc_auc_score(targets.numpy(), scores[:, 1]))
    return float(
        reference.roc_auc_score(targets.numpy(), scores, multi_class="ovr", average="macro")
    )


def _log_loss(logits: Tensor, targets: Tensor) -> float:
    labels = np.arange(logits.shape[1])
    scores = logits.double().softmax(1).numpy()
    return float(reference.log_loss(targets.numpy(), scores, labels=labels))


def _labelled(function: Callable[..., float], **options: object) -> Callable[..., float]:
    def score(logits: Tensor, targets: Tensor) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about predicted classes that are not in the targets
            return float(function(targets.numpy(), logits.argmax(1).numpy(), **options))

    return score


def _valued(function: Callable[..., float]) -> Callable[..., float]:
    return lambda outputs, targets: float(function(targets.numpy(), outputs.numpy()))


REFERENCE: dict[str, Callable[..., float]] = {
    "accuracy": _labelled(reference.accuracy_score),
    "balanced_accuracy": _labelled(reference.balanced_accuracy_score),
    "f1_macro": _labelled(reference.f1_score, average="macro"),
    "roc_auc": _auc,
    "cross_entropy": _log_loss,
    "mse": _valued(reference.mean_squared_error),
    "rmse": _valued(reference.root_mean_squared_error),
    "mae": _valued(reference.mean_absolute_error),
    "r2": _valued(reference.r2_score),
}
CLASSIFICATION = [m.name for m in METRICS.values() if m.task == "classification"]
REGRESSION = [m.name for m in METRICS.values() if m.task == "regression"]


def _case(seed: int, classes: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Random logits with many repeated rows (ties) and every class among the targets."""
    generator = torch.Generator().manual_seed(seed)
    rows = int(torch.randint(3 * classes, 200, (), generator=generator))
    distinct = torch.randn(max(4, rows // 3), classes, generator=generator, dtype=dtype)
    pick = torch.randint(len(distinct), (rows,), generator=generator)
    targets = torch.randint(classes, (rows,), generator=generator)
    targets[:classes] = torch.arange(classes)
    return distinct[pick], targets


def test_every_metric_has_a_reference() -> None:
    assert set(REFERENCE) == set(METRICS)
    assert all(name == metric.name and metric.source for name, metric in METRICS.items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("name", CLASSIFICATION)
def test_classification_agrees_with_sklearn(name: str, classes: int, dtype: torch.dtype) -> None:
    for seed in range(8):
        logits, targets = _case(seed, classes, dtype)
        value = METRICS[name].function(logits, targets)
        assert value.shape == ()
        assert value.item() == pytest.approx(REFERENCE[name](logits, targets), rel=1e-9)


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_a_class_that_is_never_predicted(name: str) -> None:
    logits, targets = _case(0, 4, torch.float64)
    logits[:, 2] = -20.0
    expected = REFERENCE[name](logits, targets)
    assert METRICS[name].function(logits, targets).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "f1_macro", "cross_entropy"])
def test_a_class_that_is_never_a_target(name: str) -> None:
    logits, targets = _case(1, 4, torch.float64)
    targets[targets == 2] = 1
    expected = REFERENCE[name](logits, targets)
    assert METRICS[name].function(logits, targets).item() == pytest.approx(expected, rel=1e-9)


def test_roc_auc_counts_a_tie_one_half_and_skips_undefined_classes() -> None:
    constant = torch.zeros(6, 2)
    assert metrics.roc_auc(constant, torch.tensor([0, 1, 0, 1, 1, 1])).item() == 0.5
    assert math.isnan(metrics.roc_auc(constant, torch.zeros(6, dtype=torch.int64)).item())
    logits, targets = _case(2, 4, torch.float64)
    targets[targets == 2] = 1
    scores = logits.softmax(1).numpy()
    areas = [reference.roc_auc_score((targets == c).numpy(), scores[:, c]) for c in (0, 1, 3)]
    assert metrics.roc_auc(logits, targets).item() == pytest.approx(np.mean(areas), rel=1e-12)


def test_confident_logits_keep_their_order() -> None:
    """A softmax in float32 would round all four scores to one."""
    logits = torch.tensor([[0.0, 40.0], [0.0, 50.0], [0.0, 60.0], [0.0, 70.0]])
    assert metrics.roc_auc(logits, torch.tensor([0, 0, 1, 1])).item() == 1.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", REGRESSION)
def test_regression_agrees_with_sklearn(name: str, dtype: torch.dtype) -> None:
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        targets = 100 + 30 * torch.randn(90, generator=generator, dtype=dtype)
        outputs = targets + 20 * torch.randn(90, generator=generator, dtype=dtype)
        expected = REFERENCE[name](outputs.double(), targets.double())
        assert METRICS[name].function(outputs, targets).item() == pytest.approx(expected, rel=1e-9)
        column = METRICS[name].function(outputs.unsqueeze(1), targets)
        assert column.shape == ()
        assert column.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("outputs", "expected"), [([2.0, 2.0], 1.0), ([2.0, 3.0], 0.0)])
def test_r2_of_targets_that_do_not_vary(outputs: list[float], expected: float) -> None:
    assert metrics.r2(torch.tensor(outputs), torch.tensor([2.0, 2.0])).item() == expected


def test_a_share_is_stored_as_it_is_said() -> None:
    logits = torch.zeros(40, 2)
    logits[:, 1] = 1
    targets = torch.ones(40, dtype=torch.int64)
    targets[0] = 0
    assert metrics.accuracy(logits, targets).item() == 0.975


@pytest.mark.parametrize("name", list(METRICS))
def test_many_trials_at_once(name: str) -> None:
    """Outputs of several trials [K, N, C] against the same targets, through vmap."""
    if METRICS[name].task == "classification":
        logits, targets = _case(3, 3, torch.float64)
        outputs = torch.stack([logits, logits.flip(0), -logits])
    else:
        targets = torch.randn(20, dtype=torch.float64)
        outputs = torch.randn(3, 20, dtype=torch.float64)
    function = METRICS[name].function
    together = torch.func.vmap(function, in_dims=(0, None))(outputs, targets)
    alone = torch.stack([function(row, targets) for row in outputs])
    torch.testing.assert_close(together, alone)


def test_lookup() -> None:
    assert metrics.lookup("accuracy").direction == "maximize"
    assert metrics.lookup("cross_entropy").direction == "minimize"
    with pytest.raises(StudyFileError, match="did you mean 'accuracy'") as caught:
        metrics.lookup("acuracy")
    assert caught.value.where == "metric"
    assert all(name in caught.value.hint for name in METRICS)


@pytest.mark.parametrize(("direction", "best"), [("maximize", 2.0), ("minimize", -1.0)])
def test_which_value_is_better(direction: str, best: float) -> None:
    values = [0.5, -1.0, 2.0]
    assert max(values, key=lambda value: metrics.sign_of(direction) * value) == best
    assert all(metrics.better(best, value, direction) for value in values if value != best)
    assert not metrics.better(best, best, direction)
