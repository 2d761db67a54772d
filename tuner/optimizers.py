"""Optimizers as pure functions on flat parameters: ``init`` makes a state, ``direction`` uses it.

What changes from step to step by its number alone, such as Adam's correction, ``numbers`` computes
beforehand: the operations on tensors, ``rule``, are the same in every step.

Tensors have shape ``[..., P]``: one trial is ``[P]``, K trials together are ``[K, P]``. The caller
updates the parameters as ``p - learning_rate * direction``; penalties and decoupled weight decay
are techniques, so that ``adam`` with ``weight_decay`` is AdamW.

To add one: write its functions, and list it at the end. A function of the user's,
`optimizer = "package.module:function"`, is called as ``direction`` is: see ``OwnDirection``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from tuner.errors import StudyFileError, TrainingError, nearest
from tuner.imports import function
from tuner.lazy_torch import Tensor, torch
from tuner.space import Leaf, Range, shown

Number = float | Tensor
"""A number for one trial, or one for each of K trials as ``[K, 1]``."""
Numbers = tuple[Number, ...]
State = tuple[Tensor, ...]
"""What an optimizer remembers: tensors ``[..., P]`` or ``[..., 1]``."""
Result = tuple[Tensor, State]


@dataclass(frozen=True)
class Optimizer:
    """An optimizer.

    Args:
        name: its name in a study file.
        init: ``(params) -> state`` before the first step.
        numbers: ``(step, **hyperparameters) -> numbers`` that depend on the step, which counts
            from 1.
        rule: ``(gradient, state, numbers, **hyperparameters) -> (direction, state)``. It changes
            none of its inputs; the numbers may be tensors of no dimension. The direction may be one
            of the tensors of the new state or the gradient itself: read it only.
        leaves: its hyperparameters; static ones are Python values, all others may be ``[K, 1]``.
        learning_rate: what a study file that names none gets.
        source: the paper.
        own: it is a user's: what its state is, only its steps know.
    """

    name: str
    init: Callable[[Tensor], State]
    numbers: Callable[..., Numbers]
    rule: Callable[..., Result]
    leaves: tuple[Leaf, ...]
    learning_rate: float
    source: str
    own: bool = False

    def direction(
        self, gradient: Tensor, state: State, step: Number, **hyperparameters: Any
    ) -> Result:
        """The direction of a step, and the new state."""
        numbers = self.numbers(step, **hyperparameters)
        return self.rule(gradient, state, numbers, **hyperparameters)


def lookup(name: str) -> Optimizer:
    """The optimizer of that name; StudyFileError where there is none."""
    if name not in OPTIMIZERS:
        what, hint = f"no optimizer is called {name!r}", nearest(name, OPTIMIZERS)
        raise StudyFileError(what, where="training.optimizer", hint=hint)
    return OPTIMIZERS[name]


def _zeros(count: int) -> Callable[[Tensor], State]:
    return lambda params: tuple(torch.zeros_like(params) for _ in range(count))


def _add_scaled(a: Tensor, b: Tensor, scale: Number) -> Tensor:
    """``a + scale * b`` in one operation: ``alpha`` takes no tensor, ``addcmul`` no number."""
    if isinstance(scale, Tensor):
        return torch.addcmul(a, b, scale)
    return torch.add(a, b, alpha=scale)


def _average_of_squares(average: Tensor, x: Tensor, weight: Number) -> Tensor:
    """``average + weight * (x² - average)``; writes into its own square, which saves a tensor."""
    square = x * x
    return torch.lerp(average, square, weight, out=square)


def _corrected_weight(beta: Number, step: Number) -> Number:
    """The weight that makes an exponential average its own bias-corrected one.

    With ``m = beta·m + (1 - beta)·g`` and ``c = 1 - beta^step``, the corrected ``m / c`` obeys
    ``m̂ = m̂ + (1 - beta) / c · (g - m̂)``. Keeping m̂ saves an operation on P numbers per average.
    """
    return (1 - beta) / (1 - beta**step)


def _no_numbers(step: Number, **hyperparameters: Any) -> Numbers:
    return ()


def _sgd(
    gradient: Tensor, state: State, numbers: Numbers, *, momentum: Number, nesterov: bool
) -> Result:
    """``b = momentum·b + g``; the direction is b, with Nesterov ``g + momentum·b``."""
    velocity = _add_scaled(gradient, state[0], momentum)
    direction = _add_scaled(gradient, velocity, momentum) if nesterov else velocity
    return direction, (velocity,)


def _adam_numbers(step: Number, *, beta1: Number, beta2: Number, eps: Number) -> Numbers:
    return _corrected_weight(beta1, step), _corrected_weight(beta2, step)


def _adam(
    gradient: Tensor, state: State, numbers: Numbers, *, beta1: Number, beta2: Number, eps: Number
) -> Result:
    """``m̂ / (√v̂ + eps)``; the state holds the bias-corrected averages m̂ and v̂."""
    mean = torch.lerp(state[0], gradient, numbers[0])
    square = _average_of_squares(state[1], gradient, numbers[1])
    return mean / square.sqrt().add_(eps), (mean, square)


def _nadam_init(params: Tensor) -> State:
    return (*_zeros(2)(params), params.new_ones((*params.shape[:-1], 1)))


def _nadam_numbers(
    step: Number, *, beta1: Number, beta2: Number, eps: Number, momentum_decay: Number
) -> Numbers:
    """μ, 1 - μ and the next μ, with ``μ = beta1·(1 - 0.5·0.96^(step·momentum_decay))``, and the
    weight of the squares."""
    momentum = beta1 * (1 - 0.5 * 0.96 ** (step * momentum_decay))
    following = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * momentum_decay))
    return momentum, 1 - momentum, following, _corrected_weight(beta2, step)


def _nadam(
    gradient: Tensor,
    state: State,
    numbers: Numbers,
    *,
    beta1: Number,
    beta2: Number,
    eps: Number,
    momentum_decay: Number,
) -> Result:
    """``((1-μ)/(1-Π)·g + μ'/(1-Π·μ')·m) / (√v̂ + eps)``, Π the product of all μ, μ' the next μ."""
    momentum, rest, following, weight = numbers
    product = state[2] * momentum
    mean = torch.lerp(state[0], gradient, 1 - beta1)
    square = _average_of_squares(state[1], gradient, weight)
    # dividing by the inverse saves two operations; without momentum it is m / inf = 0
    ahead = gradient / ((1 - product) / rest)
    ahead.addcdiv_(mean, (1 - product * following) / following)
    return ahead.div_(square.sqrt().add_(eps)), (mean, square, product)


def _rmsprop(
    gradient: Tensor,
    state: State,
    numbers: Numbers,
    *,
    alpha: Number,
    eps: Number,
    momentum: Number,
) -> Result:
    """``v = alpha·v + (1-alpha)·g²``; the direction is ``b = momentum·b + g / (√v + eps)``."""
    square = _average_of_squares(state[0], gradient, 1 - alpha)
    velocity = _add_scaled(gradient / square.sqrt().add_(eps), state[1], momentum)
    return velocity, (square, velocity)


def _adagrad(gradient: Tensor, state: State, numbers: Numbers, *, eps: Number) -> Result:
    """``g / (√s + eps)``, s the sum of all g². A decay of the rate is the schedule's."""
    total = torch.addcmul(state[0], gradient, gradient)
    return gradient / total.sqrt().add_(eps), (total,)


def _adadelta(
    gradient: Tensor, state: State, numbers: Numbers, *, rho: Number, eps: Number
) -> Result:
    """``d = g·√((u + eps) / (v + eps))``; v averages g², u averages d² of the earlier steps."""
    square = _average_of_squares(state[0], gradient, 1 - rho)
    delta = (state[1] + eps).div_(square + eps).sqrt_().mul_(gradient)
    return delta, (square, _average_of_squares(state[1], delta, 1 - rho))


def _lion(
    gradient: Tensor, state: State, numbers: Numbers, *, beta1: Number, beta2: Number
) -> Result:
    """``sign(beta1·m + (1-beta1)·g)``, then ``m = beta2·m + (1-beta2)·g``."""
    direction = torch.lerp(state[0], gradient, 1 - beta1).sign_()
    return direction, (torch.lerp(state[0], gradient, 1 - beta2),)


# fmt: off
_UNIT = 0.0, 0.99999  # a decay of 1 would never learn of a new gradient
_MOMENTUM = Leaf("momentum", float, 0.9, *_UNIT, search=Range(0.0, 0.99), doc="decay of b; 0: none")
_NESTEROV = Leaf("nesterov", bool, False, search=(False, True), static=True, doc="look ahead")
_BETA1 = Leaf("beta1", float, 0.9, *_UNIT, search=Range(0.8, 0.99), doc="decay of the mean of g")
_BETA2 = Leaf("beta2", float, 0.999, *_UNIT, search=Range(0.9, 0.9999), doc="decay of that of g²")
_LION2 = Leaf("beta2", float, 0.99, *_UNIT, search=Range(0.9, 0.999), doc="decay of the momentum")
_ALPHA = Leaf("alpha", float, 0.99, *_UNIT, search=Range(0.9, 0.999), doc="decay of the mean of g²")
_RHO = Leaf("rho", float, 0.9, *_UNIT, search=Range(0.8, 0.99), doc="decay of those of g² and d²")
_GROWTH = Leaf("momentum_decay", float, 4e-3, 0.0, 1.0, search=Range(1e-4, 1e-1, log=True),
               doc="how fast the momentum grows from half of beta1 to beta1; 0: it stays")
_EPS = Leaf("eps", float, 1e-8, above=0.0, below=1.0, search=Range(1e-10, 1e-3, log=True),
            doc="added to the denominator")


def _make(name: str, init: Callable[[Tensor], State], rule: Callable[..., Result],
          learning_rate: float, source: str, *leaves: Leaf,
          numbers: Callable[..., Numbers] = _no_numbers, **defaults: float) -> Optimizer:
    own = (replace(x, source=source, default=defaults.get(x.name, x.default)) for x in leaves)
    return Optimizer(name, init, numbers, rule, tuple(own), learning_rate, source)


_LISTED = (
    _make("sgd", _zeros(1), _sgd, 0.05, "Sutskever et al. 2013, ICML", _MOMENTUM, _NESTEROV),
    _make("adam", _zeros(2), _adam, 1e-3, "Kingma and Ba 2015, arXiv:1412.6980",
          _BETA1, _BETA2, _EPS, numbers=_adam_numbers),
    _make("rmsprop", _zeros(2), _rmsprop, 1e-3, "Tieleman and Hinton 2012, Coursera, lecture 6.5",
          _ALPHA, _EPS, _MOMENTUM, momentum=0.0),
    _make("adagrad", _zeros(1), _adagrad, 1e-2, "Duchi et al. 2011, JMLR 12", _EPS, eps=1e-10),
    _make("adadelta", _zeros(2), _adadelta, 1.0, "Zeiler 2012, arXiv:1212.5701",
          _RHO, _EPS, eps=1e-6),
    _make("nadam", _nadam_init, _nadam, 2e-3, "Dozat 2016, ICLR workshop",
          _BETA1, _BETA2, _EPS, _GROWTH, numbers=_nadam_numbers),
    _make("lion", _zeros(1), _lion, 1e-4, "Chen et al. 2023, arXiv:2302.06675", _BETA1, _LION2),
)
# fmt: on
OPTIMIZERS: dict[str, Optimizer] = {optimizer.name: optimizer for optimizer in _LISTED}


# Optimizers of the user's.


FUNCTION = (
    "write a function: def mine(gradient, state, step, beta=0.9): …; return direction, state. "
    "Parameters become less by the direction times the learning rate; penalties are techniques"
)


@dataclass(frozen=True)
class OwnDirection:
    """A function of the user's, called as ``function(gradient, state, step, **options)``.

    The gradient is ``[P]``, all parameters as one vector. The state is what the function gave at
    the step before; ``()`` at the first. It returns the direction and the new state, a tuple of
    tensors; the caller subtracts the direction times the learning rate.

    Its module is imported at the first call, for a trained network needs no optimizer.

    Raises (when called):
        TrainingError: the function raises, or returns something else.
        StudyFileError: there is none, it is not allowed here, or it is a class.
    """

    reference: str

    @cached_property
    def call(self) -> Callable[..., Any]:
        module, _, name = self.reference.partition(":")
        if f"{module}.".startswith("torch.optim."):
            ours = {"adamw": "adam"}.get(name.lower(), name.lower())
            raise self._class(f'optimizer = "{ours}" is it' if ours in OPTIMIZERS else FUNCTION)
        call = function(self.reference, "training.optimizer", StudyFileError)
        if isinstance(call, type):
            raise self._class(FUNCTION)
        return call

    def __call__(self, gradient: Tensor, state: State, numbers: Numbers, **options: Any) -> Result:
        call, (step,) = self.call, numbers
        try:
            # a copy, for the caller may overwrite the gradient, and the state may hold it
            result = call(gradient.clone(), state, step, **options)
        except Exception as error:
            what = f"the optimizer raised {type(error).__name__}: {error}"
            hint = (
                f"it was given a gradient of shape {list(gradient.shape)} and a state of "
                f"{len(state)} tensors, which is () at the first step"
            )
            raise TrainingError(what, where=self.reference, hint=hint) from error
        if not (isinstance(result, tuple) and len(result) == 2):
            raise self._wrong(f"returned {_described(result)}")
        direction, after = result
        self._check_direction(direction, gradient)
        if not (isinstance(after, tuple | list) and all(isinstance(t, Tensor) for t in after)):
            raise self._wrong(f"returned {_described(after)} as its state")
        return direction, _apart(tuple(after))

    def _check_direction(self, direction: Any, gradient: Tensor) -> None:
        if not isinstance(direction, Tensor):
            raise self._wrong(f"returned {_described(direction)} as its direction")
        for name in ("shape", "dtype", "device", "requires_grad"):
            ours, theirs = getattr(direction, name), getattr(gradient, name)
            if ours != theirs:
                what = f"returned a direction of {name} {ours}, and the gradient's is {theirs}"
                raise self._wrong(what.replace("torch.Size(", "").replace(")", ""))

    def _class(self, hint: str) -> StudyFileError:
        what = "is a class, whose state tuner could not go on with after an interruption"
        return StudyFileError(what, where=self.reference, hint=hint)

    def _wrong(self, what: str) -> TrainingError:
        hint = "return direction, state: a tensor like the gradient, and a tuple of tensors"
        return TrainingError(f"the optimizer {what}", where=self.reference, hint=hint)


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)} alone"
    if isinstance(value, tuple | list) and len(value) < 10:
        return f"a {type(value).__name__} of {', '.join(type(x).__name__ for x in value) or 'none'}"
    return f"{shown(value)} of type {type(value).__name__}"


def _apart(state: State) -> State:
    """A state whose tensors share no memory: after a checkpoint they would not, either."""
    places = {tensor.untyped_storage()._cdata for tensor in state}
    return state if len(places) == len(state) else tuple(tensor.clone() for tensor in state)


def own_optimizer(reference: str) -> Optimizer:
    """The optimizer of a user's function."""
    return Optimizer(
        name=reference,
        init=lambda params: (),
        numbers=lambda step, **options: (step,),
        rule=OwnDirection(reference),
        leaves=(),
        learning_rate=1e-3,
        source="a function of the user's",
        own=True,
    )


TRIED = 16, 3
"""Parameters and steps with which a user's optimizer is tried."""


def try_out(optimizer: Optimizer, values: Mapping[str, Any]) -> None:
    """Takes a few steps twice, before any trial.

    Raises:
        StudyFileError: it cannot be imported here, fails, gives numbers that are not finite, or
            others the second time.
    """
    size, steps = TRIED
    gradients = torch.randn(steps, size, generator=torch.Generator().manual_seed(0))
    try:
        once, again = (_directions(optimizer, gradients, values) for _ in range(2))
    except TrainingError as error:
        raise StudyFileError(error.message, where=error.where, hint=error.hint) from error
    if not once.isfinite().all():
        what, hint = "the direction of a random gradient is not finite", "add a small number below"
        raise StudyFileError(f"the optimizer: {what}", where=optimizer.name, hint=hint)
    if not torch.equal(once, again):
        raise StudyFileError(
            "the optimizer gives other numbers for the same gradients",
            where=optimizer.name,
            hint="keep what it remembers in its state alone, and draw no random numbers",
        )


def _directions(optimizer: Optimizer, gradients: Tensor, values: Mapping[str, Any]) -> Tensor:
    with torch.no_grad():
        state, directions = optimizer.init(gradients[0]), []
        for step, gradient in enumerate(gradients, 1):
            direction, state = optimizer.direction(gradient, state, step, **values)
            directions.append(direction.clone())
        return torch.stack(directions)
