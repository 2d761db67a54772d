from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from tuner.devices import (
    WORKSPACE,
    deterministic,
    is_forkable,
    is_out_of_memory,
    recover,
    upload,
)
from tuner.errors import LostDeviceError, StudyFileError

CPU = torch.device("cpu")


def settings() -> tuple[object, ...]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
        torch.utils.deterministic.fill_uninitialized_memory,
        *precisions(),
    )


CUDNN: Any = torch.backends.cudnn
KINDS: tuple[Any, ...] = (torch.backends.cuda.matmul, CUDNN.conv, CUDNN.rnn)


def precisions() -> tuple[str, ...]:
    """Of the float32 products of each kind of operation."""
    return tuple(each.fp32_precision for each in KINDS)


def test_a_gpu_is_asked_for_the_same_numbers(
    pretend: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(WORKSPACE, raising=False)
    before = settings()
    with deterministic(True, pretend.DEVICE):
        assert settings() == (True, True, True, False, False, "ieee", "ieee", "ieee")
        assert torch.get_float32_matmul_precision() == "highest"
        assert torch.backends.cudnn.allow_tf32 is False
        assert os.environ[WORKSPACE] == ":4096:8"
    assert settings() == before


NEWER: list[tuple[Any, str]] = [
    (KINDS[0], "tf32"),
    (KINDS[1], "ieee"),
    (torch.backends, "tf32"),
]


@pytest.mark.parametrize(("place", "value"), NEWER, ids=["products", "convolutions", "all"])
def test_whoever_uses_newer_settings_of_torch_trains_too(
    pretend: ModuleType, place: Any, value: str
) -> None:
    """torch raises where the older ones are read then."""
    plain = [(each, each.fp32_precision) for each in (*KINDS, torch.backends)]
    place.fp32_precision = value
    try:
        before = settings()
        with deterministic(True, pretend.DEVICE):
            assert precisions() == ("ieee", "ieee", "ieee")
            assert torch.get_float32_matmul_precision() == "highest"
            assert torch.backends.cudnn.allow_tf32 is False
        assert settings() == before
    finally:
        for each, precision in plain:
            each.fp32_precision = precision


@pytest.mark.parametrize("on", [True, False])
def test_nothing_changes_on_the_cpu_or_where_it_is_off(pretend: ModuleType, on: bool) -> None:
    before = settings()
    with deterministic(on, CPU if on else pretend.DEVICE):
        assert settings() == before


def test_nothing_is_copied_to_the_cpu() -> None:
    tensor = torch.ones(3)
    assert upload(tensor, CPU) is tensor


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
    ],
    ids=str,
)
def test_errors_that_mean_out_of_memory(error: Exception) -> None:
    assert is_out_of_memory(error)
    other = StudyFileError("the network raised an error")
    other.__cause__ = error
    assert is_out_of_memory(other)


def test_other_errors_do_not() -> None:
    assert not is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))
    assert not is_out_of_memory(None)


def test_free_memory_is_given_back_after_an_error(pretend: ModuleType) -> None:
    with pretend.pretend_gpu() as gpu:
        recover(CPU)
        assert gpu.emptied == 0
        recover(pretend.DEVICE)
        assert gpu.emptied == 1


def test_a_device_that_refuses_everything_is_lost(pretend: ModuleType) -> None:
    with pretend.pretend_gpu() as gpu:
        gpu.poisoned = True
        with pytest.raises(LostDeviceError, match="device-side assert"):
            recover(pretend.DEVICE)


def test_no_fork_once_cuda_was_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA says so in the child: here in its place a function that tells the processes apart."""
    on_linux, parent = sys.platform == "linux", os.getpid()
    assert is_forkable() == on_linux
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert is_forkable() == on_linux
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: os.getpid() != parent)
    assert not is_forkable()


def test_no_fork_once_there_are_threads_for_gradients() -> None:
    """As torch begins them at the first gradient, of the CPU too, where it sees a GPU."""
    named, done = threading.Event(), threading.Event()

    def gradients() -> None:
        comm = Path(f"/proc/self/task/{threading.get_native_id()}/comm")
        comm.write_text("pt_autograd_0")
        named.set()
        done.wait()

    thread = threading.Thread(target=gradients)
    thread.start()
    named.wait()
    assert not is_forkable()
    done.set()
    thread.join()
    assert is_forkable()


SCRIPT = Path(__file__).parent / "benchmarks" / "cuda.py"


def test_the_script_for_a_gpu_says_that_there_is_none() -> None:
    """It can be imported by no other script beside it, for which torch's own import would be."""
    words = [sys.executable, str(SCRIPT), "--device", "cuda:99"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    found = json.loads(done.stdout)
    assert found["ran"] is False
    assert "no cuda:99" in found["why"]
    with pytest.raises(ImportError, match="must not find this file"):
        runpy.run_path(str(SCRIPT), run_name="cuda")
