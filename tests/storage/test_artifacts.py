"""Artifacts in the database and in files: the same behaviour."""

from __future__ import annotations

import io
import uuid
from pathlib import Path

import fsspec
import optuna
import pytest
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.trial import TrialState

from tuner.errors import StorageError
from tuner.storage import Artifacts, Lease, Propose, Storage, Update, artifact_store
from tuner.storage.artifacts import orphans, tidy
from tuner.storage.attached import metadata
from tuner.storage.sql import PART

ARTIFACTS_LONG = bytes(range(256)) * (PART // 100)


class Broken(io.BytesIO):
    """A body that ends in the middle."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= PART:
            raise OSError("the connection was closed")
        return super().read(size)


@pytest.fixture(params=["database", "folder", "memory"])
def store(request: pytest.FixtureRequest, storage: Storage, tmp_path: Path) -> Artifacts:
    places = {"folder": str(tmp_path / "new" / "files"), "memory": f"memory://{uuid.uuid4()}"}
    return artifact_store(storage, places.get(request.param))


@pytest.mark.parametrize("body", [b"", b"short", ARTIFACTS_LONG[:PART], ARTIFACTS_LONG])
def test_what_was_written_is_read_and_removed(store: Artifacts, body: bytes) -> None:
    store.write("a-1", io.BytesIO(body))
    store.write("a-2", io.BytesIO(b"another"))
    with store.open_reader("a-1") as reader:
        assert reader.read(3) + reader.read() == body
    store.remove("a-1")
    with pytest.raises(ArtifactNotFound):
        store.open_reader("a-1")
    assert store.open_reader("a-2").read() == b"another"


def test_what_is_not_there_is_not_found(store: Artifacts) -> None:
    assert store.ages() == {}
    with pytest.raises(ArtifactNotFound):
        store.open_reader("a-1")
    with pytest.raises(ArtifactNotFound):
        store.remove("a-1")


def test_writing_again_replaces(store: Artifacts) -> None:
    store.write("a-1", io.BytesIO(ARTIFACTS_LONG))
    store.write("a-1", io.BytesIO(b"new"))
    assert store.open_reader("a-1").read() == b"new"


def test_an_interrupted_write_leaves_what_was_there(store: Artifacts) -> None:
    with pytest.raises(OSError, match="closed"):
        store.write("a-1", Broken(ARTIFACTS_LONG))
    assert store.ages() == {}
    store.write("a-1", io.BytesIO(b"old"))
    with pytest.raises(OSError, match="closed"):
        store.write("a-1", Broken(ARTIFACTS_LONG))
    assert store.open_reader("a-1").read() == b"old"
    assert list(store.ages()) == ["a-1"]


def test_ages_are_seconds(store: Artifacts) -> None:
    store.write("a-1", io.BytesIO(b"x"))
    assert -5 < store.ages()["a-1"] < 300


def test_optunas_functions_use_it(store: Artifacts, storage: Storage, tmp_path: Path) -> None:
    study = optuna.create_study(storage=storage)
    trial = study.ask()
    (tmp_path / "plot.svg").write_text("<svg/>")
    path = str(tmp_path / "plot.svg")
    made = optuna.artifacts.upload_artifact(
        artifact_store=store, file_path=path, study_or_trial=trial
    )
    (meta,) = optuna.artifacts.get_all_artifact_meta(trial)
    assert (meta.artifact_id, meta.filename, meta.mimetype) == (made, "plot.svg", "image/svg+xml")
    optuna.artifacts.download_artifact(
        artifact_store=store, artifact_id=made, file_path=str(tmp_path / "again")
    )
    assert (tmp_path / "again").read_text() == "<svg/>"


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/b", "", "..", "a.part"])
def test_a_name_cannot_leave_the_folder(storage: Storage, tmp_path: Path, name: str) -> None:
    store = artifact_store(storage, str(tmp_path / "files"))
    with pytest.raises(ValueError, match="identifier"):
        store.write(name, io.BytesIO(b"x"))
    with pytest.raises(ValueError, match="identifier"):
        store.open_reader(name)


def test_what_a_killed_process_left_is_listed_and_can_be_removed(
    storage: Storage, tmp_path: Path
) -> None:
    store, folder = artifact_store(storage, str(tmp_path / "files")), tmp_path / "files"
    folder.mkdir()
    (folder / "a-1.0123456789abcdef.part").write_bytes(b"half")
    (left,) = store.ages()
    store.remove(left)
    assert store.ages() == {}


def test_a_place_that_nothing_knows(storage: Storage) -> None:
    with pytest.raises(StorageError, match="no place for artifacts") as caught:
        artifact_store(storage, "nowhere://me:secret@host/bucket")
    assert "secret" not in str(caught.value)


def test_the_environment_names_the_place(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNER_ARTIFACTS", str(tmp_path / "files"))
    artifact_store(storage).write("a-1", io.BytesIO(b"x"))
    assert fsspec.filesystem("file").cat(str(tmp_path / "files" / "a-1")) == b"x"


# Artifacts that come and go with their trials.


NAME = "weights.safetensors"
TIDYING_LONG = b"w" * (PART + 7)


@pytest.fixture
def leases(storage: Storage, study_id: int, propose: Propose) -> list[Lease]:
    storage.set_budget(study_id, 4)
    found = [storage.claims.claim(study_id, "me", propose) for _ in range(4)]
    return [lease for lease in found if lease is not None]


def told(lease: Lease, value: float, data: bytes = TIDYING_LONG) -> Update:
    name = f"0000-{lease.number}"
    return Update(
        lease,
        system_attrs=metadata(name, NAME),
        artifacts={name: data},
        state=TrialState.COMPLETE,
        value=value,
    )


def metas(storage: Storage, lease: Lease) -> list[str]:
    """As another process sees it."""
    again = Storage(storage.database.url.render_as_string(hide_password=False))
    found = optuna.artifacts.get_all_artifact_meta(again.get_trial(lease.trial_id), storage=again)
    again.close()
    return [meta.artifact_id for meta in found]


def test_an_artifact_is_written_with_the_result(storage: Storage, leases: list[Lease]) -> None:
    store = artifact_store(storage)
    updates = [told(leases[0], 0.5), told(leases[1], 0.6, b"")]
    assert storage.writer.write(updates) == []
    assert storage.writer.write(updates) == []  # again, as after an answer that was lost
    assert store.open_reader("0000-0").read() == TIDYING_LONG
    assert store.open_reader("0000-1").read() == b""
    assert metas(storage, leases[0]) == ["0000-0"]
    assert orphans(storage, store, 0.0) == []


def test_a_lease_that_was_lost_leaves_no_artifact(storage: Storage, leases: list[Lease]) -> None:
    storage.claims.release([leases[0]])
    taken = storage.claims.claim(leases[0].study_id, "other", lambda number, fixed: leases[0].trial)
    assert taken is not None
    assert storage.writer.write([told(leases[0], 0.5)]) == [leases[0]]
    assert artifact_store(storage).ages() == {}
    assert metas(storage, leases[0]) == []


def test_only_the_best_keep_what_workers_attached(
    storage: Storage, leases: list[Lease], study_id: int, tmp_path: Path
) -> None:
    store = artifact_store(storage)
    storage.writer.write(
        [told(lease, value) for lease, value in zip(leases, (3, 1, 4, 4), strict=True)]
    )
    assert tidy(storage, store, study_id, NAME, maximize=True, keep=1) == 3
    assert [metas(storage, lease) for lease in leases] == [[], [], ["0000-2"], []]
    assert list(store.ages()) == ["0000-2"]
    assert tidy(storage, store, study_id, NAME, maximize=True, keep=1) == 0


def test_what_people_attached_and_running_trials_have_is_left(
    storage: Storage, leases: list[Lease], study_id: int, tmp_path: Path
) -> None:
    store = artifact_store(storage)
    (tmp_path / NAME).write_bytes(b"mine")
    study = optuna.load_study(study_name="study", storage=storage)
    mine = optuna.artifacts.upload_artifact(
        artifact_store=store,
        file_path=str(tmp_path / NAME),
        study_or_trial=study.trials[0],
        storage=storage,
    )
    waiting = Update(leases[1], system_attrs=metadata("1", NAME), artifacts={"1": b"x"})
    storage.writer.write([told(leases[0], 1.0), told(leases[2], 2.0), waiting])
    assert tidy(storage, store, study_id, NAME, maximize=True, keep=1) == 1
    assert set(store.ages()) == {mine, "1", "0000-2"}


@pytest.mark.parametrize("place", ["", "files"])
def test_orphans_are_what_nobody_knows(
    storage: Storage, leases: list[Lease], tmp_path: Path, place: str
) -> None:
    store = artifact_store(storage, str(tmp_path / place) if place else None)
    for name in ("a1", "a2", "a3"):
        store.write(name, io.BytesIO(b"x"))
    study = optuna.load_study(study_name="study", storage=storage)
    storage.set_study_system_attr(study._study_id, *next(iter(metadata("a2", "x.txt").items())))
    storage.set_study_system_attr(study._study_id, "dashboard:artifacts:1:a3", '{"artifact_id": 0}')
    storage.set_study_system_attr(study._study_id, "artifacts:a1", "null")  # as the dashboard does
    assert orphans(storage, store) == []
    assert orphans(storage, store, -60.0) == ["a1", "a3"]


def test_a_study_takes_its_artifacts_along(
    storage: Storage, leases: list[Lease], study_id: int
) -> None:
    store = artifact_store(storage)
    storage.writer.write([told(leases[0], 0.5)])
    store.write("a1", io.BytesIO(b"x"))
    store.write("b1", io.BytesIO(b"another's"))
    storage.set_study_system_attr(study_id, *next(iter(metadata("a1", "x.txt").items())))
    storage.delete_study(study_id)
    assert list(store.ages()) == ["b1"]
