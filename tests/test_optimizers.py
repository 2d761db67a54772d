from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tuner.errors import StudyFileError
from tuner.imports import Allowed, allowing
from tuner.optimizers import OPTIMIZERS, Optimizer, State, lookup, own_optimizer, try_out

Hyper = dict[str, Any]
SIZE, STEPS = 23, 60

OTHER: dict[str, list[Hyper]] = {
    "sgd": [
        {"momentum": 0.0, "nesterov": False},
        {"momentum": 0.5, "nesterov": False},
        {"momentum": 0.8, "nesterov": True},
    ],
    "adam": [
        {"beta1": 0.7, "beta2": 0.95, "eps": 1e-3},
        {"beta1": 0.0, "beta2": 0.0, "eps": 1e-2},
    ],
    "rmsprop": [
        {"alpha": 0.8, "eps": 1e-3, "momentum": 0.6},
        {"alpha": 0.0, "eps": 1e-2, "momentum": 0.0},
    ],
    "adagrad": [{"eps": 1e-2}, {"eps": 1e-5}],
    "adadelta": [{"rho": 0.6, "eps": 1e-3}, {"rho": 0.99, "eps": 1e-2}],
    "nadam": [
        {"beta1": 0.7, "beta2": 0.95, "eps": 1e-3, "momentum_decay": 0.1},
        {"beta1": 0.0, "beta2": 0.9, "eps": 1e-2, "momentum_decay": 0.0},
    ],
    "lion": [{"beta1": 0.8, "beta2": 0.95}, {"beta1": 0.0, "beta2": 0.0}],
}


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def defaults(optimizer: Optimizer) -> Hyper:
    return {leaf.name: leaf.default for leaf in optimizer.leaves}


CASES = [(name, defaults(o)) for name, o in OPTIMIZERS.items()]
CASES += [(name, hyper) for name in OPTIMIZERS for hyper in OTHER[name]]


def problem(seed: int) -> tuple[Tensor, Callable[[Tensor, int], Tensor]]:
    """Parameters, and the gradient of a bent bowl with noise that depends on the step alone."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(SIZE, generator=generator)
    scale = torch.logspace(-2, 1, SIZE)
    noise = 0.1 * torch.randn(STEPS, SIZE, generator=generator)
    return start, lambda p, step: scale * p + 0.3 * torch.sin(3 * p) + noise[step]


def train(name: str, hyper: Hyper, seed: int, rate: float) -> Tensor:
    """The parameters after each step, [STEPS, SIZE]."""
    optimizer = OPTIMIZERS[name]
    p, gradient = problem(seed)
    state, path = optimizer.init(p), []
    for step in range(STEPS):
        direction, state = optimizer.direction(gradient(p, step), state, step + 1, **hyper)
        p = p - rate * direction
        path.append(p)
    return torch.stack(path)


class PaperLion:
    """Algorithm 2 of Chen et al. 2023, as it is written there, without its weight decay."""

    def __init__(self, params: list[Tensor], lr: float, beta1: float, beta2: float) -> None:
        self.params, self.lr, self.beta1, self.beta2 = params, lr, beta1, beta2
        self.m = [torch.zeros_like(p) for p in params]

    @torch.no_grad()
    def step(self) -> None:
        for i, p in enumerate(self.params):
            g, m = p.grad, self.m[i]
            assert g is not None
            p -= self.lr * torch.sign(self.beta1 * m + (1 - self.beta1) * g)
            self.m[i] = self.beta2 * m + (1 - self.beta2) * g


def reference(name: str, p: Tensor, rate: float, hyper: Hyper) -> Any:
    hyper = dict(hyper)
    if name in ("adam", "nadam"):
        hyper["betas"] = (hyper.pop("beta1"), hyper.pop("beta2"))
    classes: dict[str, Any] = {
        "sgd": torch.optim.SGD,
        "adam": torch.optim.Adam,
        "rmsprop": torch.optim.RMSprop,
        "adagrad": torch.optim.Adagrad,
        "adadelta": torch.optim.Adadelta,
        "nadam": torch.optim.NAdam,
        "lion": PaperLion,
    }
    return classes[name]([p], lr=rate, **hyper)


def reference_train(name: str, hyper: Hyper, seed: int, rate: float) -> Tensor:
    p, gradient = problem(seed)
    p = p.clone().requires_grad_()
    optimizer, path = reference(name, p, rate, hyper), []
    for step in range(STEPS):
        p.grad = gradient(p.detach(), step)
        optimizer.step()
        path.append(p.detach().clone())
    return torch.stack(path)


@pytest.mark.parametrize(("name", "hyper"), CASES, ids=str)
@pytest.mark.parametrize("rate", [None, 0.02])
def test_equals_torch(name: str, hyper: Hyper, rate: float | None) -> None:
    rate = rate or OPTIMIZERS[name].learning_rate
    ours, theirs = train(name, hyper, 0, rate), reference_train(name, hyper, 0, rate)
    assert not torch.equal(ours[0], ours[-1])
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_without_momentum_goes_exactly_down_the_gradient(nesterov: bool) -> None:
    sgd, (p, gradient) = OPTIMIZERS["sgd"], problem(1)
    state = sgd.init(p)
    for step in range(STEPS):
        g = gradient(p, step)
        direction, state = sgd.direction(g, state, step + 1, momentum=0.0, nesterov=nesterov)
        assert torch.equal(direction, g)
        p = p - 0.05 * direction


def test_adam_keeps_the_corrected_averages() -> None:
    p, gradient = problem(2)
    adam, g = OPTIMIZERS["adam"], gradient(p, 0)
    _, (mean, square) = adam.direction(g, adam.init(p), 1, beta1=0.9, beta2=0.999, eps=1e-8)
    assert torch.equal(mean, g)
    assert torch.equal(square, g * g)


def stacked(values: list[Any]) -> Any:
    """Static values are common; others become [K, 1]."""
    return values[0] if isinstance(values[0], bool) else torch.tensor(values).unsqueeze(1)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_stacked_equals_each_alone(name: str) -> None:
    optimizer = OPTIMIZERS[name]
    hypers = [defaults(optimizer), *OTHER[name]]
    static = {leaf.name: leaf.default for leaf in optimizer.leaves if leaf.static}
    hypers = [{**hyper, **static} for hyper in hypers]
    together = {key: stacked([h[key] for h in hypers]) for key in hypers[0]}
    rates = stacked([0.01 * (k + 1) for k in range(len(hypers))])
    bowls = [problem(k) for k in range(len(hypers))]
    offset = [3 * k for k in range(len(hypers))]  # each trial has its own step counter
    p = torch.stack([start for start, _ in bowls])
    state, path = optimizer.init(p), []
    alone_p, alone_state = list(p), [optimizer.init(start) for start, _ in bowls]
    for step in range(STEPS):
        g = torch.stack([gradient(p[k], step) for k, (_, gradient) in enumerate(bowls)])
        count = stacked([float(step + 1 + o) for o in offset])
        direction, state = optimizer.direction(g, state, count, **together)
        p = p - rates * direction
        path.append(p)
        for k, (_, gradient) in enumerate(bowls):
            g1, at = gradient(alone_p[k], step), step + 1 + offset[k]
            d1, alone_state[k] = optimizer.direction(g1, alone_state[k], at, **hypers[k])
            alone_p[k] = alone_p[k] - 0.01 * (k + 1) * d1
        torch.testing.assert_close(p, torch.stack(alone_p), rtol=1e-12, atol=1e-12)
    assert all(s.shape[-1] in (1, SIZE) and s.shape[:-1] == p.shape[:-1] for s in state)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_trial_may_have_tensors(name: str) -> None:
    optimizer, (p, gradient) = OPTIMIZERS[name], problem(3)
    hyper = defaults(optimizer)
    tensors = {k: v if isinstance(v, bool) else torch.tensor([v]) for k, v in hyper.items()}
    g, state = gradient(p, 0), optimizer.init(p)
    number, _ = optimizer.direction(g, state, 5, **hyper)
    tensor, _ = optimizer.direction(g, state, torch.tensor([5.0]), **tensors)
    torch.testing.assert_close(number, tensor, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "hyper"), CASES, ids=str)
@pytest.mark.parametrize("trials", [None, 3])
def test_changes_none_of_its_inputs(name: str, hyper: Hyper, trials: int | None) -> None:
    optimizer, (p, gradient) = OPTIMIZERS[name], problem(4)
    if trials:
        p = p.repeat(trials, 1)
        hyper = {k: v if isinstance(v, bool) else stacked([v] * trials) for k, v in hyper.items()}
    state: State = optimizer.init(p)
    for step in range(3):
        g = gradient(p, step)
        count: Any = stacked([step + 1.0] * trials) if trials else step + 1
        inputs = [g, p, *state, *(v for v in (count, *hyper.values()) if isinstance(v, Tensor))]
        before = [x.clone() for x in inputs]
        _, new = optimizer.direction(g, state, count, **hyper)
        assert all(torch.equal(a, b) for a, b in zip(before, inputs, strict=True))
        assert all(a.data_ptr() != b.data_ptr() for a, b in zip(state, new, strict=True))
        state = new


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_single_precision_stays_single_and_finite_without_a_gradient(name: str) -> None:
    optimizer = OPTIMIZERS[name]
    p = torch.ones(4, dtype=torch.float32)
    state = optimizer.init(p)
    for step in range(1, 4):
        zero = torch.zeros_like(p)
        direction, state = optimizer.direction(zero, state, step, **defaults(optimizer))
        assert all(x.dtype == torch.float32 for x in (direction, *state))
        assert torch.equal(direction, zero)


def test_catalogue() -> None:
    expected = ["sgd", "adam", "rmsprop", "adagrad", "adadelta", "nadam", "lion"]
    assert list(OPTIMIZERS) == expected
    for name, optimizer in OPTIMIZERS.items():
        assert lookup(name) is optimizer
        assert optimizer.name == name
        assert optimizer.source
        assert math.isfinite(optimizer.learning_rate)
        assert optimizer.learning_rate > 0
        names = [leaf.name for leaf in optimizer.leaves]
        assert len(set(names)) == len(names)
        for leaf in optimizer.leaves:
            assert leaf.doc
            assert leaf.source
            assert leaf.search is not None
            assert leaf.allows(leaf.default)
            assert leaf.kind is not bool or leaf.static
            assert all(leaf.allows(hyper[leaf.name]) for hyper in OTHER[name])


def test_unknown_name() -> None:
    with pytest.raises(StudyFileError, match="did you mean 'adam'") as caught:
        lookup("adamw")
    assert "'adamw'" in str(caught.value)
    assert "lion" in str(caught.value)


# Functions of the user's.


MINE = """
import torch

def half(gradient, state, step, share=0.5): return gradient * share, ()
def summed(gradient, state, step):
    total = gradient + (state[0] if state else 0)
    return total, [total, gradient]
def raising(gradient, state, step): return state[0], state
def alone(gradient, state, step): return gradient
def three(gradient, state, step): return gradient, (), step
def number(gradient, state, step): return 0.5, ()
def short(gradient, state, step): return gradient[1:], ()
def half_precision(gradient, state, step): return gradient.half(), ()
def counting(gradient, state, step): return gradient, (gradient, step)
def single(gradient, state, step): return gradient, gradient
def needy(gradient, state, step): return gradient.requires_grad_(), ()
def endless(gradient, state, step): return gradient / 0, ()
def random(gradient, state, step): return torch.randn_like(gradient), ()
calls = []
def remembering(gradient, state, step):
    calls.append(step)
    return gradient / len(calls), ()

class Descent(torch.optim.SGD): pass
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_steps.py").write_text(MINE)
    monkeypatch.delitem(sys.modules, "my_steps", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_function_of_ones_own(folder: Path) -> None:
    gradient = torch.arange(3.0)
    own = own_optimizer("my_steps:half")
    direction, state = own.direction(gradient, own.init(gradient), 1, share=0.25)
    assert torch.equal(direction, gradient / 4)
    assert (state, own.own, own.name) == ((), True, "my_steps:half")
    try_out(own, {"share": 2.0})


def test_the_state_is_what_the_function_gave_and_is_its_own(folder: Path) -> None:
    own, gradient = own_optimizer("my_steps:summed"), torch.ones(3)
    state: State = own.init(gradient)
    for step in (1, 2, 3):
        direction, state = own.direction(gradient, state, step)
        assert torch.equal(direction, torch.full((3,), float(step)))
        gradient.zero_().add_(1)  # as the next step does
    assert isinstance(state, tuple)
    assert state[1].data_ptr() != gradient.data_ptr()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raising", "the optimizer raised IndexError: tuple index out of range"),
        ("alone", "the optimizer returned a tensor of shape [16] alone"),
        ("three", "the optimizer returned a tuple of Tensor, tuple, int"),
        ("number", "the optimizer returned 0.5 of type float as its direction"),
        ("short", "the optimizer returned a direction of shape [15], and the gradient's is [16]"),
        (
            "half_precision",
            "the optimizer returned a direction of dtype torch.float16, and the gradient's",
        ),
        ("counting", "the optimizer returned a tuple of Tensor, int as its state"),
        ("single", "the optimizer returned a tensor of shape [16] alone as its state"),
        ("needy", "the optimizer returned a direction of requires_grad True, and the gradient's"),
        ("endless", "the optimizer: the direction of a random gradient is not finite"),
        ("random", "the optimizer gives other numbers for the same gradients"),
        ("remembering", "the optimizer gives other numbers for the same gradients"),
    ],
)
def test_a_function_of_ones_own_that_is_no_optimizer(folder: Path, name: str, words: str) -> None:
    with pytest.raises(StudyFileError) as caught:
        try_out(own_optimizer(f"my_steps:{name}"), {})
    assert caught.value.where == f"my_steps:{name}"
    assert caught.value.message.startswith(words)
    assert caught.value.hint


def test_an_option_that_it_does_not_have(folder: Path) -> None:
    with pytest.raises(StudyFileError, match="unexpected keyword argument 'shar'"):
        try_out(own_optimizer("my_steps:half"), {"shar": 1.0})


@pytest.mark.parametrize(
    ("reference", "hint"),
    [
        ("torch.optim:Adam", 'optimizer = "adam" is it'),
        ("torch.optim:AdamW", 'optimizer = "adam" is it'),
        ("torch.optim.sgd:SGD", 'optimizer = "sgd" is it'),
        ("torch.optim:Rprop", "write a function: def mine(gradient, state, step"),
        ("my_steps:Descent", "write a function: def mine(gradient, state, step"),
    ],
)
def test_a_class_of_torch_is_refused_with_what_to_write(
    folder: Path, reference: str, hint: str
) -> None:
    with pytest.raises(StudyFileError, match="is a class") as caught:
        try_out(own_optimizer(reference), {})
    assert caught.value.hint.startswith(hint)


def test_a_function_that_is_not_allowed_is_not_imported(folder: Path) -> None:
    with allowing(Allowed()), pytest.raises(StudyFileError, match="my_steps"):
        try_out(own_optimizer("my_steps:half"), {})
    assert "my_steps" not in sys.modules
