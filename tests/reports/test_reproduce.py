"""How to reproduce it: the study file, seeds and commands."""

from __future__ import annotations

import tomllib

from tuner.reports.facts import Facts
from tuner.reports.reproduce import commands, seeds, study_file, versions
from tuner.show.best import key
from tuner.study import parse


def test_the_study_file_is_the_study(searched: Facts) -> None:
    again = parse("made", tomllib.loads(study_file(searched)))
    assert again.document == searched.study.document
    assert again.nodes == searched.study.nodes


def test_keys_are_quoted_where_they_must_be() -> None:
    assert [key(name) for name in ("a_b-1", "sgd.momentum", "é")] == [
        "a_b-1",
        '"sgd.momentum"',
        '"é"',
    ]


def test_seeds_versions_and_commands(searched: Facts) -> None:
    assert seeds(searched)["seed of trial 7"] == "7"
    assert {"python", "torch", "optuna", "tuner"} <= set(versions())
    assert commands(searched) == [
        "tuner optimize --study made --trials 40 --seed 0",
        "tuner retrain --study made --trial 7",
    ]
