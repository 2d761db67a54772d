"""What the trials of the search say by themselves."""

from __future__ import annotations

from typing import Any

from tuner.results.pooled import main_effect, pooled
from tuner.run.prepare import stored_study
from tuner.storage import open_storage


def test_where_less_is_better_a_fall_is_a_gain() -> None:
    trained = [({"dropout": rate}, 5.0 - 2 * (rate > 0)) for rate in (0.0, 0.0, 0.3, 0.4)]
    found = main_effect("dropout", 0.0, trained, -1)
    assert (found.on, found.off, found.gain) == (3.0, 5.0, 2.0)
    assert (found.low, found.high) == (2.0, 2.0)


def test_its_interval_ends_where_differences_do() -> None:
    trained = [({"x": on}, value) for on, value in ((1, 0.9), (1, 0.2), (0, 0.1), (0, 0.5))]
    found = main_effect("x", 0, trained, 1, (-1.0, 1.0))
    assert (found.low, found.high) == (-1.0, 1.0)


def test_the_trials_of_a_real_search(searched: Any) -> None:
    storage = open_storage(searched.url)
    study, study_id = stored_study(storage, "small")
    trials = storage.get_all_trials(study_id)
    found = pooled(study, trials, "accuracy", "maximize", None)
    assert found.trials == 8
    assert [each.technique for each in found.effects] == ["dropout", "weight_decay"]
    assert found.importances == {}  # there is no model
    assert all(each.with_it + each.without == 8 for each in found.effects)
    frame = found.to_frame()
    assert list(frame["technique"]) == ["dropout", "weight_decay"]
    values = {trial.number: trial.value for trial in trials}
    without = found.effects[0].off
    assert without is not None
    assert min(values.values()) <= without <= max(values.values())
