"""What the seeds of a configuration say together of the test rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tuner.reports.facts import Facts, pooled_outcome
from tuner.reports.report import report_of

ONE = {
    "classes": ["<script>", "b"],
    "confusion": [[3, 1], [0, 2]],
    "calibration": [[0, 0.0, 0.0], [2, 0.6, 0.5], [4, 0.9, 1.0]],
}
TWO = {**ONE, "confusion": [[4, 0], [1, 1]], "calibration": [[0, 0, 0], [0, 0, 0], [6, 0.8, 0.5]]}


def test_seeds_are_added_up() -> None:
    found = pooled_outcome([ONE, TWO])
    assert found is not None
    assert found.confusion == ((7, 1), (1, 3))
    assert found.calibration == ((2, 0.6, 0.5), (10, pytest.approx(0.84), pytest.approx(0.7)))
    assert found.calibration_error == pytest.approx((2 * 0.1 + 10 * 0.14) / 12)
    assert pooled_outcome([]) is None


def test_the_page_shows_confusion_and_calibration(
    searched: Facts, make_answers: Callable[..., Any]
) -> None:
    answers = replace(make_answers(), outcome=pooled_outcome([ONE, TWO]))
    report = report_of(replace(searched, answers=answers))
    assert {"confusion", "calibration"} <= set(report.figures)
    text = report.html()
    assert "Most frequent error: b predicted as &lt;script&gt;, 1 time." in text
    assert report.figures["confusion"].layout.xaxis.ticktext[0] == "&lt;script&gt;"


def test_the_page_shows_residuals_of_a_quantity(
    searched: Facts, make_answers: Callable[..., Any]
) -> None:
    kept = pooled_outcome([{"actual": [1.0, 2.0], "predicted": [1.5, 2.5]}])
    report = report_of(replace(searched, answers=replace(make_answers(), outcome=kept)))
    assert "residuals" in report.figures
    assert "confusion" not in report.figures
    assert "residuals have mean -0.5000 and deviation 0.0000" in report.html()
    (dots,) = report.figures["residuals"].data
    assert (list(dots.x), list(dots.y)) == ([1.5, 2.5], [-0.5, -0.5])
    assert report.figures["residuals"].layout.yaxis.title.text == "residual (actual − predicted)"


def test_an_older_confirmation_says_what_is_missing(
    searched: Facts, make_answers: Callable[..., Any]
) -> None:
    text = report_of(replace(searched, answers=make_answers())).markdown()
    assert "These trainings did not store their predictions" in text
