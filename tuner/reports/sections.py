"""The sections of a report, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tuner.reports.axes import spread
from tuner.reports.contributions import contributions
from tuner.reports.facts import Entry, Facts
from tuner.reports.figures import CURVED, MARKED, best_so_far
from tuner.reports.held_out import held_out
from tuner.reports.make import make
from tuner.reports.parts import Chart, Grid, Part, Section, Words
from tuner.reports.space_figures import MOST_SLICES, best_regions, ranked
from tuner.reports.time_spent import ended_in_order, time_spent
from tuner.reports.verdict import failures, verdict
from tuner.views.answers import interval, seeds_of
from tuner.views.format import difference, number, several

MOST_EPOCHS = 20
"""Rows of the table of learning curves."""


def sections(facts: Facts) -> tuple[Section, ...]:
    """Every section; one that cannot be shown yet says why and which command helps."""
    return (
        Section("verdict", "Verdict", _verdict(facts)),
        Section("history", "How the search went", _history(facts)),
        Section("curves", "Learning curves", _curves(facts)),
        Section("techniques", "What the techniques contribute", contributions(facts)),
        Section("space", "Best regions of the search space", _space(facts)),
        Section("test", "On the test split", held_out(facts)),
        Section("configuration", "The configuration", make(facts)),
        Section("time", "Where the time went", time_spent(facts)),
    )


def _verdict(facts: Facts) -> tuple[Part, ...]:
    first, *rest = verdict(facts)
    parts: list[Part] = [Words(first, strong=True), *map(Words, rest)]
    found = facts.answers.confirmation
    if found is None:
        parts += [_two(facts)] if facts.complete else []
    else:
        rows = tuple(
            (row.label, interval(row.validation), interval(row.test), seeds_of(row, found))
            for row in found.rows
        )
        columns = ("configuration", facts.study.measured_on, "test split", "seeds")
        caption = f"{facts.metric} over seeds, mean and 95% interval"
        parts.append(Grid(caption, columns, rows))
        text = f"{len(rows)} configurations; the table above has the means and intervals"
        parts.append(Chart("confirmed", "Each seed, and the means with their intervals.", text))
    if errors := failures(facts):
        cells = tuple((said, str(count)) for said, count in errors)
        parts.append(Grid("Errors of failed trials", ("error", "trials"), cells))
    return tuple(parts)


def _two(facts: Facts) -> Grid:
    rows = []
    baseline = facts.baseline
    for name, entry in (("baseline", baseline), ("best", facts.best)):
        value = None if entry is None else entry.value
        shown = "–" if entry is None else str(entry.number)
        known = baseline is not None and baseline.value is not None and value is not None
        gain = difference(value, baseline.value) if known and name == "best" else ""  # type: ignore[arg-type, union-attr]
        rows.append((name, shown, number(value), gain))
    if facts.own:
        best = tuple(row[:3] for row in rows[1:])
        return Grid(f"{facts.metric} of the best trial", ("", "trial", facts.metric), best)
    caption = f"{facts.metric} on the {facts.study.measured_on}, one training each"
    return Grid(caption, ("", "trial", facts.metric, "against the baseline"), tuple(rows))


def _history(facts: Facts) -> tuple[Part, ...]:
    ended = [e for e in facts.entries if e.state in MARKED and e.value is not None]
    if not ended:
        return (Words("No trial has ended with a value yet."),)
    found = best_so_far(facts.entries, facts.direction)
    last = f"{number(found[-1].value)} at trial {found[-1].number}" if found else "none complete"
    text = f"{facts.metric} of {several(len(ended), 'trial')}; best so far: {last}"
    parts: list[Part] = [
        Chart("history", "Trials in order. The axis may leave out the worst.", text)
    ]
    if ended_in_order(facts):
        about = "The same over wall-clock time: when each trial ended. Pauses are left out."
        parts.append(Chart("seconds", about, text))
    if found:
        rows = tuple((str(e.number), number(e.value), f"{e.seconds:.1f}") for e in found[-30:])
        columns = ("trial", facts.metric, "seconds")
        parts.append(Grid("New best trials", columns, rows, first_number=0, folded=True))
    else:
        parts.append(Words("No trial is complete yet: every value is of a pruned trial."))
    return tuple(parts)


def _curves(facts: Facts) -> tuple[Part, ...]:
    shown = [entry for entry in facts.entries if entry.curve and entry.state in CURVED]
    step = facts.study.step
    if not shown:
        return (Words(f"No trial has reported a value after a {step} yet."),)
    text = f"{facts.metric} after each {step}, of {several(len(shown), 'trial')}"
    caption = "Pruned trials are faded; large studies show an even sample of the trials."
    return (Chart("curves", caption, text), _by_epoch(facts, shown))


def _by_epoch(facts: Facts, shown: Sequence[Entry]) -> Grid:
    """The curves in numbers: the baseline, the best trial, and the middle of all that got there."""
    known = {epoch for entry in shown for epoch in entry.curve}
    lines = {"baseline": facts.baseline, "best trial": facts.best}
    special = {name: entry for name, entry in lines.items() if entry is not None and entry.curve}
    rows = []
    for epoch in spread(sorted(known), MOST_EPOCHS):
        values = [entry.curve[epoch] for entry in shown if epoch in entry.curve]
        own = (number(entry.curve.get(epoch)) for entry in special.values())
        rows.append((str(epoch), *own, number(median(values)), f"{len(values):,}"))
    step = facts.study.step
    columns = (step, *special, "median", "trials")
    return Grid(f"{facts.metric} after each {step}", columns, tuple(rows), 0, folded=True)


def _space(facts: Facts) -> tuple[Part, ...]:
    if not facts.own and not facts.searched:
        return (Words("The study searches nothing: every parameter has a single value."),)
    if len(facts.complete) < 2:
        return (Words("At least two complete trials are needed to compare configurations."),)
    grid = best_regions(facts)
    if grid is None:
        return (Words("The complete trials have no parameters."),)
    nodes = [n for n in ranked(facts) if any(n.name in e.config for e in facts.complete)]
    if not nodes:
        return (grid,)
    names = [node.name for node in nodes]
    text = f"Lines through {', '.join(names[:12])}, coloured by {facts.metric}"
    lines = "Each line is a complete trial; drag along an axis to filter."
    parts: list[Part] = [grid, Chart("parallel", lines, text)]
    for node in nodes[:MOST_SLICES]:
        caption = f"{node.name}: {node.leaf.doc}." if node.leaf.doc else node.name
        about = f"{facts.metric} over {node.name}"
        parts.append(Chart(f"slice-{node.name}", caption, about, wide=False))
    if len(names) > MOST_SLICES:
        left = ", ".join(names[MOST_SLICES:])
        parts.append(Words(f"Not drawn because of their low importance: {left}."))
    return tuple(parts)
