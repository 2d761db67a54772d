"""What is said when a run of a study ends."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tuner.study.trials import left_out_words
from tuner.views.format import apart, difference, duration, leaves, number, several
from tuner.views.snapshot import Snapshot
from tuner.views.trials import Best


def summary(snapshot: Snapshot) -> RenderableType:
    """Baseline against best on the validation split, and what was pruned or failed."""
    parts: list[RenderableType] = [Text(line) for line in _headlines(snapshot)]
    if snapshot.best is not None:
        parts += [Text(), _values(snapshot, snapshot.best), Text()]
        parts += [_configuration(snapshot, snapshot.best), Text()]
    return Group(*parts)


def _headlines(snapshot: Snapshot) -> list[str]:
    lines = [_headline(snapshot)]
    if snapshot.all_tried is not None and not snapshot.progress.met:
        tried = several(snapshot.all_tried, "configuration")
        lines.append(f"all {tried} of the grid tried: there are no more")
    words = left_out_words(snapshot.left_out)
    return [*lines, words] if words else lines


def _headline(snapshot: Snapshot) -> str:
    progress, name = snapshot.progress, snapshot.study
    counts = f"{progress.pruned} pruned, {progress.failed} failed"
    done = f"{progress.finished} of {several(progress.budget, 'trial')}, {counts}"
    if progress.met and not snapshot.ended:
        trials = several(progress.finished, "trial")
        return f"{name}: already complete: {trials}, budget {progress.budget}; {counts}"
    state = "" if progress.hands_out else f"; the study is {progress.state}"
    return f"{name}: {done}, in {duration(snapshot.elapsed)}{state}"


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


def _configuration(snapshot: Snapshot, best: Best) -> Table:
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
    """Lines that say where the study is kept and what to do next; commands are not to be folded.

    Args:
        storage: the URL without password that the next command needs; empty where it needs none.
    """
    commands = next_commands(snapshot, storage)
    width = max((len(command) for command, _ in commands), default=0)
    lines = [f"{command:{width}}  # {purpose}" for command, purpose in commands]
    starts = ["next      ", *["          "] * len(lines)]
    said = [start + line for start, line in zip(starts, lines, strict=False)]
    return [f"database  {snapshot.storage}", *said]


def next_commands(snapshot: Snapshot, storage: str = "") -> list[tuple[str, str]]:
    """Commands to go on with, each with what it is for."""
    where = f" --storage {shlex.quote(storage)}" if storage else ""
    where = f" --study {shlex.quote(snapshot.study)}{where}"
    found = []
    if snapshot.best is not None:
        found.append((f"tuner best{where}", "the configuration, ready to paste"))
        number_ = snapshot.best.number
        found.append((f"tuner retrain{where} --trial {number_}", "train it again"))
    if not snapshot.progress.hands_out:
        found.append((f"tuner resume{where}", "opens it again"))
    elif snapshot.all_tried is not None:
        return found  # a larger budget would find nothing either
    elif not snapshot.progress.met:
        found.append((f"tuner optimize{where}", "goes on"))
    else:
        more = larger(snapshot.progress.budget)
        found.append((f"tuner optimize{where} --trials {more}", f"goes on to {more} trials"))
    return found


def larger(budget: int) -> int:
    """A budget to go on with: twice as many, in tens.

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
        "budget": progress.budget,
        "finished": progress.finished,
        "complete": progress.complete,
        "pruned": progress.pruned,
        "failed": progress.failed,
        "running": progress.running,
        "interrupted": len(progress.interrupted),
        "ended_in_this_run": len(snapshot.ended),
        "all_tried": snapshot.all_tried,
        "left_out": [asdict(each) for each in snapshot.left_out],
        "seconds": round(snapshot.elapsed, 3),
        "baseline": _as_json(snapshot.baseline),
        "best": _as_json(snapshot.best),
        "spent": dict(snapshot.spent),
    }


def _as_json(found: Best | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"number": found.number, "value": found.value, "configuration": dict(found.config)}
