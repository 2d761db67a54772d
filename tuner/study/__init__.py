"""Reads a study from TOML or Python into a frozen Study."""

from tuner.space import Choice, Option, Range
from tuner.study.files import define_study, load_study
from tuner.study.record import SearchSettings, Study

__all__ = [
    "Choice",
    "Option",
    "Range",
    "SearchSettings",
    "Study",
    "define_study",
    "load_study",
]
