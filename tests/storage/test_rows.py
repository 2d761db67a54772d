"""Reading rows in bulk, and making whole trials of them."""

from __future__ import annotations

from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from tuner.storage import Propose, Storage, Update, rows
from tuner.storage.mirror import read_changed


def test_whole_trials_come_in_the_order_of_their_rows(
    storage: Storage, study_id: int, propose: Propose
) -> None:
    leases = [storage.claims.claim(study_id, "me", propose) for _ in range(3)]
    for lease in leases:
        assert lease is not None
        storage.writer.write([Update(lease, {1: float(lease.number), 0: 0.5})])
    with storage.database.read() as connection:
        heads = read_changed(connection, study_id, 0, ())
        found = rows.read_trials(connection, heads[::-1])
        assert rows.read_trials(connection, []) == []
        assert rows.read_trial(connection, 10**6) is None
    assert [read.trial.number for read in found] == [2, 1, 0]
    assert [read.trial.intermediate_values for read in found] == [
        {0: 0.5, 1: float(number)} for number in (2, 1, 0)
    ]
    assert all(list(read.trial.params) == ["rate", "depth", "norm"] for read in found)
    assert {read.trial.state for read in found} == {TrialState.RUNNING}


def test_what_a_parameter_was_drawn_from(storage: Storage, study_id: int, propose: Propose) -> None:
    storage.claims.claim(study_id, "me", propose)
    with storage.database.read() as connection:
        found = rows.read_distribution(connection, study_id, "rate")
        assert found == FloatDistribution(1e-5, 1.0, log=True)
        assert rows.read_distribution(connection, study_id, "no such") is None
