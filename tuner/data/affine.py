"""One fold's numbers from another's, where they differ by a shift and a scale alone."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tuner.data.encoders import Number
from tuner.data.preprocessing import Shifted, Transform, Unchanged
from tuner.data.raw import RawColumn
from tuner.data.recipe import Feature, OfArray, OfColumns, Recipe
from tuner.data.table import Table

Numbers = NDArray[np.float64]
Statistics = tuple[Numbers, Numbers]
"""Mean and scale."""


def relative(of: Recipe, base: Recipe, table: Table) -> tuple[Tensor, Tensor] | None:
    """Shift and scale, so that what ``of`` makes of a row is (what ``base`` makes - shift) / scale.

    Exact but for rounding. None where there are none: ranks, gaps that each fills with its own
    median, other columns or categories, texts.
    """
    ours, theirs = _statistics(of), _statistics(base)
    if ours is None or theirs is None or not _alike(of, base, table):
        return None
    (mean, scale), (base_mean, base_scale) = ours, theirs
    shift = (mean - base_mean) / base_scale
    found = (torch.from_numpy(np.asarray(each, np.float32)) for each in (shift, scale / base_scale))
    return next(found), next(found)


def _statistics(recipe: Recipe) -> Statistics | None:
    """Of each number of a row; None where a transform is of another kind."""
    if isinstance(recipe, OfArray):
        return _of(recipe.transform)
    if not isinstance(recipe, OfColumns):
        return None
    means, scales = [], []
    for feature in recipe.features:
        found = _of(Unchanged() if feature.transform is None else feature.transform)
        if found is None:
            return None
        others = len(feature.names) - 1  # what is missing, or categories: 0 and 1
        means += [float(found[0].item()), *[0.0] * others]
        scales += [float(found[1].item()), *[1.0] * others]
    shape = (1, *recipe.shape)
    return np.reshape(means, shape), np.reshape(scales, shape)


def _of(transform: Transform) -> Statistics | None:
    if isinstance(transform, Unchanged):
        return np.zeros(1), np.ones(1)
    return (transform.mean, transform.scale) if isinstance(transform, Shifted) else None


def _alike(of: Recipe, base: Recipe, table: Table) -> bool:
    """Whether both make the same numbers of a row, before these are transformed."""
    if isinstance(of, OfColumns) and isinstance(base, OfColumns):
        known = {raw.name: raw for raw in table.columns}
        pairs = zip(of.features, base.features, strict=False)
        return len(of.features) == len(base.features) and all(
            a.names == b.names and _encoded_alike(a, b, known[a.name]) for a, b in pairs
        )
    return type(of) is type(base) and of.shape == base.shape


def _encoded_alike(a: Feature, b: Feature, raw: RawColumn) -> bool:
    if isinstance(a.encoder, Number) and isinstance(b.encoder, Number):
        if a.encoder == b.encoder:
            return True
        return a.encoder.format == b.encoder.format and not _gaps(a.encoder.bind(raw, "")[0])
    return a.encoder == b.encoder


def _gaps(values: NDArray[np.generic]) -> bool:
    return values.dtype.kind == "f" and bool(np.isnan(values.min()))
