"""Finding a study: its file, or what the database holds of it."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

import tuner
from tuner.errors import StudyFileError, UsageError
from tuner.run.prepare import find_study, stored_id, stored_ids, stored_study, submit, with_seed
from tuner.storage import Storage, opened

SMALL = """\
description = "Flowers by a line"
data = { source = "sklearn.datasets:load_iris" }
model = { family = "linear" }
training = { epochs = 1 }
"""


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that holds the study ``studies/small.toml`` and one of another program."""
    monkeypatch.chdir(tmp_path)
    Path("studies").mkdir()
    Path("studies/small.toml").write_text(SMALL)
    found = f"sqlite:///{tmp_path}/tuner.db"
    submit("small", found)
    optuna.create_study(study_name="foreign", storage=found)
    return found


@pytest.fixture
def storage(url: str) -> Storage:
    return opened(url)


def test_a_stored_study_by_its_name_its_file_or_itself(storage: Storage) -> None:
    assert stored_ids(storage) == {"small": 1, "foreign": 2}
    for name in ("small", "studies/small.toml"):
        assert stored_id(storage, name) == ("small", 1)
    for given in ("small", "studies/small.toml", tuner.load_study("small")):
        study, study_id = stored_study(storage, given)
        assert (study.name, study_id, study.description) == ("small", 1, "Flowers by a line")


def test_one_that_is_not_there(storage: Storage) -> None:
    with pytest.raises(UsageError, match="no study in this database is called 'smal'") as caught:
        stored_study(storage, "smal")
    assert "did you mean 'small'" in caught.value.hint
    with pytest.raises(UsageError, match="did you mean 'small'"):
        stored_id(storage, "smal")


def test_one_of_another_program(storage: Storage, url: str) -> None:
    assert stored_id(storage, "foreign") == ("foreign", 2)
    for find in (lambda: stored_study(storage, "foreign"), lambda: find_study("foreign", url)):
        with pytest.raises(StudyFileError, match="no study 'foreign' that tuner made"):
            find()


def test_a_database_without_studies(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tuner.db"
    optuna.storages.RDBStorage(url)
    with pytest.raises(UsageError, match="the database holds no study"):
        stored_id(opened(url), "small")


def test_a_file_comes_before_the_database(url: str) -> None:
    path = Path("studies/small.toml")
    path.write_text(SMALL.replace("Flowers by a line", "changed"))
    assert find_study("small", url).description == "changed"
    path.unlink()
    assert find_study("small", url).description == "Flowers by a line"
    with pytest.raises(StudyFileError, match="no study is called 'smal'") as caught:
        find_study("smal", url)
    assert "small" in caught.value.hint


def test_a_study_with_another_seed(url: str) -> None:
    study = find_study("small", url)
    assert with_seed(study, None) is study
    assert with_seed(study, 7).search.seed == 7
