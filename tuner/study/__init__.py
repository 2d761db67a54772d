"""The study file: from TOML to a frozen Study."""

from tuner.study.files import load
from tuner.study.parse import parse
from tuner.study.record import SearchSettings, Study

__all__ = ["SearchSettings", "Study", "load", "parse"]
