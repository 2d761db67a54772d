"""How predictions fall out: confusion and calibration of classes, pairs of a quantity."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from sklearn.metrics import confusion_matrix

from tuner.data import load
from tuner.study import define_study
from tuner.training.outcome import PAIRS, outcome, outputs_of
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
