"""The sections of a report, in the order in which they are read."""

from __future__ import annotations

from tuner.reports.contributions import contributions
from tuner.reports.facts import Facts
from tuner.reports.figures import best_so_far
from tuner.reports.held_out import held_out
from tuner.reports.make import make
from tuner.reports.parts import Chart, Grid, Part, Section, Words
from tuner.reports.space_figures import MOST_SLICES, ranked
from tuner.reports.time_spent import time_spent
from tuner.reports.verdict import failures, verdict
from tuner.views.answers import interval
from tuner.views.format import difference, number


def sections(facts: Facts) -> tuple[Section, ...]:
    """Every section; one that cannot be shown yet says why and which command helps."""
    return (
        Section("verdict", "Verdict", _verdict(facts)),
        Section("history", "How the search went", _history(facts)),
        Section("curves", "Learning curves", _curves(facts)),
        Section("techniques", "What the techniques contribute", contributions(facts)),
        Section("space", "Where good configurations lie", _space(facts)),
        Section("test", "On the test split", held_out(facts)),
        Section("configuration", "The configuration", make(facts)),
        Section("time", "Where the time went", time_spent(facts)),
    )


def _verdict(facts: Facts) -> tuple[Part, ...]:
    first, *rest = verdict(facts)
    parts: list[Part] = [Words(first, strong=True), *map(Words, rest)]
    found = facts.answers.confirmation
    if found is None:
        parts.append(_two(facts))
    else:
        rows = tuple(
            (row.label, interval(row.validation), interval(row.test) if row.test else "–")
            for row in found.rows
        )
        columns = ("configuration", facts.study.measured_on, "test split")
        caption = f"{facts.metric} over seeds, mean and 95% interval"
        parts.append(Grid(caption, columns, rows))
        text = f"{len(rows)} configurations; the table above has the means and intervals"
        parts.append(Chart("confirmed", "Each seed, and the means with their intervals.", text))
    if errors := failures(facts):
        cells = tuple((said.splitlines()[0][:300], str(count)) for said, count in errors)
        parts.append(Grid("What failed trials said", ("error", "trials"), cells))
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
    if not any(entry.value is not None for entry in facts.entries):
        return (Words("No trial has a value yet."),)
    found = best_so_far(facts.entries, facts.direction)
    last = f"{number(found[-1].value)} at trial {found[-1].number}" if found else "none complete"
    text = f"{facts.metric} of {len(facts.entries):,} trials; best so far: {last}"
    rows = tuple((str(e.number), number(e.value), f"{e.seconds:.1f}") for e in found[-30:])
    caption = "Trials that were better than all before them"
    return (
        Chart("history", "Trials in their order. The axis may leave out the worst.", text),
        Chart("seconds", "The same by the clock: when each trial ended.", text),
        Grid(caption, ("trial", facts.metric, "seconds"), rows, first_number=0, folded=True),
    )


def _curves(facts: Facts) -> tuple[Part, ...]:
    shown = [entry for entry in facts.entries if entry.curve]
    if not shown:
        return (Words("No trial has reported an epoch yet."),)
    text = f"{facts.metric} after each epoch, of {len(shown):,} trials; pruned ones are faded"
    caption = "Pruned trials are faded; of very many trials an even choice is drawn."
    return (Chart("curves", caption, text),)


def _space(facts: Facts) -> tuple[Part, ...]:
    if facts.own:
        return (Words("What an own objective searches, only its trials know: see above."),)
    if not facts.searched:
        return (Words("The study searches nothing: every leaf has one value."),)
    if len(facts.complete) < 2:
        return (Words("Two complete trials are needed to compare configurations."),)
    nodes = [n for n in ranked(facts) if any(n.name in e.config for e in facts.complete)]
    names = [node.name for node in nodes]
    text = f"Lines through {', '.join(names[:12])}, coloured by {facts.metric}"
    lines = "Each line is a complete trial; drag along an axis to keep a part of it."
    parts: list[Part] = [Chart("parallel", lines, text)]
    for node in nodes[:MOST_SLICES]:
        caption = f"{node.name}: {node.leaf.doc}." if node.leaf.doc else node.name
        about = f"{facts.metric} over {node.name}"
        parts.append(Chart(f"slice-{node.name}", caption, about, wide=False))
    if len(names) > MOST_SLICES:
        left = ", ".join(names[MOST_SLICES:])
        parts.append(Words(f"Not drawn, by their low importance: {left}."))
    return tuple(parts)
