from __future__ import annotations

import pytest

from tuner.space import Range
from tuner.study.catalogue import OPTIMIZER, SECTIONS, STANDARD, model_leaves
from tuner.study.parse import parse, suggested

TOP = [leaf for leaves in SECTIONS.values() for leaf in leaves]
NESTED = [
    pytest.param(leaf, id=f"{name}.{leaf.name}")
    for top in TOP
    for name, own in (top.options or {}).items()
    for leaf in own
]
ALL = [*(pytest.param(leaf, id=leaf.name) for leaf in TOP), *NESTED]


@pytest.mark.parametrize("leaf", ALL)
def test_default_off_and_bounds_are_allowed(leaf):
    assert leaf.allows(leaf.default)
    if leaf.off is not None:
        assert leaf.allows(leaf.off)
        assert leaf.default == leaf.off
    if not leaf.exclusive:
        assert all(leaf.allows(b) for b in (leaf.minimum, leaf.maximum) if b is not None)


@pytest.mark.parametrize("leaf", ALL)
def test_what_is_suggested_is_allowed(leaf):
    if isinstance(leaf.search, Range):
        assert leaf.allows(leaf.search.low)
        assert leaf.allows(leaf.search.high)
        assert leaf.search.off == leaf.off
    else:
        assert all(leaf.allows(value) for value in leaf.search or ())


@pytest.mark.parametrize("leaf", ALL)
def test_every_leaf_is_documented(leaf):
    assert leaf.doc
    assert not leaf.doc.endswith(".")


@pytest.mark.parametrize("section", SECTIONS)
def test_everything_suggested_makes_a_study(section):
    found = {leaf.name: suggested(leaf) for leaf in SECTIONS[section]}
    if section == "model":
        found |= {name: suggested(model_leaves()[name]) for name in ("depth", "width")}
    study = parse("x", {"data": {"source": "a:b"}, section: found})
    assert study.config(study.baseline())


def test_names_are_unique_where_they_share_the_database():
    names = [leaf.name for leaf in TOP] + list(model_leaves())
    assert len(names) == len(set(names))


def test_families_that_share_a_leaf_share_what_it_may_be():
    for family in SECTIONS["model"][0].options.values():
        assert all(model_leaves()[leaf.name] == leaf for leaf in family)


def test_every_optimizer_brings_its_own_default_learning_rate():
    rates = {
        name: leaf.default
        for name, own in OPTIMIZER.options.items()
        for leaf in own
        if leaf.name == "learning_rate"
    }
    assert rates.keys() == OPTIMIZER.options.keys()
    assert rates["sgd"] > rates["adam"] > rates["lion"]


def test_the_standard_space_names_known_leaves():
    known = {leaf.name for leaf in TOP} | model_leaves().keys()
    assert {name for names in STANDARD.values() for name in names} <= known
