"""Data: from a file or an importable function to tensors for training and validation."""

from tuner.data.columns import Column
from tuner.data.dataset import DataSet, Split, Target
from tuner.data.load import load
from tuner.data.spec import DataSpec

__all__ = ["Column", "DataSet", "DataSpec", "Split", "Target", "load"]
