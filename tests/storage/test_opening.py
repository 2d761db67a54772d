"""Opening a storage, and looking for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuner.errors import StorageError
from tuner.storage import open_existing, open_storage


def test_looking_makes_no_file(empty_sqlite_url: str, tmp_path: Path) -> None:
    assert open_existing(empty_sqlite_url) is None
    assert list(tmp_path.iterdir()) == []
    open_storage(empty_sqlite_url).close()
    found = open_existing(empty_sqlite_url)
    assert found is not None
    assert found.get_all_studies() == []
    found.close()


def test_the_url_is_shown_as_it_was_given(database_url: str) -> None:
    storage = open_storage(database_url)
    assert storage.url == database_url
    storage.close()


def test_errors_show_the_url_as_it_was_given_without_its_password() -> None:
    with pytest.raises(StorageError, match="cannot be reached") as caught:
        open_storage("postgres://me:s3cret@127.0.0.1:9/name")
    assert caught.value.where == "postgres://me:***@127.0.0.1:9/name"
    assert "s3cret" not in str(caught.value)
