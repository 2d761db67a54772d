"""Stand-ins for torch, which is imported when something of it is first used."""

from __future__ import annotations

import subprocess
import sys

import pytest

USES = {
    "an instance of a module": "norm_dropout.BatchNorm(3)",
    "a function": "batches.torch.ones(3)",
    "a module of torch": "norm_dropout.nn.Identity()",
    "a function of torch.nn": "norm_dropout.functional.relu",
    "a check of a type": "isinstance(3, norm_dropout.Tensor)",
}
PROGRAM = """
import sys
from tuner.techniques import batches, norm_dropout
from tuner.study.catalogue import SECTIONS
assert not [name for name in sys.modules if name.partition(".")[0] == "torch"], "imported"
assert issubclass(norm_dropout.Dropout, norm_dropout.nn.Module)
{use}
import torch
assert batches.torch is torch and norm_dropout.nn is torch.nn
assert norm_dropout.functional is torch.nn.functional and norm_dropout.Tensor is torch.Tensor
for made in norm_dropout.BatchNorm(3), norm_dropout.StochasticDepth((3,), 0.5):
    assert isinstance(made, torch.nn.Module)
    made(torch.ones(2, 3))
assert [name for name, _ in norm_dropout.BatchNorm(3).named_parameters()] == ["weight", "bias"]
from tuner.models import mlp
assert mlp.nn is torch.nn, "a module that is imported later"
"""
THREADS = """
import threading
from tuner.techniques import batches, norm_dropout
start, made = threading.Barrier(8), []
def use(k):
    start.wait()
    made.append(norm_dropout.BatchNorm(3) if k % 2 else batches.torch.ones(3))
threads = [threading.Thread(target=use, args=(k,)) for k in range(8)]
for each in threads: each.start()
for each in threads: each.join()
assert len(made) == 8
"""
ELSEWHERE = """
import torch
from tuner.techniques.base import Tensor, add_masked
one = torch.ones(3)
assert not isinstance(None, Tensor) and isinstance(one, Tensor)
assert torch.equal(add_masked(one, one, one, 2 * one), 3 * one)
"""

FACTORY = """
import torch
from tuner.models.factory import Factory
family = Factory("mine:net", lambda shape, outputs: torch.nn.Linear(3, outputs), {}, *[False] * 3)
assert isinstance(family.build((3,), 2, {}, None), torch.nn.Linear)
"""


def run(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_the_first_use_imports_torch_and_replaces_all_stand_ins(use: str) -> None:
    run(PROGRAM.format(use=use))


def test_several_threads_may_use_it_first() -> None:
    run(THREADS)


def test_a_check_of_a_type_knows_tensors_of_others() -> None:
    run(ELSEWHERE)


def test_a_factory_may_be_the_first_use() -> None:
    run(FACTORY)


def test_what_asks_modules_for_their_names_imports_nothing() -> None:
    run(
        "import sys, inspect, tuner.techniques.base as b; inspect.getmembers(b);"
        "hasattr(b.torch, '__path__'); assert 'torch' not in sys.modules"
    )
