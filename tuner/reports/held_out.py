"""What is known of the test split: only what `confirm` has stored, never read here."""

from __future__ import annotations

from tuner.reports.facts import Facts
from tuner.reports.parts import Grid, Part, Words
from tuner.reports.verdict import interval


def held_out(facts: Facts) -> tuple[Part, ...]:
    """The numbers of `confirm`, or which command gives them."""
    found = facts.answers.confirmation
    if found is None or all(row.test is None for row in found.rows):
        text = (
            "Nothing has read the test rows yet, and a report does not either: "
            f"`{facts.command('confirm')}` measures the best few and the baseline on them once."
        )
        return (Words(text),)
    rows = tuple(
        (row.label, interval(row.test), ", ".join(f"{v:.4g}" for v in row.test.values))
        for row in found.rows
        if row.test is not None
    )
    columns = ("configuration", "mean and 95% interval", "each seed")
    return (Grid(f"{facts.metric} on the test split", columns, rows),)
