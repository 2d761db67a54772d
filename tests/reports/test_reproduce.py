"""How to reproduce it: the study file, seeds and commands."""

from __future__ import annotations

import tomllib

from tuner.output import toml_document
from tuner.reports.facts import Facts
from tuner.reports.reproduce import commands, seeds, versions
from tuner.study.parse import parse


def test_the_study_file_is_the_study(searched: Facts) -> None:
    again = parse("made", tomllib.loads(toml_document(searched.study.document)))
    assert again.document == searched.study.document
    assert again.nodes == searched.study.nodes


def test_seeds_versions_and_commands(searched: Facts) -> None:
    assert seeds(searched)["seed of trial 7"] == "7"
    assert {"python", "torch", "optuna", "tuner"} <= set(versions())
    assert commands(searched) == [
        "tuner optimize --study made --trials 40 --seed 0",
        "tuner retrain --study made --trial 7",
    ]
