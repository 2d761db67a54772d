from __future__ import annotations

import pytest

from tuner.data import DataSpec
from tuner.errors import DataError, StudyFileError
from tuner.study import SearchSettings
from tuner.study.settings import read_data, seconds

SPACE = """
[regularization]
dropout = { off = 0.0, low = 0.05, high = 0.6 }
[training]
optimizer = { choices = ["adam", { name = "sgd", momentum = { low = 0.0, high = 0.99 } }] }
[search]
"""


def test_defaults(read):
    assert read("").search == SearchSettings()


def test_everything_that_can_be_said(read):
    text = """
    trials = 5
    sampler = { name = "tpe", n_startup_trials = 3 }
    pruner = { name = "patient", patience = 2, pruner = { name = "asha", reduction_factor = 4 } }
    seed = 7
    timeout = "10m"
    trial_timeout = 30
    duplicates = true
    baseline = { dropout = 0.1 }
    enqueue = [{ optimizer = "sgd", "sgd.momentum" = 0.5 }, {}]
    """
    assert read(SPACE + text).search == SearchSettings(
        trials=5,
        sampler=("tpe", {"n_startup_trials": 3}),
        pruner=("patient", {"patience": 2, "pruner": {"name": "asha", "reduction_factor": 4}}),
        seed=7,
        timeout=600.0,
        trial_timeout=30.0,
        duplicates=True,
        baseline={"dropout": 0.1},
        enqueue=({"optimizer": "sgd", "sgd.momentum": 0.5}, {}),
    )


def test_a_budget_in_epochs_has_no_limit_in_trials_unless_one_is_set(read):
    assert read(SPACE + "epochs = 1800").search.limit is None
    both = read(SPACE + "epochs = 1800\ntrials = 9").search
    assert (both.epochs, both.limit) == (1800, 9)
    with pytest.raises(StudyFileError, match="found 0"):
        read(SPACE + "epochs = 0")


def test_a_nested_leaf_may_be_written_without_quotes(read):
    enqueue = read(SPACE + 'enqueue = [{ optimizer = "sgd", sgd.momentum = 0.5 }]').search.enqueue
    assert enqueue == ({"optimizer": "sgd", "sgd.momentum": 0.5},)


@pytest.mark.parametrize(
    ("text", "where", "what", "hint"),
    [
        ("trials = 0", "trials", "found 0, which is not a whole number of at least 1", ""),
        ("trials = -3", "trials", "found -3, which is not a whole number of at least 1", ""),
        ('trials = "5"', "trials", "found '5', which is not a whole number", ""),
        ("trials = 5.0", "trials", "found 5.0, which is not a whole number", ""),
        ("trials = true", "trials", "found true, which is not a whole number", ""),
        ("seed = -1", "seed", "found -1, which is not a whole number of at least 0", ""),
        ("duplicates = 1", "duplicates", "found 1, which is not true or false", ""),
        ('sampler = "tpee"', "sampler", "no sampler is called 'tpee'", "did you mean 'tpe'?"),
        ("sampler = 3", "sampler", "found 3, which is not a name or a table with a name", ""),
        ("sampler = {}", "sampler", "found {}, which is not a name or a table with a name", ""),
        (
            "sampler = { name = 'tpe', group = 3 }",
            "sampler.group",
            "found 3, which is not true or false",
            "",
        ),
        (
            "sampler = { name = 'tpe', n_startup_trial = 3 }",
            "sampler.n_startup_trial",
            "tpe has no option",
            "did you mean 'n_startup_trials'?",
        ),
        (
            "sampler = { name = 'cmaes', use_separable_cma = true, with_margin = true }",
            "sampler",
            "",
            "",
        ),
        ('pruner = "hyprband"', "pruner", "no pruner is called", "did you mean 'hyperband'?"),
        (
            "pruner = { name = 'patient', pruner = 'medan' }",
            "pruner.pruner",
            "no pruner is called 'medan'",
            "did you mean 'median'?",
        ),
        ("baseline = 3", "baseline", "found 3, which is not a table", ""),
        ("baseline = { dropot = 0.1 }", "baseline.dropot", "unknown key", "did you mean 'dropout'"),
        (
            "baseline = { dropout = 0.01 }",
            "baseline.dropout",
            "found 0.01, which the study does not search",
            "allowed: 0, or 0.05 to 0.6",
        ),
        (
            "baseline = { dropout = {} }",
            "baseline.dropout",
            "found {}, which the study does not search",
            "",
        ),
        (
            "baseline = { epochs = 3 }",
            "baseline.epochs",
            "found 3, which the study does not search",
            "allowed: 30, which is fixed",
        ),
        (
            "baseline = { sgd.momentum = 0.5 }",
            "baseline.sgd.momentum",
            "belongs to sgd, which this configuration does not choose",
            "leave it out",
        ),
        ("enqueue = {}", "enqueue", "found {}, which is not a list", ""),
        ("enqueue = [3]", "enqueue[0]", "found 3, which is not a table", ""),
        (
            "enqueue = [{}, { optimizer = 'lion' }]",
            "enqueue[1].optimizer",
            "found 'lion', which the study does not search",
            "allowed: adam, sgd",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(read, text, where, what, hint):
    with pytest.raises(StudyFileError) as caught:
        read(SPACE + text)
    assert caught.value.where == f"search.{where}"
    assert caught.value.message.startswith(what)
    assert caught.value.hint.startswith(hint)


def test_a_grid_search_needs_a_grid(read):
    with pytest.raises(StudyFileError, match="too many values for a grid search") as caught:
        read(SPACE + 'sampler = "grid"')
    assert caught.value.where == "regularization.dropout"
    assert read('[model]\ndepth = { low = 1, high = 2 }\n[search]\nsampler = "grid"')


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (90, 90),
        (1.5, 1.5),
        ("90", 90),
        ("90s", 90),
        (" 10 m ", 600),
        ("1.5h", 5400),
        ("2d", 172800),
    ],
)
def test_seconds(raw, expected):
    assert seconds("here", raw) == expected
    assert type(seconds("here", raw)) is float


@pytest.mark.parametrize(
    "raw",
    [0, -1, "0s", "", "m", "10 x", "-5m", True, None, [], float("nan"), float("inf"), "9" * 400],
)
def test_what_is_not_a_duration(raw):
    with pytest.raises(StudyFileError, match=r"^here: found .*, which is not a duration above 0"):
        seconds("here", raw)


def test_data():
    table = {"path": "a.csv", "target": "y", "shape": [1, 2], "test": 0, "preprocessing": "none"}
    spec = DataSpec(path="a.csv", target="y", shape=(1, 2), test=0, preprocessing="none")
    assert read_data(table) == spec


@pytest.mark.parametrize(
    ("table", "where", "what"),
    [
        ({"source": 3}, "data.source", "found 3, which is not a string"),
        ({"path": "x.csv"}, "data.target", "no target given"),
        ({"source": "a:b", "path": "x.csv"}, "data", "both source and path given"),
        ({"source": "a:b", "test": "x"}, "data.test", "found 'x', which is not a number"),
        ({"source": "a:b", "test": True}, "data.test", "found true, which is not a number"),
        ({"source": "a:b", "validation": 0}, "data.validation", "found 0, which is not a number"),
        ({"source": "a:b", "validation": 1.0}, "data.validation", "found 1.0, which is not a num"),
        ({"source": "a:b", "validation": float("nan")}, "data.validation", "found nan, which is"),
        ({"source": "a:b", "validation": {"folds": 1}}, "data.validation.folds", "found 1, which"),
        (
            {"source": "a:b", "test": -0.1},
            "data.test",
            "found -0.1, which is not a number of at least 0 and below 1",
        ),
        ({"source": "a:b", "test": 1}, "data.test", "found 1, which is not a number of at least 0"),
        ({"source": "a:b", "test": 0.9}, "data", "validation = 0.2 and test = 0.9 leave nothing"),
        ({"source": "a:b", "seed": -1}, "data.seed", "found -1, which is not a whole number of at"),
        ({"source": "a:b", "shape": 3}, "data.shape", "found 3, which is not a list"),
        ({"source": "a:b", "shape": []}, "data.shape", "[] is not a shape"),
        ({"source": "a:b", "shape": [8, -8]}, "data.shape[1]", "found -8, which is not a whole"),
        ({"source": "a:b", "text": "t", "vocabulary": 0}, "data.vocabulary", "found 0, which is"),
        ({"source": "a:b", "text": "t", "min_count": 0}, "data.min_count", "found 0, which is not"),
        ({"source": "a:b", "text": "t", "max_length": 0}, "data.max_length", "found 0, which is"),
        ({"source": "a:b", "drop": ["a", 3]}, "data.drop[1]", "found 3, which is not a string"),
        ({"source": "a:b", "shape": [1, "x"]}, "data.shape[1]", "found 'x', which is not a whole"),
        (
            {"path": "x.npz", "test_path": "y.npz", "test": 0.1},
            "data.test",
            "cannot be combined with test_path",
        ),
        (
            {"path": "x.npz", "split": "s", "test": 0.1},
            "data.test",
            "cannot be combined with split",
        ),
        ({"source": "a:b", "test_path": "y"}, "data.test_path", "cannot be combined with source"),
        ({"source": "a:b", "group": "g", "time": "t"}, "data", "rows can be split by one column"),
        ({"source": "a:b", "task": "x"}, "data.task", "unknown task 'x'"),
        (
            {"source": "a:b", "preprocessing": "x"},
            "data.preprocessing",
            "unknown preprocessing 'x'",
        ),
    ],
)
def test_data_that_cannot_be(table, where, what):
    with pytest.raises((StudyFileError, DataError)) as caught:
        read_data(table)
    assert caught.value.where == where
    assert caught.value.message.startswith(what)
    assert caught.value.exit_code == 2
