"""A pretend GPU with real numbers, on a CPU-only build of torch.

A tensor "on the GPU" is a wrapper that says so and holds a CPU tensor. A dispatch mode computes
with what is inside, and enforces what CUDA would: no operation on tensors of two devices, no
generator of another device, and a record of everything that makes the host wait for the device. So
a training on it must give, bit by bit, what it gives on the CPU.

What it cannot show: CUDA's own rounding, kernels that are missing or not deterministic, memory, and
time.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._prims_common import is_non_overlapping_and_dense_or_false
from torch.autograd.grad_mode import inference_mode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map

DEVICE = torch.device("lazy", 0)
"""A type of device that no build of torch for the CPU or CUDA uses. Its gradients are computed in
the thread that asks for them, so that processes may be forked."""
aten = torch.ops.aten

WAITING = {
    *(aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.bincount, aten.equal),
    *(aten.is_nonzero, aten._unique2, aten.unique_dim, aten.unique_consecutive, aten.histc),
}
"""Operations whose result's shape or value the host needs, as on CUDA."""
INDEXING = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_, aten._unsafe_index}
COPYING = {aten._to_copy, aten.copy_}
POISON = "CUDA error: device-side assert triggered"


class DeviceError(RuntimeError):
    """CUDA would refuse this."""


class OnGpu(Tensor):
    """A tensor that says that it is on the GPU.

    Args:
        inner: its numbers, on the CPU.
    """

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> OnGpu:
        return Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
            requires_grad=False,
        )

    def __init__(self, inner: Tensor) -> None:
        self.inner = inner

    @property
    def data(self) -> OnGpu:
        return OnGpu(self.inner.detach())

    @data.setter
    def data(self, value: OnGpu) -> None:
        assert isinstance(value, OnGpu)
        assert value.shape == self.shape
        self.inner = value.inner

    def numpy(self, *, force: bool = False) -> Any:
        if not force:
            raise TypeError(f"can't convert {DEVICE} device type tensor to numpy")
        return self.detach().cpu().numpy()

    def tolist(self) -> Any:
        return self.detach().cpu().tolist()

    def __array__(self, *_: Any) -> Any:
        return self.numpy()

    def __repr__(self, **_: Any) -> str:
        return f"OnGpu({self.inner})"

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        return _compute(func, args, kwargs or {})


def inner(value: Any) -> Any:
    """The numbers of a tensor on either device."""
    return value.inner if isinstance(value, OnGpu) else value


class Wait(NamedTuple):
    """A moment at which the host waited for the device: in which phase, where, and why."""

    phase: str
    place: str
    reason: str


@dataclass
class PretendGpu(TorchDispatchMode):
    """The GPU, and the record of what happened on it.

    Attributes:
        phase: of the training, such as "step"; set by a test.
        waits: the moments at which the host waited.
        uploads: by phase, copies to the device for which nobody waits.
        memory: the most bytes that a single tensor may take.
        poisoned: an operation has failed so that none can run any more.
        emptied: how often the cache of free memory was emptied.
    """

    phase: str = "outside"
    waits: list[Wait] = field(default_factory=list)
    uploads: Counter[str] = field(default_factory=Counter)
    memory: float = float("inf")
    poisoned: bool = False
    emptied: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        return _Call(func, args, kwargs or {}, self).result()

    def wait(self, reason: str) -> None:
        self.waits.append(Wait(self.phase, place(), reason))

    def waits_of(self, phase: str) -> dict[str, int]:
        """How often the host waited in a phase, by place and reason."""
        return dict(Counter(f"{w.place} {w.reason}" for w in self.waits if w.phase == phase))

    def check(self) -> None:
        if self.poisoned:
            raise RuntimeError(POISON)


def place() -> str:
    """The line of tuner that is running."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        _, below, name = frame.f_code.co_filename.rpartition("/tuner/")
        if below:
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return "backward or test"


def _compute(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Outside of the mode, where nothing is recorded."""
    return _Call(func, args, kwargs, PretendGpu()).result()


class _Call:
    """One operation: what it would do on a real GPU, and its result."""

    def __init__(
        self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], gpu: PretendGpu
    ) -> None:
        self.func, self.args, self.kwargs, self.gpu = func, args, kwargs, gpu
        self.packet = func.overloadpacket
        self.flat = list(tree_iter((args, kwargs)))
        tensors = [each for each in self.flat if isinstance(each, Tensor)]
        self.there = [each for each in tensors if isinstance(each, OnGpu)]
        self.here = [each for each in tensors if not isinstance(each, OnGpu)]
        wanted = kwargs.get("device")
        named = None if wanted is None else torch.device(wanted)
        self.on_gpu = bool(self.there) if named is None else named.type == DEVICE.type

    def result(self) -> Any:
        if self.packet is aten._pin_memory:
            return _pinned(self.args[0])
        if self.there or self.on_gpu:
            self.gpu.check()
            self._check()
        known = {id(each.inner): each for each in self.there}
        args, kwargs = tree_map(_inside, (self.args, dict(self.kwargs)))
        out = self.func(*args, **kwargs)
        if self.packet is aten.copy_:
            return self.args[0]
        return tree_map(lambda t: self._outside(t, known), out) if self.on_gpu else out

    def _outside(self, value: Any, known: Mapping[int, OnGpu]) -> Any:
        """A result as a tensor on the GPU: of an operation in place the same one."""
        if not isinstance(value, Tensor):
            return value
        if value.numel() * value.element_size() > self.gpu.memory:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate more")
        return known[id(value)] if id(value) in known else OnGpu(value)

    def _check(self) -> None:
        if self.packet in COPYING:
            self._copy()
        elif self.there and self.here:
            self._mixed()
        if self.there and self.packet in WAITING:
            self.gpu.wait(self.packet.__name__)
        if self.there and self.packet in INDEXING and self._by_mask():
            self.gpu.wait("index by a mask")
        if self.on_gpu and any(isinstance(each, torch.Generator) for each in self.flat):
            raise DeviceError(f"{self.func}: a generator of the CPU at {place()}")

    def _copy(self) -> None:
        into = self.packet is aten.copy_
        source = self.args[1] if into else self.args[0]
        target = isinstance(self.args[0], OnGpu) if into else self.on_gpu
        if isinstance(source, OnGpu) == target:
            return
        later = self.kwargs.get("non_blocking") or (into and len(self.args) > 2 and self.args[2])
        if target and later and getattr(source, "pinned", False):
            self.gpu.uploads[self.gpu.phase] += 1
        else:
            way = "to the GPU" if target else "from the GPU"
            self.gpu.wait(f"copy {way} {list(source.shape)}")

    def _by_mask(self) -> bool:
        kinds = [each.dtype for each in self.args[1] if each is not None]
        return torch.bool in kinds or torch.uint8 in kinds

    def _mixed(self) -> None:
        """Tensors of two devices: CUDA takes indices and single numbers of the CPU, and no more."""
        if self.packet in INDEXING and isinstance(self.args[0], OnGpu):
            self.gpu.wait("an index of the CPU")
            values = [each for each in self.args[2:3] if isinstance(each, Tensor)]
            if all(isinstance(each, OnGpu) or each.dim() == 0 for each in values):
                return
        single = all(each.dim() == 0 for each in self.here)
        if single and torch.Tag.pointwise in self.func.tags:
            return
        shapes = [(each.device.type, list(each.shape)) for each in (*self.there, *self.here)]
        raise DeviceError(f"{self.func}: tensors on two devices {shapes} at {place()}")


def _inside(value: Any) -> Any:
    """What the CPU computes with."""
    if isinstance(value, torch.device) and value.type == DEVICE.type:
        return torch.device("cpu")
    return inner(value)


def _pinned(tensor: Tensor) -> Tensor:
    """A copy with the same strides, as torch makes it; it refuses one of repeated numbers.

    For its upload nobody waits, unless there are gaps in it: these CUDA first closes in memory that
    is not pinned.
    """
    copy = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype).copy_(tensor)
    copy.pinned = is_non_overlapping_and_dense_or_false(tensor)  # type: ignore[attr-defined]
    return copy


class Backend:
    """What ``torch.cuda`` is to CUDA."""

    def __init__(self) -> None:
        self.gpu = PretendGpu()

    def synchronize(self, device: Any = None) -> None:
        self.gpu.check()

    def empty_cache(self) -> None:
        self.gpu.emptied += 1

    def set_device(self, device: Any) -> None:
        """There is one."""


BACKEND = Backend()
torch._register_device_module(DEVICE.type, BACKEND)


class _NoGrad:
    """In place of the inference mode, whose tensors cannot be wrapped."""

    @staticmethod
    def enter(mode: Any) -> None:
        mode.grad = torch.no_grad()
        mode.grad.__enter__()

    @staticmethod
    def leave(mode: Any, *error: Any) -> None:
        mode.grad.__exit__(*error)


@contextmanager
def pretend_gpu() -> Iterator[PretendGpu]:
    """Within it torch has the pretend GPU."""
    gpu = PretendGpu()
    plain = inference_mode.__enter__, inference_mode.__exit__
    lifting = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # so that torch.tensor(…, device=…) is seen to copy
    inference_mode.__enter__, inference_mode.__exit__ = _NoGrad.enter, _NoGrad.leave
    BACKEND.gpu = gpu
    try:
        with gpu:
            yield gpu
    finally:
        BACKEND.gpu = PretendGpu()
        inference_mode.__enter__, inference_mode.__exit__ = plain
        torch._C._set_only_lift_cpu_tensors(lifting)
