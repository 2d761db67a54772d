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


LABELS = [
    {"name": "<rain>", "value": 0.5, "calibration": [[4, 0.05, 0.25], *[[0, 0, 0]] * 8, [6, 1, 1]]},
    {"name": "fog", "value": None, "calibration": [[5, 0.05, 0.2], *[[0, 0, 0]] * 9]},
]


def test_the_page_shows_each_of_several_labels(
    searched: Facts, make_answers: Callable[..., Any]
) -> None:
    other = [{**LABELS[0], "value": 0.75}, LABELS[1]]
    kept = pooled_outcome([{"each": LABELS}, {"each": other}])
    assert kept is not None
    assert [(each.name, each.value) for each in kept.each] == [("<rain>", 0.625), ("fog", None)]
    assert kept.each[0].calibration == ((8, 0.05, 0.25), (12, 1.0, 1.0))
    assert kept.each[0].calibration_error == pytest.approx(0.08)
    report = report_of(replace(searched, answers=replace(make_answers(), outcome=kept)))
    assert not {"confusion", "calibration", "residuals"} & set(report.figures)
    text = report.markdown()
    assert "Calibration of each label on the test rows" in text
    assert "25% of 8" in text
    assert "100% of 12" in text
    assert "| 8.0%" in text
    assert "&lt;rain&gt;" in report.html()


def test_the_page_shows_each_of_several_quantities(
    searched: Facts, make_answers: Callable[..., Any]
) -> None:
    kept = pooled_outcome([{"each": [{"name": "a", "value": 2.0}, {"name": "b", "value": 300.0}]}])
    report = report_of(replace(searched, answers=replace(make_answers(), outcome=kept)))
    assert "quantity" in report.markdown()
    assert "Calibration of each" not in report.markdown()
    assert not {"confusion", "calibration", "residuals"} & set(report.figures)


def test_an_older_confirmation_says_what_is_missing(
    searched: Facts, make_answers: Callable[..., Any]
) -> None:
    text = report_of(replace(searched, answers=make_answers())).markdown()
    assert "These trainings did not store their predictions" in text
