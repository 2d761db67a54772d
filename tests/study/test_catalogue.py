from __future__ import annotations

import pytest

from tuner.search.pruners import PRUNERS
from tuner.search.samplers import SAMPLERS
from tuner.space import Range
from tuner.study.catalogue import (
    DATA,
    OPTIMIZER,
    SEARCH,
    SECTIONS,
    STANDARD,
    TOP,
    model_leaves,
)
from tuner.study.parse import parse, suggested

PARAMETERS = [leaf for leaves in SECTIONS.values() for leaf in leaves]
NESTED = [
    pytest.param(leaf, id=f"{name}.{leaf.name}")
    for top in PARAMETERS
    for name, own in (top.options or {}).items()
    for leaf in own
]
ALL = [*(pytest.param(leaf, id=leaf.name) for leaf in PARAMETERS), *NESTED]


@pytest.mark.parametrize("leaf", ALL)
def test_default_off_and_bounds_are_allowed(leaf):
    assert leaf.allows(leaf.default)
    if leaf.off is not None:
        assert leaf.allows(leaf.off)
        assert leaf.default == leaf.off
    assert all(leaf.allows(b) for b in (leaf.minimum, leaf.maximum) if b is not None)
    assert not any(leaf.allows(b) for b in (leaf.above, leaf.below) if b is not None)


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


SETTINGS = [
    *(pytest.param(leaf, id=f"data.{name}") for name, leaf in DATA.items()),
    *(pytest.param(leaf, id=f"search.{name}") for name, leaf in SEARCH.items()),
    *(pytest.param(leaf, id=name) for name, leaf in TOP.items() if leaf.kind is str),
    *(
        pytest.param(leaf, id=f"{name}.{leaf.name}")
        for name, entry in {**SAMPLERS, **PRUNERS}.items()
        for leaf in entry.options
    ),
]


@pytest.mark.parametrize("leaf", SETTINGS)
def test_every_setting_is_documented_and_allows_its_default(leaf):
    assert leaf.doc
    assert not leaf.doc.endswith(".")
    assert leaf.default in (None, ()) or leaf.allows(leaf.default)


@pytest.mark.parametrize("section", SECTIONS)
def test_everything_suggested_makes_a_study(section):
    found = {leaf.name: suggested(leaf) for leaf in SECTIONS[section]}
    if section == "model":
        found |= {name: suggested(model_leaves()[name]) for name in ("depth", "width")}
    study = parse("x", {"data": {"source": "a:b"}, section: found})
    assert study.config(study.baseline())


def test_names_are_unique_where_they_share_the_database():
    names = [leaf.name for leaf in PARAMETERS] + list(model_leaves())
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
    known = {leaf.name for leaf in PARAMETERS} | model_leaves().keys()
    assert {name for names in STANDARD.values() for name in names} <= known
