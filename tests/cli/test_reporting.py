"""`report` and `compare` over a real run."""

from __future__ import annotations

import json
from typing import Any

import pytest


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
    assert sum(map(sum, counts)) == 2 * 30  # a fifth of 150 flowers, twice
    right = sum(counts[i][i] for i in range(3)) / 60
    assert right == pytest.approx(after["confirmation"]["winner"]["test"]["mean"])
    page = tuner("report", "--study", "small", "--out", "page.html")
    assert page.stdout.startswith("Confirmed over 2 seeds: trial ")
    text = (place.folder / "page.html").read_text(encoding="utf-8")
    assert "Confusion on the test rows" in text
    assert "Calibration on the test rows" in text
