"""A server that refuses: it says what, and what to do, without a traceback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from tuner.errors import StorageError
from tuner.storage import OutageError, open_storage
from tuner.storage.opening import upgrade
from tuner.storage.urls import parse


def test_a_user_without_rights_is_told_so(postgres_url: str, join: Callable[..., int]) -> None:
    owner = open_storage(postgres_url)
    study_id = join(owner)
    user = f"reader_{parse(postgres_url).database}"
    url = postgres_url.replace("//tuner@", f"//{user}@")
    with owner.database.write() as connection:
        connection.execute(text(f'CREATE ROLE "{user}" LOGIN'))
    with pytest.raises(StorageError, match="may not do that") as caught:
        open_storage(url)
    assert caught.value.where == url
    assert "GRANT" in caught.value.hint

    with owner.database.write() as connection:
        connection.execute(text(f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{user}"'))
    reader = open_storage(url)
    assert reader.progress(study_id).budget == 3
    for change in (lambda: upgrade(url), lambda: reader.set_budget(study_id, 9)):
        with pytest.raises(StorageError, match="may not do that") as caught:
            change()
        assert not isinstance(caught.value, OutageError)
    reader.close()
    with owner.database.write() as connection:
        connection.execute(text(f'DROP OWNED BY "{user}"'))
        connection.execute(text(f'DROP ROLE "{user}"'))
    owner.close()


def test_a_user_who_may_make_no_tables_is_told_so(postgres_url: str, postgres: Any) -> None:
    empty = str(postgres.create())
    owner = open_storage(postgres_url)
    user = f"reader_{parse(empty).database}"
    with owner.database.write() as connection:
        connection.execute(text(f'CREATE ROLE "{user}" LOGIN'))
    with pytest.raises(StorageError, match="may not do that"):  # says Optuna's cause
        open_storage(empty.replace("//tuner@", f"//{user}@"))
    with owner.database.write() as connection:
        connection.execute(text(f'DROP ROLE "{user}"'))
    owner.close()
