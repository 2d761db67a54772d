"""Techniques that change a batch: which rows, their weights and their targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tuner.errors import StudyFileError, TrainingError
from tuner.imports import function
from tuner.lazy_torch import Tensor, torch
from tuner.space import Leaf, Range, shown
from tuner.techniques.base import Draw, Noise, Technique

# Sampling: which rows an epoch takes.


@dataclass(frozen=True)
class OwnRows:
    """A function of the user's, called as ``function(targets, generator, **options)``.

    The targets are those of the training rows: classes, int64 ``[N]``, or standardized numbers. It
    returns the positions of an epoch's rows in their order, any number of them. All randomness is
    the generator's, which is a function of the trial's seed and the epoch. Its module is imported
    at the first call, for a trained network needs no rows.

    Raises (when called):
        TrainingError: the function raises, or returns something else.
        StudyFileError: there is none, or it is not allowed here.
    """

    reference: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def call(self) -> Callable[..., Any]:
        return function(self.reference, "training.sampling", StudyFileError)

    def __call__(self, targets: Tensor, generator: torch.Generator) -> Tensor:
        call, count = self.call, len(targets)
        try:
            result = call(targets.clone(), generator, **self.options)
        except Exception as error:
            what = f"raised {type(error).__name__}: {error}"
            hint = f"it was given {targets.dtype} targets of shape {list(targets.shape)}"
            raise self._wrong(what, hint) from error
        if not isinstance(result, Tensor):
            hint = "return a tensor of positions"
            raise self._wrong(f"returned {shown(result)} of type {type(result).__name__}", hint)
        if result.dtype == torch.bool or result.is_floating_point() or result.is_complex():
            hint = "return positions, whole numbers; those of a mask are mask.nonzero().squeeze(1)"
            raise self._wrong(f"returned a tensor of type {result.dtype}", hint)
        if result.dim() != 1 or len(result) == 0:
            what = f"returned a tensor of shape {list(result.shape)}"
            raise self._wrong(what, "return one position for each row that the epoch takes")
        rows = result.cpu().long()
        outside = next((end for end in (rows.min(), rows.max()) if not 0 <= end < count), None)
        if outside is not None:
            what = f"returned position {outside}, and there are {count} training rows"
            raise self._wrong(what, f"return positions from 0 to {count - 1}")
        return rows

    def _wrong(self, what: str, hint: str) -> TrainingError:
        return TrainingError(f"the sampler {what}", where=self.reference, hint=hint)


def try_out(rows: OwnRows, targets: Tensor) -> None:
    """Asks for the rows of an epoch twice, before any trial.

    Args:
        targets: of the training rows, on the CPU.

    Raises:
        StudyFileError: it cannot be imported here, fails, gives others the second time, or not as
            many for another epoch.
    """
    try:
        once, again, other = (rows(targets, torch.Generator().manual_seed(k)) for k in (0, 0, 1))
    except TrainingError as error:
        raise StudyFileError(error.message, where=error.where, hint=error.hint) from error
    if not torch.equal(once, again):
        what = "the sampler gives other rows for the same generator"
        hint = "draw with it alone: torch.randperm(len(targets), generator=generator)"
        raise StudyFileError(what, where=rows.reference, hint=hint)
    if len(once) != len(other):
        what = f"the sampler chose {len(other)} rows for one epoch, and {len(once)} for another"
        hint = "choose as many rows in each epoch, for the learning rate follows the steps"
        raise StudyFileError(what, where=rows.reference, hint=hint)


def _rows(hp: str | OwnRows, classes: Tensor, generator: torch.Generator) -> Tensor:
    return hp(classes, generator) if isinstance(hp, OwnRows) else _balanced(classes, generator)


def _balanced(classes: Tensor, generator: torch.Generator) -> Tensor:
    """As many rows as there are, with replacement: a class at random, and a row of it."""
    by_class = classes.argsort(stable=True)
    counts = torch.bincount(classes)
    known = counts.nonzero().squeeze(1)
    starts = counts.cumsum(0) - counts
    size = (len(classes),)
    chosen = known[torch.randint(len(known), size, generator=generator)]
    within = torch.rand(size, generator=generator, dtype=torch.float64)
    places = (within * counts[chosen]).long()
    return by_class[starts[chosen] + places]


SAMPLING = Technique(
    leaf=Leaf(
        name="sampling",
        kind=str,
        default="shuffled",
        off="shuffled",
        options={"shuffled": (), "balanced": ()},
        search=("shuffled", "balanced"),
        static=True,
        doc="an epoch's rows: each once, or drawn with replacement, each class as often; or as a "
        "function of your own chooses",
        unit="name",
        source="He and Garcia 2009",
    ),
    rows=_rows,
    classes=True,
    section="training",
)


# Class weights: an error about a rare class counts more.


POWERS = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}


def weights(shares: Tensor, power: float) -> Tensor:
    """``[C]``: (1 / share)^power, scaled so that their mean over the training rows is 1.

    With power 1 these are n / (k n_c), scikit-learn's "balanced".

    Args:
        shares: of each class among the training rows ``[C]``.
    """
    rare = shares**-power
    return rare / (shares * rare).sum()


def _draw_weights(hp: str, draw: Draw) -> Noise:
    """The weights, the same in every step: nothing is random about them."""
    if hp == "none" or draw.shares is None:
        factors = torch.ones(1)
    else:
        factors = weights(draw.shares, POWERS[hp])
    return (factors.expand(draw.steps, -1),)


def _weigh(x: Tensor, y: Tensor, hp: Any, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted last, so that mixed and smoothed targets count as they do in torch's
    ``CrossEntropyLoss(weight=…)`` with rows of probabilities: Σ w_c y_c log p_c, over B rows."""
    return x, y * weights.to(y.dtype)


CLASS_WEIGHTS = Technique(
    leaf=Leaf(
        name="class_weights",
        kind=str,
        default="none",
        off="none",
        options=dict.fromkeys(POWERS, ()),
        search=("none", "sqrt", "balanced"),
        static=True,
        doc="weighs the loss of each class: balanced is n / (k n_c), sqrt goes half the way",
        unit="name",
        source="King and Zeng 2001; Cui et al. 2019",
    ),
    draw=_draw_weights,
    batch=_weigh,
    classes=True,
    section="training",
)


# Label smoothing: a little of the target's probability goes to every class.


def _smooth(x: Tensor, y: Tensor, hp: Any) -> tuple[Tensor, Tensor]:
    return x, y * (1 - hp) + hp / y.shape[-1]


def _smooth_labels(x: Tensor, y: Tensor, hp: Any) -> tuple[Tensor, Tensor]:
    """Between yes and no of each label."""
    return x, y * (1 - hp) + hp / 2


LABEL_SMOOTHING = Technique(
    leaf=Leaf(
        name="label_smoothing",
        kind=float,
        default=0.0,
        off=0.0,
        minimum=0.0,
        maximum=0.9,
        search=Range(0.02, 0.2, off=0.0),
        doc="share of the target's probability that is spread evenly over the classes",
        unit="probability",
        source="Szegedy et al. 2016",
    ),
    batch=_smooth,
    of_labels=_smooth_labels,
    classes=True,
)


# Mixup: trains on mixtures of two rows and of their targets.


def beta(hp: float, uniform: Tensor) -> Tensor:
    """Beta(α, α) numbers, each a function of one number in [0, 1); 1 where α is 0, which is off.

    They are the inverse of the distribution function.
    """
    if hp == 0:
        return torch.ones_like(uniform)
    from scipy.special import betaincinv  # here, for it takes a quarter of a second

    return torch.from_numpy(betaincinv(hp, hp, uniform.numpy()))


def _draw_mixup(hp: float, draw: Draw) -> Noise:
    """The share of the own row, one number a step."""
    return (beta(hp, draw.uniform(dtype=torch.float64)),)


def _mix_batch(x: Tensor, y: Tensor, hp: Any, share: Tensor) -> tuple[Tensor, Tensor]:
    """The partner is the next row: rows come in random order, so it is a random one."""
    share = share.to(x.dtype)
    partner = x.roll(1, 0)
    if x.dim() <= SEQUENCES:  # after its end a partner adds nothing, and each row keeps its length
        partner = torch.where(partner.isnan(), x, partner)
    return _mix(x, partner, share), _mix(y, y.roll(1, 0), share)


def _mix(rows: Tensor, others: Tensor, share: Tensor) -> Tensor:
    return rows * share + others * (1 - share)


SEQUENCES = 3
"""Dimensions of a batch of sequences at most."""


MIXUP = Technique(
    leaf=Leaf(
        name="mixup",
        kind=float,
        default=0.0,
        off=0.0,
        minimum=0.0,
        maximum=10.0,
        search=Range(0.05, 1.0, off=0.0),
        doc="α of the Beta(α, α) distribution of the mixing share, one share a step",
        unit="none",
        source="Zhang et al. 2018",
    ),
    draw=_draw_mixup,
    batch=_mix_batch,
    mixes=True,
    numbers=True,
)
