"""The rows of a split: what a trainer takes batches from, and the kinds that lie in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from tuner.lazy_torch import Tensor, torch
from tuner.models.text import known_steps

# What a trainer and an evaluation know of rows. A tensor is the simplest source of them.


class RowSource(Protocol):
    """Rows [N, *shape], by their places."""

    def __len__(self) -> int: ...

    def __getitem__(self, wanted: Any, /) -> Tensor:
        """Some rows [n, *shape], by a tensor of places or a slice."""

    @property
    def shape(self) -> torch.Size: ...

    @property
    def device(self) -> torch.device: ...

    def is_floating_point(self) -> bool: ...

    def to(self, where: Any, /) -> Any:
        """The same rows on a device, or in a precision."""


Taking = Callable[[Sequence[Tensor], Tensor], Iterable[Tensor]]
"""From the next batches of an epoch to their rows. The batches are places on the CPU, and all of
them once more in one tensor on the device."""


Order = Callable[[], Sequence[Tensor]]
"""Gives the places of all batches of an epoch, on the CPU."""
Following = tuple[Order, int]
"""The order and the seed of the epoch that follows, if the training goes on."""


class Ordered(ABC):
    """A source with a way of its own to give many rows in a known order."""

    @abstractmethod
    def epoch(self, order: Order, seed: int, following: Following | None = None) -> Taking:
        """How to take the batches of an epoch, in their order.

        Args:
            order: of the batches.
            seed: of the epoch, for rows that are random.
            following: for a source that reads ahead.
        """

    @abstractmethod
    def slices(self, size: int) -> Iterator[Tensor]:
        """All rows, so many at a time."""


def epoch_of(x: RowSource, order: Order, seed: int, following: Following | None = None) -> Taking:
    """How to take the batches of an epoch from any source, as ``Ordered.epoch``."""
    return x.epoch(order, seed, following) if isinstance(x, Ordered) else partial(_taken, x)


def _taken(x: RowSource, batches: Sequence[Tensor], rows: Tensor) -> Iterable[Tensor]:
    """Several batches by one index, which is faster than one for each."""
    return torch.split(x[rows], [len(batch) for batch in batches])


def slices_of(x: RowSource, size: int) -> Iterator[Tensor]:
    """All rows of any source, so many at a time; one empty slice where there is none."""
    if isinstance(x, Ordered):
        return x.slices(size)
    return (x[start : start + size] for start in range(0, max(1, len(x)), size))


# Rows that several folds share, each with statistics of its own.


@dataclass(frozen=True, eq=False)
class SharedRows:
    """Rows [N, *shape] that are held once, on each device and in each precision."""

    rows: Tensor
    _made: dict[torch.device | torch.dtype, SharedRows] = field(default_factory=dict)

    def to(self, where: torch.device | torch.dtype) -> SharedRows:
        """The same rows there; made once."""
        moved = self._made[where].rows if where in self._made else self.rows.to(where)
        if moved is self.rows:
            return self
        return self._made.setdefault(where, SharedRows(moved))


@dataclass(frozen=True, eq=False)
class Gathered:
    """Some rows of a pool, each number (value - shift) / scale.

    Attributes:
        pool: shared with other folds.
        rows: int32 [n], which of its rows.
        shift, scale: go with [n, *shape]; None where the rows are as they are.
    """

    pool: SharedRows
    rows: Tensor
    shift: Tensor | None = None
    scale: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, wanted: Tensor | slice) -> Tensor:
        """A copy of some of the rows."""
        rows = self.pool.rows[self.rows[wanted]]
        if self.shift is None or self.scale is None:
            return rows
        return rows.sub_(self.shift).div_(self.scale)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self.rows), *self.pool.rows.shape[1:]))

    @property
    def device(self) -> torch.device:
        return self.pool.rows.device

    def is_floating_point(self) -> bool:
        return self.pool.rows.is_floating_point()

    def to(self, where: torch.device | torch.dtype | str) -> Gathered:
        """The same rows on a device or in a precision."""
        place = torch.device(where) if isinstance(where, str) else where
        rows = self.rows.to(place) if isinstance(place, torch.device) else self.rows
        shift, scale = (None if t is None else t.to(place) for t in (self.shift, self.scale))
        return replace(self, pool=self.pool.to(place), rows=rows, shift=shift, scale=scale)


LOOKED_AT = 2**10
"""Rows whose ends are looked for at a time."""


@dataclass(frozen=True, eq=False)
class Padded(Ordered):
    """Texts or sequences of which some rows in turn are cut to the longest of them.

    Attributes:
        rows: whole numbers [n, L], 0 after the end of a text; or numbers [n, L, ...], NaN after the
            end of a sequence.
        lengths: [n], on the CPU, so that the device need not be asked.
    """

    rows: RowSource
    lengths: Tensor

    @classmethod
    def of(cls, rows: RowSource) -> Padded:
        starts = range(0, len(rows), LOOKED_AT)
        parts = [known_steps(rows[start : start + LOOKED_AT]).sum(1).cpu() for start in starts]
        return cls(rows, torch.cat(parts) if parts else torch.zeros(0, dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, wanted: Tensor | slice) -> Tensor:
        """Some of the rows; of a slice, cut."""
        rows = self.rows[wanted]
        return self.cut(rows, wanted) if isinstance(wanted, slice) else rows

    def cut(self, rows: Tensor, which: Tensor | slice) -> Tensor:
        """Those rows without what is behind the longest of them; ``which`` are on the CPU."""
        return rows[:, : max([1, *self.lengths[which].tolist()])]

    def epoch(self, order: Order, seed: int, following: Following | None = None) -> Taking:
        def cut(batches: Sequence[Tensor], rows: Tensor) -> Iterable[Tensor]:
            return map(self.cut, _taken(self, batches, rows), batches)

        return cut

    def slices(self, size: int) -> Iterator[Tensor]:
        return (self[start : start + size] for start in range(0, max(1, len(self)), size))

    @property
    def shape(self) -> torch.Size:
        return self.rows.shape

    @property
    def device(self) -> torch.device:
        return self.rows.device

    def is_floating_point(self) -> bool:
        return self.rows.is_floating_point()

    def to(self, where: torch.device | torch.dtype | str) -> Padded:
        """The same rows on a device, or in a precision."""
        return replace(self, rows=self.rows.to(where))
