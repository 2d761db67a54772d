from __future__ import annotations

import math

import pytest

from tuner.errors import StudyFileError
from tuner.space import Choice, Leaf, Node, Option, walk

NUMBER = Leaf("rate", float, 0.5, minimum=0.0, maximum=1.0)


@pytest.mark.parametrize(
    ("leaf", "yes", "no"),
    [
        (NUMBER, [0, 0.5, 1], [-0.1, 1.1, True, "0.5", math.nan, math.inf, None]),
        (Leaf("rate", float, 0.5, 0.0, 1.0, exclusive=True), [0.5], [0, 1]),
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
        (Leaf("x", float, 0.5, 0, 1, exclusive=True), "a number between 0 and 1 (bounds excluded)"),
        (Leaf("x", float, 0.5, minimum=0, exclusive=True), "a number above 0"),
        (Leaf("x", int, 5, minimum=1), "a whole number of at least 1"),
        (Leaf("x", int, 5, maximum=9), "a whole number of at most 9"),
        (Leaf("x", float, 5, maximum=9, exclusive=True), "a number below 9"),
        (Leaf("x", float, 5), "a number"),
        (Leaf("x", bool, False), "true or false"),
        (Leaf("x", str, "a", options={"a": (), "b": ()}), "one of a, b"),
    ],
)
def test_what_is_allowed_in_words(leaf, words):
    assert leaf.allowed() == words


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
