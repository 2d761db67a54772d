"""At its off value a technique is exactly the identity, for one trial and for many."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from tuner.models import FAMILIES, Family
from tuner.techniques import TECHNIQUES, Draw, Technique

P, K = 7, 3
DEPTH = "stochastic_depth"
DYNAMIC = [t for t in TECHNIQUES if not t.leaf.static]


def having(*hooks: str) -> Any:
    found = [t for t in TECHNIQUES if all(getattr(t, hook) is not None for hook in hooks)]
    assert found
    return pytest.mark.parametrize("technique", found, ids=lambda t: t.name)


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 50


def mask() -> Tensor:
    return torch.tensor([1.0, 1, 1, 0, 0, 1, 0], dtype=torch.float64)


def off(technique: Technique, trials: int | None) -> Any:
    if trials is None or technique.leaf.static:
        return technique.leaf.off
    return torch.full((trials, 1), float(technique.leaf.off or 0), dtype=torch.float64)


def drawn(technique: Technique, rows: int, shape: tuple[int, ...], seed: int) -> tuple[Any, ...]:
    generator = torch.Generator().manual_seed(seed)
    draw = Draw(1, rows, shape, generator, torch.tensor([0.5, 0.3, 0.2]).double())
    noise = technique.draw(technique.leaf.off, draw) if technique.draw else ()
    return tuple(part[0] for part in noise)


@pytest.mark.parametrize("trials", [None, K])
@having("gradient")
def test_gradient(technique: Technique, trials: int | None) -> None:
    shape = (P,) if trials is None else (trials, P)
    gradient = numbers(*shape)
    assert technique.gradient
    after = technique.gradient(gradient.clone(), -gradient, mask(), off(technique, trials))
    assert torch.equal(after, gradient)


@pytest.mark.parametrize("trials", [None, K])
@having("update")
def test_update(technique: Technique, trials: int | None) -> None:
    shape = (P,) if trials is None else (trials, P)
    update = numbers(*shape)
    assert technique.update
    after = technique.update(update.clone(), -update, mask(), off(technique, trials))
    assert torch.equal(after, update)


@pytest.mark.parametrize("trials", [None, K])
@having("start", "after", "evaluate")
def test_state(technique: Technique, trials: int | None) -> None:
    """What is evaluated are the parameters themselves, after each of many steps."""
    params = numbers(*((P,) if trials is None else (trials, P)))
    assert technique.start
    assert technique.after
    assert technique.evaluate
    state = technique.start(params)
    assert torch.equal(technique.evaluate(params, state), params)
    for step in range(30):
        params = params * 1.1 + step
        state = technique.after(params, state, off(technique, trials))
        assert torch.equal(technique.evaluate(params, state), params)


@having("batch")
def test_batch_of_one_trial(technique: Technique) -> None:
    x, y = numbers(6, 2, 5, 4), numbers(6, 3).softmax(1)
    assert technique.batch
    noise = drawn(technique, 8, (2, 5, 4), seed=3)
    after = technique.batch(x.clone(), y.clone(), technique.leaf.off, *noise)
    assert torch.equal(after[0], x)
    assert torch.equal(after[1], y)


@having("batch")
def test_batch_of_many_trials(technique: Technique) -> None:
    x, y = numbers(K, 6, 2, 5, 4), numbers(K, 6, 3).softmax(2)
    each = [drawn(technique, 8, (2, 5, 4), seed=k) for k in range(K)]
    noise = [torch.stack(parts) for parts in zip(*each, strict=True)]
    assert technique.batch
    hp = off(technique, K)
    if technique.leaf.static:  # the same in all trials
        after = vmap(lambda x, y, *noise: technique.batch(x, y, hp, *noise))(x, y, *noise)
    else:
        after = vmap(technique.batch)(x, y, hp[:, 0], *noise)
    assert torch.equal(after[0], x)
    assert torch.equal(after[1], y)


@pytest.mark.parametrize("shape", [(5,), (3, 4, 4)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "technique", [t for t in DYNAMIC if t.layer is not None], ids=lambda t: t.name
)
def test_layer(technique: Technique, training: bool, shape: tuple[int, ...]) -> None:
    assert technique.layer is not None
    layer: Any = technique.layer(shape, technique.leaf.off).train(training)
    x = numbers(6, *shape)
    for step in layer.draw(4, 6, torch.Generator().manual_seed(2)):
        layer.mask = step
        assert torch.equal(layer(x), x)


@having("stop")
def test_stop(technique: Technique) -> None:
    assert technique.stop
    for values in ([], [1.0], [float(-i) for i in range(500)]):
        assert not technique.stop(values, technique.leaf.off)


def fits(technique: Technique, family: Family) -> bool:
    return (family.images or not technique.images) and not (family.text and technique.numbers)


WHOLE = [(t, f.name) for t in DYNAMIC for f in FAMILIES.values() if fits(t, f)]


@pytest.mark.parametrize(("technique", "family"), WHOLE, ids=lambda p: getattr(p, "name", p))
def test_whole_training(
    technique: Technique, family: str, config: Any, train: Any, data_for: Any, values: Any
) -> None:
    """Taking part while off changes no bit, whatever else is on."""
    data = data_for(family)
    others = [t for t in TECHNIQUES if t is not technique and fits(t, FAMILIES[family])]
    on = config(family=family, **{t.name: values(t.leaf)[0] for t in others})
    without, forced = train(on, data), train(on, data, keep=[technique.name])
    assert technique not in without.plan.techniques
    assert technique in forced.plan.techniques
    assert torch.equal(forced.params, without.params)
    assert forced.past == without.past
    for a, b in zip(forced.buffers().values(), without.buffers().values(), strict=True):
        assert torch.equal(a, b)
    for name, tensors in without.state.techniques.items():
        assert all(map(torch.equal, tensors, forced.state.techniques[name]))


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_branches_that_are_never_left_out(
    family: str, config: Any, train: Any, data_for: Any
) -> None:
    on = config(family=family, residual=True, dropout=0.3)
    without, forced = train(on, data_for(family)), train(on, data_for(family), keep=[DEPTH])
    assert len(forced.layers) > len(without.layers)
    assert torch.equal(forced.params, without.params)
    assert forced.past == without.past
