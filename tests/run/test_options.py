"""Which devices the workers of a run get."""

from __future__ import annotations

import os

import pytest
import torch

from tuner.errors import UsageError
from tuner.run.options import RunOptions, cores, device_again, worker_devices


def chosen(**options: object) -> list[str]:
    return worker_devices(RunOptions("sqlite:///t.db", **options))  # type: ignore[arg-type]


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["cuda:0", "cuda:1"]),
        ({"workers": 5}, ["cuda:0", "cuda:1", "cuda:0", "cuda:1", "cuda:0"]),
        ({"workers": 1}, ["cuda:0"]),
        ({"device": "cuda"}, ["cuda:0", "cuda:1"]),
        ({"device": "cuda:1"}, ["cuda:1"]),
        ({"device": "cuda:1", "workers": 2}, ["cuda:1", "cuda:1"]),
        ({"device": "cpu", "workers": 2}, ["cpu", "cpu"]),
    ],
)
def test_one_for_each_gpu_in_turn(options: dict[str, object], expected: list[str]) -> None:
    assert chosen(**options) == expected


@pytest.mark.usefixtures("no_gpus")
def test_one_for_each_core_without_gpus() -> None:
    assert cores() == len(os.sched_getaffinity(0))
    assert chosen() == ["cpu"] * cores()
    assert chosen(device="cpu") == ["cpu"] * cores()
    assert chosen(workers="3") == ["cpu"] * 3


@pytest.mark.usefixtures("no_gpus")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "cuda"}, "this machine has no device 'cuda'"),
        ({"device": "cuda:0"}, "available: cpu"),
        ({"workers": 0}, "0 is not a number of workers"),
        ({"workers": "many"}, "give a number of at least 1, or auto"),
    ],
)
def test_what_cannot_be(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        chosen(**options)


def test_a_trial_of_the_cpu_is_trained_again_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is a GPU, too: its numbers are the CPU's."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert device_again("auto", {"device": "cpu"}) == "cpu"
    assert device_again("auto", {"device": "cuda:0 NVIDIA H200"}) == "cuda:0"
    assert device_again("auto", {}) == "cuda:0"
    assert device_again("cuda:0", {"device": "cpu"}) == "cuda:0"
