from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tuner.data.dataset import DataSet, Split, Target
from tuner.errors import TrainingError
from tuner.metrics import METRICS, RANKED
from tuner.training import trainer
from tuner.training.trainer import Epoch, Trainer


def run(config: Any, data: DataSet, metric: str, seed: int = 0, **options: Any) -> Trainer:
    trainer = Trainer(config, data, METRICS[metric], seed, **options)
    for _ in trainer.epochs():
        pass
    return trainer


def test_learns_classes(config: Any, blobs: DataSet) -> None:
    trainer = run(config(epochs=15, learning_rate=0.03), blobs, "accuracy")
    assert trainer.result.value > 0.85
    assert trainer.past[-1].train_loss < trainer.past[0].train_loss
    assert trainer.past[-1].validation_loss < trainer.past[0].validation_loss


@pytest.mark.parametrize("family", ["linear", "mlp"])
def test_regression_improves_in_the_targets_unit(
    family: str, config: Any, diabetes: DataSet
) -> None:
    trainer = run(config(family=family, epochs=20, batch_size=32), diabetes, "rmse")
    spread = diabetes.target.scale * float(diabetes.validation.y.std())
    assert trainer.past[0].value > trainer.past[-1].value
    assert 40 < trainer.result.value < 0.8 * spread


def test_epochs(config: Any, blobs: DataSet) -> None:
    trainer = Trainer(config(epochs=3), blobs, METRICS["accuracy"], 0)
    assert trainer.epoch == 0
    assert not trainer.done
    assert trainer.history == []
    seen = []
    for epoch in trainer.epochs():
        seen.append(epoch)
        assert trainer.epoch == epoch.number == len(seen)
        assert trainer.between_epochs
        value, loss = trainer.evaluate()
        assert (value, loss) == (epoch.value, epoch.validation_loss)
    assert trainer.past == seen
    assert trainer.history == [epoch.value for epoch in seen]
    assert trainer.done
    assert list(trainer.epochs()) == []
    assert trainer.state.count == 3 * trainer.steps == 12


class Made(TorchDispatchMode):
    """Knows of every tensor that torch makes how many numbers it has."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        self.sizes += [each.numel() for each in tree_leaves(found) if hasattr(each, "numel")]
        return found


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "f1_macro", "cross_entropy"])
def test_many_classes_take_no_number_for_each_class_of_each_row(config: Any, metric: str) -> None:
    rows, classes, block = 6000, 500, trainer.BLOCK
    assert rows * classes > block
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, classes, (rows,), generator=generator)
    x = torch.randn(rows, 2, generator=generator)
    names = tuple(map(str, range(classes)))
    parts = Split(x, y), Split(x[:500], y[:500])
    data = DataSet(*parts, (2,), Target("classification", names))
    mixing = {"mixup": 0.2, "label_smoothing": 0.1, "class_weights": "balanced"}
    with Made() as made:
        run(config(family="linear", epochs=1, batch_size=500, **mixing), data, metric)
    assert 500 * classes in made.sizes  # of a batch
    assert max(made.sizes) <= block


def test_a_metric_of_many_classes_takes_none_either() -> None:
    rows, classes = 4000, 500
    outputs = torch.randn(rows, classes, generator=torch.Generator().manual_seed(0))
    y = torch.arange(rows) % classes
    for name in ("accuracy", "balanced_accuracy", "f1_macro"):
        with Made() as made:
            METRICS[name].function(outputs, y)
        assert max(made.sizes) == rows
    with Made() as made:
        METRICS["roc_auc"].function(outputs, y)
    large = [size for size in made.sizes if size > RANKED]
    assert {*large} == {rows * classes}
    assert len(large) <= 5  # the logits once more, and the logarithms of the shares


def test_targets_do_not_depend_on_how_many_are_made_at_a_time(
    config: Any, blobs: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = config(mixup=0.3)
    whole = run(values, blobs, "accuracy")
    monkeypatch.setattr(trainer, "BLOCK", 1)
    apart = run(values, blobs, "accuracy")
    assert torch.equal(whole.params, apart.params)


def test_finite() -> None:
    assert Epoch(1, 0.5, 0.1, 0.1).finite
    assert not Epoch(1, math.nan, 0.1, 0.1).finite
    assert not Epoch(1, 0.5, math.inf, 0.1).finite


def test_divergence_shows(config: Any, diabetes: DataSet) -> None:
    wild = config(optimizer="sgd", learning_rate=1e6, epochs=3)
    trainer = Trainer(wild, diabetes, METRICS["rmse"], 0)
    assert not all(epoch.finite for epoch in trainer.epochs())


@pytest.mark.parametrize("rows", [1, 2, 16, 17, 33])
def test_few_rows(rows: int, config: Any, blobs: DataSet) -> None:
    few = DataSet(
        type(blobs.train)(blobs.train.x[:rows], blobs.train.y[:rows]),
        blobs.validation,
        blobs.shape,
        blobs.target,
    )
    assert run(config(epochs=2, dropout=0.2), few, "accuracy").past[-1].finite


def test_batches_of_one(config: Any, blobs: DataSet) -> None:
    trainer = run(config(epochs=1, batch_size=1), blobs, "accuracy")
    assert trainer.steps == len(blobs.train)
    assert trainer.result.finite


def test_the_last_batch_of_one_row_is_left_out(config: Any, blobs: DataSet) -> None:
    """65 rows in batches of 16 with batch normalization, which one row would break."""
    trainer = run(config(batch_norm=True), blobs, "accuracy")
    assert trainer.steps == 4
    assert trainer.past[-1].finite


def test_no_result_before_the_first_epoch(config: Any, blobs: DataSet) -> None:
    with pytest.raises(TrainingError, match="before the first epoch"):
        _ = Trainer(config(), blobs, METRICS["accuracy"], 0).result


def test_the_last_epoch_counts(config: Any, blobs: DataSet) -> None:
    trainer = run(config(learning_rate=0.3), blobs, "accuracy")
    assert trainer.result is trainer.past[-1]
    assert trainer.best is None


@pytest.mark.parametrize("metric", ["accuracy", "cross_entropy"])
@pytest.mark.parametrize("extra", [{}, {"ema": 0.9, "batch_norm": True}], ids=str)
def test_with_early_stopping_the_best_epoch_counts(
    metric: str, extra: dict[str, Any], config: Any, blobs: DataSet
) -> None:
    of = config(epochs=60, learning_rate=0.2, early_stopping=3, **extra)
    trainer = run(of, blobs, metric)
    assert trainer.epoch < 60
    best = (max if metric == "accuracy" else min)(trainer.history)
    assert trainer.result.value == best
    assert trainer.result.number == max(i for i, v in enumerate(trainer.history, 1) if v == best)
    assert trainer.epoch == trainer.history.index(best) + 1 + 3
    trainer.network.load_state_dict(trainer.weights(), strict=True)
    assert _measured(trainer) == (trainer.result.value, trainer.result.validation_loss)


@pytest.mark.parametrize("extra", [{}, {"ema": 0.9}, {"batch_norm": True, "dropout": 0.3}], ids=str)
def test_weights_give_the_result(extra: dict[str, Any], config: Any, blobs: DataSet) -> None:
    trainer = run(config(**extra), blobs, "cross_entropy")
    weights = trainer.weights()
    assert weights.keys() == trainer.network.state_dict().keys()
    trainer.network.load_state_dict(weights, strict=True)
    assert _measured(trainer) == (trainer.result.value, trainer.result.validation_loss)
    trainer.params.zero_()
    assert any(bool(tensor.any()) for tensor in weights.values())


def _measured(trainer: Trainer) -> tuple[float, float]:
    """With the network as it is, no average of any technique."""
    from tuner.training.evaluate import evaluate

    rows, loss = trainer.data.validation, trainer.recipe.loss
    return evaluate(trainer.network, rows, trainer.data, trainer.metric, loss)


def test_of_equal_best_epochs_the_last_counts(config: Any, blobs: DataSet) -> None:
    trainer = Trainer(config(early_stopping=9, epochs=9), blobs, METRICS["accuracy"], 0)
    trainer.past = [Epoch(i + 1, v, 1.0, 1.0) for i, v in enumerate([0.5, 0.7, 0.6, 0.7, 0.1])]
    assert trainer.result.number == 4


def test_a_value_that_is_no_number_is_never_the_best(config: Any, blobs: DataSet) -> None:
    trainer = Trainer(config(early_stopping=2, epochs=9), blobs, METRICS["cross_entropy"], 0)
    trainer.past = [Epoch(1, math.nan, 1.0, 1.0), Epoch(2, 0.7, 1.0, 1.0)]
    assert trainer.result.number == 2
    assert not trainer.done
    trainer.past += [Epoch(3, math.nan, 1.0, 1.0), Epoch(4, math.nan, 1.0, 1.0)]
    assert trainer.done


def test_precision(config: Any, blobs: DataSet) -> None:
    single, double = (
        run(config(dropout=0.1, mixup=0.2), blobs, "cross_entropy", dtype=dtype)
        for dtype in (torch.float32, torch.float64)
    )
    assert single.params.dtype == torch.float32
    assert double.params.dtype == torch.float64
    assert double.data.train.x.dtype == torch.float64
    assert single.result.value == pytest.approx(double.result.value, rel=1e-3)


def test_validation_rows_are_not_trained_on(config: Any, blobs: DataSet) -> None:
    other = DataSet(
        blobs.train,
        type(blobs.train)(blobs.validation.x + 5, blobs.validation.y),
        (2,),
        blobs.target,
    )
    one, two = (run(config(), data, "accuracy") for data in (blobs, other))
    assert torch.equal(one.params, two.params)
    assert one.history != two.history


# Weights of rows.


def with_weights(data: DataSet, train: torch.Tensor, validation: torch.Tensor) -> DataSet:
    return replace(
        data,
        train=replace(data.train, weight=train / train.mean()),
        validation=replace(data.validation, weight=validation / validation.mean()),
    )


def repeated(data: DataSet, train: torch.Tensor, validation: torch.Tensor) -> DataSet:
    def split(rows: Split, times: torch.Tensor) -> Split:
        return Split(rows.x[:].repeat_interleave(times, 0), rows.y.repeat_interleave(times))

    return replace(
        data, train=split(data.train, train), validation=split(data.validation, validation)
    )


@pytest.mark.parametrize("metric", ["f1_macro", "roc_auc", "brier"])
def test_a_row_of_weight_two_is_learned_like_two_rows(
    metric: str, config: Any, blobs: DataSet
) -> None:
    times = [torch.arange(len(split)) % 3 + 1 for split in (blobs.train, blobs.validation)]
    of = config(epochs=5, batch_size=10_000, optimizer="sgd", learning_rate=0.5)
    weighted = run(
        of, with_weights(blobs, *(t.double() for t in times)), metric, dtype=torch.float64
    )
    twice = run(of, repeated(blobs, *times), metric, dtype=torch.float64)
    plain = run(of, blobs, metric, dtype=torch.float64)
    torch.testing.assert_close(weighted.params, twice.params, rtol=1e-6, atol=1e-7)
    for a, b in zip(weighted.past, twice.past, strict=True):
        assert (a.value, a.train_loss, a.validation_loss) == pytest.approx(
            (b.value, b.train_loss, b.validation_loss), rel=1e-6
        )
    assert not torch.allclose(weighted.params, plain.params, rtol=1e-3)


def test_numbers_with_weights_are_learned_like_repeated_rows(
    config: Any, diabetes: DataSet
) -> None:
    times = [torch.arange(len(split)) % 3 + 1 for split in (diabetes.train, diabetes.validation)]
    for loss in ("mse", "mae", "mape", "pinball"):
        of = config(epochs=3, batch_size=10_000, optimizer="sgd", loss=loss, pinball__quantile=0.5)
        data = with_weights(diabetes, *(t.double() for t in times))
        weighted = run(of, data, "r2", dtype=torch.float64)
        twice = run(of, repeated(diabetes, *times), "r2", dtype=torch.float64)
        torch.testing.assert_close(weighted.params, twice.params, rtol=1e-6, atol=1e-7)
        assert weighted.result.value == pytest.approx(twice.result.value, rel=1e-6)
