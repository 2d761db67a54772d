"""Studies move between SQLite and PostgreSQL whole, and go on there."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.artifacts import upload_artifact
from optuna.trial import TrialState
from sqlalchemy import text

from tuner.errors import UsageError
from tuner.operation.copy import CONTINUED, COPIED, PRESENT, Copied
from tuner.operation.copy import copy as copies
from tuner.operation.remove import delete, plan_deletion
from tuner.storage import Storage, Update, artifact_store, open_storage
from tuner.storage.artifacts import DatabaseArtifacts

Make = Callable[..., int]


def copy(source: Storage, target: Storage, *arguments: Any) -> list[Copied]:
    return list(copies(source, target, *arguments))


def _shown(storage: Storage, study_id: int) -> list[str]:
    """Trials without their ids; as words, in which NaN is like NaN."""
    trials = storage.get_all_trials(study_id)
    for trial in trials:
        trial._trial_id = 0
        trial.user_attrs = dict(sorted(trial.user_attrs.items()))
        trial.system_attrs = dict(sorted(trial.system_attrs.items()))
    return [repr(trial) for trial in trials]


def test_a_study_moves_and_goes_on_with_its_exact_budget(
    pair: tuple[Storage, Storage], make: Make, claim: Any, train: Any
) -> None:
    source, target = pair
    make(target, "other", 2)  # so that ids differ
    study_id = make(source, trials=7)
    optuna.load_study(study_name="study", storage=source).enqueue_trial({"x": 0.5})
    lease = claim(source, study_id)  # the enqueued one
    source.writer.write([Update(lease, {1: 0.7}, {"mine": [1, None]}, checkpoint=b"state\0")])
    source.claims.release([lease])
    source.set_study_user_attr(study_id, "note", "what it is")

    [copied] = copy(source, target)
    assert copied == ("study", 8, COPIED, False)
    there = target.get_study_id_from_name("study")
    assert _shown(target, there) == _shown(source, study_id)
    assert target.get_study_user_attrs(there) == source.get_study_user_attrs(study_id)
    assert target.get_study_system_attrs(there) == source.get_study_system_attrs(study_id)
    assert target.get_study_directions(there) == source.get_study_directions(study_id)
    assert target.progress(there) == source.progress(study_id)
    kinds = [event.kind for event in source.events(study_id)]
    assert [event.kind for event in target.events(there)] == [*kinds, "copied"]
    assert len(target.events(there, 7)) == 2  # claimed, released

    assert copy(source, target) == [("study", 8, PRESENT, False)]
    again = claim(target, there)
    assert (again.number, again.resumed, again.checkpoint) == (7, True, b"state\0")
    assert again.trial.params["x"] == 0.5
    target.writer.write([Update(again, {2: 0.6}, state=TrialState.COMPLETE, value=0.6)])
    train(target, there, 4)
    assert target.claims.claim(there, "me", lambda *_: pytest.fail("the budget is met")) is None
    assert target.progress(there).finished == 12

    assert copy(source, target) == [("study", 8, CONTINUED, False)]
    train(source, study_id, 1)  # and went on here too
    with pytest.raises(UsageError, match="other trials") as caught:
        copy(source, target)
    assert caught.value.exit_code == 2
    assert target.progress(there).finished == 12


def test_artifacts_move_along(pair: tuple[Storage, Storage], make: Make, tmp_path: Any) -> None:
    source, target = pair
    make(source, trials=1)
    make(source, "not-this")
    path = tmp_path / "weights.bin"
    path.write_bytes(bytes(range(256)) * 8192)
    ids = []
    for name in ("study", "not-this"):
        study = optuna.load_study(study_name=name, storage=source)
        store = DatabaseArtifacts(source.database)
        ids += [
            upload_artifact(
                artifact_store=store, file_path=str(path), study_or_trial=each, storage=source
            )
            for each in (study, study.ask())
        ]
    copy(source, target, "study")
    kept = DatabaseArtifacts(target.database)
    assert sorted(kept.ages()) == sorted(ids[:2])
    for artifact_id in ids[:2]:
        with kept.open_reader(artifact_id) as file:
            assert isinstance(file, io.BufferedReader)
            assert file.read() == path.read_bytes()


def test_replicas_go_along_and_others_stay(pair: tuple[Storage, Storage], make: Make) -> None:
    source, target = pair
    for name in ("study", "study:2025", "study2", "other", "other:confirm"):
        make(source, name, 1)
    for name in ("study:confirm", "study:ablate"):
        make(source, name, 1, of="study")
    assert {each.study for each in copy(source, target, "study")} == {
        "study",
        "study:confirm",
        "study:ablate",
    }
    assert [each.study for each in copy(source, target, "other")] == ["other"]
    assert len(list(copy(source, target))) == 7
    with pytest.raises(UsageError, match="'stud'"):
        copy(source, target, "stud")


def test_two_studies_are_never_mixed_and_do_not_stop_others(
    pair: tuple[Storage, Storage], make: Make
) -> None:
    source, target = pair
    make(source, "study", 3)
    make(source, "fine", 1)
    make(target, "study", 2)
    with pytest.raises(UsageError, match="other trials") as caught:
        copy(source, target)
    assert caught.value.where == "study"
    assert [study.study_name for study in target.get_all_studies()] == ["study", "fine"]
    assert target.progress(1).finished == 2
    make(source, "more", 1)
    make(target, "more", 2)
    with pytest.raises(UsageError, match=r"2 studies were not copied: study: .*; more: "):
        copy(source, target)


@pytest.mark.parametrize("other", [{"direction": "maximize"}, {"fingerprint": "g"}])
def test_a_study_made_otherwise_is_another(
    sqlite_url: str, tmp_path: Any, make: Make, other: dict[str, str]
) -> None:
    source, target = open_storage(sqlite_url), open_storage(f"sqlite:///{tmp_path}/target.db")
    make(source)
    of = {"direction": "minimize", "fingerprint": "f"} | other
    target.join("study", metric="loss", spec="{}", budget=12, **of)
    with pytest.raises(UsageError, match="is another"):
        copy(source, target)


def test_a_copied_study_that_went_on_is_left_and_others_come(
    pair: tuple[Storage, Storage], make: Make, train: Any
) -> None:
    source, target = pair
    make(source, trials=2)
    copy(source, target)
    train(target, 1, 1)
    source.set_study_state(make(source, "next", 1), "paused")
    assert copy(source, target) == [("study", 2, CONTINUED, False), ("next", 1, COPIED, True)]
    assert target.progress(1).finished == 3
    assert target.progress(2).state == "paused"


def test_artifacts_outside_are_duplicated(
    sqlite_url: str, tmp_path: Any, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNER_ARTIFACTS", str(tmp_path / "first"))
    source, target = open_storage(sqlite_url), open_storage(f"sqlite:///{tmp_path}/target.db")
    make(source)
    path = tmp_path / "weights.bin"
    path.write_bytes(b"weights")
    study = optuna.load_study(study_name="study", storage=source)
    kept = artifact_store(source)
    artifact_id = upload_artifact(
        artifact_store=kept, file_path=str(path), study_or_trial=study, storage=source
    )
    for place in (None, str(tmp_path / "first"), str(tmp_path / "first" / "within")):
        with pytest.raises(UsageError, match="the source's artifacts"):
            copy(source, target, None, place)
    assert target.get_all_studies() == []
    copy(source, target, None, str(tmp_path / "second"))
    delete(source, plan_deletion(source, "study"))
    assert kept.ages() == {}
    assert artifact_store(target, str(tmp_path / "second")).open_reader(artifact_id).read() == (
        b"weights"
    )


def test_what_a_worker_is_at_is_not_copied(
    pair: tuple[Storage, Storage], make: Make, claim: Any
) -> None:
    source, target = pair
    study_id = make(source, trials=1)
    claim(source, study_id)
    with pytest.raises(UsageError, match="workers are training 1 of its trials") as caught:
        copy(source, target)
    assert "tuner pause --study study" in str(caught.value)
    assert target.get_all_studies() == []
    with source.database.write() as connection:  # its worker died
        connection.execute(text("UPDATE tuner_leases SET expires = 1"))
    copy(source, target)
    assert claim(target, 1).number == 1


def test_a_study_arrives_whole_or_not_at_all(
    pair: tuple[Storage, Storage], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = pair
    make(source, trials=2)
    with monkeypatch.context() as patch:
        patch.setattr("tuner.storage.events.add", lambda *_: 1 / 0)  # the last that is written
        with pytest.raises(ZeroDivisionError):
            copy(source, target)
    assert target.get_all_studies() == []
    assert copy(source, target) == [("study", 2, COPIED, False)]
