"""What the outputs of a network mean."""

from __future__ import annotations

import json
import math

import pytest
import torch

from tuner.data import Target

CLASSES = Target("classification", ("a", "b", "c"))
LABELS = Target("multilabel", names=("a", "b"))
ONE = Target("regression", (), 6.0, 2.0, "log1p", (0.5, 100.0))
SEVERAL = Target(
    *("regression", (), (6.0, 0.0), (2.0, 0.5), "linear", ((0.0, -1.0), (7.0, 1.0)), ("x", "y"))
)
EACH = pytest.mark.parametrize("target", [CLASSES, LABELS, ONE, SEVERAL])


def test_outputs() -> None:
    assert [each.outputs for each in (CLASSES, LABELS, ONE, SEVERAL)] == [3, 2, 1, 2]


@EACH
def test_a_record_gives_the_target(target: Target) -> None:
    assert Target.from_json(json.loads(json.dumps(target.to_json()))) == target


def test_older_records() -> None:
    record = {"task": "regression", "classes": [], "mean": 5.0, "scale": 2}
    assert Target.from_json(record) == Target("regression", (), 5.0, 2.0)
    with pytest.raises(KeyError):
        Target.from_json({**record, "form": "cubic"})


def test_rows_as_losses_take_them() -> None:
    assert CLASSES.rows(torch.tensor([2, 0]), torch.float64).tolist() == [[0, 0, 1], [1, 0, 0]]
    y = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    assert torch.equal(LABELS.rows(y, torch.float32), y)
    assert SEVERAL.rows(y, torch.float64).dtype == torch.float64
    assert ONE.rows(torch.tensor([1.0, 2.0]), torch.float32).tolist() == [[1], [2]]


def test_each_quantity_has_its_own_unit_and_limits() -> None:
    values = torch.tensor([[0.0, 0.0], [1.0, 4.0], [-9.0, -9.0]])
    assert SEVERAL.in_units(values).tolist() == [[6, 0], [8, 2], [-12, -4.5]]
    assert SEVERAL.predicted(values).tolist() == [[6, 0], [7, 1], [0, -1]]
    stacked = SEVERAL.predicted(values.expand(2, 3, 2))
    assert torch.equal(stacked[1], SEVERAL.predicted(values))
    assert SEVERAL.in_deviations(values).tolist() == [[3, 0], [4, 4], [-6, -9]]
    logarithms = Target("regression", (), (0.0, 1.0), (2.0, 3.0), "log", None, ("x", "y"))
    ones = logarithms.in_deviations(torch.ones(2).double())
    assert ones.tolist() == pytest.approx([math.exp(2) / 2, math.exp(4) / (3 * math.e)])
    assert [each.mean for each in logarithms.each] == [0, 1]
    assert SEVERAL.each[1] == Target("regression", (), 0.0, 0.5, "linear", (-1.0, 1.0))


def test_what_metrics_take() -> None:
    outputs, y = torch.tensor([[0.0], [9.0]]), torch.tensor([0.0, 1.0])
    predicted, actual = ONE.judged(outputs, y)
    assert predicted.tolist() == [100.0, 100.0]
    assert torch.equal(actual, ONE.in_units(y))
    pair = torch.randn(4, 2), torch.randn(4, 2)
    assert SEVERAL.judged(*pair)[0].shape == SEVERAL.judged(*pair)[1].shape == (4, 2)
    assert all(a is b for a, b in zip(LABELS.judged(*pair), pair, strict=True))


def test_probabilities() -> None:
    outputs = torch.randn(2, 4, 3)
    torch.testing.assert_close(CLASSES.probabilities(outputs).sum(2), torch.ones(2, 4))
    assert torch.equal(LABELS.probabilities(outputs), outputs.sigmoid())
    assert torch.equal(LABELS.shares(outputs), outputs.sigmoid())
    assert SEVERAL.shares(outputs) is outputs
