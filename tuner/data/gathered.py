"""Rows of one tensor that several folds share, each with statistics of its own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Pool:
    """Rows [N, *shape] that are held once, on each device and in each precision."""

    rows: Tensor
    _made: dict[torch.device | torch.dtype, Pool] = field(default_factory=dict)

    def to(self, where: torch.device | torch.dtype) -> Pool:
        """The same rows there; made once."""
        moved = self._made[where].rows if where in self._made else self.rows.to(where)
        if moved is self.rows:
            return self
        return self._made.setdefault(where, Pool(moved))


@dataclass(frozen=True, eq=False)
class Gathered:
    """Some rows of a pool, each number (value - shift) / scale; a tensor as far as batches of rows
    are taken of it.

    Attributes:
        pool: shared with other folds.
        rows: int32 [n], which of its rows.
        shift, scale: go with [n, *shape]; None where the rows are as they are.
    """

    pool: Pool
    rows: Tensor
    shift: Tensor | None = None
    scale: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, wanted: Tensor | slice) -> Tensor:
        """A copy of some of the rows."""
        found = self.pool.rows[self.rows[wanted]]
        if self.shift is None or self.scale is None:
            return found
        return found.sub_(self.shift).div_(self.scale)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self.rows), *self.pool.rows.shape[1:]))

    def is_floating_point(self) -> bool:
        return self.pool.rows.is_floating_point()

    def to(self, where: torch.device | torch.dtype | str) -> Gathered:
        """The same rows on a device or in a precision."""
        place = torch.device(where) if isinstance(where, str) else where
        rows = self.rows.to(place) if isinstance(place, torch.device) else self.rows
        shift, scale = (None if t is None else t.to(place) for t in (self.shift, self.scale))
        return replace(self, pool=self.pool.to(place), rows=rows, shift=shift, scale=scale)


Features = Tensor | Gathered
"""The rows of a split."""
