"""Trials as a table of pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuner.reports.facts import Facts

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("number", "state", "value", "seconds", "epochs")


def trials_frame(facts: Facts) -> pd.DataFrame:
    """One row for each trial; a parameter that a trial does not have is missing in its row."""
    import pandas as pd

    rows = [
        {**{name: getattr(entry, name) for name in COLUMNS}, **entry.config}
        for entry in facts.entries
    ]
    return pd.DataFrame(rows)
