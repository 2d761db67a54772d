"""Records one training step as operations on tensors, and replays it without Python in between.

A step of a small network takes most of its time in Python, in modules and in autograd. Where every
step does the same, one real step is recorded: what torch computes, forward, backward and update, in
its order. Written as a function of TorchScript, the same operations take the next step, and give
the same numbers bit by bit. That function is a text without numbers: learning rate, dropout or
decay are inputs, as batch and parameters are. So trials that differ in these alone share it.

What cannot be replayed is computed as it was, step by step: where an operation depends on values or
draws random numbers, and where a user's own function could do something else next time. ``0`` in
the environment variable ``TUNER_RECORDED`` keeps every step as it was.
"""

from __future__ import annotations

import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.jit import optimized_execution  # type: ignore[attr-defined]
from torch.utils._python_dispatch import TorchDispatchMode

VARIABLE = "TUNER_RECORDED"
PAYS, PAYS_IF_KNOWN = 40, 10
"""How many steps of the same shape are to come where recording one pays: of a new kind of step, and
of one whose function another training has made already."""
FUNCTIONS = 32
"""Functions that a process keeps, those that it used last; each takes up to a megabyte."""

Step = Callable[[], Sequence[Tensor]]
"""Takes one step and returns tensors: its loss, and states that it made anew."""


def switched_off() -> str:
    """Why this process records nothing; empty if it does."""
    return f"{VARIABLE} is 0" if os.environ.get(VARIABLE) == "0" else ""


def hooked(network: nn.Module) -> bool:
    """Whether a module calls hooks, which a replayed step would not."""
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, name) for module in network.modules() for name in names)


# The operations of a step as text.


VIEWS = {torch.ops.aten.detach.default, torch.ops.aten.alias.default}
"""Operations that give the same tensor once more."""
UNSAID = ("layout", "device", "pin_memory")
"""Arguments that are the same for all tensors of a step on a CPU."""
DTYPES = {
    torch.uint8: 0,
    torch.int8: 1,
    torch.int16: 2,
    torch.int32: 3,
    torch.int64: 4,
    torch.float16: 5,
    torch.float32: 6,
    torch.float64: 7,
    torch.bool: 11,
    torch.bfloat16: 15,
}
"""The numbers by which TorchScript knows them."""
FORMATS = {torch.contiguous_format: 0, torch.preserve_format: 1, torch.channels_last: 2}
DEPENDING = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
INDEXING = ("index", "index_put", "index_put_", "_unsafe_index", "_index_put_impl_")
"""Operations whose shapes depend on values only where an index is a mask."""


class Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down the operations that run within it.

    A tensor that no operation has made is an input: those that are ``given`` anew for each step
    come first, then what stays, such as parameters. So are numbers that are no whole numbers.

    Attributes:
        reason: why the step cannot be replayed; empty if it can.
        numbers: the inputs that are numbers.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch would import its compiler otherwise, which takes a second."""
        return False

    def __init__(self, given: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lines: list[str] = []
        self.inputs: list[Tensor] = []
        self.numbers: list[float] = []
        self.reason = ""
        self._by_id: dict[int, str] = {}
        self._by_place: dict[Hashable, str] = {}
        self._alive: list[Tensor] = []  # so that no other gets its identity or its memory
        for tensor in given:
            if _place(tensor) in self._by_place:
                self.reason = "two of a step's inputs share their memory"
            self._input(tensor)

    def _input(self, tensor: Tensor) -> str:
        name = f"x{len(self.inputs)}"
        self.inputs.append(tensor)
        self._name(tensor, name)
        return name

    def _name(self, tensor: Tensor, name: str) -> None:
        self._alive.append(tensor)
        self._by_id[id(tensor)] = self._by_place[_place(tensor)] = name

    def of(self, tensor: Tensor) -> str:
        """The name of a tensor. Autograd gives the same memory in another object."""
        known = self._by_id.get(id(tensor)) or self._by_place.get(_place(tensor))
        return known or self._input(tensor)

    def source(self, outputs: Sequence[Tensor]) -> str:
        """The function that computes these outputs."""
        names = ", ".join(map(self.of, outputs))
        tensors = [f"x{i}" for i in range(len(self.inputs))]
        numbers = [f"n{i}: float" for i in range(len(self.numbers))]
        head = f"def step({', '.join([*tensors, *numbers])}):"
        return "\n".join([head, *self.lines, f"  return [{names}]", ""])

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.reason:
            return func(*args, **kwargs)
        if func in VIEWS:
            name = self.of(args[0])
            out = func(*args, **kwargs)
            self._name(out, name)
            return out
        kinds = {each.name: each.type for each in func._schema.arguments}
        self.reason = _unfit(func, dict(zip(kinds, args, strict=False)) | kwargs)
        if self.reason:
            return func(*args, **kwargs)
        said = [self._text(a, kind) for a, kind in zip(args, kinds.values(), strict=False)]
        said += [f"{k}={self._text(v, kinds[k])}" for k, v in kwargs.items() if k not in UNSAID]
        out = func(*args, **kwargs)
        self._write(f"torch.ops.aten.{func.overloadpacket.__name__}({', '.join(said)})", out)
        return out

    def _write(self, call: str, out: Any) -> None:
        name = f"v{len(self.lines)}"
        self.lines.append(f"  {name} = {call}")
        if isinstance(out, Tensor):
            if id(out) not in self._by_id:  # else it is written in place
                self._name(out, name)
        elif isinstance(out, list | tuple):
            for i, part in enumerate(out):
                if isinstance(part, Tensor):
                    self.lines.append(f"  {name}_{i} = {name}[{i}]")
                    self._name(part, f"{name}_{i}")
        elif out is not None:
            self.reason = f"{call.partition('(')[0]} gives a {type(out).__name__}"

    def _text(self, value: Any, kind: Any) -> str:
        if isinstance(value, Tensor):
            return self.of(value)
        if isinstance(value, list | tuple):
            return self._list(value, kind)
        if isinstance(value, float):
            self.numbers.append(value)
            return f"n{len(self.numbers) - 1}"
        if isinstance(value, torch.memory_format) and value in FORMATS:
            return str(FORMATS[value])
        if isinstance(value, torch.dtype) and value in DTYPES:
            return str(DTYPES[value])
        if value is None or isinstance(value, bool | int | str):
            return repr(value)
        self.reason = f"an operation takes {value!r}"
        return ""

    def _list(self, values: Sequence[Any], kind: Any) -> str:
        while kind.kind() == "OptionalType":
            kind = kind.getElementType()
        items = "[" + ", ".join(self._text(v, kind.getElementType()) for v in values) + "]"
        clear = values and all(v is not None for v in values)
        return items if clear else f"torch.jit.annotate({kind.annotation_str}, {items})"


def _place(tensor: Tensor) -> Hashable:
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


def _unfit(func: Any, arguments: Mapping[str, Any]) -> str:
    """Why an operation may do something else in the next step; empty if it does not."""
    name = func.overloadpacket.__name__
    if func.namespace != "aten":
        return f"{func} is no operation of torch's own"
    attends = "attention" in name and arguments.get("dropout_p", 0.0) == 0.0
    if torch.Tag.nondeterministic_seeded in func.tags and not attends:
        return f"{name} draws random numbers within the network"
    if name in INDEXING:
        masks = (torch.bool, torch.uint8)
        indices = arguments["indices"]
        by_mask = any(isinstance(i, Tensor) and i.dtype in masks for i in indices)
        return f"{name} takes a mask, so that its shape depends on values" if by_mask else ""
    depends = any(tag in func.tags for tag in DEPENDING)
    return f"{name} looks at the values of a tensor" if depends else ""


# Recording and replaying.


@dataclass
class Recording:
    """A step that was taken, and how to take the next.

    Attributes:
        outputs: of the step.
        source: of the function that takes the next; empty if that cannot be.
        fixed: the function's inputs that stay, behind those that are given anew.
        reason: why there is no function.
    """

    outputs: list[Tensor]
    source: str = ""
    fixed: list[Any] = field(default_factory=list)
    reason: str = ""


def recorded(call: Step, given: Sequence[Tensor]) -> Recording:
    """Takes one step and records it.

    Args:
        call: takes the step.
        given: what it uses that is another tensor in the next step.
    """
    with Tape(given) as tape:
        outputs = [each.detach() for each in call()]
    if tape.reason:
        return Recording(outputs, reason=tape.reason)
    source = tape.source(outputs)
    fixed = [tensor.detach() for tensor in tape.inputs[len(given) :]]
    return Recording(outputs, source, [*fixed, *tape.numbers])


@dataclass(frozen=True)
class Function:
    """A compiled step, and the shapes of what it is given."""

    call: Callable[..., list[Tensor]]
    kind: Hashable


_FUNCTIONS: OrderedDict[str, Function] = OrderedDict()


def compiled(source: str, kind: Hashable) -> Function:
    """The function of a source; one of this process's last ones, or made now.

    Raises:
        RuntimeError: torch cannot compile it.
    """
    if source not in _FUNCTIONS:
        unit = torch.jit.CompilationUnit(source)
        _FUNCTIONS[source] = Function(unit.step, kind)
        if len(_FUNCTIONS) > FUNCTIONS:
            _FUNCTIONS.popitem(last=False)
    _FUNCTIONS.move_to_end(source)
    return _FUNCTIONS[source]


@dataclass(frozen=True)
class Replay:
    """Takes a step by a function, with other given tensors of the same shapes.

    Attributes:
        fixed: the function's inputs behind those that are given anew.
    """

    function: Function
    fixed: Sequence[Any]

    def __call__(self, given: Sequence[Tensor]) -> list[Tensor]:
        # Torch's own optimization takes longer than it saves. No input takes a gradient; without
        # gradients altogether, some layers would not give what their backward pass needs.
        with torch.enable_grad(), optimized_execution(False):
            return self.function.call(*given, *self.fixed)


class Recorder:
    """Takes the steps of one training: by a recorded function where that pays.

    Attributes:
        reason: why none is recorded any more; empty as long as steps may be.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._replays: dict[Hashable, Replay] = {}
        self._steps = 0
        self._seen: Counter[Hashable] = Counter()
        self._left_alone: set[Hashable] = set()

    @property
    def functions(self) -> int:
        """How many shapes of batches have a function."""
        return len(self._replays)

    def take(self, call: Step, given: Sequence[Tensor], left: int) -> Sequence[Tensor]:
        """Takes a step, as ``recorded`` does.

        Args:
            given: the first is the batch, on whose shape those of the others depend.
            left: how many steps are still to come.
        """
        self._steps += 1
        x = given[0]
        shape = x.shape, x.stride()
        replay = self._replays.get(shape)
        if replay is not None:
            return replay(given)
        if self.reason or shape in self._left_alone:
            return call()
        self._seen[shape] += 1
        coming = left * self._seen[shape] / self._steps
        kind = tuple((each.shape, each.dtype) for each in given)
        known = any(function.kind == kind for function in _FUNCTIONS.values())
        if coming < (PAYS_IF_KNOWN if known else PAYS):
            return call()
        recording = recorded(call, given)
        self.reason = recording.reason
        if recording.source in _FUNCTIONS or coming >= PAYS:
            self._add(shape, recording, kind)
        else:
            self._left_alone.add(shape)
        return recording.outputs

    def _add(self, shape: Hashable, recording: Recording, kind: Hashable) -> None:
        if self.reason:
            return
        try:
            function = compiled(recording.source, kind)
        except RuntimeError as error:
            self.reason = f"torch cannot compile a step: {error}".partition("\n")[0]
        else:
            self._replays[shape] = Replay(function, recording.fixed)
