from __future__ import annotations

import pytest

from tuner.errors import StudyFileError
from tuner.space import Choice, Leaf, Node, Option, Range
from tuner.study.values import check_keys, read_value

RATE = Leaf("rate", float, 0.1, minimum=0.0, maximum=1.0, off=0.0)
WIDTH = Leaf("width", int, 64, minimum=1, maximum=512)
NORM = Leaf("norm", bool, False, off=False)
POWER = Leaf("power", float, 1.0, minimum=0.0, maximum=10.0)
STEPPED = Leaf("learning_rate", float, 0.01, above=0.0)
KIND = Leaf("kind", str, "a", options={"a": (), "poly": (POWER, STEPPED), "net": (WIDTH,)})


@pytest.mark.parametrize(
    ("leaf", "raw", "value"),
    [
        (RATE, 1, 1.0),
        (WIDTH, 8, 8),
        (NORM, True, True),
        (RATE, {"low": 0, "high": 1}, Range(0.0, 1.0)),
        (RATE, {"low": 0.1, "high": 1, "log": True}, Range(0.1, 1.0, log=True)),
        (RATE, {"low": 0.1, "high": 0.5, "step": 0.2}, Range(0.1, 0.5, step=0.2)),
        (RATE, {"low": 0.1, "high": 0.4, "step": 0.2}, Range(0.1, 0.3, step=0.2)),
        (RATE, {"low": 0.1, "high": 0.5, "off": 0}, Range(0.1, 0.5, off=0.0)),
        (RATE, {"low": 0.5, "high": 0.5, "off": 0.0}, Range(0.5, 0.5, off=0.0)),
        (WIDTH, {"low": 1, "high": 9}, Range(1, 9)),
        (WIDTH, {"low": 1, "high": 9, "log": True}, Range(1, 9, log=True)),
        (WIDTH, {"low": 8, "high": 30, "step": 8}, Range(8, 24, step=8)),
        (WIDTH, {"choices": [8, 16]}, Choice((8, 16))),
        (NORM, {"choices": [True, False]}, Choice((True, False))),
        (RATE, {"choices": [0, 0.5]}, Choice((0.0, 0.5))),
        (KIND, "a", Option("a")),
        (KIND, {"name": "a"}, Option("a")),
        (KIND, {"choices": ["a", {"name": "a"}][:1]}, Choice((Option("a"),))),
    ],
)
def test_what_a_leaf_may_say(leaf, raw, value):
    read = read_value("here", leaf, raw)
    assert read == value
    assert type(read) is type(value)
    if isinstance(value, Range):
        assert (type(read.low), type(read.high)) == (leaf.kind, leaf.kind)
        assert type(read.step) in (leaf.kind, type(None))


def test_an_option_has_its_leaves_under_its_own_name():
    span = {"low": 0.5, "high": 3.0}
    assert read_value("here", KIND, {"name": "poly", "power": span}) == Option(
        "poly", (Node("poly.power", POWER, Range(0.5, 3.0)),)
    )
    assert read_value("here", KIND, "poly").nodes == (Node("poly.power", POWER, 1.0),)


def test_an_own_learning_rate_is_there_only_where_the_table_names_it():
    option = read_value("here", KIND, {"name": "poly", "learning_rate": 0.5})
    assert [(n.name, n.value) for n in option.nodes] == [
        ("poly.power", 1.0),
        ("poly.learning_rate", 0.5),
    ]


def test_a_leaf_beside_keeps_its_name_and_the_own_table_wins():
    beside = {"width": {"low": 1, "high": 9}}
    (shared,) = read_value("model.kind", KIND, "net", beside).nodes
    assert (shared.name, shared.value, shared.path) == ("width", Range(1, 9), "model.width")
    (own,) = read_value("model.kind", KIND, {"name": "net", "width": 3}, beside).nodes
    assert (own.name, own.value, own.path) == ("net.width", 3, "model.kind.net.width")


BAD = [
    (RATE, "x", "here", "found 'x', which is not a number between 0 and 1"),
    (RATE, True, "here", "found true, which is not a number between 0 and 1"),
    (RATE, 1.5, "here", "found 1.5, which is not a number between 0 and 1"),
    (RATE, [0.5], "here", "found [0.5], which is not a number between 0 and 1"),
    (RATE, {}, "here", "found {}, a range without low"),
    (RATE, {"off": 0.0}, "here", "found {'off': 0.0}, a range without low"),
    (RATE, {"low": 0.1}, "here", "found {'low': 0.1}, a range without high"),
    (RATE, {"low": "x", "high": 1}, "here.low", "found 'x', which is not a number between 0 and 1"),
    (RATE, {"low": 0, "high": 2}, "here.high", "found 2, which is not a number between 0 and 1"),
    (RATE, {"low": 0.5, "high": 0.1}, "here", "low = 0.5 is above high = 0.1"),
    (
        RATE,
        {"low": 0, "high": 1, "log": True},
        "here",
        "found low = 0.0, but a log range is above 0",
    ),
    (RATE, {"low": 0, "high": 1, "log": 1}, "here.log", "found 1, which is not true or false"),
    (
        RATE,
        {"low": 0.1, "high": 1, "log": True, "step": 0.1},
        "here",
        "log and step exclude each other",
    ),
    (RATE, {"low": 0, "high": 1, "step": 0}, "here.step", "found 0, which is not a number above 0"),
    (
        RATE,
        {"low": 0, "high": 1, "step": True},
        "here.step",
        "found true, which is not a number above 0",
    ),
    (
        RATE,
        {"low": 0, "high": 1, "step": 2},
        "here.step",
        "found 2, which is more than from 0.0 to 1.0",
    ),
    (
        RATE,
        {"low": 0, "high": 1, "step": 1e-300},
        "here.step",
        "found 1e-300, which makes more than 1000000 values",
    ),
    (
        RATE,
        {"low": 0.5, "high": 1, "off": 0.1},
        "here.off",
        "found 0.1, but rate is off at 0.0",
    ),
    (
        RATE,
        {"low": 0.5, "high": 1, "off": False},
        "here.off",
        "found false, but rate is off at 0.0",
    ),
    (RATE, {"low": 0, "high": 1, "off": 0}, "here", "off = 0 lies within 0.0 to 1.0"),
    (WIDTH, {"low": 1, "high": 9, "off": 1}, "here.off", "found 1, but width cannot be switched"),
    (WIDTH, 2.0, "here", "found 2.0, which is not a whole number between 1 and 512"),
    (WIDTH, {"low": 1, "high": 2.5}, "here.high", "found 2.5, which is not a whole number"),
    (
        WIDTH,
        {"low": 1, "high": 9, "step": 0.5},
        "here.step",
        "found 0.5, which is not a whole number above 0",
    ),
    (NORM, 1, "here", "found 1, which is not true or false"),
    (NORM, "true", "here", "found 'true', which is not true or false"),
    (NORM, {"low": 0, "high": 1}, "here", "found {'low': 0, 'high': 1}, which is not true or"),
    (WIDTH, {"choices": []}, "here.choices", "found [], which leaves nothing to choose"),
    (WIDTH, {"choices": 3}, "here.choices", "found 3, which is not a list"),
    (WIDTH, {"choices": "34"}, "here.choices", "found '34', which is not a list"),
    (WIDTH, {"choices": [3, 4, 3]}, "here.choices", "found 3 twice"),
    (RATE, {"choices": [1, 1.0]}, "here.choices", "found 1.0 twice"),
    (KIND, {"choices": ["a", {"name": "a"}]}, "here.choices", "found 'a' twice"),
    (WIDTH, {"choices": [3, True]}, "here.choices[1]", "found true, which is not a whole number"),
    (WIDTH, {"choices": [3, [4]]}, "here.choices[1]", "found [4], which is not a whole number"),
    (WIDTH, {"choices": [{"low": 1, "high": 2}]}, "here.choices[0]", "found {'low': 1, 'high': 2}"),
    (KIND, 3, "here", "found 3, which is not one of a, poly, net"),
    (KIND, {}, "here", "found {}, which has no name"),
    (KIND, {"power": 1}, "here", "found {'power': 1}, which has no name"),
    (KIND, {"low": 1, "high": 2}, "here", "found {'low': 1, 'high': 2}, which has no name"),
    (KIND, {"name": 3}, "here", "found 3, which is not one of a, poly, net"),
    (KIND, {"name": ["a"]}, "here", "found ['a'], which is not one of a, poly, net"),
    (KIND, {"name": "poly", "power": True}, "here.poly.power", "found true, which is not a number"),
    (
        KIND,
        {"choices": ["a", {"name": "poly", "power": {"low": 2, "high": 1}}]},
        "here.choices[1].poly.power",
        "low = 2.0 is above high = 1.0",
    ),
]


@pytest.mark.parametrize(("leaf", "raw", "where", "what"), BAD)
def test_a_mistake_is_named_with_its_place(leaf, raw, where, what):
    with pytest.raises(StudyFileError) as caught:
        read_value("here", leaf, raw)
    assert caught.value.where == where
    assert caught.value.what.startswith(what)


@pytest.mark.parametrize(
    ("leaf", "raw", "where", "hint"),
    [
        (KIND, "ploy", "here", "did you mean 'poly'? known: a, net, poly"),
        (KIND, {"choices": ["a", "ploy"]}, "here.choices[1]", "did you mean 'poly'?"),
        (KIND, {"name": "poly", "powr": 2}, "here.poly.powr", "did you mean 'power'?"),
        (KIND, {"name": "a", "power": 2}, "here.a.power", "nothing is allowed here"),
        (KIND, {"name": "a", "choices": ["a"]}, "here.name", "known: choices"),
        (RATE, {"low": 0.1, "hihg": 1}, "here.hihg", "did you mean 'high'?"),
        (WIDTH, {"choice": [1, 2]}, "here.choice", "did you mean 'choices'?"),
    ],
)
def test_an_unknown_name_comes_with_the_nearest(leaf, raw, where, hint):
    with pytest.raises(StudyFileError, match="unknown") as caught:
        read_value("here", leaf, raw)
    assert caught.value.where == where
    assert caught.value.hint.startswith(hint)


def test_check_keys_at_the_top_has_no_dot():
    with pytest.raises(StudyFileError, match=r"^dat: unknown key\n  did you mean 'data'"):
        check_keys("", {"dat": 1}, ["data"])
