"""No hook of a technique or an optimizer changes what it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tuner.optimizers import OPTIMIZERS
from tuner.space import Leaf
from tuner.techniques import TECHNIQUES, Draw, Technique

P, K = 9, 3
SHARES = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
Shape = tuple[int, ...]


def having(hook: str) -> Any:
    found = [t for t in TECHNIQUES if getattr(t, hook) is not None]
    assert found
    return pytest.mark.parametrize("technique", found, ids=lambda t: t.name)


def numbers(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unchanged(call: Callable[..., Any], *tensors: Tensor) -> Any:
    """The call's result, after a check that its arguments still hold what they held."""
    copies = [tensor.clone() for tensor in tensors]
    versions = [tensor._version for tensor in tensors]
    result = call(*tensors)
    assert all(map(torch.equal, tensors, copies))
    assert [tensor._version for tensor in tensors] == versions
    return result


def hp_of(leaf: Leaf, values: list[Any], shape: Shape) -> Any:
    """The middle one of the suggested values, for K trials as a column of different ones."""
    if len(shape) == 1 or leaf.static:
        return values[len(values) // 2]
    return torch.tensor([values[k % len(values)] for k in range(K)], dtype=torch.float64)[:, None]


@pytest.mark.parametrize("shape", [(P,), (K, P)])
@pytest.mark.parametrize("hook", ["gradient", "update"])
@pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda t: t.name)
def test_on_the_flat_vector(technique: Technique, hook: str, shape: Shape, values: Any) -> None:
    function = getattr(technique, hook)
    if function is None:
        return
    hp = hp_of(technique.leaf, values(technique.leaf), shape)
    mask = (numbers(P, seed=3) > 0).double()
    first, params = numbers(*shape), numbers(*shape, seed=2)
    result = unchanged(lambda a, b, m: function(a, b, m, hp), first, params, mask)
    assert result.shape == shape
    assert result.dtype == torch.float64
    assert not torch.equal(result, first)


@pytest.mark.parametrize("shape", [(P,), (K, P)])
@having("after")
def test_state(technique: Technique, shape: Shape, values: Any) -> None:
    hp = hp_of(technique.leaf, values(technique.leaf), shape)
    start, after, evaluate = technique.start, technique.after, technique.evaluate
    assert start
    assert after
    assert evaluate
    params = numbers(*shape)
    state = unchanged(start, params)
    assert all(part.data_ptr() != params.data_ptr() for part in state)
    for seed in (2, 3):
        moved = numbers(*shape, seed=seed)
        state = unchanged(lambda p, *s: after(p, s, hp), moved, *state)
        evaluated = unchanged(lambda p, *s: evaluate(p, s), moved, *state)
        assert evaluated.shape == shape


@having("batch")
def test_batch(technique: Technique, values: Any) -> None:
    x, y = numbers(6, 2, 5, 4), numbers(6, 3).softmax(1)
    draw = Draw(1, 8, (2, 5, 4), torch.Generator().manual_seed(4), SHARES)
    hp = values(technique.leaf)[-1]
    noise = [part[0] for part in technique.draw(hp, draw)] if technique.draw else []
    assert technique.batch
    after_x, after_y = unchanged(lambda x, y, *n: technique.batch(x, y, hp, *n), x, y, *noise)
    assert after_x.shape == x.shape
    assert after_y.shape == y.shape
    assert after_x.dtype == after_y.dtype == torch.float64
    assert not (torch.equal(after_x, x) and torch.equal(after_y, y))
    if technique.name != "class_weights":  # a row counts as one row
        torch.testing.assert_close(after_y.sum(1), torch.ones(6, dtype=torch.float64))


@having("batch")
def test_what_mixes_targets_is_marked(technique: Technique, values: Any) -> None:
    """Weights of rows are mixed with it, as one more number of each target."""
    x, y = numbers(6, 2, 5, 4), torch.ones(6, 3).double()
    y[0] = 2
    draw = Draw(1, 8, (2, 5, 4), torch.Generator().manual_seed(4), SHARES)
    hp = values(technique.leaf)[-1]
    noise = [part[0] for part in technique.draw(hp, draw)] if technique.draw else []
    assert technique.batch
    _, mixed = technique.batch(x, y, hp, *noise)
    others = [technique.batch(x, y * scale, hp, *noise)[1] for scale in (1, 3)]
    moved = bool((mixed[1:] != mixed[2]).any())
    assert technique.mixes == moved
    if moved:
        torch.testing.assert_close(others[1], 3 * others[0])
        assert torch.equal(mixed[:, 0], mixed[:, 1])


@having("rows")
def test_rows(technique: Technique, values: Any) -> None:
    classes = torch.tensor([0, 0, 1, 0, 2, 2, 0])
    assert technique.rows
    hp, generator = values(technique.leaf)[-1], torch.Generator().manual_seed(4)
    rows = unchanged(lambda y: technique.rows(hp, y, generator), classes)
    assert rows.shape == classes.shape
    assert set(rows.tolist()) <= set(range(len(classes)))


@having("draw")
def test_noise_is_one_entry_a_step(technique: Technique, values: Any) -> None:
    for hp in [technique.leaf.off, *values(technique.leaf)]:
        assert technique.draw
        generator = torch.Generator().manual_seed(4)
        noise = technique.draw(hp, Draw(5, 8, (2, 5, 4), generator, SHARES))
        assert noise
        assert all(len(part) == 5 for part in noise)


@having("stop")
def test_stop(technique: Technique, values: Any) -> None:
    past = [0.1, 0.5, 0.4]
    assert technique.stop
    technique.stop(past, values(technique.leaf)[0])
    assert past == [0.1, 0.5, 0.4]


@pytest.mark.parametrize("shape", [(P,), (K, P)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name: str, shape: Shape, values: Any) -> None:
    optimizer = OPTIMIZERS[name]
    hp = {leaf.name: hp_of(leaf, values(leaf), shape) for leaf in optimizer.leaves}
    state = unchanged(optimizer.init, numbers(*shape))
    for step in (1, 2, 3):
        gradient = numbers(*shape, seed=step)
        direction, state = unchanged(
            lambda g, *s, step=step: optimizer.direction(g, s, step, **hp), gradient, *state
        )
        assert direction.shape == shape
        assert direction.dtype == torch.float64
