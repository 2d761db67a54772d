"""Reads a study from TOML or Python into a frozen Study."""

from tuner.space import Choice, Option, Range
from tuner.study.files import define_study, load_study
from tuner.study.record import NetworkStudy, SearchSettings, Study

__all__ = [
    "Choice",
    "NetworkStudy",
    "Option",
    "Range",
    "SearchSettings",
    "Study",
    "define_study",
    "load_study",
]
