"""A network of plain layers, its program and its ONNX file give the same numbers."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from tuner.exports.network import network_of, onnx_file, program, traced
from tuner.models.base import ACTIVATIONS
from tuner.models.inputs import learn
from tuner.study.catalogue import SECTIONS
from tuner.training.network import build_network, plan

SHAPE, OUTPUTS = (5,), 3


def config(**changes: Any) -> dict[str, Any]:
    defaults = {leaf.name: leaf.default for leaves in SECTIONS.values() for leaf in leaves}
    return {**defaults, "width": 8, **changes}


def check(network: nn.Module, rows: Tensor, expected: Tensor) -> None:
    """Compares the network, its program and its ONNX file with the expected outputs of rows."""
    exported = traced(network, rows[:2])
    loaded = torch.export.load(io.BytesIO(program(exported))).module()
    session = onnxruntime.InferenceSession(onnx_file(exported, rows[:2]))
    for some in (slice(1), slice(None)):
        (of_onnx,) = session.run(["outputs"], {"rows": rows[some].numpy()})
        for outputs in (network(rows[some]), loaded(rows[some]), torch.from_numpy(of_onnx)):
            np.testing.assert_allclose(
                outputs.detach().numpy(), expected[some].detach().numpy(), rtol=1e-5, atol=1e-6
            )


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation: str) -> None:
    of = config(activation=activation)
    ours = build_network(plan(of), SHAPE, OUTPUTS, seed=4).eval()
    network = network_of(of, SHAPE, OUTPUTS)
    network.load_state_dict(ours.state_dict())
    rows = torch.randn(7, *SHAPE, generator=torch.Generator().manual_seed(1))
    check(network, rows, ours(rows))


@pytest.mark.parametrize("form", ["plr", "pbld", ""])
def test_embeddings_of_numbers_and_a_scale(form: str) -> None:
    name = (
        {"numbers": "periodic", "periodic.form": form} if form else {"numbers": "piecewise-linear"}
    )
    of = config(input_scale=True, categories="embedding", **name)
    inputs = None, (range(1, 4),), (0, 4)
    rows = torch.randn(7, *SHAPE, generator=torch.Generator().manual_seed(1))
    ours = build_network(plan(of), SHAPE, OUTPUTS, 4, *inputs).eval()
    learn(ours, rows)
    network = network_of(of, SHAPE, OUTPUTS, *inputs)
    network.load_state_dict(ours.state_dict())
    check(network, rows, ours(rows))


@pytest.mark.parametrize("outputs", [1, 3])
def test_members(outputs: int) -> None:
    of = config(members=4, dropout=0.2, batch_norm=True, residual=True)
    ours = build_network(plan(of), SHAPE, outputs, seed=4).eval()
    network = network_of(of, SHAPE, outputs)
    network.load_state_dict(ours.state_dict())
    rows = torch.randn(7, *SHAPE, generator=torch.Generator().manual_seed(1))
    check(network, rows, ours(rows))


@pytest.mark.parametrize("normalization", ["batch", "layer", "group"])
@pytest.mark.parametrize("shape", [(5,), (2, 6, 5)])
def test_normalization_and_residual_branches(shape: tuple[int, ...], normalization: str) -> None:
    family = "mlp" if len(shape) == 1 else "cnn"
    of = config(family=family, normalization=normalization, residual=True, width=16, channels=16)
    of |= {"stochastic_depth": 0.5, "depth": 2}
    ours = build_network(plan(of), shape, OUTPUTS, seed=4).eval()
    network = network_of(of, shape, OUTPUTS)
    network.load_state_dict(ours.state_dict())
    rows = torch.randn(7, *shape, generator=torch.Generator().manual_seed(1))
    check(network, rows, ours(rows))
