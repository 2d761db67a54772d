"""Events: written with what they tell of, once, and gone with their study."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import text

from tuner.errors import StorageError
from tuner.storage import OutageError, Propose, Storage, Update, open_storage
from tuner.storage import database as databases
from tuner.storage.events import KEPT_SECONDS


def _told(storage: Storage, **which: Any) -> list[tuple[str, int | None, str]]:
    return [(event.kind, event.trial, event.worker) for event in storage.events(**which)]


def test_a_claim_says_what_proposed_its_trial(storage: Storage, study_id: int) -> None:
    def proposed(number: int, fixed: Any = None) -> FrozenTrial:
        trial = create_trial(state=TrialState.RUNNING, system_attrs={"sampler": "model"})
        trial.number = number
        return trial

    assert storage.claims.claim(study_id, "one", proposed) is not None
    [claimed] = [event for event in storage.events() if event.kind == "claimed"]
    assert claimed.detail == {"proposed_by": "model"}


def test_the_life_of_a_study_is_told_in_its_order(
    storage: Storage, study_id: int, propose: Propose
) -> None:
    storage.claims.register("one", "host", 1, "cpu")
    first = storage.claims.claim(study_id, "one", propose)
    second = storage.claims.claim(study_id, "one", propose)
    assert first is not None
    assert second is not None
    done = Update(first, state=TrialState.PRUNED, value=0.5, user_attrs={"ended": "time limit"})
    assert storage.writer.write([done]) == []
    assert storage.writer.write([done]) == []  # again, as after an answer that got lost
    storage.claims.release([second])
    storage.claims.release([second])
    again = storage.claims.claim(study_id, "two", propose)
    assert again is not None
    with storage.database.write() as connection:
        connection.execute(text("UPDATE tuner_leases SET expires = 1"))
    last = storage.claims.claim(study_id, "three", propose)
    assert last is not None
    failed = {"error": "RuntimeError: x" + "y" * 1000, "ended": "failed"}
    storage.writer.write([Update(last, state=TrialState.FAIL, user_attrs=failed)])
    assert storage.writer.write([Update(again, state=TrialState.COMPLETE, value=1.0)]) == [again]
    storage.set_budget(study_id, 5)
    for state in ("paused", "open", "stopped"):
        storage.set_study_state(study_id, state)
    storage.claims.unregister("one")
    assert (
        _told(storage, study_id=study_id)
        == _told(storage)
        == [
            ("submitted", None, ""),
            ("started", None, "one"),
            ("claimed", 0, "one"),
            ("claimed", 1, "one"),
            ("ended", 0, "one"),
            ("released", 1, "one"),
            ("claimed", 1, "two"),
            ("lost", 1, "two"),
            ("claimed", 1, "three"),
            ("ended", 1, "three"),
            ("budget", None, ""),
            ("paused", None, ""),
            ("resumed", None, ""),
            ("stopped", None, ""),
            ("left", None, "one"),
        ]
    )
    details = {(e.kind, e.trial): e.detail for e in storage.events(study_id)}
    assert details["ended", 0] == {"state": "pruned", "value": 0.5, "why": "time limit"}
    assert details["lost", 1] == {"by": "three"}
    assert details["started", None] == {"host": "host", "pid": 1, "device": "cpu"}
    assert len(details["ended", 1]["error"]) == 300
    known = storage.events(study_id, 1)
    assert [event.kind for event in known][-2:] == ["claimed", "ended"]
    assert {event.study for event in known} == {"study"}
    assert storage.events(study_id, after=known[-1].event_id)[0].kind == "budget"


def test_times_are_those_of_the_databases_clock(
    storage: Storage, study_id: int, propose: Propose
) -> None:
    lease = storage.claims.claim(study_id, "me", propose)
    assert lease is not None
    storage.writer.write([Update(lease, state=TrialState.COMPLETE, value=1.0)])
    found = [event.time for event in storage.events(study_id)]
    assert found == sorted(found)
    assert abs(found[-1] - time.time()) < 60


def test_a_trial_that_was_finished_as_it_was_proposed_was_not_claimed(
    storage: Storage, study_id: int, propose: Propose
) -> None:
    def once(number: int, fixed: Mapping[str, Any] | None) -> FrozenTrial:
        if number > 0:
            return propose(number, fixed)
        return create_trial(value=0.25, user_attrs={"ended": "duplicate"})

    assert storage.claims.claim(study_id, "me", once) is not None
    assert _told(storage)[1:] == [("ended", 0, "me"), ("claimed", 1, "me")]
    detail = {"state": "complete", "value": 0.25, "why": "duplicate"}
    assert storage.events(study_id, 0)[0].detail == detail


@pytest.mark.parametrize("kind", ["ours", "optuna"])
def test_events_go_with_their_study(
    storage: Storage, study_id: int, propose: Propose, kind: str
) -> None:
    assert storage.claims.claim(study_id, "me", propose) is not None
    storage.claims.register("me", "host", 1, "cpu")
    url = storage.database.url.render_as_string(hide_password=False)
    optuna.delete_study(study_name="study", storage=storage if kind == "ours" else url)
    assert _told(storage) == [("started", None, "me")]


def test_what_workers_did_long_ago_is_forgotten(storage: Storage, study_id: int) -> None:
    storage.claims.register("old", "host", 1, "cpu")
    with storage.database.write() as connection:
        connection.execute(text(f"UPDATE tuner_events SET time = time - {KEPT_SECONDS + 1}"))
    storage.claims.register("new", "host", 1, "cpu")
    assert _told(storage) == [("submitted", None, ""), ("started", None, "new")]


def test_an_outage_is_told_when_it_is_over(
    postgres: Any, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "OUTAGE_SECONDS", 0.01)
    storage = open_storage(postgres_url)
    postgres.kill()
    for _ in range(2):
        with pytest.raises(OutageError):
            storage.claims.renew("me")
    postgres.start()
    storage.claims.renew("me")
    storage.claims.renew("me")
    [outage] = storage.events()
    assert (outage.kind, outage.worker) == ("outage", "me")
    assert 0.01 < outage.detail["seconds"] < 60


def test_a_connection_that_breaks_is_no_outage(postgres_url: str) -> None:
    storage = open_storage(postgres_url)
    with storage.database.read() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    with open_storage(postgres_url).database.read() as connection:
        connection.exec_driver_sql("SELECT pg_terminate_backend(%(pid)s, 5000)", {"pid": pid})
    with pytest.raises(OutageError):
        storage.claims.renew("me")
    storage.claims.unregister("me")
    assert storage.events() == []


def test_a_full_disk_or_a_lock_is_no_outage(sqlite_url: str, tmp_path: Path) -> None:
    storage = open_storage(f"{sqlite_url}?timeout=0.01")
    with open_storage(sqlite_url).database.write(), pytest.raises(StorageError, match="locked"):
        storage.claims.renew("me")
    storage.claims.renew("me")
    assert storage.events() == []
