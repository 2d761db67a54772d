"""The note of a study."""

from __future__ import annotations

import tuner
from tuner.results.best import Best
from tuner.results.confirm import Confirmation, Measured
from tuner.results.estimate import over_seeds
from tuner.show.note import MOST_LEAVES, note, note_of_replicas
from tuner.study.parse import parse


def digits() -> tuner.Study:
    document = {
        "description": "8x8 digits | <script>",
        "metric": "accuracy",
        "data": {"source": "sklearn.datasets:load_digits"},
        "model": {"family": "mlp", "width": {"choices": [64, 128]}},
        "training": {"learning_rate": {"low": 1e-4, "high": 0.1, "log": True}},
    }
    return parse("digits", document)


def test_it_says_how_far_the_study_is_and_what_is_best(snapshot) -> None:
    text = note(snapshot(), digits())
    assert text.startswith("# digits\n\n8x8 digits \\| \\<script\\>\n\n**23 of 60 trials** (open)")
    assert "| baseline | 0 | 0.9556 |  |" in text
    assert "| best so far | 17 | 0.9806 | +0.0250 |" in text
    assert "| width | one of 64, 128 | 64 | 128 |" in text
    assert "| learning\\_rate | 0.0001 to 0.1, log |" in text
    assert "tuner retrain --study digits --trial 17" in text
    assert "sqlite" not in text  # whoever reads it may have no business with the database


def test_before_the_first_result_and_at_the_end(snapshot) -> None:
    assert "No trial is complete yet." in note(snapshot(best=None, baseline=None), digits())
    text = note(snapshot(complete=56), digits())
    assert "**60 of 60 trials** (finished)" in text


def test_no_name_ends_the_block_of_commands(snapshot) -> None:
    text = note(snapshot(study="a ```` b"), digits())
    fence, *inside, last = text[text.index("`````bash") :].split("\n")
    assert (fence, last) == ("`````bash", "`````")
    assert all(line.startswith("tuner ") for line in inside)


def test_what_was_confirmed(snapshot) -> None:
    best = Measured("trial 17", 17, {}, over_seeds([0.97, 0.98]), over_seeds([0.96, 0.97]))
    base = Measured("baseline", 0, {}, over_seeds([0.95, 0.95]), over_seeds([0.94, 0.94]))
    found = Confirmation("digits", "accuracy", "maximize", (best, base), best, base, 2)
    text = note(snapshot(), digits(), found)
    assert "**Confirmed** (`tuner confirm`): digits: trial 17 has accuracy 0.9650" in text


def test_an_own_objective_has_the_parameters_that_it_suggested(snapshot) -> None:
    document = {"objective": "forests:accuracy", "direction": "maximize", "metric": "accuracy"}
    params = {f"p{i}": i for i in range(MOST_LEAVES + 2)}
    found = snapshot(best=Best(3, 0.9, params), baseline=None)
    text = note(found, parse("forest", document))
    assert "`forests:accuracy` suggests" in text
    assert "| p1 | 1 |" in text
    assert f"p{MOST_LEAVES} " not in text
    assert "and 2 more" in text


def test_replicas_say_whose_they_are() -> None:
    text = note_of_replicas("digits:confirm", "digits", "confirm")
    assert "Trainings of known configurations of digits, for `tuner confirm`" in text
