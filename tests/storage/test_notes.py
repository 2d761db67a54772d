"""A study's note: as the dashboard reads it, and people's words in it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest
from optuna_dashboard import get_note, save_note

from tuner.storage import Storage
from tuner.storage.notes import TURN, YOURS, save, stamp, turn


@pytest.fixture
def study(storage: Storage, study_id: int) -> optuna.Study:
    return optuna.load_study(study_name="study", storage=storage)


def test_the_dashboard_reads_it_long_or_short(
    storage: Storage, study_id: int, study: optuna.Study
) -> None:
    assert stamp(storage, study_id) == {}
    for text in ("short", "long " * 2000, "short again"):
        assert save(storage, study_id, text, {"best": 3})
        assert get_note(study).startswith(f"{text}\n\n---\n\n{YOURS}")
        assert get_note(study).endswith(f"{YOURS}\n")
    assert stamp(storage, study_id) == {"best": 3}


def test_what_people_write_below_the_line_stays(
    storage: Storage, study_id: int, study: optuna.Study
) -> None:
    save(storage, study_id, "first", {})
    save_note(study, get_note(study) + "\nLook at **trial 7**.\n")
    save(storage, study_id, "second", {})
    assert get_note(study) == f"second\n\n---\n\n{YOURS}\n\nLook at **trial 7**.\n"


def test_a_note_that_was_there_before_is_kept_below(
    storage: Storage, study_id: int, study: optuna.Study
) -> None:
    save_note(study, "mine")
    save(storage, study_id, "tuner's", {})
    assert get_note(study) == f"tuner's\n\n---\n\n{YOURS}\n\nmine\n"


def test_a_note_without_the_line_is_left_alone(
    storage: Storage, study_id: int, study: optuna.Study
) -> None:
    save(storage, study_id, "first", {})
    save_note(study, "all mine")
    assert not save(storage, study_id, "second", {})
    assert get_note(study) == "all mine"
    save_note(study, "")  # emptied: tuner's again
    assert save(storage, study_id, "third", {})
    assert get_note(study).startswith("third")


def test_many_at_once_leave_one_whole_note(
    storage: Storage, study_id: int, study: optuna.Study
) -> None:
    texts = [f"{i} " * (1000 + 400 * i) for i in range(8)]
    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(lambda text: save(storage, study_id, text, {}), texts))
    assert get_note(study).split("\n\n---")[0] in texts


def test_a_turn_is_one_worker_s_for_a_while(storage: Storage, study_id: int) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: turn(storage, study_id, 3600.0), range(8))) == 1
    storage.set_study_system_attr(study_id, TURN, 0.0)
    assert turn(storage, study_id, 3600.0)


def test_a_note_that_people_saved_says_nothing_of_itself(
    storage: Storage, study_id: int, study: optuna.Study
) -> None:
    save(storage, study_id, "first", {"best": 3})
    save_note(study, get_note(study) + "\nseen\n")  # above it may stand what was there before
    assert stamp(storage, study_id) == {}
    save(storage, study_id, "second", {"best": 4})
    assert stamp(storage, study_id) == {"best": 4}


def test_a_study_that_is_gone(storage: Storage) -> None:
    with pytest.raises(KeyError):
        save(storage, 99, "text", {})
    with pytest.raises(KeyError):
        stamp(storage, 99)
    with pytest.raises(KeyError):
        turn(storage, 99, 1.0)
