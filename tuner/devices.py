"""What a device asks of a training: copies for which nobody waits, the same numbers each time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device; neither waits for the other.

    On the CPU the tensor itself.
    """
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def described(device: torch.device) -> str:
    """The name of a device for people, with the model of a GPU, on which rounding depends.

    >>> described(torch.device("cpu"))
    'cpu'
    """
    if device.type != "cuda":
        return str(device)
    return f"{device} {torch.cuda.get_device_name(device)}"


WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
"""The variable without which cuBLAS may choose another order of sums each time."""


@contextmanager
def deterministic(on: bool, device: torch.device) -> Iterator[None]:
    """Asks for the same numbers each time, and for whole float32 products without TF32.

    On the CPU, and where it is not `on`, nothing changes: there one thread gives the same numbers
    anyway. An operation that has no such implementation warns, and goes on.
    """
    if not on or device.type == "cpu":
        yield
        return
    os.environ.setdefault(WORKSPACE, ":4096:8")
    algorithms = torch.are_deterministic_algorithms_enabled()
    warning = torch.is_deterministic_algorithms_warn_only_enabled()
    precision = torch.get_float32_matmul_precision()
    memory: Any = torch.utils.deterministic  # whose filling costs time and decides nothing here
    filling, memory.fill_uninitialized_memory = memory.fill_uninitialized_memory, False
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_float32_matmul_precision("highest")
    enabled = torch.backends.cudnn.enabled
    try:
        with torch.backends.cudnn.flags(enabled, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.use_deterministic_algorithms(algorithms, warn_only=warning)
        memory.fill_uninitialized_memory = filling
