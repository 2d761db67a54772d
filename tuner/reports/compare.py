"""Compares studies side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from tuner.data.identity import alike
from tuner.errors import UsageError
from tuner.metrics import sign_of
from tuner.reports.facts import Entry, Facts, numbers, read_facts
from tuner.reports.time_spent import wall_seconds
from tuner.show.answers import unfinished
from tuner.show.tables import plain_table
from tuner.show.text import difference, duration, number, several
from tuner.space import Config
from tuner.worker.job import DIVISION

if TYPE_CHECKING:
    import pandas as pd

    from tuner.storage import Storage
    from tuner.study import Study


# Studies side by side.


@dataclass(frozen=True)
class Side:
    """One study.

    Attributes:
        measured: what the numbers are: "test", "validation" or "objective" over seeds, after
            `confirm`; "search" is one training on the validation split, or of an own objective,
            which chose it.
        split: what the search measures on, in words.
        value, low, high: of the best configuration; the 95% interval where there are seeds.
        baseline, baseline_low, baseline_high: the same of the baseline.
        gain: how much better than the baseline; positive is better.
        seconds: of training, added up over all workers; ``wall`` is the wall-clock time in which
            trials ran, without pauses between runs.
    """

    study: str
    metric: str
    direction: str
    measured: str
    split: str
    number: int | None
    value: float | None
    low: float | None
    high: float | None
    baseline: float | None
    baseline_low: float | None
    baseline_high: float | None
    gain: float | None
    seeds: int
    seconds: float
    wall: float
    parameters: int | None
    trials: int
    complete: int
    pruned: int
    failed: int
    running: int
    configuration: Config


@dataclass(frozen=True)
class Comparison:
    """A comparison of studies, in the given order.

    Attributes:
        best: the study with the best value; None where the studies cannot be ranked.
        notes: why not, or what to mind.
    """

    sides: tuple[Side, ...]
    best: str | None
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """One row for each study."""
        import pandas as pd

        rows = [{k: v for k, v in asdict(s).items() if k != "configuration"} for s in self.sides]
        return pd.DataFrame(rows).set_index("study")

    def document(self) -> dict[str, Any]:
        """As plain values for JSON."""
        sides = [asdict(side) for side in self.sides]
        return {"studies": sides, "best": self.best, "notes": list(self.notes)}


def compare_studies(storage: Storage, studies: Sequence[tuple[Study, int]]) -> Comparison:
    """Reads and compares studies of one database.

    Raises:
        UsageError: fewer than two, one twice, or one without a trial.
    """
    names = [study.name for study, _ in studies]
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise UsageError(f"found {twice!r} twice", hint="name each study once")
    if len(names) < 2:
        raise UsageError("a comparison needs at least two studies", hint="tuner compare A B")
    facts = [read_facts(storage, study, study_id) for study, study_id in studies]
    return compare_facts(facts)


def compare_facts(studies: Sequence[Facts]) -> Comparison:
    """Compares studies that were read."""
    sides = tuple(_side(facts) for facts in studies)
    notes = _obstacles(studies, sides)
    ranked = [side for side in sides if side.value is not None]
    best = None
    if not notes and ranked:
        sign = sign_of(sides[0].direction)
        best = max(ranked, key=lambda side: sign * (side.value or 0.0)).study
    return Comparison(sides, best, (*notes, *_cautions(studies, sides)))


def _side(facts: Facts) -> Side:
    chosen = facts.chosen
    progress = facts.progress
    return Side(
        study=facts.study.name,
        metric=facts.metric,
        direction=facts.direction,
        split=facts.study.measured_on,
        number=None if chosen is None else chosen.number,
        **numbers(facts),
        seconds=round(sum(entry.seconds for entry in facts.entries), 3),
        wall=round(wall_seconds(facts), 3),
        parameters=_parameters(chosen),
        trials=len(facts.entries),
        complete=progress.complete,
        pruned=progress.pruned,
        failed=progress.failed,
        running=progress.running,
        configuration={} if chosen is None else dict(chosen.config),
    )


def _parameters(chosen: Entry | None) -> int | None:
    """The network's; a user's objective may have an attribute of this name that is no count."""
    count = None if chosen is None else chosen.facts.get("parameters")
    return count if isinstance(count, int) and not isinstance(count, bool) else None


def _obstacles(studies: Sequence[Facts], sides: Sequence[Side]) -> tuple[str, ...]:
    """Why the values cannot be ranked."""
    notes = []
    if len({side.metric for side in sides}) > 1:
        each = ", ".join(f"{side.study} {side.metric}" for side in sides)
        notes.append(f"The metrics differ, so nothing is ranked: {each}.")
    if len({side.direction for side in sides}) > 1:
        notes.append("The directions differ (maximize, minimize), so nothing is ranked.")
    rows = [facts.study.rows for facts in studies]
    keys = rows[0].keys() | set[str]().union(*rows)
    if differ := sorted(k for k in keys if len({repr(each.get(k)) for each in rows}) > 1):
        notes.append(f"The rows differ, so nothing is ranked: {', '.join(differ)} of [data].")
    elif not _alike(studies):
        notes.append("The rows differ, so nothing is ranked: each study has other data.")
    if len({side.measured for side in sides if side.value is not None}) > 1:
        missing = ", ".join(side.study for side in sides if side.measured == "search")
        notes.append(f"Only some studies are confirmed: run `tuner confirm` for {missing}.")
    return tuple(notes)


def _alike(studies: Sequence[Facts]) -> bool:
    """Whether all studies have the same rows and splits, as far as the database records them."""
    identities = [facts.identity for facts in studies if facts.identity is not None]
    rules = {each[DIVISION] for each in identities}
    return len(rules) < 2 and all(alike(identities[0], each) for each in identities)


def _cautions(studies: Sequence[Facts], sides: Sequence[Side]) -> tuple[str, ...]:
    cautions = []
    for facts in studies:
        confirmation = facts.answers.confirmation
        if left := "" if confirmation is None else unfinished(confirmation, facts.option):
            cautions.append(f"The confirmation of {facts.study.name} is {left}.")
    if len({side.seeds for side in sides if side.measured != "search"}) > 1:
        each = ", ".join(f"{s.study} {s.seeds}" for s in sides if s.measured != "search")
        cautions.append(f"The numbers of seeds differ: {each}.")
    if any(side.measured == "search" for side in sides):
        text = "* A single training, measured on the rows that selected it, is optimistic: "
        cautions.append(f"{text}`tuner confirm` measures over seeds.")
    return tuple(cautions)


# A comparison as a table for the terminal: one column for each study.


def view(comparison: Comparison) -> RenderableType:
    """The table, then the notes."""
    sides, best = comparison.sides, comparison.best
    names = [side.study + (" (best)" if side.study == best else "") for side in sides]
    table = plain_table("", *names)
    lines = [_lines(side) for side in sides]
    for i, (title, _) in enumerate(lines[0]):
        table.add_row(Text(title), *(Text(column[i][1]) for column in lines))
    return Group(table, Text(), *(Text(note.replace("`", "")) for note in comparison.notes))


def _lines(side: Side) -> list[tuple[str, str]]:
    split = "test split" if side.measured == "test" else side.split
    search = side.measured == "search"
    measured = f"{split}, {'one training *' if search else several(side.seeds, 'seed')}"
    gain = "–" if side.gain is None else difference(side.gain, 0.0)
    counts = f"{side.complete} complete, {side.pruned} pruned, {side.failed} failed"
    return [
        ("metric", f"{side.metric}, {side.direction}"),
        ("measured on", measured),
        ("best", _value(side.value, side.low, side.high)),
        ("of trial", "–" if side.number is None else str(side.number)),
        ("baseline", _value(side.baseline, side.baseline_low, side.baseline_high)),
        ("gain", gain),
        ("parameters", "–" if side.parameters is None else f"{side.parameters:,}"),
        ("trials", counts + (f", {side.running} running" if side.running else "")),
        ("training", duration(side.seconds)),
        ("wall-clock time", duration(side.wall)),
    ]


def _value(value: float | None, low: float | None, high: float | None) -> str:
    """A mean with its interval, or a single number."""
    if value is None:
        return "–"
    if low is None or high is None:
        return number(value)
    return f"{number(value)} ({number(low)} to {number(high)})"
