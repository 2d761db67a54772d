"""Studies: what a name may be."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.study import StudyDirection

from tuner.errors import StorageError
from tuner.storage import Storage


def test_a_name_that_is_too_long_is_refused_by_every_database(storage: Storage, join: Any) -> None:
    for make in (
        lambda: join(storage, "x" * 513),
        lambda: storage.create_new_study([StudyDirection.MINIMIZE], "x" * 513),
    ):
        with pytest.raises(StorageError, match="at most 512 letters, and this one 513") as caught:
            make()
        assert len(str(caught.value)) < 200
    assert storage.get_all_studies() == []
    assert storage.get_study_name_from_id(join(storage, "x" * 512)) == "x" * 512
