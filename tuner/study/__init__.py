"""Reads a study from TOML or Python into a frozen Study."""

from tuner.space import Choice, Option, Range
from tuner.study.files import load, study
from tuner.study.parse import parse
from tuner.study.record import NetworkStudy, SearchSettings, Study

define_study, load_study = study, load
"""What they are called in ``tuner`` itself, where nothing else says of what they are."""

__all__ = [
    "Choice",
    "NetworkStudy",
    "Option",
    "Range",
    "SearchSettings",
    "Study",
    "define_study",
    "load",
    "load_study",
    "parse",
    "study",
]
