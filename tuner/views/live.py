"""The view of a running study on a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tuner.views.format import difference, duration, leaves, number
from tuner.views.snapshot import Snapshot
from tuner.views.trials import Running

MOST_RUNNING = 8
"""So many trials in training are shown; a large machine has more than a screen has lines."""


def live_view(snapshot: Snapshot) -> RenderableType:
    """Bar, counts, the best so far and what is in training."""
    parts: list[RenderableType] = [_title(snapshot), _bar(snapshot), _best_line(snapshot)]
    configuration = _configuration(snapshot)
    if configuration is not None:
        parts.append(configuration)
    if snapshot.running:
        parts.append(_running(snapshot.running))
    return Group(*parts)


def _title(snapshot: Snapshot) -> Text:
    title = Text.assemble((snapshot.study, "bold"), f"  {snapshot.direction} {snapshot.metric}")
    if snapshot.progress.state != "open":
        title.append(f"  {snapshot.progress.state}", "yellow")
    return title


def _bar(snapshot: Snapshot) -> Table:
    progress = snapshot.progress
    bar = ProgressBar(total=max(progress.budget, 1), completed=progress.finished, width=24)
    text = Text(f"{progress.finished}/{progress.budget} trials")
    text.append(f"  {progress.running} running", "cyan")
    text.append(f"  {progress.pruned} pruned")
    text.append(f"  {progress.failed} failed", "red" if progress.failed else "")
    text.append(f"  {duration(snapshot.elapsed)}, {duration(snapshot.left)} left", "dim")
    row = Table.grid(padding=(0, 1))
    row.add_row(bar, text)
    return row


def _best_line(snapshot: Snapshot) -> Text:
    best, baseline = snapshot.best, snapshot.baseline
    if best is None:
        return Text("best      none yet", "dim")
    text = Text.assemble("best      ", (number(best.value), "bold green"), f"  trial {best.number}")
    if baseline is not None:
        gain = difference(best.value, baseline.value)
        text.append(f"  (baseline {number(baseline.value)}, {gain})")
    return text


def _configuration(snapshot: Snapshot) -> Table | None:
    """The best trial's parameters; what differs from the baseline is bold."""
    if snapshot.best is None:
        return None
    baseline = snapshot.baseline.config if snapshot.baseline else None
    text = Text()
    for name, value, differs in leaves(snapshot.best.config, baseline, snapshot.searched):
        text.append(f"{name} ", "dim").append(value, "bold" if differs else "").append("  ")
    row = Table.grid()
    row.add_row(" " * 10, text)
    return row


def _running(running: tuple[Running, ...]) -> Table:
    table = Table.grid(padding=(0, 2))
    for i, trial in enumerate(running[:MOST_RUNNING]):
        table.add_row(
            "training" if i == 0 else "",
            f"trial {trial.number}",
            f"epoch {trial.epoch}/{trial.epochs}" if trial.epochs else f"step {trial.epoch}",
            number(trial.value),
        )
    if len(running) > MOST_RUNNING:
        table.add_row("", f"and {len(running) - MOST_RUNNING} more")
    return table
