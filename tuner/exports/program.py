"""A network as a program that runs with torch alone."""

from __future__ import annotations

import io
import warnings
import zipfile

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from tuner.models.words import Embedding

FIRST_DAY = (1980, 1, 1, 0, 0, 0)
RANDOM = "serialization_id"
"""The end of the name of an entry that is another in each file, and that no reader asks for."""


def traced(network: nn.Module, rows: Tensor) -> ExportedProgram:
    """The operations of a network, for any number of rows.

    Args:
        network: in evaluation mode.
        rows: two or more, such as it takes.
    """
    cut = [layer for layer in network.modules() if isinstance(layer, Embedding)]
    for layer in cut:
        layer.mapped = True  # shapes do not depend on values: a batch is as long as it is given
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about attributes of torch's own recurrent layers
            batch = ({0: torch.export.Dim("batch")},)
            made = torch.export.export(network, (rows,), dynamic_shapes=batch, strict=False)
    finally:
        for layer in cut:
            layer.mapped = False
    for node in made.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names files of this machine
    return made


def program(made: ExportedProgram) -> bytes:
    """What ``torch.export.load`` reads; the same network gives the same bytes."""
    stream = io.BytesIO()
    torch.export.save(made, stream)
    return _settled(stream)


def _settled(stream: io.BytesIO) -> bytes:
    """The archive without what differs from one time to the next."""
    out = io.BytesIO()
    with zipfile.ZipFile(stream) as before, zipfile.ZipFile(out, "w") as after:
        for name in before.namelist():
            if not name.endswith(RANDOM):
                after.writestr(zipfile.ZipInfo(name, FIRST_DAY), before.read(name))
    return out.getvalue()
