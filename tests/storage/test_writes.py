"""New trials and their content."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from tuner.storage import Storage, rows, writes


def test_a_trial_is_inserted_with_all_that_it_has(storage: Storage, study_id: int) -> None:
    given = create_trial(
        state=TrialState.PRUNED,
        values=[float("inf")],
        params={"n": 3, "kind": None},
        distributions={"n": IntDistribution(1, 9), "kind": CategoricalDistribution([None, "a"])},
        user_attrs={"u": [1, {"v": None}]},
        system_attrs={"s": "x"},
        intermediate_values={0: 0.5, 7: float("-inf")},
    )
    start, end = datetime(2026, 1, 2, 3, 4, 5, 678901), datetime(2026, 1, 2, 3, 5, 6)
    head = rows.Head(0, 4, TrialState.PRUNED, start, end)
    with storage.database.write() as connection:
        made = writes.insert_trial(connection, study_id, head, partial(writes.content, trial=given))
    with storage.database.read() as connection:
        found = rows.read_head(connection, made.trial_id)
        ((trial, floor),) = rows.read_trials(connection, [made])
    assert found == (study_id, made) == (study_id, head._replace(trial_id=made.trial_id))
    assert floor > 0
    for name in ("values", "params", "distributions", "intermediate_values", "state"):
        assert getattr(trial, name) == getattr(given, name), name
    assert (trial.number, trial.user_attrs, trial.system_attrs) == (4, given.user_attrs, {"s": "x"})


def test_a_waiting_trial_is_started_once(storage: Storage, study_id: int) -> None:
    template = create_trial(state=TrialState.WAITING)
    trial_id = storage.create_new_trial(study_id, template)
    now = datetime(2026, 1, 2)
    head = rows.Head(trial_id, 0, TrialState.RUNNING, now, None)
    with storage.database.write() as connection:
        assert writes.start_trial(connection, head)
        assert not writes.start_trial(connection, head)
    with storage.database.read() as connection:
        assert rows.read_head(connection, trial_id) == (study_id, head)
