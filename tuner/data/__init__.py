"""Data: from a file or an importable function to tensors for training and validation.

Every name is imported when it is first used: who reads what a study file says reads no data.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner.data.dataset import DataSet, Split, load
    from tuner.data.prepare import Column
    from tuner.data.spec import DataSpec
    from tuner.data.target import Target

_HOME = {
    "Column": "tuner.data.prepare",
    "DataSet": "tuner.data.dataset",
    "DataSpec": "tuner.data.spec",
    "Split": "tuner.data.dataset",
    "Target": "tuner.data.target",
    "load": "tuner.data.dataset",
}

__all__ = ["Column", "DataSet", "DataSpec", "Split", "Target", "load"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'tuner.data' has no attribute {name!r}")
