"""The live view of made-up snapshots."""

from __future__ import annotations

from tuner.views.live import MOST_RUNNING, live_view
from tuner.views.snapshot import Running


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
