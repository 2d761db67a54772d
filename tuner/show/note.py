"""Writes a study's note in Markdown, which optuna-dashboard shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuner.search.promote import PAUSED_AT
from tuner.show.answers import ensemble_line, verdict
from tuner.show.snapshot import Snapshot
from tuner.show.terminal import next_commands
from tuner.show.text import code, difference, fenced, number, plain, progress_text, table
from tuner.space import format_value
from tuner.study.objective import ObjectiveStudy
from tuner.study.trials import left_out_words

if TYPE_CHECKING:
    from tuner.results.confirm import Confirmation
    from tuner.study import Study


MOST_LEAVES = 40
"""Parameters that are listed; the dashboard reads all notes on every page."""


def note(snapshot: Snapshot, study: Study, confirmed: Confirmation | None = None) -> str:
    """What is searched, the baseline against the best so far, and how to reproduce the best."""
    blocks = [f"# {plain(study.name)}"]
    if study.description:
        blocks.append(plain(study.description))
    blocks += [_standing(snapshot), *_values(snapshot)]
    if words := left_out_words(snapshot.left_out):
        blocks.append(f"{plain(words)}.")
    if confirmed is not None:
        blocks.append(f"**Confirmed** (`tuner confirm`): {plain(verdict(confirmed))}.")
        if line := ensemble_line(confirmed):
            blocks.append(f"{plain(line[0].upper() + line[1:])}.")
    blocks += ["## What is searched", *_searched(snapshot, study)]
    blocks += ["## How to reproduce", *_commands(snapshot)]
    return "\n\n".join(blocks)


def note_of_replicas(name: str, study: str, command: str) -> str:
    """The note of a study that holds the trainings of `confirm` or `ablate` of another study."""
    return (
        f"# {plain(name)}\n\nTrainings of known configurations of {plain(study)}, for "
        f"`tuner {command}`: the attribute `replica` of each trial has its configuration and seed."
    )


def _standing(snapshot: Snapshot) -> str:
    progress = snapshot.progress
    counts = f"{progress.pruned} of them pruned, {progress.failed} more failed"
    if progress.paused:
        counts += f", {progress.paused} more paused (their attribute `{PAUSED_AT}` is the epoch)"
    done = f"**{progress_text(progress, snapshot.epochs)}** ({progress.state})"
    return (
        f"{done}, {counts}; "
        f"{snapshot.direction} {plain(snapshot.metric)} on the {snapshot.measured_on}."
    )


def _values(snapshot: Snapshot) -> list[str]:
    best, baseline = snapshot.best, snapshot.baseline
    if best is None:
        return ["No trial is complete yet."]
    rows = []
    if baseline is not None:
        rows.append(("baseline", str(baseline.number), number(baseline.value), ""))
    gain = "" if baseline is None else difference(best.value, baseline.value)
    rows.append(("best so far", str(best.number), number(best.value), gain))
    return [table(("", "trial", snapshot.metric, "difference"), rows, 1)]


def _searched(snapshot: Snapshot, study: Study) -> list[str]:
    from tuner.study import describe

    best = {} if snapshot.best is None else snapshot.best.config
    if isinstance(study, ObjectiveStudy):
        own = f"The parameters that the objective {code(study.objective)} suggests."
        suggested = [(name, format_value(value)) for name, value in best.items()]
        return [own, *_rows(("parameter", "best so far"), suggested, 2)]
    rows = [
        (
            leaf["name"],
            leaf["may_be"],
            "" if leaf["baseline"] is None else format_value(leaf["baseline"]),
            format_value(best[leaf["name"]]) if leaf["name"] in best else "",
        )
        for leaf in describe.leaves(study)
        if leaf["searched"]
    ]
    return _rows(("parameter", "value or range", "baseline", "best so far"), rows, 4)


def _rows(columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: int) -> list[str]:
    more = len(rows) - MOST_LEAVES
    shown = [table(columns, rows[:MOST_LEAVES], numbers)] if rows else []
    return [*shown, f"and {more} more: `tuner check` lists them"] if more > 0 else shown


def _commands(snapshot: Snapshot) -> list[str]:
    commands = next_commands(snapshot)
    width = max((len(command) for command, _ in commands), default=0)
    lines = [f"{command:{width}}  # {purpose}" for command, purpose in commands]
    return ["With `TUNER_STORAGE` set to this database:", fenced("\n".join(lines), "bash")]
