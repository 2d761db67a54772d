"""The best, the running and the ended trials of a real database."""

from __future__ import annotations


def test_best_is_complete_and_the_first_of_equal_ones(database) -> None:
    database.add("COMPLETE", 0.8, 0.7, 0.8)
    database.add("PRUNED", 0.99, 0.99)
    database.add("COMPLETE", 0.9, 0.9)
    database.add("COMPLETE", 0.9, 0.9)
    found = database.look()
    assert found.baseline is not None
    assert (found.baseline.number, found.baseline.value) == (0, 0.8)
    assert found.best is not None
    assert (found.best.number, found.best.value) == (2, 0.9)
    assert found.best.config["learning_rate"] == 0.01
    assert found.best.config["epochs"] == 3


def test_less_may_be_better(a_database) -> None:
    database = a_database("minimize")
    for value in (0.5, 0.2, 0.9):
        database.add("COMPLETE", value)
    found = database.look()
    assert found.direction == "minimize"
    assert found.best is not None
    assert found.best.number == 1
    assert [ended.best for ended in found.ended] == [(0, 0.5), (1, 0.2), (1, 0.2)]


def test_a_baseline_that_was_pruned_is_none(database) -> None:
    database.add("PRUNED", 0.5, 0.5)
    database.add("COMPLETE", 0.9)
    assert database.look().baseline is None


def test_running_trials(database) -> None:
    database.add("RUNNING", None, 0.5, 0.6)
    database.add("RUNNING", None)
    first, second = database.look().running
    assert (first.number, first.epoch, first.epochs, first.value) == (0, 2, 3, 0.6)
    assert (second.epoch, second.value) == (0, None)


def test_what_ended_in_this_run(database) -> None:
    database.add("COMPLETE", 0.8, 0.8)
    database.add("FAIL", None, error="ValueError: before")
    database.add("PRUNED", 0.5, 0.4, 0.5, ended="pruned")
    database.add("FAIL", None, error="ValueError: no", ended="failed")
    database.add("COMPLETE", 0.7, 0.7, ended="all epochs")
    assert [ended.number for ended in database.look().ended] == [0, 1, 2, 3, 4]
    pruned, failed, complete = database.look(before=1).ended[1:]
    assert (pruned.state, pruned.epoch, pruned.value) == ("pruned", 2, 0.5)
    assert (failed.state, failed.why) == ("failed", "ValueError: no")
    assert (complete.state, complete.value, complete.best) == ("complete", 0.7, (0, 0.8))
    assert database.look(before=3).ended == ()
