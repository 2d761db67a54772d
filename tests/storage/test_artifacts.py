"""Artifacts in the database and in files: the same behaviour."""

from __future__ import annotations

import io
import uuid
from pathlib import Path

import fsspec
import optuna
import pytest
from optuna.artifacts.exceptions import ArtifactNotFound

from tuner.errors import StorageError
from tuner.storage import Artifacts, Storage, artifact_store
from tuner.storage.parts import PART

LONG = bytes(range(256)) * (PART // 100)


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


@pytest.mark.parametrize("body", [b"", b"short", LONG[:PART], LONG])
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
    store.write("a-1", io.BytesIO(LONG))
    store.write("a-1", io.BytesIO(b"new"))
    assert store.open_reader("a-1").read() == b"new"


def test_an_interrupted_write_leaves_what_was_there(store: Artifacts) -> None:
    with pytest.raises(OSError, match="closed"):
        store.write("a-1", Broken(LONG))
    assert store.ages() == {}
    store.write("a-1", io.BytesIO(b"old"))
    with pytest.raises(OSError, match="closed"):
        store.write("a-1", Broken(LONG))
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
