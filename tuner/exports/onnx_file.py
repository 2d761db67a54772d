"""A network as an ONNX file, for runtimes other than torch."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from tuner.errors import UsageError

NEEDED = ("onnx", "onnxscript")
OF_THE_MACHINE = ("metadata_props", "doc_string")
"""Fields in which a file says where the lines of code lay that it was made of."""


def check_installed() -> None:
    """Raises UsageError where a package is missing."""
    for name in NEEDED:
        if importlib.util.find_spec(name) is None:
            hint = "pip install 'tuner[onnx]'"
            raise UsageError(f"needs the package {name}", where="--onnx", hint=hint)


def onnx_file(made: ExportedProgram, rows: Tensor) -> bytes:
    """A model with the input ``rows`` and the output ``outputs``; the same bytes each time."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)  # it names packages that are not needed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found: Any = torch.onnx.export(
                made,
                (rows,),
                input_names=["rows"],
                output_names=["outputs"],
                dynamo=True,
                verbose=False,
            )
    finally:
        log.setLevel(level)
    model = found.model_proto
    _forget(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _forget(message: Any) -> None:
    for field, value in message.ListFields():
        if field.name in OF_THE_MACHINE:
            message.ClearField(field.name)
        elif field.message_type is not None:
            for each in value if hasattr(value, "__len__") else (value,):
                _forget(each)
