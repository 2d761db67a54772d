"""What an application writes on ``wsgi.errors`` is logged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tuner.dashboard.serve import with_error_log
from tuner.storage import Storage, artifact_store


def test_a_complaint_is_one_record(caplog: pytest.LogCaptureFixture) -> None:
    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.errors"].write("Traceback:\n  odd\n")
        environ["wsgi.errors"].writelines(["one\n", "two\n"])
        environ["wsgi.errors"].write("\n")
        environ["wsgi.errors"].flush()
        return [b"done"]

    assert with_error_log(application)({}, print) == [b"done"]
    assert [record.getMessage() for record in caplog.records] == ["Traceback:\n  odd", "one\ntwo"]


# Artifacts that were removed while a page still knows of them.


def test_what_is_gone_is_not_found_and_keeps_no_study_from_being_deleted(
    storage: Storage, bare: Any, guard: Callable[..., Any], artifact: str
) -> None:
    served = guard()
    assert served.ask(artifact).status == 200
    artifact_store(storage).remove(artifact.rpartition("/")[2])
    assert served.ask(artifact).status == 404
    assert bare.ask(artifact).status == 500
    assert bare.ask("/api/studies/1", "DELETE", {}).status == 500
    assert served.ask("/api/studies/1", "DELETE", {}).status == 204
    assert storage.get_all_studies() == []


def test_a_file_is_uploaded_read_and_removed(guard: Callable[..., Any]) -> None:
    served = guard()
    body = {"file": "data:text/plain;base64,aGVsbG8=", "filename": "hello.txt"}
    made = served.ask("/api/artifacts/1", "POST", body)
    path = f"/artifacts/1/{made.json['artifact_id']}"
    assert served.ask(path).body == b"hello"
    assert served.ask(f"/api{path}", "DELETE").status == 204
    assert served.ask(path).status == 404


def test_files_may_lie_in_a_folder(guard: Callable[..., Any], tmp_path: Path) -> None:
    served = guard(artifacts=str(tmp_path / "files"))
    body = {"file": "data:text/plain;base64,aGVsbG8=", "filename": "hello.txt"}
    made = served.ask("/api/artifacts/1", "POST", body)
    assert (tmp_path / "files" / made.json["artifact_id"]).read_bytes() == b"hello"
