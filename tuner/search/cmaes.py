"""Optuna's CMA-ES with its state kept as numbers.

Optuna keeps it in trials' attributes as a pickle, so that whoever can write to the database can run
code in every worker. Here it is JSON, under a name of its own: a pickle is never read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import cmaes
import numpy as np
from optuna.samplers import CmaEsSampler
from optuna.trial import FrozenTrial

KEY = "tuner:cmaes"
KINDS: Mapping[str, Any] = {kind.__name__: kind for kind in (cmaes.CMA, cmaes.SepCMA, cmaes.CMAwM)}
DTYPES = ("float64", "int64", "bool")
DAMAGE = (ValueError, TypeError, KeyError, AttributeError)


class NumbersCmaEsSampler(CmaEsSampler):
    """Makes the same proposals as Optuna's CmaEsSampler."""

    _optimizer: Any = None

    @property
    def _attr_key_optimizer(self) -> str:
        return KEY

    def _init_optimizer(self, *arguments: Any, **named: Any) -> Any:
        self._optimizer = made = super()._init_optimizer(*arguments, **named)
        getattr(made, "_cma", made)._funhist_values.fill(0)  # else whatever lay in memory is kept
        return made

    def _split_optimizer_str(self, optimizer_str: str) -> dict[str, str]:
        """The optimizer as JSON, in place of the pickle that Optuna made of it."""
        return super()._split_optimizer_str(json.dumps(to_json(self._optimizer)))

    def _restore_optimizer(self, completed_trials: list[FrozenTrial]) -> Any:
        """The optimizer of the last trial whose state is whole; None where there is none."""
        for trial in reversed(completed_trials):
            parts = {k: v for k, v in trial.system_attrs.items() if k.startswith(f"{KEY}:")}
            try:
                self._optimizer = optimizer(json.loads(self._concat_optimizer_attrs(parts)))
            except DAMAGE:
                continue
            return self._optimizer
        return None


def to_json(value: Any) -> Any:
    """An optimizer of cmaes, or one of its parts, as JSON values."""
    if type(value).__name__ in KINDS:
        state = value.__getstate__()
        return {"kind": type(value).__name__, "state": {k: to_json(v) for k, v in state.items()}}
    if isinstance(value, np.ndarray | np.generic):
        return {"dtype": str(value.dtype), "shape": list(value.shape), "data": value.tolist()}
    return value


def optimizer(record: Any) -> Any:
    """The optimizer of a record; ValueError where its state is damaged."""
    restored = from_json(record)
    if type(restored).__name__ not in KINDS or min(restored.dim, restored.population_size) < 1:
        raise ValueError("no optimizer")
    if restored.generation < 0 or len(restored.mean) != restored.dim:
        raise ValueError("a damaged optimizer")
    return restored


def from_json(record: Any) -> Any:
    """The value of which `to_json` made the record; raises one of DAMAGE for anything else.

    It calls nothing that the record names."""
    if record is None or isinstance(record, bool | int | float):
        return record
    if "dtype" in record:
        if record["dtype"] not in DTYPES:
            raise ValueError(f"numbers of {record['dtype']}")
        return np.array(record["data"], dtype=record["dtype"]).reshape(record["shape"])[()]
    kind = KINDS[record["kind"]]
    made = kind.__new__(kind)
    state = {name: from_json(value) for name, value in record["state"].items()}
    put = getattr(made, "__setstate__", vars(made).update)
    put(state)
    return made
