"""Reads the items of Datasets as torch knows them: anything with a length and items by index.

An item that draws random numbers is read with generators that a seed and its row have set, so
that it is the same whoever reads it, and when.
"""

from __future__ import annotations

import random
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.sequences import fits, stacked
from tuner.data.splits import PARTS
from tuner.errors import DataError, nearest
from tuner.lazy_torch import Tensor, torch
from tuner.seeds import derive

NUMERIC = "biuf"  # numpy's kinds: boolean, signed, unsigned, floating
Collate = Callable[[list[Any]], Any]
"""Makes a batch of a list of items."""
MEASURED = 0
"""The seed of items that are measured and not trained on: the same in every epoch and trial."""


# What a function may return: a Dataset, or several for training, validation and the test.


def datasets(value: object, where: str) -> Mapping[str, Any] | None:
    """The Datasets in a value, by their split; by "" where there is one alone, which is to be
    divided. None for a value without a Dataset.

    Raises:
        DataError: they have no length or no index, or no split of that name.
    """
    if _is_dataset(value):
        found: dict[str, Any] = {"": value}
    elif isinstance(value, Mapping) and value and all(map(_is_dataset, value.values())):
        found = {str(name): each for name, each in value.items()}
        _check_splits(found, where)
    elif isinstance(value, tuple | list) and value and all(map(_is_dataset, value)):
        if len(value) not in (2, 3):
            hint = "return one Dataset; or train, validation; or train, validation, test"
            raise DataError(f"returned {len(value)} Datasets", where=where, hint=hint)
        found = dict(zip(PARTS, value, strict=False))
    else:
        return None
    for name, each in found.items():
        _check_map_style(each, _of(name) + where)
    return found


def _is_dataset(value: object) -> bool:
    """Whether it is a Dataset, or is used like one: not an array, a frame or a list of numbers."""
    if isinstance(value, _of_torch("Dataset", "DataLoader")):
        return True
    plain = (Mapping, Sequence)  # an array, a tensor and a frame have a shape
    indexed = hasattr(value, "__getitem__") and hasattr(value, "__len__")
    return indexed and not isinstance(value, plain) and not hasattr(value, "shape")


def _of_torch(*names: str) -> tuple[type, ...]:
    """Classes of ``torch.utils.data``; none where nobody has imported that, or has a Dataset."""
    module = sys.modules.get("torch.utils.data")
    return () if module is None else tuple(getattr(module, name) for name in names)


def _check_splits(found: Mapping[str, Any], where: str) -> None:
    for name in found:
        if name not in PARTS:
            raise DataError(f"no split {name!r}", where=where, hint=nearest(name, PARTS))
    if "train" not in found or len(found) == 1:
        names = ", ".join(found)
        hint = "name train and validation, or train and test, or all three"
        raise DataError(f"returned Datasets for {names} alone", where=where, hint=hint)


def _check_map_style(dataset: Any, where: str) -> None:
    if isinstance(dataset, _of_torch("DataLoader")):
        hint = "return its dataset: tuner makes the batches, in an order that a seed decides"
        raise DataError("is a DataLoader", where=where, hint=hint)
    if isinstance(dataset, _of_torch("IterableDataset")):
        files = "write what it yields into files once, and read these by index"
        hint = f"give it __len__ and __getitem__; or {files}"
        raise DataError("is iterable: its rows have no index", where=where, hint=hint)
    try:
        count = len(dataset)
    except (TypeError, NotImplementedError, AttributeError) as error:
        hint = "define __len__, which returns the number of its items"
        raise DataError(f"has no length: {error}", where=where, hint=hint) from error
    if not hasattr(dataset, "__getitem__"):
        raise DataError("has no __getitem__", where=where, hint="define __getitem__(self, index)")
    if count == 0:
        raise DataError("has no items", where=where)


def _of(split: str) -> str:
    return f"{split} of " if split else ""


# Random numbers within items.


@contextmanager
def restored() -> Iterator[None]:
    """Puts the generators of torch, numpy and random back into their state before."""
    before = states()
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        random.setstate(before[1])
        np.random.set_state(before[2])


def states() -> tuple[Tensor, Any, Any]:
    """The states of these generators on the CPU."""
    return torch.get_rng_state(), random.getstate(), np.random.get_state()


def _alike(one: tuple[Tensor, Any, Any], other: tuple[Tensor, Any, Any]) -> bool:
    numpys = zip(one[2], other[2], strict=True)
    same = all(np.array_equal(a, b) for a, b in numpys)
    return same and one[1] == other[1] and torch.equal(one[0], other[0])


def seed_generators(seed: int) -> None:
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


# Items as rows.


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows.

    Attributes:
        x: numbers [n, *shape]; of sequences [n, L, ...], with NaN after the end of shorter ones.
        y: the labels, as Python's own values; lists of them for several targets.
        weight: how much each counts; empty where items have no weights.
        random: whether an item drew random numbers.
    """

    x: NDArray[Any]
    y: list[Any]
    weight: list[Any]
    random: bool


@dataclass(frozen=True, eq=False)
class Items:
    """The items of several Datasets, one after the other.

    Attributes:
        parts: the Datasets by their split.
        where: for messages.
        collate: makes a batch of a list of items; None where items are used as they are.
        random: whether items draw random numbers.
    """

    parts: Mapping[str, Any]
    where: str
    collate: Collate | None = None
    random: bool = False

    def __len__(self) -> int:
        return self.starts[-1]

    @cached_property
    def starts(self) -> list[int]:
        """The row at which each Dataset begins, and the number of all rows."""
        return [*accumulate((len(each) for each in self.parts.values()), initial=0)]

    def _place(self, row: int) -> tuple[str, int]:
        """The split of a row, and its index in the Dataset."""
        at = bisect_right(self.starts, row) - 1
        return [*self.parts][at], row - self.starts[at]

    @property
    def splits(self) -> NDArray[np.int64] | None:
        """The place in PARTS of each row's split; None where they are to be divided."""
        if "" in self.parts:
            return None
        counts = [end - start for start, end in pairwise(self.starts)]
        return np.repeat([PARTS.index(name) for name in self.parts], counts)

    def batch(self, rows: Sequence[int], seed: int) -> Batch:
        """Some rows, read with this seed; no generator is in another state afterwards.

        Raises:
            DataError: an item cannot be read, is no pair of numbers and a label, or has another
                shape or type than the first, but for the length of a sequence.
        """
        with restored():
            if not self.random:
                before = states()
                read = self._read(rows, None)
                if _alike(before, states()):
                    return Batch(*read, False)
            return Batch(*self._read(rows, seed), True)

    def _read(
        self, rows: Sequence[int], seed: int | None
    ) -> tuple[NDArray[Any], list[Any], list[Any]]:
        xs: list[NDArray[Any]] = []
        ys, weights = [], []
        for row in rows:
            if seed is not None:
                seed_generators(derive(seed, row))
            x, y, weight = self.row(row)
            if xs:
                self.check_alike(rows[0], xs[0], row, x)
            xs.append(x)
            ys.append(y)
            weights += weight
            if len(weights) not in (0, len(xs)):
                what = f"only one of {self.name(rows[0])} and {self.name(row)} has a weight"
                hint = "give every item a weight, or none"
                raise DataError(what, where=self.where, hint=hint)
        return stacked(xs), ys, weights

    def row(self, row: int) -> tuple[NDArray[Any], Any, list[Any]]:
        """The numbers of an item, its label, and its weight, if it has one."""
        item = self.item(row)
        if self.collate is None:
            return self._split(item, row)
        try:
            x, y, weight = self._split(self.collate([item]), row)
            return x[0], y[0], weight[:1]
        except DataError:
            raise
        except (Exception, SystemExit) as error:
            what = f"collate raised {type(error).__name__} for {self.name(row)}: {error}"
            hint = "it gets a list of items, and returns x [n, ...] and y [n] of them"
            raise DataError(what, where=self.where, hint=hint) from error

    def item(self, row: int) -> Any:
        """An item as its Dataset gives it."""
        split, index = self._place(row)
        try:
            return self.parts[split][index]
        except DataError:  # it says where
            raise
        except (Exception, SystemExit) as error:
            what = f"{self.name(row)} raised {type(error).__name__}: {error}"
            raise DataError(what, where=self.where) from error

    def name(self, row: int) -> str:
        """An item in words, by its index in its Dataset."""
        split, index = self._place(row)
        return f"item {index}" + f" of {split}" * bool(split)

    def _split(self, item: Any, row: int) -> tuple[NDArray[Any], Any, list[Any]]:
        """The parts of an item; of a batch that ``collate`` made, with labels and weights [n]."""
        if isinstance(item, Mapping) and {"x", "y"} <= item.keys():
            parts = [item[name] for name in ("x", "y", "weight") if name in item]
        elif isinstance(item, tuple | list) and len(item) in (2, 3):
            parts = [*item]
        else:
            form = type(item).__name__
            if isinstance(item, Mapping):
                form += f" with the keys {', '.join(map(str, item))}"
            elif isinstance(item, tuple | list):
                form += f" of {len(item)}"
            hint = "an item is (x, y) or (x, y, weight), or a dict with the keys x, y and weight"
            raise DataError(f"{self.name(row)} is a {form}", where=self.where, hint=hint)
        x, y, *weight = parts
        if self.collate is None:
            weights = [self._value(each, "weight", row) for each in weight]
            return self._numbers(x, row), self._value(y, "label", row), weights
        labels = [self._value(each, "label", row) for each in y]
        weights = [self._value(each, "weight", row) for some in weight for each in some]
        return self._numbers(x, row), labels, weights

    def _numbers(self, x: Any, row: int) -> NDArray[Any]:
        try:
            numbers = _array(x) if isinstance(x, Tensor) else np.asarray(x)
        except (TypeError, ValueError, RuntimeError) as error:
            what = f"x of {self.name(row)} does not make an array: {error}"
            raise DataError(what, where=self.where) from error
        if numbers.dtype.kind not in NUMERIC:
            what = f"x of {self.name(row)} is of type {numbers.dtype}, and not numbers"
            hint = "return a tensor or an array of numbers"
            raise DataError(what, where=self.where, hint=hint)
        if numbers.size == 0:
            raise DataError(f"x of {self.name(row)} is empty", where=self.where)
        return numbers.reshape(-1) if numbers.ndim == 0 else numbers

    def _value(self, value: Any, kind: str, row: int) -> Any:
        """A label or a weight as a value of Python's own; labels of several targets as a list."""
        if isinstance(value, Tensor):
            value = _array(value)
        if isinstance(value, np.ndarray | np.generic) and value.size == 1:
            return value.item()
        if isinstance(value, np.ndarray) and value.ndim == 1:
            value = value.tolist()
        if isinstance(value, list | tuple) and kind == "label":
            return [self._value(each, "label of a target", row) for each in value]
        if isinstance(value, np.ndarray | list | tuple | Mapping):
            given = f"is {value!r:.80}"
            if isinstance(value, np.ndarray):
                given = f"has shape {list(value.shape)}"
            what = f"the {kind} of {self.name(row)} {given}"
            raise DataError(what, where=self.where, hint=f"return one {kind} for each item")
        return value

    def check_alike(self, first: int, x: NDArray[Any], row: int, other: NDArray[Any]) -> None:
        """DataError where the numbers of two items have different types, or shapes: but for the
        length of a sequence."""
        if x.shape != other.shape and not fits(x, other):
            shapes = f"{list(other.shape)}, and of {self.name(first)} {list(x.shape)}"
            by = "the Dataset" if self.collate is None else "collate"
            hint = f"make them equal in {by}: resize, cut or fill up to a size of its own"
            if x.ndim == other.ndim <= 2 and x.shape[1:] == other.shape[1:]:
                hint = "sequences of different lengths need numbers with a point: x.float()"
            what = f"x of {self.name(row)} has shape {shapes}"
            raise DataError(what, where=self.where, hint=hint)
        if x.dtype != other.dtype:
            types = f"{other.dtype}, and of {self.name(first)} {x.dtype}"
            hint = "give every item the same type, such as x.float()"
            raise DataError(
                f"x of {self.name(row)} is of type {types}", where=self.where, hint=hint
            )


def _array(x: Tensor) -> NDArray[Any]:
    """The same numbers; numpy has no bfloat16, whose numbers float32 has too."""
    x = x.detach().cpu()
    return (x.float() if x.dtype == torch.bfloat16 else x).numpy()


def class_names(dataset: Any) -> Sequence[str]:
    """The names of the labels 0, 1, ..., where a Dataset has them as an attribute `classes`."""
    names = getattr(getattr(dataset, "dataset", dataset), "classes", ())
    named = isinstance(names, tuple | list) and all(isinstance(each, str) for each in names)
    return tuple(names) if named else ()
