from __future__ import annotations

import pytest
import torch

from tuner.techniques import TECHNIQUES, Technique
from tuner.training.network import KINDS

RATES = [t for t in TECHNIQUES if t.name.endswith("_rate") and t.update]
UPDATE = torch.tensor([[1.0, 2.0, -3.0], [1.0, 2.0, -3.0]])
MASK = torch.tensor([1.0, 0.0, 1.0])


@pytest.mark.parametrize("technique", RATES, ids=lambda t: t.name)
def test_a_factor_is_for_the_marked_parameters_alone(technique: Technique) -> None:
    assert technique.update
    found = technique.update(UPDATE, UPDATE, MASK, torch.tensor([[6.0], [0.5]]))
    assert found.tolist() == [[6.0, 2.0, -18.0], [0.5, 2.0, -1.5]]
    assert technique.update(UPDATE[0], UPDATE[0], MASK, 6.0).tolist() == [6.0, 2.0, -18.0]


def test_each_has_a_kind_of_its_own_and_comes_after_the_decay() -> None:
    kinds = {t.name: t.marks for t in RATES}
    assert kinds == {"scale_rate": "scales", "bias_rate": "biases", "first_layer_rate": "first"}
    assert {t.marks for t in TECHNIQUES} == set(KINDS)
    names = [t.name for t in TECHNIQUES]
    assert names.index("weight_decay") < min(names.index(t.name) for t in RATES)
