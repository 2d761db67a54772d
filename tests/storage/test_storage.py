"""Opening a storage, and looking for one."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.testing.pytest_storages import StorageTestCase
from optuna.trial import FrozenTrial, TrialState

from tuner.errors import StorageError
from tuner.storage import Storage, open_existing, open_storage


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


# Optuna's own tests of a storage, on SQLite and on PostgreSQL; pickling and forking.


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Storage]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/tuner.db"
    else:
        template = request.getfixturevalue("_postgres_template")
        url = request.getfixturevalue("_postgres_server").create(template)
    storage = open_storage(url)
    yield storage
    storage.close()


class TestOptunaInterface(StorageTestCase):
    @pytest.fixture
    def storage(self, opened: Storage) -> Storage:
        for study in opened.get_all_studies():
            opened.delete_study(study._study_id)
        return opened


def _script(url: str, name: str, trials: int) -> None:
    """What somebody does with plain Optuna alone."""

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", -1, 1)
        n = trial.suggest_int("n", 1, 64, log=True)
        kind = trial.suggest_categorical("kind", ["a", None, 3])
        for step, value in enumerate((x, float("inf"), float("nan"))):
            trial.report(value, step)
        trial.set_user_attr("note", {"kind": kind})
        if trial.number % 3 == 2:
            raise optuna.TrialPruned
        return x + n

    sampler = optuna.samplers.RandomSampler(seed=1)
    study = optuna.load_study(study_name=name, storage=url, sampler=sampler)
    study.optimize(objective, n_trials=trials)


def _same(ours: list[FrozenTrial], theirs: list[FrozenTrial]) -> bool:
    """Equal, NaN included."""
    return [repr(sorted(t.__dict__.items())) for t in ours] == [
        repr(sorted(t.__dict__.items())) for t in theirs
    ]


def test_plain_optuna_and_we_see_the_same_trials(database_url: str) -> None:
    storage = open_storage(database_url)
    study_id = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "shared")
    optuna_url = storage.database.url.render_as_string(hide_password=False)
    assert storage.get_all_trials(study_id) == []
    _script(optuna_url, "shared", 7)
    plain = optuna.storages.RDBStorage(optuna_url)
    ours, theirs = storage.get_all_trials(study_id), plain.get_all_trials(study_id)
    assert [t.state for t in ours].count(TrialState.PRUNED) == 2
    assert _same(ours, theirs)
    assert storage.get_all_studies() == plain.get_all_studies()


def test_a_script_works_on_our_storage(database_url: str) -> None:
    storage = open_storage(database_url)
    study = optuna.create_study(storage=storage, study_name="s")
    study.enqueue_trial({"x": 0.25})
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1) ** 2, n_trials=5)
    url = storage.database.url.render_as_string(hide_password=False)
    plain = optuna.storages.RDBStorage(url).get_all_trials(study._study_id)
    assert plain[0].params == {"x": 0.25}
    assert _same(study.get_trials(), plain)


def test_a_running_trial_is_seen_as_it_grows(database_url: str) -> None:
    storage, other = open_storage(database_url), open_storage(database_url)
    study = optuna.create_study(storage=other, study_name="s")
    trial = study.ask()
    assert storage.get_all_trials(study._study_id)[0].params == {}
    trial.suggest_float("x", 0, 1)
    trial.report(1.5, 0)
    trial.set_user_attr("key", "value")
    seen = storage.get_all_trials(study._study_id)[0]
    assert (seen.params.keys(), seen.intermediate_values) == ({"x"}, {0: 1.5})
    assert seen.user_attrs == {"key": "value"}
    other.set_trial_intermediate_value(trial._trial_id, 0, 2.5)
    assert storage.get_trial(trial._trial_id).intermediate_values == {0: 2.5}
    assert storage.get_all_trials(study._study_id)[0].intermediate_values == {0: 2.5}


def test_a_study_deleted_and_made_anew_elsewhere_is_read_anew(database_url: str) -> None:
    storage, other = open_storage(database_url), open_storage(database_url)
    study = optuna.create_study(storage=other, study_name="s")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    assert len(storage.get_all_trials(study._study_id)) == 3
    optuna.delete_study(study_name="s", storage=other)
    with pytest.raises(KeyError):
        storage.get_all_trials(study._study_id)
    again = optuna.create_study(storage=other, study_name="s")
    again.optimize(lambda trial: trial.suggest_float("y", 0, 1), n_trials=3)
    assert [t.params.keys() for t in storage.get_all_trials(again._study_id)] == [{"y"}] * 3


def test_lists_are_kept_until_something_changes(sqlite_url: str) -> None:
    storage = open_storage(sqlite_url)
    study = optuna.create_study(storage=storage)
    study.optimize(lambda trial: 1.0, n_trials=3)
    done = (TrialState.COMPLETE,)
    first = storage.get_all_trials(study._study_id, deepcopy=False, states=done)
    trial = study.ask()
    assert storage.get_all_trials(study._study_id, deepcopy=False, states=done) is first
    study.tell(trial, 2.0)
    assert len(storage.get_all_trials(study._study_id, deepcopy=False, states=done)) == 4
    assert len(first) == 3


def _add_trial(storage: Storage, study_id: int) -> None:
    storage.create_new_trial(study_id)


def test_usable_after_fork_and_pickle(database_url: str) -> None:
    storage = open_storage(database_url, lease_seconds=7.0)
    storage.mirrors.refresh_interval = 1e-9
    study_id = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE])
    processes = multiprocessing.get_context("fork")
    children = [processes.Process(target=_add_trial, args=(storage, study_id)) for _ in range(3)]
    for child in children:
        child.start()
    storage.create_new_trial(study_id)
    for child in children:
        child.join(30)
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert [t.number for t in storage.get_all_trials(study_id)] == [0, 1, 2, 3]
    copied = pickle.loads(pickle.dumps(storage))
    assert copied.get_n_trials(study_id) == 4
    assert (copied.claims.lease_seconds, copied.mirrors.refresh_interval) == (7.0, 1e-9)
