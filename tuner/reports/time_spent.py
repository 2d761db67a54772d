"""Where the time went."""

from __future__ import annotations

from statistics import median

from tuner.reports.facts import Facts
from tuner.reports.figures import ended_in_order
from tuner.reports.parts import Chart, Grid, Part, Words
from tuner.views.format import duration, several


def time_spent(facts: Facts) -> tuple[Part, ...]:
    """Seconds and epochs by how trials ended, and how much pruning left out."""
    total = sum(entry.seconds for entry in facts.entries)
    if total == 0:
        return (Words("No trial has told yet how long it took."),)
    wall = wall_seconds(facts)
    text = f"Training took {duration(total)}, all workers together"
    text += f", within {duration(wall)} by the clock." if wall else "."
    trained = sum(entry.epochs for entry in facts.entries)
    planned = sum(
        int(e.config.get("epochs", e.epochs)) for e in facts.entries if e.state != "waiting"
    )
    if trained < planned:
        text += f" Of {several(planned, 'planned epoch')} {trained:,} were trained: "
        text += f"pruning and early stopping left out {1 - trained / planned:.0%}."
    chart = Chart("time", "Seconds of training by how the trial ended.", "see the table")
    columns = ("ended", "trials", "seconds", "share", "median trial", "epochs")
    grid = Grid("Where the seconds of training went", columns, tuple(_rows(facts, total)))
    return Words(text), chart, grid


def wall_seconds(facts: Facts) -> float:
    """From the first trial's start to the last one's end."""
    ordered = ended_in_order(facts)
    return ordered[-1][0] if ordered else 0.0


def _rows(facts: Facts, total: float) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for state in ("complete", "pruned", "failed", "running"):
        mine = [entry for entry in facts.entries if entry.state == state]
        if mine:
            seconds = sum(entry.seconds for entry in mine)
            each = median(entry.seconds for entry in mine)
            epochs = sum(entry.epochs for entry in mine)
            numbers = (f"{len(mine):,}", f"{seconds:,.1f}", f"{seconds / total:.0%}")
            found.append((state, *numbers, f"{each:.2f} s", f"{epochs:,}"))
    return found
