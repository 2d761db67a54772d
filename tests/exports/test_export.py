"""An export gives what the study's own network gives, and the same bytes each time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tuner
from tuner.exports.folder import PROGRAM
from tuner.models import FAMILIES
from tuner.training.evaluate import predict as outputs_of

ALONE = """\
import sys, numpy, torch
rows = torch.from_numpy(numpy.load("rows.npy"))
network = torch.export.load("program.pt2").module()
numpy.save("outputs.npy", torch.cat((network(rows[:1]), network(rows[1:]))).detach().numpy())
assert "tuner" not in sys.modules
"""
TECHNIQUES = {"batch_norm": True, "dropout": 0.3, "ema": 0.9}


def alone(folder: Path, rows: torch.Tensor, work: Path) -> np.ndarray[Any, Any]:
    """Outputs of the program, from a process in which there is no tuner."""
    np.save(work / "rows.npy", rows.numpy())
    (work / PROGRAM).write_bytes((folder / PROGRAM).read_bytes())
    command = [sys.executable, "-I", "-c", ALONE]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return np.load(work / "outputs.npy")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_says_the_same_without_tuner(
    family: str, data: Any, trained: Any, again: Any, tmp_path: Path
) -> None:
    within = TECHNIQUES if family != "linear" else {"ema": 0.9}
    model = {"family": family, **({"residual": True} if family in ("mlp", "cnn") else {})}
    training = {"epochs": 2, "batch_size": 32}
    options = trained(
        f"of-{family}", data=data(family), model=model, regularization=within, training=training
    )
    made = tuner.export(f"of-{family}", tmp_path / "model", options)
    trainer = again(options, f"of-{family}")
    assert made.value == made.recorded == trainer.result.value
    rows = trainer.data.validation.x
    expected = outputs_of(trainer.network, rows).numpy()
    network = tuner.load(tmp_path / "model")
    assert not network.training
    np.testing.assert_allclose(network(rows).detach().numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(alone(tmp_path / "model", rows, tmp_path), expected, atol=1e-6)
