"""What a device asks of a training: copies for which nobody waits, the same numbers each time, and
care after an error."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from tuner.errors import LostDeviceError
from tuner.lazy_torch import Tensor, torch

# Copies, and a device's name.


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device; neither waits for the other.

    On the CPU the tensor itself. What repeats numbers cannot be pinned, and what has gaps would be
    waited for: it is made whole first.
    """
    if device.type == "cpu":
        return tensor
    return tensor.contiguous().pin_memory().to(device, non_blocking=True)


@cache
def described(device: torch.device) -> str:
    """The name of a device for people, with the model of a GPU, on which rounding depends.

    >>> described(torch.device("cpu"))
    'cpu'
    """
    if device.type != "cuda":
        return str(device)
    return f"{device} {torch.cuda.get_device_name(device)}"


# The same numbers each time.


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
    memory: Any = torch.utils.deterministic  # whose filling costs time and decides nothing here
    filling, memory.fill_uninitialized_memory = memory.fill_uninitialized_memory, False
    cudnn: Any = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    torch.use_deterministic_algorithms(True, warn_only=True)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        with _without_tf32():
            yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before
        torch.use_deterministic_algorithms(algorithms, warn_only=warning)
        memory.fill_uninitialized_memory = filling


@contextmanager
def _without_tf32() -> Iterator[None]:
    """Whole float32 products.

    torch has an older and a newer way to ask for them. Where somebody has used the newer one, the
    older cannot be read, and has torch's own values; and torch raises where the two differ.
    """
    cudnn: Any = torch.backends.cudnn
    kinds = [torch.backends.cuda.matmul, getattr(cudnn, "conv", None), getattr(cudnn, "rnn", None)]
    newer: list[Any] = [kind for kind in kinds if hasattr(kind, "fp32_precision")]
    values = [kind.fp32_precision for kind in newer]
    products, others = "highest", True
    with suppress(RuntimeError):
        products = torch.get_float32_matmul_precision()
    with suppress(RuntimeError):
        others = cudnn.allow_tf32
    try:
        _set_precision("highest", False, newer, ["ieee"] * len(newer))
        yield
    finally:
        _set_precision(products, others, newer, values)


def _set_precision(products: str, others: bool, newer: list[Any], values: list[str]) -> None:
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = others
    for kind, value in zip(newer, values, strict=True):
        kind.fp32_precision = value


# After an error.


OUT_OF_MEMORY = (
    "allocate memory",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
)
"""Words of errors that have no type of their own."""


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that caused it, says that memory is used up."""
    while error is not None:
        known = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if known or any(words in str(error) for words in OUT_OF_MEMORY):
            return True
        error = error.__cause__
    return False


def recover(device: torch.device) -> None:
    """Frees what a failed trial left on a device.

    Raises:
        LostDeviceError: nothing works on it any more in this process: CUDA refuses everything
            after some errors, such as an index that is out of range.
    """
    if device.type == "cpu":
        return
    gc.collect()  # the error's traceback held tensors
    module = torch.get_device_module(device)
    try:
        module.synchronize(device)
        module.empty_cache()
    except RuntimeError as error:
        raise LostDeviceError(
            f"nothing works on it any more in this process: {error}",
            where=str(device),
            hint="the trial is recorded as failed; a new process can use the device",
        ) from error


# Processes.


def is_forkable() -> bool:
    """Whether a forked process could compute: not once torch has used a GPU or asked CUDA for one,
    or has begun the threads in which it computes gradients where it sees one."""
    if sys.platform != "linux" or _gradient_threads():
        return False
    return torch.cuda.device_count() == 0 or not _fork_is_refused()


def _gradient_threads() -> bool:
    for each in Path("/proc/self/task").glob("*/comm"):
        with suppress(OSError):  # the thread has ended meanwhile
            if each.read_text().startswith("pt_autograd"):
                return True
    return False


def _fork_is_refused() -> bool:
    """Whether CUDA refuses to work in a child, which only a child can say."""
    child = os.fork()
    if child == 0:
        os._exit(int(torch.cuda._is_in_bad_fork()))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0
