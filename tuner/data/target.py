"""The meaning of a network's outputs: classes, labels, or one or several quantities."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tuner.data.labels import SCALES
from tuner.lazy_torch import Tensor, torch
from tuner.metrics import Task

Each = float | tuple[float, ...]
"""A number, or one for each of several quantities."""


@dataclass(frozen=True)
class Target:
    """The meaning of a network's outputs ``[N, O]``.

    Attributes:
        task: classification, multilabel or regression.
        classes: the classes' names by index; empty for the others.
        mean, scale: of the training rows: an output * scale + mean is a quantity on the scale
            `form`. 0 and 1 for classes and labels. Of several quantities one for each.
        form: a name of SCALES.
        limits: the least and the largest target of the training rows, in the target's own unit, to
            which predictions are clipped; None where they are not. Of several quantities two
            tuples, of the least and of the largest.
        names: of the labels, or of several quantities; empty for one target.
    """

    task: Task
    classes: tuple[str, ...] = ()
    mean: Each = 0.0
    scale: Each = 1.0
    form: str = "linear"
    limits: tuple[Each, Each] | None = None
    names: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        """How many numbers a network gives for a row."""
        return len(self.classes or self.names) or 1

    def rows(self, y: Tensor, dtype: torch.dtype) -> Tensor:
        """Targets of a ``Split`` as rows ``[N, O]``, as losses take them: probabilities, or
        standardized numbers."""
        if self.task == "classification":
            rows = torch.zeros(len(y), self.outputs, dtype=dtype, device=y.device)
            return rows.scatter_(1, y.unsqueeze(1), 1)
        rows = y if self.names else y.unsqueeze(1)
        return rows.to(dtype)

    @property
    def each(self) -> tuple[Target, ...]:
        """The target of each of several quantities."""
        limits = [(None, None)] * len(self.names)
        if self.limits is not None:
            limits = list(zip(*map(_listed, self.limits), strict=True))
        numbers = zip(_listed(self.mean), _listed(self.scale), limits, strict=True)
        return tuple(
            replace(
                self, mean=mean, scale=scale, limits=None if low is None else (low, high), names=()
            )
            for mean, scale, (low, high) in numbers
        )

    def _by_quantity(self, values: Tensor, of: Callable[[Target, Tensor], Tensor]) -> Tensor:
        """A function of each quantity of values ``[..., O]``; nothing is copied to the device."""
        columns = enumerate(self.each)
        return torch.stack([of(target, values[..., k]) for k, target in columns], -1)

    def in_units(self, values: Tensor) -> Tensor:
        """Standardized quantities ``[N]`` or ``[..., O]`` in their own unit."""
        if isinstance(self.mean, tuple) or isinstance(self.scale, tuple):
            return self._by_quantity(values, Target.in_units)
        return SCALES[self.form].back(values * self.scale + self.mean)

    def in_deviations(self, values: Tensor) -> Tensor:
        """The same, divided by the deviation of the training rows; of those whose logarithm is
        taken in first order, from the slope of the scale at their mean."""
        if isinstance(self.mean, tuple) or isinstance(self.scale, tuple):
            return self._by_quantity(values, Target.in_deviations)
        deviation = self.scale if self.form == "linear" else self.scale * math.exp(self.mean)
        return self.in_units(values) / deviation

    def predicted(self, values: Tensor) -> Tensor:
        """Outputs ``[N]`` or ``[..., O]`` of quantities in their own unit, within the limits."""
        if self.names:
            return self._by_quantity(values, Target.predicted)
        own = self.in_units(values)
        if self.limits is None:
            return own
        ((low,), (high,)) = map(_listed, self.limits)
        return own.clamp(low, high)

    def judged(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs ``[N, O]`` and targets of a ``Split`` as metrics take them: logits and classes or
        labels, or quantities in their own unit, ``[N]`` of one and ``[N, O]`` of several."""
        if self.task != "regression":
            return outputs, y
        return self.predicted(outputs if self.names else outputs.squeeze(1)), self.in_units(y)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Logits ``[..., O]`` as probabilities of the classes, or of each label."""
        return outputs.softmax(-1) if self.task == "classification" else outputs.sigmoid()

    def shares(self, judged: Tensor) -> Tensor:
        """Outputs as metrics take them as probabilities; quantities are what they are."""
        return judged if self.task == "regression" else self.probabilities(judged)

    # As plain values, with an export.

    def to_json(self) -> dict[str, Any]:
        more = {"names": list(self.names)} if self.names else {}
        numbers = {"mean": self.mean, "scale": self.scale}
        about = {"form": self.form, "limits": self.limits}
        return {"task": self.task, "classes": list(self.classes), **numbers, **about, **more}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Target:
        """The target of a record by `to_json`; KeyError, TypeError or ValueError for others.
        Older ones have neither a form nor limits."""
        form, limits = record.get("form", "linear"), record.get("limits")
        SCALES[form]
        between = None if limits is None else (_numbers(limits[0]), _numbers(limits[1]))
        numbers = _numbers(record["mean"]), _numbers(record["scale"])
        classes, names = (tuple(each) for each in (record["classes"], record.get("names", ())))
        return cls(record["task"], classes, *numbers, form, between, names)


def _listed(number: Each) -> tuple[float, ...]:
    return number if isinstance(number, tuple) else (number,)


def _numbers(raw: Any) -> Each:
    return tuple(map(float, raw)) if isinstance(raw, list) else float(raw)
