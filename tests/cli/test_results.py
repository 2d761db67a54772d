"""``confirm`` and ``ablate`` as people type them."""

from __future__ import annotations

import json
from typing import Any

import pytest


def test_confirm_and_ablate_say_what_is_true(tuner, place) -> None:
    confirmed = tuner("confirm", "--study", "small", "--top", "1", "--seeds", "2", "--workers", "1")
    assert confirmed.code == 0, confirmed.stderr
    assert "small: " in confirmed.stdout
    assert "on the test rows over 2 seeds" in confirmed.stdout
    assert "next      tuner export --study small --out model" in confirmed.stdout
    assert "baseline" in confirmed.stdout
    assert "small:confirm: 8 of 8 trainings" in confirmed.stderr
    for name in ("majority class", "logistic regression", "HistGradientBoosting"):
        assert name in confirmed.stdout
    words = ("confirm", "--study", "small", "--top", "1", "--seeds", "2", "--no-yardsticks")
    assert "HistGradientBoosting" not in tuner(*words).stdout
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
    assert "a hint, not an experiment" in done.stdout
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


@pytest.mark.parametrize("option", ["--timeout", "--budget"])
def test_a_time_limit_leaves_what_the_same_command_goes_on_with(tuner, place, option) -> None:
    first = ("confirm", "--study", "small", "--top", "1", "--workers", "1")
    assert tuner(*first, "--seeds", "1").code == 0
    limited = tuner(*first, "--seeds", "400", option, "1s")
    assert limited.code == 0
    assert "unfinished: these are the results so far" in limited.stderr
    assert "the same command continues" in limited.stderr


# `report` and `compare` over a real run.


def test_report_writes_a_page(place: Any, tuner: Any) -> None:
    done = tuner("report", "--study", "small")
    assert done.code == 0
    assert done.stdout.startswith(("Best of 4 complete trials: trial ", "The baseline is best"))
    assert "report.html: 4." in done.stdout
    text = (place.folder / "report.html").read_text(encoding="utf-8")
    assert "<h1>small: report</h1><p>Flowers by a line</p>" in text
    assert "tuner retrain --study small" in text


@pytest.mark.parametrize("arguments", [("--out", "a.json"), ("--out", "a.x", "--format", "json")])
def test_the_format_is_named_or_by_the_ending(
    place: Any, tuner: Any, arguments: tuple[str, ...]
) -> None:
    assert tuner("report", "--study", "small", *arguments).code == 0
    document = json.loads((place.folder / arguments[1]).read_text(encoding="utf-8"))
    assert [trial["state"] for trial in document["trials"]] == ["complete"] * 4


def test_a_report_on_stdout(place: Any, tuner: Any) -> None:
    done = tuner("report", "--study", "small", "--out", "-", "--format", "md")
    assert done.stdout.startswith("# small: report\n\nFlowers by a line\n")
    assert not (place.folder / "-").exists()


def test_compare_shows_two_studies(place: Any, tuner: Any) -> None:
    text = (place.folder / "studies" / "small.toml").read_text(encoding="utf-8")
    (place.folder / "studies" / "other.toml").write_text(
        text.replace("epochs = 3", "epochs = 1"), encoding="utf-8"
    )
    assert tuner("optimize", "--study", "other", "--trials", "2", "--workers", "1").code == 0
    done = tuner("compare", "small", "other")
    lines = {line.split("  ")[0]: line for line in done.stdout.splitlines()}
    assert "accuracy, maximize" in lines["metric"]
    assert "4 complete, 0 pruned, 0 failed" in lines["trials"]
    assert "(best)" in done.stdout
    document = json.loads(tuner("compare", "small", "other", "--json").stdout)
    assert [side["study"] for side in document["studies"]] == ["small", "other"]
    assert document["best"] in ("small", "other")


def test_what_confirm_kept_of_the_test_rows_is_shown(place: Any, tuner: Any) -> None:
    before = json.loads(
        tuner("report", "--study", "small", "--out", "-", "--format", "json").stdout
    )
    assert before["outcome"] is None
    options = ("--study", "small", "--top", "1", "--seeds", "2")
    assert tuner("confirm", *options, "--workers", "1").code == 0
    after = json.loads(tuner("report", "--study", "small", "--out", "-", "--format", "json").stdout)
    counts = after["outcome"]["confusion"]
    assert sum(map(sum, counts)) == 2 * 31  # a fifth of 150 flowers and the copy of one, twice
    right = sum(counts[i][i] for i in range(3)) / 62
    assert right == pytest.approx(after["confirmation"]["winner"]["test"]["mean"])
    page = tuner("report", "--study", "small", "--out", "page.html")
    assert page.stdout.startswith("Confirmed over 2 seeds: trial ")
    text = (place.folder / "page.html").read_text(encoding="utf-8")
    assert "Confusion on the test rows" in text
    assert "Calibration on the test rows" in text
