"""A study's number and its baseline's, as studies are set beside each other."""

from __future__ import annotations

import math
from typing import Any

from tuner.reports.answers import tested
from tuner.reports.facts import Facts


def numbers(facts: Facts) -> dict[str, Any]:
    """The confirmed numbers where there are any, else those of the search."""
    found = facts.answers.confirmation
    if found is None:
        value = None if facts.best is None else facts.best.value
        base = None if facts.baseline is None else facts.baseline.value
        mine = {"measured": "search", "seeds": 1, "value": value, "low": None, "high": None}
        other = {"baseline": base, "baseline_low": None, "baseline_high": None}
    else:
        measured, best, first = tested(found)
        mine = {"measured": measured, "seeds": len(best.values), "value": best.mean}
        mine |= {"low": _known(best.low), "high": _known(best.high)}
        other = dict.fromkeys(("baseline", "baseline_low", "baseline_high"))
        if first is not None:
            other = {"baseline": first.mean}
            other |= {"baseline_low": _known(first.low), "baseline_high": _known(first.high)}
    a, b = mine["value"], other["baseline"]
    gain = None if not isinstance(a, float) or not isinstance(b, float) else facts.gain(a, b)
    return {**mine, **other, "gain": gain}


def _known(value: float) -> float | None:
    """One seed has no interval."""
    return value if math.isfinite(value) else None
