"""Makes the network of an export: as plain torch layers, as a program and as an ONNX file."""

from __future__ import annotations

import importlib.util
import io
import logging
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.nn import functional

from tuner.data import Target
from tuner.errors import UsageError
from tuner.metrics import precision
from tuner.models import WordTable
from tuner.models.cnn import Convolution
from tuner.models.text import Padded
from tuner.space import Config
from tuner.techniques import Shape
from tuner.techniques.norm_dropout import BatchNorm, Dropout, StochasticDepth
from tuner.training.network import build_network, plan

# A configuration's network of plain torch layers.


DROPOUTS: dict[int, Callable[[float], nn.Module]] = {
    1: nn.Dropout,
    2: nn.Dropout1d,
    3: nn.Dropout2d,
}
"""By the dimensions of a row: of feature maps whole channels are dropped."""
NORMS: dict[int, Callable[..., nn.Module]] = {
    2: nn.BatchNorm1d,
    3: nn.BatchNorm1d,
    4: nn.BatchNorm2d,
}
"""By the dimensions of a batch."""


def network_of(
    config: Config,
    shape: Shape,
    outputs: int,
    words: WordTable | None = None,
    categories: Sequence[range] = (),
    numbers: Sequence[int] = (),
) -> nn.Module:
    """The network of a configuration in evaluation mode, with torch's own dropout and batch norm.

    Args:
        words: the table of words, for text.
        categories: the positions of each categorical column in a row.
        numbers: the positions of the quantities.

    Shape:
        ``[B, *shape]`` to ``[B, outputs]``.
    """
    network = build_network(plan(config), shape, outputs, 0, words, categories, numbers).eval()
    dims = _dimensions(network, example(shape, words is not None))
    return _replaced(network, dims).eval()


def example(shape: Shape, text: bool, rows: int = 2) -> Tensor:
    """Rows ``[rows, *shape]`` of zeros, or of unknown words for text."""
    if text:
        return torch.ones(rows, *shape, dtype=torch.int32)
    return torch.zeros(rows, *shape)


def _replaced(module: nn.Module, dims: dict[nn.Module, int]) -> nn.Module:
    if isinstance(module, StochasticDepth):
        return nn.Identity()  # torch has no such layer
    if isinstance(module, Dropout):
        return DROPOUTS[len(module.noise_shape)](module.rate)
    if isinstance(module, BatchNorm):
        kind = NORMS[dims[module]]
        return kind(len(module.weight), eps=module.eps, momentum=module.momentum)
    if isinstance(module, Convolution):
        object.__setattr__(module, "__class__", nn.Conv2d)  # but for how maps lie in memory
    for name, child in module.named_children():
        setattr(module, name, _replaced(child, dims))
    return module


@torch.no_grad()
def _dimensions(network: nn.Module, x: Tensor) -> dict[nn.Module, int]:
    """How many dimensions a batch has before each layer that normalizes it."""
    dimensions: dict[nn.Module, int] = {}

    def record(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        dimensions[layer] = inputs[0].dim()

    norms = [layer for layer in network.modules() if isinstance(layer, BatchNorm)]
    hooks = [layer.register_forward_pre_hook(record) for layer in norms]
    network(x)
    for hook in hooks:
        hook.remove()
    return dimensions


# Several networks as one.


def parts(shapes: Sequence[Shape]) -> list[tuple[int, int]]:
    """Where each of several inputs begins and ends along the first axis of a row that holds all.

    >>> parts([(3, 8, 8), (1, 8, 8)])
    [(0, 3), (3, 4)]
    """
    ends = list(accumulate(shape[0] for shape in shapes))
    return list(zip([0, *ends], ends, strict=False))


def averaged(target: Target) -> Target:
    """The meaning of an average's outputs: of a quantity they are in its own unit."""
    zeros, ones = ((number,) * len(target.names) or number for number in (0.0, 1.0))
    if target.task != "regression":
        return target
    return replace(target, mean=zeros, scale=ones, form="linear")


class Average(nn.Module):
    """The average of networks: of classes the logarithm of their mean probabilities, whose softmax
    these are; of labels the logits of these; else the mean of the values that they predict, in the
    target's own unit.

    Args:
        networks: of one kind of rows and outputs.
        weights: of each; they add up to 1.
        parts: where the numbers of each network's input begin and end along the first axis of a
            row, which holds the inputs of all preprocessings.
        target: the meaning of the networks' outputs.

    Shape:
        ``[B, *shape]`` to ``[B, outputs]``.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        weights: Sequence[float],
        parts: Sequence[tuple[int, int]],
        target: Target,
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(networks)
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32))
        self.parts, self.target = tuple(parts), target

    def forward(self, x: Tensor) -> Tensor:
        pairs = zip(self.members, self.parts, strict=True)
        outputs = [member(x[:, first:end]) for member, (first, end) in pairs]
        weights: Tensor = self.get_buffer("weights")
        weights = weights.view(-1, 1, 1)
        together = torch.stack(outputs)
        if self.target.classes:
            return (together.log_softmax(2) + weights.log()).logsumexp(0)
        if self.target.task == "multilabel":
            yes, no = ((weights.log() + part).logsumexp(0) for part in _logarithms(together))
            return yes - no
        values = self.target.predicted(together.to(precision(together)))
        return (weights * values).sum(0).to(together.dtype)


def _logarithms(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The logarithms of the probabilities for a label and against it."""
    return functional.logsigmoid(logits), functional.logsigmoid(-logits)


class Calibrated(nn.Module):
    """A network of classes whose outputs are divided by a temperature (Guo et al. 2017): their
    softmax are calibrated probabilities.

    Shape:
        ``[B, *shape]`` to ``[B, outputs]``.
    """

    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.network(x)
        return outputs / self.temperature


def with_temperature(network: nn.Module, temperature: float) -> nn.Module:
    """The network with a temperature, in evaluation mode; itself where that is 1."""
    return network if temperature == 1 else Calibrated(network, temperature).eval()


# A network as a program that runs with torch alone.


FIRST_DAY = (1980, 1, 1, 0, 0, 0)
RANDOM = "serialization_id"
"""The end of the name of an entry that differs in each file and that no reader needs."""


def traced(network: nn.Module, rows: Tensor) -> ExportedProgram:
    """The program of a network, for any number of rows.

    Args:
        network: in evaluation mode.
        rows: two or more example rows.
    """
    first = [layer for layer in network.modules() if isinstance(layer, Padded)]
    for layer in first:
        layer.mapped = True  # shapes do not depend on values: no batch is cut to its longest row
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about its own recurrent layers
            batch = ({0: torch.export.Dim("batch")},)
            exported = torch.export.export(network, (rows,), dynamic_shapes=batch, strict=False)
    finally:
        for layer in first:
            layer.mapped = False
    for node in exported.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names files of this machine
    return exported


def program(exported: ExportedProgram) -> bytes:
    """The bytes that ``torch.export.load`` reads; the same for the same network."""
    stream = io.BytesIO()
    torch.export.save(exported, stream)
    return _reproducible(stream)


def _reproducible(stream: io.BytesIO) -> bytes:
    """The archive without entries and times that differ from one run to the next."""
    out = io.BytesIO()
    with zipfile.ZipFile(stream) as before, zipfile.ZipFile(out, "w") as after:
        for name in before.namelist():
            if not name.endswith(RANDOM):
                after.writestr(zipfile.ZipInfo(name, FIRST_DAY), before.read(name))
    return out.getvalue()


# A network as an ONNX file, for runtimes other than torch.


NEEDED = ("onnx", "onnxscript")
OF_THE_MACHINE = ("metadata_props", "doc_string")
"""Fields that name the files and lines of code on this machine."""


def check_installed() -> None:
    """Raises UsageError where a package is missing."""
    for name in NEEDED:
        if importlib.util.find_spec(name) is None:
            hint = "pip install 'tuner[onnx]'"
            raise UsageError(f"needs the package {name}", where="--onnx", hint=hint)


def onnx_file(exported: ExportedProgram, rows: Tensor) -> bytes:
    """A model with the input ``rows`` and the output ``outputs``; the same bytes each time."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)  # it names packages that are not needed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            converted: Any = torch.onnx.export(
                exported,
                (rows,),
                input_names=["rows"],
                output_names=["outputs"],
                dynamo=True,
                verbose=False,
            )
    finally:
        log.setLevel(level)
    model = converted.model_proto
    _clear(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _clear(message: Any) -> None:
    for field, value in message.ListFields():
        if field.name in OF_THE_MACHINE:
            message.ClearField(field.name)
        elif field.message_type is not None:
            for each in value if hasattr(value, "__len__") else (value,):
                _clear(each)
