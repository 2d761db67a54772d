"""A trained configuration as a folder of files, and what is done with it: load, predict."""

from __future__ import annotations

from tuner.exports.folder import Exported
from tuner.exports.predict import predict
from tuner.exports.read import load
from tuner.exports.write import export

__all__ = ["Exported", "export", "load", "predict"]
