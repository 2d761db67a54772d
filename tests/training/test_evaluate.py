from __future__ import annotations

import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from tuner.data.dataset import DataSet, Split, Target
from tuner.errors import StudyFileError
from tuner.losses import brier, cross_entropy, mse
from tuner.metrics import METRICS, own_metric
from tuner.techniques.norm_dropout import Dropout
from tuner.training import evaluate as module
from tuner.training.evaluate import check_metric, evaluate, in_chunks, predict
from tuner.training.trainer import in_precision


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = nn.Linear(3, 2).double(), torch.randn(1000, 3, dtype=torch.float64)
    whole = predict(network, x)
    sizes: list[int] = []
    network.register_forward_hook(lambda layer, given, out: sizes.append(len(given[0])))
    monkeypatch.setattr(module, "CHUNK", 1200)
    torch.testing.assert_close(predict(network, x), whole)
    assert whole.shape == (1000, 2)
    assert sizes == [400, 400, 200]
    monkeypatch.setattr(module, "CHUNK", 1)
    predict(network, x)
    assert max(sizes[3:]) == 256


def test_words_stay_whole_numbers_and_come_in_chunks() -> None:
    x = torch.randint(0, 9, (600, 4), dtype=torch.int32)
    split = Split(x, torch.zeros(600, dtype=torch.int64))
    data = in_precision(DataSet(split, split, (4,), Target("classification")), torch.float64)
    assert data.train.x.dtype == data.validation.x.dtype == torch.int32
    sizes: list[int] = []
    network = nn.Embedding(9, 2)
    network.register_forward_hook(lambda module, given, out: sizes.append(len(given[0])))
    assert torch.equal(predict(network, data.train.x), network(x))
    assert sizes[:3] == [256, 256, 88]


def test_evaluation_mode() -> None:
    network = nn.Sequential(Dropout((3,), 0.5)).train()
    network[0].mask = torch.zeros(2, 3)
    x = torch.ones(2, 3)
    assert torch.equal(predict(network, x), x)
    assert not network.training


def test_regression_is_measured_in_the_targets_unit() -> None:
    target = Target("regression", (), mean=100.0, scale=10.0)
    split = Split(torch.tensor([[1.0], [2.0]]), torch.tensor([1.5, 2.0]))
    data = DataSet(split, split, (1,), target)
    value, loss = evaluate(nn.Identity(), split, data, METRICS["mae"], mse)
    assert value == pytest.approx(2.5)
    assert loss == pytest.approx(0.125)
    assert target.in_units(torch.tensor([0.0, 1.0])).tolist() == [100.0, 110.0]


def test_predictions_of_a_logarithm_are_in_the_targets_unit_and_within_its_limits() -> None:
    target = Target("regression", (), mean=1.0, scale=2.0, form="log", limits=(0.5, 100.0))
    split = Split(torch.tensor([[-1.0], [1.0], [9.0]]), torch.tensor([-1.0, 0.0, 1.0]))
    data = DataSet(split, split, (1,), target)
    assert target.predicted(split.x.squeeze(1)).tolist() == [0.5, pytest.approx(math.exp(3)), 100]
    own = [math.exp(-1), math.exp(1), math.exp(3)]
    assert target.in_units(split.y).tolist() == pytest.approx(own)  # a target is not clipped
    value, loss = evaluate(nn.Identity(), split, data, METRICS["mae"], mse)
    errors = [0.5 - own[0], math.exp(3) - own[1], 100 - own[2]]
    assert value == pytest.approx(sum(errors) / 3)
    assert loss == pytest.approx((0 + 1 + 64) / 3)
    counts = Target("regression", (), form="log1p")
    assert counts.predicted(torch.tensor([0.0, math.log(4)])).tolist() == pytest.approx([0, 3])


def test_classification() -> None:
    target = Target("classification", ("a", "b"))
    split = Split(torch.tensor([[2.0, 0], [0, 1], [3, 1]]), torch.tensor([0, 1, 1]))
    data = DataSet(split, split, (2,), target)
    value, loss = evaluate(nn.Identity(), split, data, METRICS["accuracy"], cross_entropy)
    assert value == pytest.approx(2 / 3)
    assert loss == pytest.approx(float(nn.functional.cross_entropy(split.x, split.y)))
    value, loss = evaluate(nn.Identity(), split, data, METRICS["brier"], brier)
    assert loss == pytest.approx(2 * value)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_metric_of_ones_own_is_called_before_any_trial(task: str, tmp_path: Path) -> None:
    """With the validation targets, and with predictions that may be."""
    (tmp_path / f"measure_{task}.py").write_text(
        "seen = []\n\n"
        "def right(predictions, targets):\n"
        "    seen.append((predictions, targets))\n"
        "    return 0.5\n\n"
        "def wrong(predictions, targets):\n"
        "    return targets[99]\n"
    )
    classes = ("a", "b") if task == "classification" else ()
    target = Target(task, classes, 0.0 if classes else 9.0)  # type: ignore[arg-type]
    y = torch.tensor([0, 1, 1]) if classes else torch.tensor([1.0, 2.0, 4.0])
    data = DataSet(Split(torch.zeros(3, 2), y), Split(torch.zeros(3, 2), y), (2,), target)

    def check(name: str) -> None:
        reference = f"measure_{task}:{name}"
        check_metric(own_metric(reference, "maximize", {}, target.task, tmp_path), data)

    check("right")
    [(predictions, targets)] = sys.modules[f"measure_{task}"].seen
    assert targets.tolist() == ([0, 1, 1] if classes else [10, 11, 13])
    if classes:
        torch.testing.assert_close(predictions.sum(1), torch.ones(3).double())
    else:
        assert predictions.tolist() == [13, 10, 11]
    with pytest.raises(StudyFileError, match="the metric raised IndexError"):
        check("wrong")
    with pytest.raises(StudyFileError, match="no function 'absent'"):
        check("absent")
    check_metric(METRICS["accuracy"], data)  # not one of ones own


def test_a_gpu_gets_larger_pieces(pretend: ModuleType) -> None:
    sizes: list[int] = []

    def network(x: Tensor) -> Tensor:
        sizes.append(len(x))
        return x

    x = torch.zeros(5000, 2**10)
    assert in_chunks(network, x).shape == x.shape
    assert sizes == [256] * 19 + [136]
    sizes.clear()
    with pretend.pretend_gpu():
        assert in_chunks(network, x.to(pretend.DEVICE)).shape == x.shape
        assert sizes == [5000]
        sizes.clear()
        narrow = torch.zeros(2**16 + 7, 2).to(pretend.DEVICE)
        assert in_chunks(network, narrow).shape == narrow.shape
    assert sizes == [2**16, 7]
