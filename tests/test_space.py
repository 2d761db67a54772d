"""test_space"""

from __future__ import annotations

import math
import tomllib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
import pytest

from tuner.errors import StudyFileError, TrainingError
from tuner.space import (
    Choice,
    Leaf,
    Node,
    Option,
    Range,
    Recorded,
    baseline_value,
    check_keys,
    check_listable,
    config_of,
    declare,
    declared,
    format_value,
    matches,
    params_of,
    same,
    sample,
    shown,
    size,
    walk,
    with_switches,
)
from tuner.study import load_study
from tuner.study.files import shipped
from tuner.study.parse import parse

KINDS = """
[model]
width = { low = 16, high = 64, step = 16 }
[model.family]
choices = [
    "linear",
    { name = "mlp", depth = 3, activation = { choices = ["relu", "tanh"] } },
]

[regularization]
batch_norm = { choices = [true, false] }
dropout = { off = 0.0, low = 0.05, high = 0.6 }
weight_decay = { off = 0.0, low = 1e-6, high = 1e-1, log = true }
early_stopping = { off = 0, low = 3, high = 9 }
ema = 0.99

[training]
epochs = { low = 1, high = 64, log = true }
batch_size = { choices = [32, 64] }
learning_rate = { low = 0.1, high = 0.5, step = 0.1 }
lr_scheduler = { name = "polynomial", power = { low = 0.5, high = 3.0 } }
[[training.optimizer.choices]]
name = "adam"
[[training.optimizer.choices]]
name = "sgd"
momentum = { low = 0.0, high = 0.99 }
learning_rate = { low = 0.01, high = 1.0, log = true }
"""
"""Every kind of leaf."""


def of(text):
    return parse("x", tomllib.loads(f'[data]\nsource = "a:b"\n{text}'))


STUDIES = {**{name: load_study(name) for name in shipped()}, "kinds": of(KINDS), "standard": of("")}


@pytest.fixture(scope="module", params=STUDIES)
def trials(request):
    """A study, and for each of 40 random trials its parameters and its configuration."""
    study = STUDIES[request.param]
    asked = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = [asked.ask() for _ in range(40)]
        return study, [(study.sample(trial), trial) for trial in drawn]


def test_optuna_is_asked_for_nothing_but_what_is_searched(trials):
    study, drawn = trials
    known = {n.name for n in walk(study.nodes)} | {f"{n.name}.on" for n in walk(study.nodes)}
    for config, trial in drawn:
        assert trial.params.keys() <= known
        assert config.keys() >= {"family", "dropout", "learning_rate", "optimizer", "epochs"}


def test_recorded_parameters_give_the_configuration_again(trials):
    study, drawn = trials
    for config, trial in drawn:
        assert study.config(trial.params) == config


def test_params_of_and_config_of_are_inverse(trials):
    study, drawn = trials
    for config, trial in drawn:
        params = params_of(study.nodes, config, baseline_value)
        assert params == trial.params
        assert {k: type(v) for k, v in params.items()} == {
            k: type(v) for k, v in trial.params.items()
        }
        assert config_of(study.nodes, params) == config


def test_parameters_lie_within_the_distributions_that_optuna_saw(trials):
    study, drawn = trials
    for config, trial in drawn:
        params = params_of(study.nodes, config, baseline_value)
        for name, distribution in trial.distributions.items():
            assert distribution._contains(distribution.to_internal_repr(params[name]))


def test_baseline_can_be_asked_for(trials):
    study, _ = trials
    fixed = optuna.trial.FixedTrial(study.baseline())
    assert study.sample(fixed) == study.config(study.baseline())
    assert fixed.params == study.baseline()


def test_names_in_the_database():
    names = {name for c in STUDIES["kinds"].nodes for name in [c.name]}
    assert {"dropout", "weight_decay", "batch_norm", "lr_scheduler"} <= names
    asked = Recorded(
        {
            "family": "mlp", "width": 16, "mlp.activation": "tanh",
            "batch_norm": True, "dropout.on": True, "dropout": 0.5, "weight_decay.on": False,
            "early_stopping.on": True, "early_stopping": 4, "epochs": 3, "batch_size": 32,
            "learning_rate": 0.2, "optimizer": "sgd", "sgd.momentum": 0.5, "sgd.learning_rate": 0.1,
            "polynomial.power": 2.0,
        }
    )  # fmt: skip
    config = sample(STUDIES["kinds"].nodes, asked)
    wanted = {
        "family": "mlp", "width": 16, "mlp.depth": 3, "mlp.activation": "tanh", "batch_norm": True,
        "mlp.residual": False, "dropout": 0.5, "weight_decay": 0.0, "early_stopping": 4,
        "ema": 0.99, "epochs": 3, "batch_size": 32, "learning_rate": 0.2, "optimizer": "sgd",
        "sgd.momentum": 0.5, "sgd.nesterov": False, "sgd.learning_rate": 0.1,
        "lr_scheduler": "polynomial", "polynomial.power": 2.0,
    }  # fmt: skip
    assert {name: config[name] for name in wanted} == wanted


def test_leaves_of_an_option_that_is_not_chosen_are_not_asked_for():
    config = STUDIES["kinds"].config(
        STUDIES["kinds"].baseline() | {"family": "linear", "optimizer": "adam"}
    )
    assert not [name for name in config if name.startswith(("sgd.", "mlp.", "width"))]
    assert config["adam.beta1"] == 0.9


def test_baseline_is_off_and_default_or_the_nearest():
    assert STUDIES["kinds"].baseline() == {
        "family": "mlp", "width": 64, "mlp.activation": "relu", "batch_norm": False,
        "dropout.on": False, "weight_decay.on": False, "early_stopping.on": False,
        "epochs": 30, "batch_size": 64, "learning_rate": 0.1, "optimizer": "adam",
        "polynomial.power": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("[regularization]\ndropout = { low = 0.1, high = 0.5 }", "dropout", 0.1),
        ("[regularization]\nbatch_norm = { choices = [true] }", "batch_norm", True),
        ("[model]\nwidth = { choices = [8, 16, 32] }", "width", 32),
        ("[model]\ndepth = { low = 3, high = 8 }", "depth", 3),
        ("[training]\nlearning_rate = { low = 0.01, high = 0.1 }", "learning_rate", 0.01),
        ("[training]\nepochs = { low = 1, high = 25, step = 10 }", "epochs", 21),
        ('[training]\noptimizer = { choices = ["sgd", "lion"] }', "optimizer", "sgd"),
    ],
)
def test_baseline_where_the_default_is_not_searched(text, name, value):
    baseline = of(text).baseline()
    assert baseline[name] == value
    assert type(baseline[name]) is type(value)


def test_parameters_have_the_type_of_their_range():
    params = params_of(
        STUDIES["kinds"].nodes,
        {"width": 32.0, "dropout": 0, "epochs": 7.0, "batch_size": 32.0, "polynomial.power": 2},
        baseline_value,
    )
    assert (params["width"], params["epochs"], params["batch_size"]) == (32, 7, 32)
    assert [type(params[n]) for n in ("width", "epochs", "batch_size")] == [int] * 3
    assert type(params["polynomial.power"]) is float
    assert params["dropout.on"] is False


@pytest.mark.parametrize(
    ("wanted", "where", "hint"),
    [
        ({"dropout": 0.01}, "dropout", "0, or 0.05 to 0.6"),
        ({"width": 20}, "width", "16 to 64, step 16"),
        ({"batch_norm": 1}, "batch_norm", "true, false"),
        ({"optimizer": "lion"}, "optimizer", "adam, sgd"),
        ({"ema": 0.5}, "ema", "0.99, which is fixed"),
        ({"mlp.activation": "gelu"}, "mlp.activation", "relu, tanh"),
        ({"epochs": None}, "epochs", "1 to 64"),
    ],
)
def test_a_value_outside_the_space_is_refused(wanted, where, hint):
    with pytest.raises(StudyFileError, match="which the study does not search") as caught:
        params_of(STUDIES["kinds"].nodes, wanted, baseline_value)
    assert caught.value.where == where
    assert hint in caught.value.hint


def test_a_trial_of_another_study_is_named_not_a_key_error():
    params = STUDIES["digits"].baseline()
    with pytest.raises(TrainingError, match="depth: the trial has no such parameter"):
        STUDIES["digits"].config({k: v for k, v in params.items() if k != "depth"})
    with pytest.raises(TrainingError, match="found 7, which the study does not search") as caught:
        STUDIES["digits"].config({**params, "width": 7})
    assert caught.value.hint == "allowed: 32, 64, 128, 256"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", 20), ("width", 80), ("width", 32.5), ("width", "32"), ("width", None),
        ("width", True), ("width", 10**400), ("width", math.inf), ("batch_norm", 1),
        ("batch_norm", "true"), ("batch_norm", None), ("learning_rate", "0.2"),
        ("learning_rate", 0.25), ("learning_rate", -1.0), ("learning_rate", math.nan),
        ("polynomial.power", 3.1), ("epochs", 0), ("batch_size", "64"), ("batch_size", [64]),
        ("family", "cnn"), ("dropout.on", 1), ("dropout.on", "yes"), ("width.on", True),
        ("foo", 1), ("", 1),
    ],
)  # fmt: skip
def test_what_the_study_does_not_search_is_no_configuration(name, value):
    study = STUDIES["kinds"]
    with pytest.raises(TrainingError) as caught:
        study.config({**study.baseline(), name: value})
    assert caught.value.where == name
    assert caught.value.hint


def test_a_value_of_another_type_that_means_the_same_is_the_studys_own():
    study = STUDIES["kinds"]
    params = {**study.baseline(), "width": 32.0, "batch_size": 32.0, "polynomial.power": 2}
    recorded = Recorded(params)
    config = config_of(study.nodes, params, recorded)
    assert [type(config[n]) for n in ("width", "batch_size", "polynomial.power")] == [
        int, int, float,
    ]  # fmt: skip
    assert recorded.asked == params


def test_what_samplers_round_is_still_within_the_range():
    study = STUDIES["kinds"]
    for value in (0.30000000000000004, 0.1 + 4 * 0.1 + 1e-12):
        assert study.config({**study.baseline(), "learning_rate": value})["learning_rate"] == value


def test_a_value_of_a_switch_says_that_it_is_on():
    nodes = STUDIES["kinds"].nodes
    assert with_switches(nodes, {"dropout": 0.3}) == {"dropout.on": True, "dropout": 0.3}
    assert with_switches(nodes, {"dropout": 0.0}) == {"dropout.on": False}
    known = {"dropout.on": False, "dropout": 0.3, "foo": 1}
    assert with_switches(nodes, known) == known


DISCRETE = """
[model]
family = { choices = ["linear", { name = "mlp", depth = { low = 1, high = 3 } }] }
[regularization]
early_stopping = { off = 0, low = 3, high = 9, step = 3 }
[training]
learning_rate = { low = 0.1, high = 0.3, step = 0.1 }
"""


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (DISCRETE, (1 + 3) * 4 * 3),
        ("[training]\nepochs = 3", 1),
        ('[model]\nfamily = { name = "mlp", depth = { low = 1, high = 4 } }', 4),
        ("[regularization]\ndropout = { low = 0.1, high = 0.5 }", math.inf),
    ],
)
def test_size(text, count):
    assert size(of(text).nodes) == count


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[training]\nlearning_rate = { low = 0.1, high = 0.3 }", "training.learning_rate"),
        ("[training]\nepochs = { low = 1, high = 1_000_000_000 }", "training.epochs"),
        (
            '[training]\noptimizer = { name = "sgd", momentum = { low = 0.0, high = 0.9 } }',
            "training.optimizer.sgd.momentum",
        ),
        ('[model]\nfamily = "mlp"\ndepth = 2\nwidth = { low = 1, high = 50_000 }', "model.width"),
    ],
)
def test_grid_needs_ranges_that_can_be_listed(text, where):
    with pytest.raises(StudyFileError, match="too many values for a grid search") as caught:
        check_listable(of(text).nodes)
    assert caught.value.where == where


NUMBER = Leaf("rate", float, 0.5, minimum=0.0, maximum=1.0)


@pytest.mark.parametrize(
    ("leaf", "yes", "no"),
    [
        (NUMBER, [0, 0.5, 1], [-0.1, 1.1, True, "0.5", math.nan, math.inf, None]),
        (Leaf("rate", float, 0.5, above=0.0, below=1.0), [0.5], [0, 1]),
        (Leaf("rate", float, 0.5, minimum=0.0), [0, 1e300], [math.inf, math.nan, -1]),
        (Leaf("rate", float, 0.5), [-1e300], [math.inf, -math.inf, math.nan]),
        (Leaf("patience", int, 3, minimum=3, off=0), [0, 3, 7], [1, 3.0, False]),
        (Leaf("norm", bool, False), [True, False], [0, 1, "true"]),
        (Leaf("act", str, "a", options={"a": (), "b": ()}), ["a", "b"], ["c", 1, ["a"], None]),
    ],
)
def test_leaf_allows_its_kind_within_its_bounds(leaf, yes, no):
    assert [v for v in yes if leaf.allows(v) is not True] == []
    assert [v for v in no if leaf.allows(v) is not False] == []


@pytest.mark.parametrize(
    ("leaf", "words"),
    [
        (NUMBER, "a number between 0 and 1"),
        (Leaf("x", float, 0.5, above=0, below=1), "a number between 0 and 1 (bounds excluded)"),
        (Leaf("x", float, 0.5, above=0), "a number above 0"),
        (Leaf("x", int, 5, minimum=1), "a whole number of at least 1"),
        (Leaf("x", int, 5, maximum=9), "a whole number of at most 9"),
        (Leaf("x", float, 5, below=9), "a number below 9"),
        (Leaf("x", float, 5), "a number"),
        (Leaf("x", bool, False), "true or false"),
        (Leaf("x", str, "a", options={"a": (), "b": ()}), "one of a, b"),
    ],
)
def test_what_is_allowed_in_words(leaf, words):
    assert leaf.allowed() == words


@pytest.mark.parametrize(
    ("leaf", "raw", "expected"),
    [
        (NUMBER, 1, 1.0),
        (Leaf("x", int, 5), 3, 3),
        (Leaf("x", list, (), items=str), ["a", "b"], ("a", "b")),
        (Leaf("x", list, (), items=float), [1], (1.0,)),
        (Leaf("x", dict, {}), {"a": 1}, {"a": 1}),
        (Leaf("x", object, None), "whatever", "whatever"),
    ],
)
def test_a_value_is_read_as_its_kind(leaf, raw, expected):
    value = leaf.read(raw, "here")
    assert (value, type(value)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("leaf", "raw", "message"),
    [
        (
            Leaf("x", float, 0.5, minimum=0, below=1, doc="a share"),
            1,
            "here: found 1, which is not a number of at least 0 and below 1\n  a share",
        ),
        (
            Leaf("x", list, (), minimum=1, items=int),
            [3, 0],
            "here[1]: found 0, which is not a whole number of at least 1",
        ),
        (Leaf("x", list, (), items=int), 3, "here: found 3, which is not a list"),
        (Leaf("x", dict, {}), [], "here: found [], which is not a table"),
        (
            Leaf("x", str, "a", options={"one": (), "two": ()}),
            "on",
            "here: unknown x 'on'\n  did you mean 'one'? known: one, two",
        ),
        (
            Leaf("x", str, "a", options={"one": ()}),
            1,
            "here: found 1, which is not one of one",
        ),
    ],
)
def test_what_is_not_allowed_is_named_with_its_place_and_its_meaning(leaf, raw, message):
    with pytest.raises(StudyFileError) as caught:
        leaf.read(raw, "here")
    assert str(caught.value) == message


def test_the_fields_of_a_section_are_its_leaves():
    @dataclass(frozen=True)
    class Section:
        rows: int = declare(int, 3, "how many", minimum=1)
        where: Mapping[str, Any] = declare(dict, {}, "places")
        derived: int = 0

    assert declared(Section) == {
        "rows": Leaf("rows", int, 3, minimum=1, doc="how many"),
        "where": Leaf("where", dict, {}, doc="places"),
    }
    assert Section() == Section(3, {}, 0)
    assert Section().where is not Section().where


def test_check_keys_at_the_top_has_no_dot():
    with pytest.raises(StudyFileError, match=r"^dat: unknown key\n  did you mean 'data'"):
        check_keys("", {"dat": 1}, ["data"])


def test_choice_finds_its_option_and_names_all_where_there_is_none():
    sgd = Option("sgd")
    choice = Choice(("adam", sgd, True, 1))
    assert choice.labels == ("adam", "sgd", True, 1)
    assert choice.option("sgd") is sgd
    assert choice.option(True) is True
    with pytest.raises(
        StudyFileError, match="found 'lion', which is not one of adam, sgd, true, 1"
    ):
        choice.option("lion")


@pytest.mark.parametrize(
    ("labels", "wanted", "nearest"),
    [
        ((16, 32), 64, 32),
        ((128, 256), 64, 128),
        ((32, 64), 64, 64),
        (("a", "b"), "c", "a"),
        ((True,), False, True),
    ],
)
def test_nearest_label_is_itself_else_the_closest_number_else_the_first(labels, wanted, nearest):
    assert Choice(labels).nearest(wanted) is nearest


def test_walk_visits_every_node_of_every_option_once_and_in_order():
    shared = Node("depth", NUMBER, 0.5)
    a = Option("a", (shared, Node("a.x", NUMBER, 0.5)))
    b = Option("b", (shared, Node("b.y", NUMBER, 0.5)))
    nodes = [
        Node("family", NUMBER, Choice((a, b, "c"))),
        Node("one", NUMBER, Option("one", (Node("one.z", NUMBER, 1),))),
    ]
    assert [n.name for n in walk(nodes)] == ["family", "depth", "a.x", "b.y", "one", "one.z"]


@pytest.mark.parametrize(
    ("span", "inside", "outside"),
    [
        (Range(1, 4), [1, 4, 3.0], [0, 5, 2.5, True, "2", None, math.nan, math.inf, -math.inf]),
        (Range(0.5, 1.5), [0.5, 1.5, 1], [0.49, 1.51, True, "1", math.nan, 10**400]),
        (Range(0.05, 0.6, off=0.0), [0.0, 0, 0.05, 0.6], [0.01, False, -0.1]),
        (Range(3, 10, off=0), [0, 3, 10], [1, 2, 11, False]),
        (Range(0.1, 0.5, step=0.1), [0.1, 0.3, 0.1 + 2 * 0.1, 0.5], [0.15, 0.35]),
        (Range(16, 64, step=16), [16, 32, 48, 64], [20, 65]),
    ],
)
def test_range_contains_what_it_may_give(span, inside, outside):
    assert [v for v in inside if not span.contains(v)] == []
    assert [v for v in outside if span.contains(v)] == []


@pytest.mark.parametrize(
    ("span", "count"),
    [
        (Range(1, 4), 4),
        (Range(1, 4, log=True), 4),
        (Range(1, 10, step=4), 3),
        (Range(3, 10, off=0), 9),
        (Range(0.1, 0.5, step=0.1), 5),
        (Range(0.1, 0.5, step=0.1, off=0.0), 6),
        (Range(0.0, 1.0), math.inf),
        (Range(0.5, 0.5), 1),
        (Range(0.5, 0.5, off=0.0), 2),
        (Range(0.0, 1e300, step=1e-300), math.inf),
    ],
)
def test_count(span, count):
    assert span.count() == count


def listed(span):
    """Every value of a range, each found again at its place."""
    found = [span.number(i) for i in range(int(span.count()) - (span.off is not None))]
    assert [span.place(value) for value in found] == list(range(len(found)))
    return found


def test_numbers_are_listed_as_one_would_write_them():
    assert listed(Range(0.1, 0.5, step=0.1)) == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert listed(Range(0.05, 0.25, step=0.1, off=0.0)) == [0.05, 0.15, 0.25]
    whole = listed(Range(2, 9, step=3))
    assert whole == [2, 5, 8]
    assert all(type(number) is int for number in whole)


@pytest.mark.parametrize(
    ("span", "wanted", "nearest"),
    [
        (Range(1, 4), 9, 4),
        (Range(1, 4), 3, 3),
        (Range(16, 64, step=16), 50, 48),
        (Range(1, 10, step=4), 99, 9),
        (Range(0.1, 0.5), 0.0, 0.1),
        (Range(0.1, 0.5), 0.2, 0.2),
        (Range(0.1, 0.5, step=0.1), 0.32, 0.3),
        (Range(1e-5, 1e-3, log=True), 1e-1, 1e-3),
    ],
)
def test_nearest_is_within_the_range(span, wanted, nearest):
    assert span.nearest(wanted) == nearest
    assert type(span.nearest(wanted)) is type(span.low)
    assert span.contains(span.nearest(wanted))


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (Range(1, 4), "1 to 4"),
        (Range(1e-4, 1e-1, log=True), "0.0001 to 0.1, log"),
        (Range(0.1, 0.5, step=0.1), "0.1 to 0.5, step 0.1"),
        (Range(0.05, 0.6, off=0.0), "0, or 0.05 to 0.6"),
    ],
)
def test_range_in_words(span, text):
    assert str(span) == text


@pytest.mark.parametrize(
    ("kind", "yes", "no"),
    [
        (float, [1, 1.5, -0.0], [True, "1", None]),
        (int, [1, -3], [True, 1.0, "1"]),
        (bool, [True, False], [0, 1, "true"]),
        (str, ["", "x"], [1, None]),
        (list, [[]], [(), {}, "x"]),
    ],
)
def test_matches(kind, yes, no):
    assert all(matches(kind, v) for v in yes)
    assert not any(matches(kind, v) for v in no)


def test_true_is_not_one():
    assert same(1, 1.0)
    assert same(True, True)
    assert not same(True, 1)
    assert not same(0, False)


def test_values_in_messages_are_short():
    assert (shown(True), shown("x"), shown(0.1)) == ("true", "'x'", "0.1")
    assert len(shown("x" * 1000)) == 80
    assert (format_value(False), format_value(1e-7), format_value("a")) == ("false", "1e-07", "a")
