"""What is said at the end of a run."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tuner.views.snapshot import Best
from tuner.views.summary import as_document, larger, next_commands, summary, what_next


def test_baseline_against_best(shown, snapshot) -> None:
    text = shown(summary(snapshot(complete=56, running=0)))
    assert text.startswith("digits: 60 of 60 trials, 4 pruned, 1 failed, in 41 s")
    rows = [line.split() for line in text.splitlines()]
    assert ["baseline", "0", "0.9556"] in rows
    assert ["best", "17", "0.9806", "+0.0250"] in rows
    assert ["width", "128", "64"] in rows
    assert ["sgd.momentum", "0.9", "–"] in rows
    assert "epochs" not in text  # neither searched nor different


def test_a_smaller_error_is_better_and_the_difference_says_by_how_much(shown, snapshot) -> None:
    found = snapshot(
        metric="rmse", direction="minimize", baseline=Best(0, 58.0, {}), best=Best(3, 54.5, {})
    )
    assert "-3.5000" in shown(summary(found))


def test_budget_met_already(shown, snapshot) -> None:
    text = shown(summary(snapshot(complete=56, ended=())))
    assert "digits: already complete: 60 trials, budget 60; " in text


def test_without_a_result(shown, snapshot) -> None:
    found = snapshot(baseline=None, best=None)
    assert "validation" not in shown(summary(found))
    assert [command for command, _ in next_commands(found)] == ["tuner optimize --study digits"]


def test_what_next(snapshot) -> None:
    lines = what_next(snapshot(complete=56))
    assert lines[0] == "database  sqlite:///tuner.db"
    assert lines[1].startswith("next      tuner best --study digits ")
    assert lines[2].split("#")[0].strip() == "tuner retrain --study digits --trial 17"
    assert lines[3].endswith("tuner optimize --study digits --trials 120  # goes on to 120 trials")
    assert what_next(snapshot())[3].split("#")[0].strip() == "tuner optimize --study digits"


def test_commands_are_quoted_and_name_the_storage(snapshot) -> None:
    found = replace(snapshot(), study="my study")
    command = next_commands(found, "postgresql://a:***@b/c")[0][0]
    assert command == "tuner best --study 'my study' --storage 'postgresql://a:***@b/c'"


@pytest.mark.parametrize(("budget", "more"), [(1, 10), (7, 20), (60, 120)])
def test_larger(budget: int, more: int) -> None:
    assert larger(budget) == more


def test_document(snapshot) -> None:
    found = json.loads(json.dumps(as_document(snapshot())))
    assert found["finished"] == 23
    assert found["ended_in_this_run"] == 2
    assert found["best"]["number"] == 17
    assert found["best"]["configuration"]["sgd.momentum"] == 0.9
    assert as_document(snapshot(best=None))["best"] is None
