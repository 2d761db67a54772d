"""Every leaf of a study: documented, unique, and its values within what it allows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tuner.models import FAMILIES
from tuner.optimizers import OPTIMIZERS
from tuner.schedules import SCHEDULES
from tuner.space import SWITCH, Leaf, Range
from tuner.study.catalogue import LEARNING_RATE, SECTIONS, model_leaves
from tuner.techniques import TECHNIQUES


def _nested(leaf: Leaf) -> Iterator[tuple[str, Leaf]]:
    for option, leaves in (leaf.options or {}).items():
        for inner in leaves:
            yield f"{option}.{inner.name}", inner
            yield from _nested(inner)


TOP = [(leaf.name, leaf) for leaves in SECTIONS.values() for leaf in leaves]
TOP += list(model_leaves().items())
NESTED = [pair for _, leaf in TOP for pair in _nested(leaf)]
ALL = pytest.mark.parametrize(("name", "leaf"), TOP + NESTED)


def test_names_are_unique() -> None:
    names = [name for name, _ in TOP + NESTED]
    switches = [name + SWITCH for name, leaf in TOP + NESTED if leaf.off is not None]
    assert len(set(names + switches)) == len(names + switches)


def test_leaves_of_one_name_in_two_families_are_one() -> None:
    for family in FAMILIES.values():
        for leaf in family.leaves:
            assert leaf.kind is model_leaves()[leaf.name].kind
            assert leaf.doc == model_leaves()[leaf.name].doc


@ALL
def test_documentation(name: str, leaf: Leaf) -> None:
    assert leaf.doc
    assert not leaf.doc.endswith(".")
    assert leaf.allowed()


@ALL
def test_default_and_suggestion_are_allowed(name: str, leaf: Leaf) -> None:
    assert leaf.allows(leaf.default)
    if isinstance(leaf.search, Range):
        assert leaf.search.low < leaf.search.high
        assert leaf.allows(leaf.search.low)
        assert leaf.allows(leaf.search.high)
        assert leaf.search.integer == (leaf.kind is int)
        assert not leaf.search.log or leaf.search.low > 0
        assert leaf.search.off == leaf.off
        assert leaf.off is None or not leaf.search.low <= leaf.off <= leaf.search.high  # type: ignore[operator]
    elif leaf.search is not None:
        assert len(set(leaf.search)) == len(leaf.search) > 1
        assert all(leaf.allows(value) for value in leaf.search)


@pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda t: t.name)
def test_techniques(technique: object) -> None:
    leaf: Leaf = technique.leaf  # type: ignore[attr-defined]
    assert leaf.unit
    assert leaf.source
    assert leaf.search is not None
    assert leaf.default == leaf.off is not None
    hooks = ("rows", "layer", "batch", "gradient", "update", "after", "stop")
    assert any(getattr(technique, hook) for hook in hooks)


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family: str) -> None:
    assert FAMILIES[family].name == family
    assert FAMILIES[family].doc
    assert FAMILIES[family].source
    for leaf in FAMILIES[family].leaves:
        assert leaf.static
        assert leaf.unit
        assert leaf.source
        assert leaf.search is not None


@pytest.mark.parametrize("catalogue", [OPTIMIZERS, SCHEDULES])
def test_optimizers_and_schedules(catalogue: dict[str, object]) -> None:
    for name, entry in catalogue.items():
        assert entry.name == name  # type: ignore[attr-defined]
        assert entry.source  # type: ignore[attr-defined]
        for leaf in entry.leaves:  # type: ignore[attr-defined]
            assert leaf.source
            assert leaf.search is not None
    for optimizer in OPTIMIZERS.values():
        assert LEARNING_RATE.allows(optimizer.learning_rate)
