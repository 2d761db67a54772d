"""What Prometheus reads is what the database holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.distributions import IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from prometheus_client.parser import text_string_to_metric_families

from tuner.dashboard.metrics import Epochs, Metrics, Rate, read_counts
from tuner.dashboard.pulse import Pulse
from tuner.results.best import LeftOutTrials
from tuner.storage import STOPPED, Storage, Update, events, open_storage, schema


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
    storage.claims.register("me", "here", 1, "cpu")
    ends = [(TrialState.COMPLETE, 0.5), (TrialState.COMPLETE, 0.25), (TrialState.PRUNED, 0.1)]
    for state, value in [*ends, (TrialState.FAIL, None), (None, None)]:
        lease = storage.claims.claim(study_id, "me", propose)
        assert lease is not None
        storage.writer.write([Update(lease, reports={1: 1.0, 2: 0.5}, state=state, value=value)])
    storage.database.outages = (2.5, 1.0)
    storage.claims.renew("me")
    with storage.database.write() as connection:
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


def test_what_is_finished_interrupted_or_lost_is_counted_so(
    worked: Storage, guard: Callable[..., Any]
) -> None:
    ours = 'our "own"'
    study_id = worked.get_study_id_from_name(ours)
    worked.set_budget(study_id, 3)
    with worked.database.write() as connection:
        connection.execute(schema.leases.update().values(expires=1.0))
        connection.execute(schema.workers.update().values(renewed=1.0))
    found = read(guard().ask("/metrics"))
    assert found["tuner_studies", "finished"] == 1
    assert ("tuner_studies", "open") not in found
    assert found["tuner_trials", "running", ours] == 0
    assert found["tuner_trials", "interrupted", ours] == 1
    assert found["tuner_trials", "paused", ours] == 0
    assert found[("tuner_workers",)] == 0


def test_a_paused_trial_is_not_running(worked: Storage, guard: Callable[..., Any]) -> None:
    with worked.database.write() as connection:
        connection.execute(schema.leases.update().values(holder="", expires=schema.NEVER))
    found = read(guard().ask("/metrics"))
    states = "running", "interrupted", "paused"
    assert [found["tuner_trials", each, 'our "own"'] for each in states] == [0, 0, 1]


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


def test_the_best_is_none_that_is_left_out(database_url: str) -> None:
    storage = open_storage(database_url)
    spec = {
        "data": {"source": "sklearn.datasets:load_iris"},
        "model": {"width": {"low": 2, "high": 9}},
    }
    words = {"direction": "maximize", "metric": "accuracy", "fingerprint": ""}
    study_id = storage.join("ours", spec=json.dumps(spec), budget=9, **words)
    others = LeftOutTrials()

    def best() -> dict[str, float]:
        with storage.database.read() as connection:
            return dict(read_counts(connection, Epochs(), others).best)

    for value, name in ((0.5, "width"), (99.0, "other"), (0.75, "width")):
        kinds = {name: IntDistribution(2, 9)}
        trial = create_trial(value=value, params={name: 3}, distributions=kinds)
        storage.create_new_trial(study_id, trial)
        assert best() == {"ours": min(value, 0.75) if name == "width" else 0.5}
    storage.close()


def test_counts_are_the_same_on_postgresql(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(postgres_url)
    study_id = storage.create_new_study([StudyDirection.MAXIMIZE], "small")
    steps = {1: 0.5, 2: float("nan")}
    storage.create_new_trial(study_id, create_trial(value=1.0, intermediate_values=steps))
    monkeypatch.setattr("tuner.dashboard.metrics.INTERVAL", 0.0)
    served = Metrics(storage.database, Pulse(storage.database))

    def collected() -> dict[tuple[str, ...], float]:
        found = served.collect()
        return {(s.name, *s.labels.values()): s.value for f in found for s in f.samples}

    assert collected()["tuner_epochs_total", "small"] == 2
    storage.set_trial_intermediate_value(storage.create_new_trial(study_id), 1, 0.5)
    values = collected()
    assert values["tuner_epochs_total", "small"] == 3
    assert values["tuner_best_value", "small"] == 1
    assert values["tuner_trials", "small", "complete"] == 1
    storage.close()


def test_a_study_without_trials_has_none_in_each_state(guard: Callable[..., Any]) -> None:
    found = read(guard().ask("/metrics"))
    assert [found["tuner_trials", state.name.lower(), "small"] for state in TrialState] == [0] * 5
    assert found["tuner_epochs_total", "small"] == 0


def ended(days: float, **changes: Any) -> FrozenTrial:
    """A trial that ended so many days ago, after two reports."""
    trial = create_trial(**{"value": 1.0, "intermediate_values": {1: 0.5, 2: 0.6}, **changes})
    at = datetime.now() - timedelta(days=days)
    trial.datetime_start = at
    trial.datetime_complete = at if trial.state.is_finished() else None
    return trial


def test_studies_that_ended_long_ago_are_only_counted(
    storage: Storage, guard: Callable[..., Any]
) -> None:
    arguments = {"direction": "minimize", "metric": "loss", "spec": "", "fingerprint": ""}
    budgets = {"met": 1, "short": 2, "stopped": 2}
    ids = {name: storage.join(name, budget=n, **arguments) for name, n in budgets.items()}
    storage.set_study_state(ids["stopped"], STOPPED)
    for name in ("theirs", "recent", "running"):
        ids[name] = storage.create_new_study([StudyDirection.MINIMIZE], name)
    for study_id in ids.values():
        storage.create_new_trial(study_id, ended(31))
    storage.create_new_trial(ids["recent"], ended(29))
    storage.create_new_trial(ids["running"], ended(31, state=TrialState.RUNNING, value=None))
    found = read(guard().ask("/metrics"))
    shown = {key[1] for key in found if key[0] == "tuner_epochs_total"}
    assert shown == {"short", "recent", "running", "small"}
    assert {key[-1] for key in found if key[0] == "tuner_trials"} == shown
    assert found[("tuner_studies_left_out",)] == 3
    assert sum(n for key, n in found.items() if key[0] == "tuner_studies") == 7


def test_the_rate_over_http(
    storage: Storage, guard: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr("tuner.dashboard.metrics.time", clock)
    monkeypatch.setattr("tuner.dashboard.metrics.INTERVAL", 0.0)
    storage.create_new_study([StudyDirection.MINIMIZE], "idle")
    site = guard()
    trial_id = storage.create_new_trial(1)
    assert ("tuner_epochs_per_second", "small") not in read(site.ask("/metrics"))
    for step in range(10):
        storage.set_trial_intermediate_value(trial_id, step, 0.5)
    clock.now = 4.0
    found = read(site.ask("/metrics"))
    assert found["tuner_epochs_per_second", "small"] == 2.5
    assert found["tuner_epochs_per_second", "idle"] == 0


def test_a_row_that_makes_no_sense_is_told_and_the_rest_goes_on(
    storage: Storage, guard: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with storage.database.write() as connection:
        outage = {"kind": events.OUTAGE, "worker": "me", "detail": "nonsense"}
        connection.execute(schema.events.insert().values(time=0.0, **outage))
    with caplog.at_level("INFO", "tuner"):
        found = read(guard().ask("/metrics"))
    assert found[("tuner_database_up",)] == 1
    assert ("tuner_workers",) not in found
    assert [record for record in caplog.records if "/metrics lacks counts" in record.getMessage()]


def test_a_tight_loop_counts_seldom(
    storage: Storage, guard: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tuner.dashboard import metrics

    counted: list[int] = []
    original = metrics.read_counts

    def counting(*arguments: Any) -> Any:
        counted.append(1)
        return original(*arguments)

    monkeypatch.setattr(metrics, "read_counts", counting)
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
