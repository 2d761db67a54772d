"""What Prometheus reads is what the database holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from prometheus_client.parser import text_string_to_metric_families

from tuner.dashboard.metrics import Metrics, Rate
from tuner.dashboard.pulse import Pulse
from tuner.storage import Storage, Update, events, fences, open_storage


def read(reply: Any) -> dict[tuple[str, ...], float]:
    """Values by name and labels, those in the order of their names."""
    assert reply.status == 200
    assert reply["Content-Type"].startswith("text/plain; version=")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(reply.body.decode())
        for sample in family.samples
    }


def propose(number: int, fixed: Any) -> FrozenTrial:
    return create_trial(state=TrialState.RUNNING)


@pytest.fixture
def worked(storage: Storage) -> Storage:
    """A study of ours with a trial of each kind, by a worker that lives."""
    arguments = {"direction": "minimize", "metric": "loss", "spec": "", "fingerprint": ""}
    study_id = storage.join('our "own"', budget=9, **arguments)
    storage.register_worker("me", "here", 1, "cpu")
    ends = [(TrialState.COMPLETE, 0.5), (TrialState.COMPLETE, 0.25), (TrialState.PRUNED, 0.1)]
    for state, value in [*ends, (TrialState.FAIL, None), (None, None)]:
        lease = storage.claim(study_id, "me", propose)
        assert lease is not None
        storage.write([Update(lease, reports={1: 1.0, 2: 0.5}, state=state, value=value)])
    with storage.database.write() as connection:
        fences.tell_outages(connection, "me", [2.5, 1.0])
        events.add(connection, *events.taken_over(study_id, lease.trial_id, "other", "me"))
    return storage


def test_everything_is_counted(worked: Storage, guard: Callable[..., Any]) -> None:
    found = read(guard(password="correct horse").ask("/metrics", password="correct horse"))
    ours = 'our "own"'
    assert found["tuner_studies", "open"] == 1
    assert found["tuner_studies", "foreign"] == 1
    wanted = {"complete": 2, "pruned": 1, "fail": 1, "running": 1, "waiting": 0}
    assert {s: found["tuner_trials", s, ours] for s in wanted} == wanted
    assert found["tuner_epochs_total", ours] == 10
    assert found["tuner_best_value", ours] == 0.25
    assert (found["tuner_leases_lost_total", ours], found["tuner_leases_lost_total", "small"]) == (
        1,
        0,
    )
    assert found[("tuner_workers_outage_seconds",)] == 3.5
    assert found[("tuner_workers",)] == 1
    assert found[("tuner_database_up",)] == 1


def test_the_best_of_each_direction_and_none_of_two_objectives(
    storage: Storage, guard: Callable[..., Any]
) -> None:
    two = storage.create_new_study([StudyDirection.MINIMIZE] * 2, "two")
    for value in (float("inf"), 3.0, 7.0):
        storage.create_new_trial(1, create_trial(value=value))
    storage.create_new_trial(two, create_trial(values=[1.0, 2.0]))
    found = read(guard().ask("/metrics"))
    assert found["tuner_best_value", "small"] == 7
    assert ("tuner_best_value", "two") not in found


def test_counts_are_the_same_on_postgresql(postgres_url: str) -> None:
    storage = open_storage(postgres_url)
    study_id = storage.create_new_study([StudyDirection.MAXIMIZE], "small")
    steps = {1: 0.5, 2: float("nan")}
    storage.create_new_trial(study_id, create_trial(value=1.0, intermediate_values=steps))
    found = list(Metrics(storage.database, Pulse(storage.database)).collect())
    values = {(s.name, *s.labels.values()): s.value for f in found for s in f.samples}
    assert values["tuner_epochs_total", "small"] == 2
    assert values["tuner_best_value", "small"] == 1
    assert values["tuner_trials", "small", "complete"] == 1
    storage.close()


def test_a_tight_loop_counts_seldom(
    storage: Storage, guard: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tuner.dashboard import counts

    counted: list[int] = []
    original = counts.read

    def counting(connection: Any) -> Any:
        counted.append(1)
        return original(connection)

    monkeypatch.setattr(counts, "read", counting)
    monkeypatch.setattr("tuner.dashboard.metrics.INTERVAL", 3600.0)
    served = guard()
    for _ in range(50):
        assert served.ask("/metrics").status == 200
    assert len(counted) == 1


def test_the_recent_rate() -> None:
    rate = Rate(seconds=60)
    assert rate(0.0, {"a": 100}) == {}
    assert rate(10.0, {"a": 150, "b": 5}) == {"a": 5.0}
    assert rate(60.0, {"a": 160, "b": 5}) == {"a": 1.0}
    assert rate(130.0, {"a": 230, "b": 5}) == {"a": 1.0, "b": 0.0}  # since 60: all that is recent
    assert rate(131.0, {"a": 0}) == {"a": 0.0}  # its study was deleted and made anew
