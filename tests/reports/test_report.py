"""A report on studies in any state, and the ways to write it down."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

import tuner
from tuner.errors import UsageError
from tuner.reports.facts import Facts
from tuner.reports.report import Report, build, format_of, report, report_of

Trial = Callable[..., Any]
KEYS = ["verdict", "history", "curves", "techniques", "model", "space"]
KEYS += ["test", "configuration", "time"]


def test_a_report_of_python_has_figures_and_a_frame(place: Any, make_trial: Trial) -> None:
    study, _ = place.study(*(make_trial(n) for n in range(12)))
    found = report("made", tuner.RunOptions(storage=place.url))
    assert isinstance(found, Report)
    assert all(isinstance(figure, go.Figure) for figure in found.figures.values())
    frame = found.to_frame()
    assert list(frame["number"]) == list(range(12))
    assert {"state", "value", "seconds", "epochs", "dropout", "sgd.momentum"} <= set(frame.columns)
    assert frame["sgd.momentum"].isna().sum() == 9
    again = report(study, tuner.RunOptions(storage=place.url))
    assert again.verdict == found.verdict


@pytest.mark.parametrize(
    "states",
    [
        ["COMPLETE"],
        ["RUNNING"],
        ["FAIL"],
        ["PRUNED"],
        ["WAITING"],
        ["FAIL", "PRUNED", "PRUNED"],
        ["PRUNED", "COMPLETE"],
        ["COMPLETE", "COMPLETE", "RUNNING"],
    ],
)
def test_a_study_in_any_state_has_all_sections(
    place: Any, make_trial: Trial, states: list[str]
) -> None:
    trials = [make_trial(i, s, 0.0 if s == "COMPLETE" else None) for i, s in enumerate(states)]
    found = report_of(place.facts(*trials))
    assert [section.key for section in found.sections] == KEYS
    assert all(section.parts for section in found.sections)
    assert found.html().count("<section") == len(KEYS)
    assert found.markdown().count("\n## ") == len(KEYS)
    assert len(json.loads(found.text("json"))["trials"]) == len(states)


def test_a_study_that_searches_nothing(place: Any, make_trial: Trial, fixed: Any) -> None:
    found = report_of(place.facts(make_trial(0, value=54.0, params={}), document=fixed))
    text = found.markdown()
    assert "searches no technique" in text
    assert "searches nothing" in text
    assert found.html()


def test_values_that_are_not_finite(place: Any, make_trial: Trial) -> None:
    facts = place.facts(make_trial(0), make_trial(1, value=float("inf")), make_trial(2))
    text = report_of(facts).text("json")
    assert json.loads(text)["trials"][1]["value"] is None
    assert report_of(facts).html()


def test_a_trial_that_tuner_did_not_make(place: Any, make_trial: Trial) -> None:
    stranger = make_trial(1, params={"learning_rate": 0.01})
    found = report_of(place.facts(make_trial(0), stranger, make_trial(2)))
    assert list(found.to_frame()["number"]) == [0, 2]
    words = "trial of another program is left out: trial 1 (batch_norm: the trial has no such p"
    assert words in found.verdict[-1]
    assert json.loads(found.text("json"))["left_out"][0]["number"] == 1
    assert found.html()


def test_a_study_without_a_trial_is_refused(place: Any) -> None:
    study, study_id = place.study()
    with pytest.raises(UsageError, match="no trial of 'made' has begun yet") as caught:
        build(place.storage, study, study_id)
    assert "tuner optimize --study made" in caught.value.hint


def test_json_holds_everything(searched: Facts, make_answers: Callable[..., Any]) -> None:
    found = report_of(replace(searched, answers=make_answers()))
    document = json.loads(found.text("json"))
    assert document["confirmation"]["winner"]["test"]["values"] == [0.94, 0.95, 0.96]
    assert document["ablation"]["effects"][0]["technique"] == "dropout"
    assert document["chosen"]["number"] == 3
    assert document["main_effects"][0]["technique"] == "batch_norm"
    assert len(document["trials"]) == 40
    assert document["spec"]["metric"] == "accuracy"


def test_a_file_is_replaced_and_nothing_is_left_beside(searched: Facts, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "report.md").write_text("old")
    written = report_of(searched).save(folder / "report.md")
    assert written.read_text().startswith("# made: report\n")
    assert [path.name for path in folder.iterdir()] == ["report.md"]


def test_a_pipe_is_written_to_and_not_replaced(searched: Facts, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    pipe, found = folder / "pipe.md", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_text(encoding="utf-8")))
    reader.start()
    report_of(searched).save(pipe)
    reader.join(30)
    assert found[0].startswith("# ")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [path.name for path in folder.iterdir()] == ["pipe.md"]


def test_the_format_is_by_the_ending() -> None:
    assert format_of("A.HTML") == format_of("a.htm") == "html"
    assert format_of("A.MD") == "md"
    with pytest.raises(UsageError, match=r"as \.pdf"):
        format_of("a.pdf")
    assert [format_of(name) for name in ("a.md", "a.json", "a.html", "a")] == [
        "md",
        "json",
        "html",
        "html",
    ]
