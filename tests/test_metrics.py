from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as reference
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor

from tuner import metrics
from tuner.errors import StudyFileError, TrainingError
from tuner.imports import Allowed, allowing
from tuner.losses import LOSSES, USUAL
from tuner.metrics import METRICS, OwnMetric, own_metric


def _probabilities(logits: Tensor) -> NDArray[np.float64]:
    return logits.double().softmax(1).numpy()


Weights = NDArray[np.float64] | None


def _by_class(
    score: Callable[..., float],
    logits: Tensor,
    targets: Tensor,
    weights: Weights,
    defined: Callable[[Any], Any],
) -> float:
    """Of the second of two classes; of more the mean over those for which it is defined."""
    if logits.shape[1] == 2:
        scores = (logits[:, 1] - logits[:, 0]).double().numpy()
        return float(score(targets.numpy(), scores, sample_weight=weights))
    scores = logits.double().log_softmax(1).numpy()
    each = [(targets == c).numpy() for c in range(logits.shape[1])]
    values = [
        score(own, scores[:, c], sample_weight=weights)
        for c, own in enumerate(each)
        if defined(own)
    ]
    return float(np.mean(values)) if values else math.nan


def _auc(logits: Tensor, targets: Tensor, weights: Weights = None) -> float:
    both = lambda own: own.any() and not own.all()  # noqa: E731
    return _by_class(reference.roc_auc_score, logits, targets, weights, both)


def _average_precision(logits: Tensor, targets: Tensor, weights: Weights = None) -> float:
    return _by_class(reference.average_precision_score, logits, targets, weights, np.any)


def _cross_entropy(logits: Tensor, targets: Tensor, weights: Weights = None) -> float:
    """scikit-learn's without its smallest probability."""
    logarithms = log_softmax(logits.double().numpy(), axis=1)
    own = logarithms[np.arange(len(targets)), targets.numpy()]
    return float(-np.average(own, weights=weights))


def _shared(function: Callable[..., float], **options: Any) -> Callable[..., float]:
    """Of probabilities, of which every class is known."""

    def score(logits: Tensor, targets: Tensor, weights: Weights = None) -> float:
        known = {"labels": np.arange(logits.shape[1]), "sample_weight": weights, **options}
        return float(function(targets.numpy(), _probabilities(logits), **known))

    return score


def _top_k(logits: Tensor, targets: Tensor, weights: Weights = None) -> float:
    known = {"labels": np.arange(logits.shape[1]), "sample_weight": weights}
    return float(reference.top_k_accuracy_score(targets.numpy(), logits.numpy(), k=2, **known))


def _labelled(function: Callable[..., float], **options: object) -> Callable[..., float]:
    def score(logits: Tensor, targets: Tensor, weights: Weights = None) -> float:
        named = targets.numpy(), logits.argmax(1).numpy()
        return float(function(*named, sample_weight=weights, **options))

    return score


def _valued(function: Callable[..., float], **options: object) -> Callable[..., float]:
    def score(outputs: Tensor, targets: Tensor, weights: Weights = None) -> float:
        values = targets.double().numpy(), outputs.double().numpy()
        return float(function(*values, sample_weight=weights, **options))

    return score


def _label_by_label(function: Callable[..., float], **options: Any) -> Callable[..., float]:
    """Of the probabilities of each label alone, the mean over those that it is defined for."""

    def score(logits: Tensor, targets: Tensor, weights: Weights = None) -> float:
        shares = logits.double().sigmoid().numpy() if options else logits.double().numpy()
        pairs = [(targets[:, k].numpy(), shares[:, k]) for k in range(logits.shape[1])]
        known = [p for p in pairs if options or 0 < p[0].mean() < 1]
        values = [function(*p, sample_weight=weights, **options) for p in known]
        return float(np.mean(values)) if values else math.nan

    return score


def _named(function: Callable[..., float], **options: Any) -> Callable[..., float]:
    """Of the labels that are predicted."""

    def score(logits: Tensor, targets: Tensor, weights: Weights = None) -> float:
        pair = targets.int().numpy(), (logits > 0).int().numpy()
        return float(function(*pair, sample_weight=weights, **options))

    return score


def _hamming(logits: Tensor, targets: Tensor, weights: Weights = None) -> float:
    return 1 - _named(reference.hamming_loss)(logits, targets, weights)


REFERENCE: dict[str, Callable[..., float]] = {
    "accuracy": _labelled(reference.accuracy_score),
    "balanced_accuracy": _labelled(reference.balanced_accuracy_score),
    "f1_macro": _labelled(reference.f1_score, average="macro"),
    "f1": _labelled(reference.f1_score),
    "mcc": _labelled(reference.matthews_corrcoef),
    "top_k_accuracy": _top_k,
    "roc_auc": _auc,
    "average_precision": _average_precision,
    "cross_entropy": _cross_entropy,
    "log_loss": _shared(reference.log_loss),
    "brier": _shared(reference.brier_score_loss),
    "label_accuracy": _hamming,
    "subset_accuracy": _named(reference.accuracy_score),
    "label_f1_macro": _named(reference.f1_score, average="macro", zero_division=0),
    "label_f1_micro": _named(reference.f1_score, average="micro", zero_division=0),
    "label_roc_auc": _label_by_label(reference.roc_auc_score),
    "label_average_precision": _label_by_label(reference.average_precision_score),
    "label_log_loss": _label_by_label(reference.log_loss, labels=[0, 1]),
    "mse": _valued(reference.mean_squared_error),
    "rmse": _valued(reference.root_mean_squared_error),
    "mae": _valued(reference.mean_absolute_error),
    "mape": _valued(reference.mean_absolute_percentage_error),
    "pinball": _valued(reference.mean_pinball_loss, alpha=0.5),
    "r2": _valued(reference.r2_score),
}
CLASSIFICATION = [m.name for m in METRICS.values() if m.task == "classification"]
MULTILABEL = [m.name for m in METRICS.values() if m.task == "multilabel"]
REGRESSION = [m.name for m in METRICS.values() if m.task == "regression"]
MEASURED = [
    (name, classes)
    for name in CLASSIFICATION
    for classes in (2, 3, 10)
    if (classes == 2 or not METRICS[name].binary) and (classes > 2 or not METRICS[name].leaves)
]
"""Each metric with the numbers of classes that it can measure."""


def _check(name: str, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> None:
    """The metric has the value of its reference, in float64 but for rounding."""
    value = METRICS[name].bound({}).function(outputs, targets, weights)
    assert value.shape == ()
    assert value.dtype == torch.float64
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about values that are not defined
        known = None if weights is None else weights.double().numpy()
        expected = REFERENCE[name](outputs, targets, known)
    assert value.item() == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True)


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
@pytest.mark.parametrize(("name", "classes"), MEASURED)
def test_classification_agrees_with_sklearn(name: str, classes: int, dtype: torch.dtype) -> None:
    for seed in range(8):
        _check(name, *_case(seed, classes, dtype))


@pytest.mark.parametrize(("name", "classes"), MEASURED)
def test_predictions_and_targets_that_leave_classes_out(name: str, classes: int) -> None:
    """As scikit-learn has it; where it has nothing, as the mean over the other classes."""
    logits, targets = _case(1, classes, torch.float64)
    last = classes - 1
    cases = {
        "never predicted": (logits.index_fill(1, torch.tensor([last]), -20.0), targets),
        "never a target": (logits, targets.where(targets != last, 0)),
        "neither": (
            logits.index_fill(1, torch.tensor([last]), -20.0),
            targets.where(targets != last, 0),
        ),
        "only the first": (logits, torch.zeros_like(targets)),
        "only the last": (logits, torch.full_like(targets, last)),
        "constant": (torch.zeros_like(logits), targets),
        "always the first": (torch.eye(classes).double()[torch.zeros_like(targets)], targets),
        "constant, and one class": (torch.zeros_like(logits), torch.zeros_like(targets)),
        "one row": (logits[:1], targets[:1]),
        "all right": (torch.eye(classes).double()[targets] * 9, targets),
        "beyond doubt": (logits * 1e3, targets),
    }
    for outputs, actual in cases.values():
        _check(name, outputs, actual)


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


def _weights(rows: int, seed: int = 9) -> Tensor:
    return torch.rand(rows, generator=torch.Generator().manual_seed(seed)).double() + 0.1


@pytest.mark.parametrize(("name", "classes"), MEASURED)
def test_weights_of_rows_of_classes_as_in_sklearn(name: str, classes: int) -> None:
    for seed in range(4):
        logits, targets = _case(seed, classes, torch.float32)
        weights = _weights(len(targets))
        _check(name, logits, targets, weights)
        _check(name, logits, targets.where(targets != classes - 1, 0), weights)


@pytest.mark.parametrize("name", REGRESSION)
def test_weights_of_rows_of_numbers_as_in_sklearn(name: str) -> None:
    targets = 100 + 30 * torch.randn(90, generator=torch.Generator().manual_seed(0))
    _check(name, targets.roll(1), targets, _weights(90))


def _labels(
    seed: int, labels: int = 3, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Random logits with ties, and labels of which each applies to some rows and not to others."""
    logits = _case(seed, labels, dtype)[0]
    drawn = torch.rand(logits.shape, generator=torch.Generator().manual_seed(seed))
    rows = (drawn + logits / 4 > 0.6).float()
    rows[0], rows[1] = 1, 0
    return logits, rows


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("labels", [2, 5])
@pytest.mark.parametrize("name", MULTILABEL)
def test_labels_agree_with_sklearn(name: str, labels: int, dtype: torch.dtype) -> None:
    for seed in range(6):
        outputs, targets = _labels(seed, labels, dtype)
        _check(name, outputs, targets)
        _check(name, outputs, targets, _weights(len(targets)))
        _check(name, outputs * 1e3, targets)
        targets[:, 0] = 0  # where scikit-learn has nothing, the mean over the other labels
        _check(name, outputs, targets)


@pytest.mark.parametrize("name", REGRESSION)
def test_several_quantities_as_in_sklearn(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    targets = torch.tensor([5.0, 100, -3000]) + torch.randn(70, 3, generator=generator)
    targets[:, 1] = 100.0
    outputs = targets + torch.tensor([0.1, 5, 300]) * torch.randn(70, 3, generator=generator)
    _check(name, outputs, targets)
    _check(name, outputs, targets, _weights(70))
    each = [METRICS[name].bound({}).function(outputs[:, k], targets[:, k]) for k in range(3)]
    together = METRICS[name].bound({}).function(outputs, targets)
    torch.testing.assert_close(together, torch.stack(each).mean())


def _any(name: str) -> tuple[Tensor, Tensor]:
    """Outputs and targets that a metric can measure."""
    outputs, targets = _case(2, 2 if METRICS[name].binary else 3, torch.float64)
    if METRICS[name].task == "multilabel":
        return _labels(2)
    return (
        (outputs[:, 0], outputs[:, 1]) if METRICS[name].task == "regression" else (outputs, targets)
    )


@pytest.mark.parametrize("name", list(METRICS))
def test_a_row_of_weight_two_counts_as_two_rows(name: str) -> None:
    outputs, targets = _any(name)
    times = torch.arange(len(targets)) % 3 + 1
    function = METRICS[name].bound({}).function
    twice = function(outputs.repeat_interleave(times, 0), targets.repeat_interleave(times, 0))
    assert function(outputs, targets, times / 2.0).item() == pytest.approx(twice.item(), rel=1e-12)
    weights = torch.full((len(targets),), 0.7)
    plain = function(outputs, targets).item()
    assert function(outputs, targets, weights).item() == pytest.approx(plain, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", REGRESSION)
def test_regression_agrees_with_sklearn(name: str, dtype: torch.dtype) -> None:
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        targets = 100 + 30 * torch.randn(90, generator=generator, dtype=dtype)
        outputs = targets + 20 * torch.randn(90, generator=generator, dtype=dtype)
        _check(name, outputs, targets)
        column = METRICS[name].bound({}).function(outputs.unsqueeze(1), targets)
        assert column.shape == ()
        assert column.item() == METRICS[name].bound({}).function(outputs, targets).item()


@pytest.mark.parametrize("name", REGRESSION)
def test_numbers_that_do_not_vary(name: str) -> None:
    same, other = torch.full((5,), 2.0).double(), torch.full((5,), 3.0).double()
    varying = torch.tensor([-1.0, 0.0, 2.0, 5.0, 1e6]).double()
    pairs = [(same, same), (same, other), (same, varying), (varying, same), (varying, varying)]
    for outputs, targets in [*pairs, (same * 0, same * 0), (other, same * 0)]:
        _check(name, outputs, targets)


@pytest.mark.parametrize("quantile", [0.05, 0.5, 0.9])
def test_pinball_of_any_quantile(quantile: float) -> None:
    targets = torch.randn(50, generator=torch.Generator().manual_seed(0)).double()
    outputs = targets.flip(0)
    metric = METRICS["pinball"].bound({"quantile": quantile})
    expected = reference.mean_pinball_loss(targets.numpy(), outputs.numpy(), alpha=quantile)
    assert metric.function(outputs, targets).item() == pytest.approx(expected, rel=1e-12)
    assert metric.name == f"pinball(quantile={quantile})"
    assert metrics.limits(metric.name) == (0, math.inf)


@pytest.mark.parametrize("k", [2, 3, 9])
def test_any_number_of_most_likely_classes(k: int) -> None:
    labels = np.arange(10)
    logits, targets = _case(4, 10, torch.float64)
    for outputs in (logits, torch.zeros_like(logits), logits.round()):
        found = METRICS["top_k_accuracy"].bound({"k": k}).function(outputs, targets).item()
        expected = reference.top_k_accuracy_score(
            targets.numpy(), outputs.numpy(), k=k, labels=labels
        )
        assert found == expected


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
    first, targets = _any(name)
    outputs = torch.stack([first, first.flip(0), -first])
    function = METRICS[name].bound({}).function
    for weights in (None, _weights(len(targets))):
        together = torch.func.vmap(function, in_dims=(0, None, None))(outputs, targets, weights)
        alone = torch.stack([function(row, targets, weights) for row in outputs])
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


@pytest.mark.parametrize("name", [name for name in CLASSIFICATION if not METRICS[name].leaves])
def test_the_limits_are_reached_and_no_value_is_beyond(name: str) -> None:
    logits, targets = _case(5, 2, torch.float64)
    certain = torch.eye(2).double()[targets] * 1e3
    low, high = metrics.limits(name)
    outputs = (certain, -certain, logits)
    values = [METRICS[name].function(each, targets).item() for each in outputs]
    assert all(low <= value <= high for value in values)
    assert values[0] == pytest.approx(high if METRICS[name].direction == "maximize" else low)


def test_every_metric_has_a_loss_of_its_task() -> None:
    for metric in METRICS.values():
        loss = LOSSES[metric.loss or USUAL[metric.task]]
        assert loss.task == metric.task
        assert {leaf.name for leaf in loss.leaves} <= {leaf.name for leaf in metric.leaves}


@pytest.mark.parametrize(
    ("name", "options", "task", "classes", "words"),
    [
        ("rmse", {}, "classification", "ab", ("rmse is for regression", "accuracy")),
        ("f1", {}, "regression", "", ("f1 is for classification", "rmse")),
        ("f1", {}, "classification", "abc", ("two classes", "3 classes: a, b, c", "f1_macro")),
        ("top_k_accuracy", {}, "classification", "ab", ("k=2", "2 classes: a, b", "accuracy")),
        ("top_k_accuracy", {"k": 3}, "classification", "abc", ("k=3", "always 1")),
        ("f1_macro", {}, "multilabel", "", ("the data is for multilabel", "label_f1_macro")),
    ],
)
def test_a_target_that_cannot_be_measured(
    name: str, options: Any, task: Any, classes: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(StudyFileError) as caught:
        METRICS[name].bound(options).check(task, tuple(classes))
    assert all(word in str(caught.value) for word in words)
    assert ("f1," in caught.value.hint) == (name == "rmse")


def test_many_classes_are_named_in_part() -> None:
    with pytest.raises(StudyFileError, match="12 classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …"):
        METRICS["f1"].check("classification", tuple(map(str, range(12))))


# Functions of the user's.


MINE = """
import torch
from sklearn.metrics import matthews_corrcoef

def mcc(predictions, targets):
    assert predictions.dtype == torch.float64 and targets.dtype == torch.int64
    assert torch.allclose(predictions.sum(1), torch.ones(len(targets)).double())
    return matthews_corrcoef(targets, predictions.argmax(1))

def cost(predictions, targets, under=2.0):
    assert predictions.shape == targets.shape and predictions.dtype == torch.float64
    error = targets - predictions
    return torch.maximum(under * error, -error).mean()

def spoiling(predictions, targets):
    predictions.zero_(), targets.zero_()
    return 0

def weighted(predictions, targets, weights=None, unit=1.0):
    assert weights is None or weights.dtype == torch.float64
    return 0 if weights is None else unit * weights.sum()

def labels(predictions, targets):
    assert predictions.dtype == torch.float64 and targets.dtype == torch.int64
    return ((predictions > 0.5) == targets).double().mean()

def raising(predictions, targets): return 1 / 0
def nothing(predictions, targets): pass
def text(predictions, targets): return "0.5"
def truth(predictions, targets): return True
def rows(predictions, targets): return predictions
def undefined(predictions, targets): return float("nan")
def unlimited(predictions, targets): return torch.tensor(torch.inf)
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., OwnMetric]:
    """A function of the user's as a metric."""
    (tmp_path / "my_measures.py").write_text(MINE)
    monkeypatch.delitem(sys.modules, "my_measures", raising=False)

    def make(name: str, task: Any = "classification", **options: Any) -> OwnMetric:
        return OwnMetric(f"my_measures:{name}", task, options, tmp_path)

    return make


def test_a_function_of_ones_own_gets_probabilities(mine: Callable[..., OwnMetric]) -> None:
    logits, targets = _case(6, 3, torch.float32)
    expected = METRICS["mcc"].function(logits, targets).item()
    assert mine("mcc")(logits, targets).item() == pytest.approx(expected, rel=1e-12)


def test_a_function_of_ones_own_gets_numbers_and_options(mine: Callable[..., OwnMetric]) -> None:
    targets = torch.arange(5.0)
    for outputs in (targets - 1, (targets - 1).unsqueeze(1)):
        assert mine("cost", "regression")(outputs, targets).item() == 2.0
        assert mine("cost", "regression", under=5)(outputs, targets).item() == 5.0


def test_a_function_of_ones_own_gets_weights_where_it_takes_them(
    mine: Callable[..., OwnMetric],
) -> None:
    values, weights = torch.ones(3), torch.tensor([1.0, 2.0, 4.0])
    assert mine("weighted", "regression")(values, values).item() == 0
    assert mine("weighted", "regression", unit=2.0)(values, values, weights).item() == 14
    assert mine("cost", "regression")(values - 1, values, weights).item() == 2  # all rows alike
    assert mine("weighted").weighs
    assert not mine("cost").weighs


def test_a_function_of_ones_own_gets_labels_and_several_quantities(
    mine: Callable[..., OwnMetric],
) -> None:
    logits, targets = _labels(1)
    found = mine("labels", "multilabel")(logits, targets)
    assert found.item() == pytest.approx(METRICS["label_accuracy"].function(logits, targets).item())
    with pytest.raises(TrainingError) as caught:
        mine("raising", "multilabel")(logits[:4], targets[:4])
    assert "probabilities, float64 [4, 3], and labels, int64 [4, 3]" in caught.value.hint
    assert mine("cost", "regression")(logits - 1, logits).item() == pytest.approx(2.0)


def test_a_function_of_ones_own_cannot_change_the_data(mine: Callable[..., OwnMetric]) -> None:
    outputs, targets = torch.ones(3).double(), torch.ones(3).double()
    assert mine("spoiling", "regression")(outputs, targets).item() == 0
    assert targets.tolist() == outputs.tolist() == [1, 1, 1]
    classes = torch.tensor([0, 1])
    mine("spoiling")(torch.eye(2), classes)
    assert classes.tolist() == [0, 1]


def test_a_training_that_diverged_is_not_the_functions_fault(
    mine: Callable[..., OwnMetric],
) -> None:
    value = mine("raising")(torch.tensor([[0.0, math.nan]]), torch.tensor([1]))
    assert math.isnan(value.item())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raising", "the metric raised ZeroDivisionError: division by zero"),
        ("nothing", "the metric returned None"),
        ("text", "the metric returned '0.5'"),
        ("truth", "the metric returned true"),
        ("rows", "the metric returned tensor"),
        ("undefined", "the metric returned nan, which is not a finite number"),
        ("unlimited", "the metric returned tensor(inf)"),
    ],
)
def test_a_function_of_ones_own_that_fails(
    mine: Callable[..., OwnMetric], name: str, words: str
) -> None:
    with pytest.raises(TrainingError) as caught:
        mine(name)(torch.eye(2), torch.tensor([0, 1]))
    assert caught.value.where == f"my_measures:{name}"
    assert caught.value.message.startswith(words)


def test_what_a_function_that_raises_was_given(mine: Callable[..., OwnMetric]) -> None:
    with pytest.raises(TrainingError) as caught:
        mine("raising")(torch.eye(2), torch.tensor([0, 1]))
    assert "probabilities, float64 [2, 2], and classes, int64 [2]" in caught.value.hint
    with pytest.raises(TrainingError) as caught:
        mine("raising", "regression")(torch.ones(4), torch.ones(4))
    assert "predictions and targets, float64 [4]" in caught.value.hint


def test_a_function_that_is_not_allowed_is_not_imported(mine: Callable[..., OwnMetric]) -> None:
    with allowing(Allowed()), pytest.raises(StudyFileError, match="my_measures"):
        mine("mcc")(torch.eye(2), torch.tensor([0, 1]))
    assert "my_measures" not in sys.modules


def test_the_name_of_a_function_shows_its_options() -> None:
    metric = own_metric("a.b:c", "minimize", {"x": 2.5, "y": True}, "regression", Path())
    assert metric.name == "a.b:c(x=2.5, y=true)"
    assert metrics.limits(metric.name) == (metric.low, metric.high) == (-math.inf, math.inf)
