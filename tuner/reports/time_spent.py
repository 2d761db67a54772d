"""Reports training time over all workers, and wall-clock time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import accumulate
from statistics import median

from tuner.reports.facts import Entry, Facts
from tuner.reports.parts import Chart, Grid, Part, Words
from tuner.results.best import INTERRUPTED, PAUSED
from tuner.show.text import duration, several

ENDED = ("complete", "pruned", "failed")


@dataclass(frozen=True)
class ActiveTime:
    """Wall-clock time that stands still while no trial runs: pauses between runs do not count.

    Attributes:
        spans: the times in which trials ran, in order and apart.
    """

    spans: tuple[tuple[datetime, datetime], ...]

    @cached_property
    def _elapsed(self) -> tuple[float, ...]:
        """Seconds before each span, and after the last."""
        lengths = ((end - begin).total_seconds() for begin, end in self.spans)
        return tuple(accumulate(lengths, initial=0.0))

    @property
    def seconds(self) -> float:
        """Seconds in which trials ran."""
        return self._elapsed[-1]

    def at(self, moment: datetime) -> float:
        """Seconds in which trials ran before a moment."""
        last = bisect_right(self.spans, moment, key=lambda span: span[0]) - 1
        if last < 0:
            return 0.0
        begin, end = self.spans[last]
        return self._elapsed[last] + (min(moment, end) - begin).total_seconds()


def active_time(entries: Iterable[Entry]) -> ActiveTime:
    """The union of the times in which trials ran."""
    intervals = sorted(each for entry in entries if (each := entry.interval) is not None)
    spans: list[tuple[datetime, datetime]] = []
    for begin, end in intervals:
        if spans and begin <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(end, spans[-1][1])
        else:
            spans.append((begin, end))
    return ActiveTime(tuple(spans))


def ended_in_order(facts: Facts) -> list[tuple[float, Entry]]:
    """Trials with a value that have ended, each with the wall-clock seconds by then."""
    running = active_time(facts.entries)
    timed = [
        (running.at(e.ended), e)
        for e in facts.entries
        if e.ended is not None and e.interval is not None and e.value is not None
    ]
    return sorted(timed, key=lambda pair: (pair[0], pair[1].number))


def time_spent(facts: Facts) -> tuple[Part, ...]:
    """Seconds and epochs by how trials ended, and how many epochs pruning saved."""
    total = sum(entry.seconds for entry in facts.entries)
    if total == 0:
        return (Words("No training time is recorded yet."),)
    text = f"Training took {duration(total)}, added up over all workers, within "
    text += f"{duration(wall_seconds(facts))} of wall-clock time in which trials ran."
    ended = [entry for entry in facts.entries if entry.state in ENDED]
    trained, planned = sum(e.epochs for e in ended), sum(_planned(e) for e in ended)
    if trained < planned:
        text += f" Of {several(planned, 'planned epoch')}, {trained:,} were trained: "
        text += f"pruning and early stopping saved {1 - trained / planned:.0%}."
    columns = ("ended", "trials", "seconds", "share", "median trial", "epochs")
    grid = Grid("Training time by outcome", columns, tuple(_rows(facts, total)))
    if not any(entry.seconds for entry in ended):
        return Words(text), grid
    chart = Chart("time", "Seconds of training by outcome.", "see the table")
    return Words(text), chart, grid


def _planned(entry: Entry) -> int:
    """Epochs of its configuration; where it has no such parameter, those that it trained."""
    epochs = entry.config.get("epochs")
    return epochs if isinstance(epochs, int) else entry.epochs


def wall_seconds(facts: Facts) -> float:
    """The wall-clock time in which trials ran; pauses between runs do not count."""
    return active_time(facts.entries).seconds


def _rows(facts: Facts, total: float) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for state in (*ENDED, "running", INTERRUPTED, PAUSED):
        entries = [entry for entry in facts.entries if entry.state == state]
        if entries:
            seconds = sum(entry.seconds for entry in entries)
            each = median(entry.seconds for entry in entries)
            epochs = sum(entry.epochs for entry in entries)
            numbers = (f"{len(entries):,}", f"{seconds:,.1f}", f"{seconds / total:.0%}")
            rows.append((state, *numbers, f"{each:.2f} s", f"{epochs:,}"))
    return rows
