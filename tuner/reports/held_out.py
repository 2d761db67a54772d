"""What is known of the test split: only what `confirm` has stored, never read here."""

from __future__ import annotations

from statistics import fmean, pstdev

from tuner.reports.facts import Facts
from tuner.reports.outcomes import Outcome
from tuner.reports.parts import Chart, Grid, Part, Words
from tuner.views.answers import interval
from tuner.views.format import number, several


def held_out(facts: Facts) -> tuple[Part, ...]:
    """The numbers of `confirm`, or which command gives them."""
    found = facts.answers.confirmation
    if facts.own:
        return (Words("The objective is your own: tuner knows of no test rows."),)
    if found is None or all(row.test is None for row in found.rows):
        text = (
            "Nothing has been measured on the test rows yet, and a report does not read them: "
            f"`{facts.command('confirm')}` measures the best few and the baseline on them."
        )
        return (Words(text),)
    rows = tuple(
        (row.label, interval(row.test), ", ".join(f"{v:.4g}" for v in row.test.values))
        for row in found.rows
        if row.test is not None
    )
    columns = ("configuration", "mean and 95% interval", "each seed")
    grid = Grid(f"{facts.metric} on the test split", columns, rows)
    outcome = facts.answers.outcome
    if outcome is None:
        return grid, Words("These trainings did not store their predictions on the test rows.")
    return grid, *_pictures(outcome, found.winner.label)


def _pictures(found: Outcome, winner: str) -> tuple[Part, ...]:
    """Confusion and calibration of classes, or residuals of values."""
    whose = f"{winner}, {several(found.seeds, 'seed')} together"
    parts: list[Part] = []
    if found.confusion:
        caption = f"Confusion on the test rows: {whose}. Colours are shares of a row."
        parts.append(Chart("confusion", caption, _worst(found)))
    if found.calibration:
        error = f"{found.calibration_error:.1%}"
        caption = (
            "Calibration on the test rows: observed accuracy over predicted probability; "
            f"the expected calibration error is {error}. Larger marks are more rows."
        )
        parts.append(Chart("calibration", caption, f"of {whose}"))
    if found.actual:
        mean, deviation = fmean(found.residuals), pstdev(found.residuals)
        about = f"residuals have mean {number(mean)} and deviation {number(deviation)}"
        caption = f"Residuals on the test rows by predicted value: {whose}; {about}."
        parts.append(Chart("residuals", caption, about))
    return tuple(parts)


def _worst(found: Outcome) -> str:
    """The most frequent confusion in words."""
    cells = [
        (count, i, j)
        for i, row in enumerate(found.confusion)
        for j, count in enumerate(row)
        if i != j and count
    ]
    if not cells:
        return "Every row is right."
    count, i, j = max(cells)
    names = found.classes
    return f"Most frequent error: {names[i]} predicted as {names[j]}, {several(count, 'time')}."
