"""What predicts: the network of an export, or its program."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tuner.allowed import Allowed
from tuner.errors import UsageError
from tuner.exports.folder import PROGRAM, STUDY
from tuner.exports.read import AGAIN, Model, network
from tuner.models.factory import is_factory


def runnable(model: Model) -> nn.Module:
    """The network; where it is somebody's own, the program, for which its code is not needed.

    Nothing of a folder is imported. Of a network of tuner's only values are read; torch may run
    code of a program as it loads it.

    Raises:
        UsageError: a file is damaged.

    Shape:
        ``[B, *shape]`` to ``[B, outputs]``.
    """
    if not is_factory(_family(model.folder / STUDY)):
        return network(model, Allowed())
    file = model.folder / PROGRAM
    try:
        return Program(torch.export.load(file).module())
    except Exception as error:  # of many kinds: it is an archive of several formats
        what = f"is damaged: {type(error).__name__}: {error}"
        raise UsageError(what, where=str(file), hint=AGAIN) from error


class Program(nn.Module):
    """A program of torch.export, which has no other mode than that for evaluation."""

    def __init__(self, call: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.call = partial(call)  # not a child, whose mode would be set

    def forward(self, x: Tensor) -> Tensor:
        return self.call(x)


def _family(file: Path) -> Any:
    """The name of the family; none where `network` will say what is wrong with the file."""
    try:
        family = tomllib.loads(file.read_text(encoding="utf-8"))["model"]["family"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return family.get("name") if isinstance(family, dict) else family
