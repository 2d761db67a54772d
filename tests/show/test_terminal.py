"""One plain line for each trial that ended."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
from dataclasses import replace

import pytest
from rich.console import Console

from tuner.results.best import Best, Ended, Luck, Running
from tuner.show.terminal import (
    MOST_RUNNING,
    Lines,
    as_document,
    larger,
    line,
    live_view,
    next_commands,
    summary,
    trainings_view,
    watching,
    watching_trainings,
    what_next,
)


@pytest.mark.parametrize(
    ("ended", "text"),
    [
        (
            Ended(12, "complete", 0.97222, 30, "all epochs", (7, 0.98)),
            "trial 12: 0.9722; best 0.9800 (trial 7)",
        ),
        (
            Ended(3, "pruned", 0.91, 4, "pruned", (7, 0.98)),
            "trial 3: pruned at epoch 4, 0.9100; best 0.9800 (trial 7)",
        ),
        (Ended(3, "pruned", None, 4, "diverged"), "trial 3: diverged at epoch 4"),
        (Ended(5, "pruned", None, 0), "trial 5: pruned at epoch 0"),
        (Ended(4, "failed", None, 1, "ValueError: no\nmore"), "trial 4: failed: ValueError: no"),
        (Ended(4, "failed", None, 0), "trial 4: failed"),
    ],
)
def test_line(ended: Ended, text: str) -> None:
    assert line(ended) == text


def test_each_trial_is_told_once(snapshot) -> None:
    lines = Lines()
    first, second = snapshot().ended
    assert [*lines.new(snapshot(ended=(first,)))] == [line(first)]
    assert [*lines.new(snapshot(ended=(first,)))] == []
    # one that ended earlier may be written later
    assert [*lines.new(snapshot(ended=(second, first)))] == [line(second)]


# The live view of made-up snapshots.


def test_shows_counts_best_and_what_is_in_training(shown, snapshot) -> None:
    text = shown(live_view(snapshot()))
    assert "digits  maximize accuracy" in text
    assert "23/60 trials  2 running  4 pruned  1 failed  41 s, 1 min 5 s left" in text
    assert "0.9806  trial 17  (baseline 0.9556, +0.0250)" in text
    assert "width 128  dropout 0  optimizer sgd  sgd.momentum 0.9" in text
    assert "depth" not in text  # neither searched nor different
    lines = text.splitlines()
    assert [*filter(lambda x: "epoch" in x, lines)] == lines[-2:]
    assert lines[-2].split() == ["training", "trial", "24", "epoch", "12/30", "0.9611"]
    assert lines[-1].split() == ["trial", "25", "epoch", "0/30", "–"]


def test_before_the_first_result(shown, snapshot) -> None:
    text = shown(live_view(snapshot(baseline=None, best=None, left=None, ended=())))
    assert "none yet" in text
    assert "41 s, – left" in text


def test_best_before_the_baseline(shown, snapshot) -> None:
    text = shown(live_view(snapshot(baseline=None)))
    assert "best      0.9806  trial 17\n" in text
    assert "baseline" not in text


def test_the_bar_grows(shown, snapshot) -> None:
    full = shown(live_view(snapshot(budget=23)))
    half = shown(live_view(snapshot(budget=46)))

    def filled(text: str) -> int:
        return text.splitlines()[1].count("━")

    assert filled(full) == 24
    assert filled(half) == 12


def test_a_state_that_is_not_open_is_named(shown, snapshot) -> None:
    assert "paused" in shown(live_view(snapshot(state="paused")))
    assert "open" not in shown(live_view(snapshot()))


def test_many_running_trials_are_cut_short(shown, snapshot) -> None:
    running = tuple(Running(n, 1, 30, 0.5, {}) for n in range(MOST_RUNNING + 5))
    text = shown(live_view(snapshot(running=running)))
    assert text.count("epoch 1/30") == MOST_RUNNING
    assert "and 5 more" in text


def test_brackets_are_text(shown, snapshot) -> None:
    assert "[bold]x" in shown(live_view(snapshot(study="[bold]x")))


def test_a_narrow_terminal(shown, snapshot) -> None:
    text = shown(live_view(snapshot()), width=40)
    assert max(map(len, text.splitlines())) <= 40
    assert "sgd.momentum" in text


# What is said at the end of a run.


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
    assert lines[3].endswith(
        "tuner optimize --study digits --trials 120  # extend the study to 120 trials"
    )
    assert what_next(snapshot())[3].split("#")[0].strip() == "tuner optimize --study digits"


def test_a_best_value_that_may_be_luck_is_to_be_confirmed(shown, snapshot) -> None:
    found = snapshot(complete=56, luck=Luck(0.0081, 12, 56))
    text = shown(summary(found), width=300)
    sentence = (
        "the best of 56 trials is also the luckiest: its accuracy has a standard error of 0.0081 "
        "over the validation rows, and 12 other configurations are within two"
    )
    assert text.count(sentence) == 1
    assert "luckiest" not in "\n".join(what_next(found))
    command, purpose = next_commands(found)[0]
    assert (command, "best five" in purpose) == ("tuner confirm --study digits", True)
    assert as_document(found)["luck"] == {"error": 0.0081, "rivals": 12, "complete": 56}
    one = replace(found, luck=Luck(0.0081, 1, 56))
    assert "1 other configuration is within two" in shown(summary(one), width=300)


def test_a_best_value_that_is_clear_needs_no_words(shown, snapshot) -> None:
    assert "luckiest" not in shown(summary(snapshot(complete=56)), width=300)
    assert "confirm" not in " ".join(command for command, _ in next_commands(snapshot()))
    assert as_document(snapshot())["luck"] is None


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


# Live on a terminal, plain lines elsewhere.


def received(terminal: int) -> str:
    """Everything that was sent to a terminal whose other end is closed."""
    found = b""
    with contextlib.suppress(OSError):  # that is how its end is told
        while part := os.read(terminal, 65536):
            found += part
    os.close(terminal)
    return found.decode()


def test_plain_lines_where_there_is_no_terminal(snapshot) -> None:
    stream = io.StringIO()
    # colours may be forced where there is no terminal; a live view may not
    with watching(Console(file=stream, force_terminal=True)) as watch:
        watch(snapshot())
        watch(snapshot())
    assert stream.getvalue() == (
        "trial 22: 0.9700; best 0.9806 (trial 17)\n"
        "trial 23: pruned at epoch 3, 0.5100; best 0.9806 (trial 17)\n"
    )


def test_live_on_a_terminal_and_gone_at_the_end(snapshot) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        console = Console(file=stream, width=100, force_terminal=True)
        with watching(console) as watch:
            watch(snapshot())
            watch(snapshot(complete=20))
    sent = received(ours)
    assert "starting" in sent
    assert "23/60 trials" in sent
    assert "24/60 trials" in sent
    assert sent.count("\x1b[?25l") == sent.count("\x1b[?25h") == 1
    after = sent[sent.rindex("24/60 trials") :]
    assert "\x1b[2K" in after  # every line is erased
    assert "trial 22:" not in sent


def test_a_terminal_without_cursor_gets_plain_lines(snapshot) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        console = Console(file=stream, width=100, _environ={"TERM": "dumb"})
        with watching(console) as watch:
            watch(snapshot())
    sent = received(ours)
    assert sent.startswith("trial 22: 0.9700; best")
    assert "\x1b" not in sent


# Trainings of known configurations.


def test_trainings_have_a_bar_and_what_is_left(shown, snapshot) -> None:
    text = shown(trainings_view(snapshot()))
    assert "digits\n" in text
    assert "23 of 60 trainings  2 running  1 failed  41 s, 1 min 5 s left" in text
    assert "best" not in text  # trainings of several configurations have no best one
    assert "epoch " in text
    assert "epoch " not in shown(trainings_view(snapshot(running=())))


def test_trainings_in_plain_lines(snapshot) -> None:
    stream = io.StringIO()
    now = snapshot()
    met = replace(now, progress=replace(now.progress, complete=56))
    with watching_trainings(Console(file=stream)) as watch:
        for each in (now, now, met):
            watch(each)
    assert stream.getvalue().splitlines() == [
        "digits: 23 of 60 trainings, 1 min 5 s left",
        "digits: 60 of 60 trainings",
    ]


def test_trainings_live_on_a_terminal(snapshot) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        console = Console(file=terminal, force_terminal=True, width=100)
        with watching_trainings(console) as watch:
            watch(snapshot())
    assert "23 of 60 trainings" in received(ours)
