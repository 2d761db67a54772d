"""Defines a technique: one parameter of a study and the pure functions that apply it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tuner.lazy_torch import Tensor, nn, torch
from tuner.space import Leaf

Shape = tuple[int, ...]
"""Of one row, or of what a block gives for it."""
Noise = tuple[Tensor, ...]
State = tuple[Tensor, ...]


@dataclass(frozen=True)
class Draw:
    """A request for the noise of ``steps`` steps of ``batch`` rows of ``shape``.

    ``shares`` are the classes' shares of the training rows ``[C]``; None for a regression.
    """

    steps: int
    batch: int
    shape: Shape
    generator: torch.Generator
    shares: Tensor | None = None

    def uniform(self, *size: int, dtype: torch.dtype | None = None) -> Tensor:
        """Numbers in [0, 1), ``[steps, *size]``."""
        return torch.rand((self.steps, *size), generator=self.generator, dtype=dtype)


def add_masked(a: Tensor, b: Tensor, mask: Tensor, hp: Any) -> Tensor:
    """``a + hp * mask * b``; for one trial in one operation (3 to 5 % of a small step)."""
    if isinstance(hp, Tensor):
        return torch.addcmul(a, b, mask * hp)
    return torch.addcmul(a, b, mask, value=hp)


@dataclass(frozen=True)
class Technique:
    """One thing that can be switched on or tuned, as a record of optional pure hooks.

    ``hp`` is the value of the leaf. In the hooks on the flat vector (``gradient``, ``update``,
    ``after``) tensors are ``[..., P]`` and ``hp`` is a number or a tensor ``[..., 1]``; in
    ``batch`` it is a number or a 0-d tensor. No hook changes its inputs, and at ``leaf.off`` each
    is exactly the identity.

    Args:
        leaf: its name, range, off value, documentation and source.
        rows: ``(hp, targets [N], generator) → positions``, the rows of an epoch in order, instead
            of each row once; as many in each epoch.
        draw: ``(hp, Draw) → noise``, each tensor ``[steps, …]``, outside the step. It is for full
            batches: where there is noise for each row, the last batch takes the first of it.
        layer: ``(shape, hp) → Module`` inside the network's blocks.
        before_activation: where in a block the layer stands.
        centres: the values at which the layer subtracts the mean of each feature, so a bias right
            before it would have no effect, and its gradient would be rounding errors, which
            adaptive optimizers amplify.
        branch: the layer ends residual branches instead, where there are some; ``hp`` grows from 0
            at the network's input to the leaf's value at its last branch.
        batch: ``(x, y, hp, *noise) → x, y``; classes come as rows of probabilities ``[B, C]``
            (times the weight of a class, after class weights).
        gradient: ``(gradient, params, mask, hp) → gradient``; mask is 1 at the parameters of the
            kind ``marks``, and 0 at others.
        update: ``(update, params, mask, hp) → update``, after the optimizer, before the rate.
        start: ``params → state`` for ``after``.
        after: ``(params, state, hp) → state``, after the update.
        evaluate: ``(params, state) → params`` with which to evaluate.
        marks: the kind of parameters: weights (so neither biases nor norm parameters), biases,
            scales (of inputs), or first (the network's first layer).
        stop: ``(values, hp) → bool``: whether to end, given each epoch's value (higher is better).
        mixes: ``batch`` makes each row's target a mixture of several rows' targets, and treats all
            numbers of a target alike.
        of_labels: ``batch`` of labels, of which each has a probability of its own.
        images: it needs rows of shape ``[C, H, W]``.
        classes: it needs a classification task.
        numbers: it needs rows of numbers that can be added, so no text.
        section: of a study file, where its leaf stands.
    """

    leaf: Leaf
    rows: Callable[[Any, Tensor, torch.Generator], Tensor] | None = None
    draw: Callable[[Any, Draw], Noise] | None = None
    layer: Callable[[Shape, Any], nn.Module] | None = None
    before_activation: bool = False
    centres: tuple[Any, ...] = ()
    branch: bool = False
    batch: Callable[..., tuple[Tensor, Tensor]] | None = None
    gradient: Callable[[Tensor, Tensor, Tensor, Any], Tensor] | None = None
    update: Callable[[Tensor, Tensor, Tensor, Any], Tensor] | None = None
    start: Callable[[Tensor], State] | None = None
    after: Callable[[Tensor, State, Any], State] | None = None
    evaluate: Callable[[Tensor, State], Tensor] | None = None
    marks: str = "weights"
    stop: Callable[[Sequence[float], Any], bool] | None = None
    mixes: bool = False
    of_labels: Callable[..., tuple[Tensor, Tensor]] | None = None
    images: bool = False
    classes: bool = False
    numbers: bool = False
    section: str = "regularization"

    @property
    def name(self) -> str:
        return self.leaf.name

    def for_labels(self) -> Technique:
        """The technique as it is for labels."""
        return self if self.of_labels is None else replace(self, batch=self.of_labels)
