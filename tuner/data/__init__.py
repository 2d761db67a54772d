"""Data: from a file or an importable function to tensors for training and validation."""

from tuner.data.dataset import DataSet, Split, Target
from tuner.data.load import load
from tuner.data.spec import DataSpec

__all__ = ["DataSet", "DataSpec", "Split", "Target", "load"]
