"""How predictions fall out: confusion and calibration of classes, pairs of a quantity."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, confusion_matrix

from tuner.data import load
from tuner.study import define_study
from tuner.training import outcome as outcomes
from tuner.training.folds import training
from tuner.training.outcome import PAIRS, outcome, outputs_of, predictions, standard_error
from tuner.training.trainer import Trainer


def trained(source: str) -> Trainer:
    study = define_study("made", data={"source": source}, training={"epochs": 2})
    data = load(study.data)
    config: dict[str, Any] = study.config(study.baseline())
    trainer = Trainer(config, data, study.metric_for(data.target), 0)
    list(trainer.epochs())
    return trainer


def test_the_confusion_of_classes_is_scikit_learns() -> None:
    trainer = trained("sklearn.datasets:load_wine")
    found = outcome(trainer)
    outputs, y = outputs_of(trainer)
    assert found["confusion"] == confusion_matrix(y, outputs.argmax(1), labels=range(3)).tolist()
    assert len(found["classes"]) == 3
    assert json.loads(json.dumps(found)) == found


def test_the_standard_error_of_an_accuracy_is_binomial_and_never_zero() -> None:
    trainer = trained("sklearn.datasets:load_wine")
    rows = len(trainer.data.validation)
    half = standard_error(trainer, 0.5)["standard_error"]
    assert half == pytest.approx((0.25 / rows) ** 0.5)
    assert 0 < standard_error(trainer, 1.0)["standard_error"] < half


def test_the_standard_error_of_other_metrics_is_that_of_the_jackknife() -> None:
    trainer = trained("sklearn.datasets:load_diabetes")
    outputs, y = outputs_of(trainer)
    squared = (outputs - y).double() ** 2
    of_mean_square = float(squared.std()) / len(y) ** 0.5
    by_the_delta_method = of_mean_square / (2 * float(squared.mean()) ** 0.5)
    error = standard_error(trainer, 0.0)["standard_error"]
    assert error == pytest.approx(by_the_delta_method, rel=0.5)


def test_few_rows_have_no_standard_error() -> None:
    study = define_study("made", data={"source": "sklearn.datasets:load_wine"}, metric="f1_macro")
    data = load(replace(study.data, validation=0.1))
    config: dict[str, Any] = study.config(study.baseline())
    trainer = Trainer(config, data, study.metric_for(data.target), 0)
    assert len(data.validation) < 40
    assert standard_error(trainer, 0.5) == {}


def test_calibration_is_of_all_rows() -> None:
    trainer = trained("sklearn.datasets:load_wine")
    bins = outcome(trainer)["calibration"]
    outputs, y = outputs_of(trainer)
    assert sum(rows for rows, _, _ in bins) == len(y)
    right = sum(rows * share for rows, _, share in bins)
    assert right == pytest.approx(int((outputs.argmax(1) == y).sum()))
    for i, (rows, sure, _) in enumerate(bins):
        assert rows == 0 or i / 10 <= sure <= (i + 1) / 10


def test_a_quantity_is_in_its_own_unit() -> None:
    trainer = trained("sklearn.datasets:load_diabetes")
    found = outcome(trainer)
    _, y = outputs_of(trainer)
    assert len(found["actual"]) == len(found["predicted"]) == min(PAIRS, len(y))
    assert 25 <= min(found["actual"]) < max(found["actual"]) <= 346
    assert found["actual"] == pytest.approx(torch.as_tensor(y).tolist(), rel=1e-5)


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_each_of_several_targets(task: str, tmp_path: Path) -> None:
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(1))
    y = x[:, :2] > 0 if task == "multilabel" else x[:, :2] * torch.tensor([1.0, 100.0])
    np.savez(tmp_path / "rows.npz", x=x, y=y)
    path = str(tmp_path / "rows.npz")
    study = define_study("made", data={"path": path}, training={"epochs": 2})
    data = load(study.data)
    metric = study.metric_for(data.target)
    trainer = Trainer(study.config(study.baseline()), data, metric, 0)
    list(trainer.epochs())
    outputs, y = outputs_of(trainer)
    found = outcome(trainer)
    assert [*found] == ["each"]
    assert [each["name"] for each in found["each"]] == ["y0", "y1"]
    for k, each in enumerate(found["each"]):
        assert ("calibration" in each) == (task == "multilabel")
        if task == "regression":
            error = (outputs[:, k] - y[:, k]).square().mean().sqrt()
            assert each["value"] == pytest.approx(float(error))
            continue
        chances = outputs[:, k].sigmoid()
        expected = average_precision_score(y[:, k], chances)
        assert each["value"] == pytest.approx(expected)
        bins = each["calibration"]
        assert sum(rows for rows, _, _ in bins) == len(y)
        assert sum(rows * share for rows, _, share in bins) == pytest.approx(float(y[:, k].sum()))
        assert sum(r * mean for r, mean, _ in bins) == pytest.approx(float(chances.sum()), rel=1e-4)


def test_predictions_are_of_all_rows_or_of_some_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trained("sklearn.datasets:load_wine")
    outputs, y = outputs_of(trainer)
    found = predictions(trainer)
    assert torch.equal(found["outputs"], outputs.softmax(1))
    assert torch.equal(found["targets"], y)
    assert found["sizes"].tolist() == [len(y)]
    monkeypatch.setattr(outcomes, "NUMBERS", 3 * 5)
    few = predictions(trainer)
    assert few["sizes"].tolist() == [5]
    assert torch.equal(few["outputs"][[0, -1]], found["outputs"][[0, -1]])
    values = predictions(trained("sklearn.datasets:load_diabetes"))
    assert values["outputs"].shape == values["targets"].shape == (15,)
    assert 25 < float(values["outputs"].mean()) < 350  # in the target's unit


def test_predictions_of_folds_are_each_of_its_own_rows() -> None:
    data = {"source": "sklearn.datasets:load_wine", "validation": {"folds": 3}}
    study = define_study("made", data=data, training={"epochs": 1})
    rows = load(study.data)
    course = training(study.config(study.baseline()), rows, study.metric_for(rows.target), 0)
    list(course.epochs())
    found = predictions(course)
    assert found["sizes"].tolist() == [len(part.data.validation) for part in course.parts]
    assert torch.equal(found["targets"], torch.cat([p.data.validation.y for p in course.parts]))
    first = outputs_of(course.parts[0])[0].softmax(1)
    assert torch.equal(found["outputs"][: len(first)], first)


def test_weights_of_rows() -> None:
    trainer = trained("sklearn.datasets:load_wine")
    rows = trainer.data.validation
    weight = torch.linspace(0.2, 1.8, len(rows))
    half = standard_error(trainer, 0.5)["standard_error"]
    assert "weights" not in predictions(trainer)
    trainer.data = replace(trainer.data, validation=replace(rows, weight=weight))
    assert torch.equal(predictions(trainer)["weights"], weight)
    count = float(weight.sum() ** 2 / (weight**2).sum())
    assert count < len(rows)
    assert standard_error(trainer, 0.5)["standard_error"] == pytest.approx((0.25 / count) ** 0.5)
    assert half < standard_error(trainer, 0.5)["standard_error"]
