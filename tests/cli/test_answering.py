"""``confirm`` and ``ablate`` as people type them."""

from __future__ import annotations

import json


def test_confirm_and_ablate_say_what_is_true(tuner, place) -> None:
    confirmed = tuner("confirm", "--study", "small", "--top", "1", "--seeds", "2", "--workers", "1")
    assert confirmed.code == 0, confirmed.stderr
    assert "small: " in confirmed.stdout
    assert "on the test rows over 2 seeds" in confirmed.stdout
    assert "baseline" in confirmed.stdout
    assert "small:confirm: 8 of 8 trainings" in confirmed.stderr
    told = tuner("confirm", "--study", "small", "--top", "1", "--seeds", "2", "--json")
    document = json.loads(told.stdout)
    assert document["seeds"] == 2
    assert {row["label"] for row in document["rows"]} >= {"baseline"}
    best = tuner("best", "--study", "small")
    assert "# confirmed" in best.stdout
    assert json.loads(tuner("best", "--study", "small", "--json").stdout)["confirmed"]["seeds"] == 2


def test_ablate_shows_the_pooled_results_of_the_search_beside_its_own(tuner, place) -> None:
    options = ("--study", "small", "--seeds", "2", "--view", "off", "--workers", "1")
    done = tuner("ablate", *options)
    assert done.code == 0, done.stderr
    assert "switched off alone in trial" in done.stdout
    assert "pooled from 4 complete trials of the search" in done.stdout
    assert "a hint, no experiment" in done.stdout
    document = json.loads(tuner("ablate", *options, "--json").stdout)
    assert document["pooled"]["trials"] == 4


def test_a_study_that_is_not_there_or_has_no_trial(tuner, place) -> None:
    for command in ("confirm", "ablate"):
        missing = tuner(command, "--study", "smal")
        assert missing.code == 2
        assert "did you mean 'small'?" in missing.stderr
    tuner("submit", "--study", "digits")
    for command in ("confirm", "ablate"):
        empty = tuner(command, "--study", "digits")
        assert empty.code == 2
        assert "tuner optimize --study digits" in empty.stderr
        assert "Traceback" not in empty.stderr


def test_a_view_that_does_not_exist(tuner, place) -> None:
    outcome = tuner("ablate", "--study", "small", "--view", "offf")
    assert outcome.code == 2
    assert "--view: no view 'offf'" in outcome.stderr


def test_a_time_limit_leaves_what_the_same_command_goes_on_with(tuner, place) -> None:
    first = ("confirm", "--study", "small", "--top", "1", "--workers", "1")
    assert tuner(*first, "--seeds", "1").code == 0
    limited = tuner(*first, "--seeds", "400", "--timeout", "1s")
    assert limited.code == 0
    assert "not all trainings are done" in limited.stderr
    assert "the same command goes on" in limited.stderr
