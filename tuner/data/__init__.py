"""Data: from a file or an importable function to tensors for training and validation."""

from tuner.data.dataset import DataSet, Split, load
from tuner.data.prepare import Column
from tuner.data.spec import DataSpec
from tuner.data.target import Target

__all__ = ["Column", "DataSet", "DataSpec", "Split", "Target", "load"]
