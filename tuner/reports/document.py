"""A report as plain values for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from tuner.answers.pooled import METHOD
from tuner.reports.facts import Entry, Facts
from tuner.reports.make import commands, versions
from tuner.reports.time_spent import wall_seconds
from tuner.reports.verdict import chosen_of, verdict


def document(facts: Facts) -> dict[str, Any]:
    """Everything that is known; NaN and infinity are still in it."""
    return {
        "study": facts.study.name,
        "description": facts.study.description,
        "metric": facts.metric,
        "direction": facts.direction,
        "storage": facts.storage,
        "verdict": list(verdict(facts)),
        "progress": asdict(facts.progress) | {"finished": facts.progress.finished},
        "baseline": _trial(facts.baseline),
        "best": _trial(facts.best),
        "chosen": _trial(chosen_of(facts)),
        "confirmation": _plain(facts.answers.confirmation),
        "ablation": _plain(facts.answers.ablation),
        "outcome": _plain(facts.answers.outcome),
        "time": {
            "seconds": sum(entry.seconds for entry in facts.entries),
            "wall": wall_seconds(facts),
        },
        "main_effects": [asdict(effect) for effect in facts.pooled.effects],
        "importances": {"method": METHOD, "shares": dict(facts.pooled.importances)},
        "commands": commands(facts),
        "versions": versions(),
        "spec": facts.study.document,
        "left_out": [asdict(each) for each in facts.left_out],
        "trials": [_trial(entry) for entry in facts.entries],
    }


def _trial(entry: Entry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    return {
        "number": entry.number,
        "state": entry.state,
        "value": entry.value,
        "seconds": entry.seconds,
        "epochs": entry.epochs,
        "started": None if entry.started is None else entry.started.isoformat(),
        "ended": None if entry.ended is None else entry.ended.isoformat(),
        "error": entry.facts.get("error"),
        "configuration": entry.config,
    }


def _plain(found: Any) -> Any:
    """A frozen object and all in it as tables and lists."""
    if is_dataclass(found) and not isinstance(found, type):
        return {each.name: _plain(getattr(found, each.name)) for each in fields(found)}
    if isinstance(found, Mapping):
        return {str(key): _plain(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [_plain(each) for each in found]
    return found if isinstance(found, str | int | float | None) else str(found)
