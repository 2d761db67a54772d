"""Data: from a file or an importable function to tensors for training and validation."""

from tuner.data.dataset import DataSet, Split, Target, load
from tuner.data.prepare import Column
from tuner.data.spec import DataSpec

__all__ = ["Column", "DataSet", "DataSpec", "Split", "Target", "load"]
