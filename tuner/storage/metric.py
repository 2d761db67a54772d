"""What a study is about."""

from __future__ import annotations

from tuner.storage.storage import Storage
from tuner.storage.studies import METRIC_NAMES


def measured(storage: Storage, study_id: int) -> tuple[str, str]:
    """A study's metric, "value" where nobody named one, and "maximize" or "minimize"."""
    names = storage.get_study_system_attrs(study_id).get(METRIC_NAMES, ["value"])
    return names[0], storage.get_study_directions(study_id)[0].name.lower()
