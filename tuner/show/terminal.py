"""Shows the progress of a running study, and its summary at the end."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tuner.hidden import storage_option
from tuner.logs import as_json
from tuner.results.best import Best, Ended, Luck, Running
from tuner.show.snapshot import Snapshot, Watch
from tuner.show.text import (
    apart,
    budget_text,
    difference,
    duration,
    leaves,
    number,
    progress_text,
    several,
)
from tuner.study.trials import left_out_words

if TYPE_CHECKING:
    from tuner.storage import Progress

# Plain lines for logs: one for each trial that ended.


class Lines:
    """One line for each trial that ended, once."""

    def __init__(self) -> None:
        self._printed: set[int] = set()

    def new(self, snapshot: Snapshot) -> Iterator[str]:
        """A line for each trial that ended since the last call."""
        for ended in snapshot.ended:
            if ended.number not in self._printed:
                self._printed.add(ended.number)
                yield line(ended)


def line(ended: Ended) -> str:
    """
    >>> line(Ended(12, "pruned", 0.91, 3, best=(7, 0.98)))
    'trial 12: pruned at epoch 3, 0.9100; best 0.9800 (trial 7)'
    """
    best = "" if ended.best is None else f"; best {number(ended.best[1])} (trial {ended.best[0]})"
    return f"trial {ended.number}: {_outcome(ended)}{best}"


def _outcome(ended: Ended) -> str:
    if ended.left_out:
        return f"left out: {ended.left_out}"
    if ended.state == "complete":
        return number(ended.value)
    if ended.state == "pruned":
        value = "" if ended.value is None else f", {number(ended.value)}"
        return f"{ended.why or 'pruned'} at {ended.step} {ended.epoch}{value}"
    why = ended.why.splitlines()
    return f"failed: {why[0]}" if why else "failed"


# The view of a running study on a terminal.


MOST_RUNNING = 8
"""Trials in training that are shown: a large machine has more than fit on a screen."""


def live_view(snapshot: Snapshot) -> RenderableType:
    """Bar, counts, the best so far and the trials in training."""
    parts: list[RenderableType] = [_title(snapshot), _bar(snapshot), _best_line(snapshot)]
    configuration = _best_so_far(snapshot)
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
    bar = ProgressBar(total=1.0, completed=_share(snapshot), width=24)
    most = "" if progress.limit is None else f"/{progress.limit}"
    text = Text(f"{progress.finished}{most} trials")
    if progress.epochs is not None:
        text.append(f"  {snapshot.epochs:,}/{progress.epochs:,} epochs")
    text.append(f"  {progress.running} running", "cyan")
    text.append(f"  {progress.paused} paused" if progress.paused else "")
    text.append(f"  {progress.pruned} pruned")
    text.append(f"  {progress.failed} failed", "red" if progress.failed else "")
    text.append(f"  {duration(snapshot.elapsed)}, {duration(snapshot.left)} left", "dim")
    row = Table.grid(padding=(0, 1))
    row.add_row(bar, text)
    return row


def _share(snapshot: Snapshot) -> float:
    """How much of the budget is done, from 0 to 1; a paused trial counts as a trial."""
    progress = snapshot.progress
    trials = progress.finished + progress.paused
    of_trials = 0.0 if progress.limit is None else trials / max(progress.limit, 1)
    of_epochs = 0.0 if progress.epochs is None else snapshot.epochs / progress.epochs
    return max(of_trials, of_epochs)


def _best_line(snapshot: Snapshot) -> Text:
    best, baseline = snapshot.best, snapshot.baseline
    if best is None:
        return Text("best      none yet", "dim")
    text = Text.assemble("best      ", (number(best.value), "bold green"), f"  trial {best.number}")
    if baseline is not None:
        gain = difference(best.value, baseline.value)
        text.append(f"  (baseline {number(baseline.value)}, {gain})")
    return text


def _best_so_far(snapshot: Snapshot) -> Table | None:
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


def trainings_view(snapshot: Snapshot) -> RenderableType:
    """Bar and counts of trainings of known configurations, and those that are running."""
    progress = snapshot.progress
    share = progress.finished / max(progress.budget, 1)
    text = Text(trainings_text(progress))
    text.append(f"  {progress.running} running", "cyan")
    text.append(f"  {progress.failed} failed", "red" if progress.failed else "")
    text.append(f"  {duration(snapshot.elapsed)}, {duration(snapshot.left)} left", "dim")
    row = Table.grid(padding=(0, 1))
    row.add_row(ProgressBar(total=1.0, completed=share, width=24), text)
    parts: list[RenderableType] = [Text(snapshot.study, "bold"), row]
    return Group(*parts, *([_running(snapshot.running)] if snapshot.running else []))


def trainings_text(progress: Progress) -> str:
    """How many trainings are done of those that may be needed, such as "12 of 40 trainings"."""
    return f"{progress.finished:,} of {several(progress.budget, 'training')}"


# Progress while a study runs: live on a terminal, plain lines elsewhere.


@contextmanager
def watching(console: Console) -> Iterator[Watch]:
    """Gives a function that shows a snapshot; the live view disappears at the end.

    It draws only when called: a thread that draws would disturb workers that are forked.
    """
    if as_json():  # the workers' lines show the progress
        yield lambda _: None
        return
    if not console.file.isatty() or console.is_dumb_terminal:
        yield _plain_watch(console)
        return
    with _live(console) as live:
        yield lambda snapshot: live.update(live_view(snapshot), refresh=True)


@contextmanager
def _live(console: Console) -> Iterator[Live]:
    with Live(
        Text("starting"),
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as live:
        live.refresh()
        yield live


@contextmanager
def watching_trainings(console: Console) -> Iterator[Watch]:
    """As ``watching``, of the trainings of known configurations."""
    if as_json():
        yield lambda _: None
    elif not console.file.isatty() or console.is_dumb_terminal:
        yield _plain_trainings(console)
    else:
        with _live(console) as live:
            yield lambda snapshot: live.update(trainings_view(snapshot), refresh=True)


def _plain_trainings(console: Console) -> Watch:
    """Writes how many trainings are done, whenever that changes."""
    last = ""

    def watch(snapshot: Snapshot) -> None:
        nonlocal last
        done = f"{snapshot.study}: {trainings_text(snapshot.progress)}"
        if done != last:
            last = done
            left = "" if snapshot.progress.met else f", {duration(snapshot.left)} left"
            console.file.write(f"{done}{left}\n")
            console.file.flush()

    return watch


def _plain_watch(console: Console) -> Watch:
    lines = Lines()

    def watch(snapshot: Snapshot) -> None:
        for line in lines.new(snapshot):
            console.file.write(f"{line}\n")
        console.file.flush()

    return watch


# The summary at the end of a run.


def summary(snapshot: Snapshot) -> RenderableType:
    """Baseline against best on the validation split, and counts of pruned and failed trials."""
    parts: list[RenderableType] = [Text(line) for line in _headlines(snapshot)]
    if snapshot.best is not None:
        parts += [Text(), _values(snapshot, snapshot.best), Text()]
        if snapshot.luck is not None:
            parts += [Text(lucky(snapshot.luck, snapshot.metric)), Text()]
        parts += [_best_table(snapshot, snapshot.best), Text()]
    return Group(*parts)


def _headlines(snapshot: Snapshot) -> list[str]:
    lines = [_headline(snapshot)]
    if snapshot.all_tried is not None and not snapshot.progress.met:
        tried = several(snapshot.all_tried, "configuration")
        lines.append(f"the space is exhausted: all {tried} tried")
    words = left_out_words(snapshot.left_out)
    return [*lines, words] if words else lines


def _headline(snapshot: Snapshot) -> str:
    progress, name = snapshot.progress, snapshot.study
    counts = f"{progress.pruned} pruned, {progress.failed} failed"
    done = f"{progress_text(progress, snapshot.epochs)}, {counts}"
    if progress.met and not snapshot.ended:
        trials = several(progress.finished, "trial")
        budget = progress.budget if progress.epochs is None else budget_text(progress)
        return f"{name}: already complete: {trials}, budget {budget}; {counts}"
    state = "" if progress.hands_out else f"; the study is {progress.state}"
    return f"{name}: {done}, in {duration(snapshot.elapsed)}{state}"


def lucky(luck: Luck, metric: str) -> str:
    """Why the best value may be luck, in words."""
    others = several(luck.rivals, "other configuration")
    return (
        f"the best of {several(luck.complete, 'trial')} is also the luckiest: its {metric} has a "
        f"standard error of {number(luck.error)} over the validation rows, and {others} "
        f"{'is' if luck.rivals == 1 else 'are'} within two"
    )


def _values(snapshot: Snapshot, best: Best) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(snapshot.measured_on)
    table.add_column("trial", justify="right")
    table.add_column(snapshot.metric, justify="right")
    table.add_column("")
    baseline = snapshot.baseline
    if baseline is not None:
        table.add_row("baseline", str(baseline.number), number(baseline.value))
    gain = "" if baseline is None else difference(best.value, baseline.value)
    table.add_row("best", str(best.number), number(best.value), gain, style="bold")
    return table


def _best_table(snapshot: Snapshot, best: Best) -> Table:
    baseline = snapshot.baseline.config if snapshot.baseline else None
    table = Table(box=None, pad_edge=False)
    for title in ("parameter", "best", "baseline"):
        table.add_column(title)
    for name, value, differs in leaves(best.config, baseline, snapshot.searched):
        known = "–"
        if baseline and name in baseline:
            known = apart(best.config[name], baseline[name])[1]
        table.add_row(name, value, known, style="bold" if differs else "")
    return table


def what_next(snapshot: Snapshot, storage: str = "") -> list[str]:
    """The database and the next commands, one a line; the lines must not be folded.

    Args:
        storage: the URL without password that the next command needs; empty if it needs none.
    """
    commands = next_commands(snapshot, storage)
    width = max((len(command) for command, _ in commands), default=0)
    lines = [f"{command:{width}}  # {purpose}" for command, purpose in commands]
    starts = ["next      ", *["          "] * len(lines)]
    shown = [start + line for start, line in zip(starts, lines, strict=False)]
    return [f"database  {snapshot.storage}", *shown]


def next_commands(snapshot: Snapshot, storage: str = "") -> list[tuple[str, str]]:
    """The next commands, each with its purpose."""
    where = f" --study {shlex.quote(snapshot.study)} {storage_option(storage)}".rstrip()
    commands = []
    if snapshot.luck is not None:
        commands.append((f"tuner confirm{where}", "train the best five over seeds, and choose"))
    if snapshot.best is not None:
        commands.append((f"tuner best{where}", "print the best configuration"))
        trial = snapshot.best.number
        commands.append((f"tuner retrain{where} --trial {trial}", "retrain the best trial"))
    if not snapshot.progress.hands_out:
        commands.append((f"tuner resume{where}", "open the study again"))
    elif snapshot.all_tried is not None:
        return commands  # a larger budget would find nothing either
    elif not snapshot.progress.met:
        commands.append((f"tuner optimize{where}", "continue the study"))
    else:
        epochs = snapshot.progress.epochs
        unit, more = ("trials", larger(snapshot.progress.budget))
        if epochs is not None:
            unit, more = ("epochs", larger(epochs))
        commands.append(
            (f"tuner optimize{where} --{unit} {more}", f"extend the study to {more} {unit}")
        )
    return commands


def larger(budget: int) -> int:
    """A larger budget: twice as many trials, rounded up to a multiple of 10.

    >>> larger(60), larger(7)
    (120, 20)
    """
    return -(-budget * 2 // 10) * 10


def as_document(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot for ``--json``."""
    progress = snapshot.progress
    return {
        "study": snapshot.study,
        "metric": snapshot.metric,
        "direction": snapshot.direction,
        "storage": snapshot.storage,
        "state": progress.state,
        "budget": progress.limit,
        "epochs_budget": progress.epochs,
        "epochs": snapshot.epochs,
        "finished": progress.finished,
        "complete": progress.complete,
        "pruned": progress.pruned,
        "failed": progress.failed,
        "running": progress.running,
        "interrupted": len(progress.interrupted),
        "paused": progress.paused,
        "ended_in_this_run": len(snapshot.ended),
        "all_tried": snapshot.all_tried,
        "left_out": [asdict(each) for each in snapshot.left_out],
        "seconds": round(snapshot.elapsed, 3),
        "baseline": _best_document(snapshot.baseline),
        "best": _best_document(snapshot.best),
        "luck": None if snapshot.luck is None else asdict(snapshot.luck),
        "spent": dict(snapshot.spent),
    }


def _best_document(best: Best | None) -> dict[str, Any] | None:
    if best is None:
        return None
    return {"number": best.number, "value": best.value, "configuration": dict(best.config)}
