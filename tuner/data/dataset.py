"""A prepared data set: tensors for training and validation, and what the target means."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from tuner.data.columns import Column
from tuner.data.gathered import Features
from tuner.data.identity import Identity
from tuner.data.recipe import Recipe
from tuner.data.spec import Task
from tuner.data.splits import Places
from tuner.data.vocabulary import Vocabulary


@dataclass(frozen=True)
class Split:
    """Rows of one kind.

    Attributes:
        x: float32 [N, *shape]; of a text int32 [N, L], filled up with 0 at the end. Folds may share
            them; then rows are copied as they are taken, ``x[rows]``.
        y: int64 [N], the index of the class; or float32 [N], standardised.
    """

    x: Features
    y: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device | str) -> Split:
        """The same rows on a device; no copy where they are there already."""
        return replace(self, x=self.x.to(device), y=self.y.to(device))


@dataclass(frozen=True)
class Target:
    """What a network's outputs mean.

    Attributes:
        task: classification or regression.
        classes: the classes' names by index; empty for regression.
        mean, scale: of the training rows, in the target's own unit: a prediction is
            output * scale + mean. 0 and 1 for classification.
    """

    task: Task
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class DataSet:
    """The rows that a search may see, never the test rows; or, for a final number, all of them to
    train on, and the test rows as `validation`.

    Attributes:
        train, validation: the rows.
        shape: of one row, without the batch.
        target: what the outputs mean.
        features: names of the numbers of a row, or empty.
        columns: what was decided about each column of a table, or empty.
        vocabulary: what the numbers of a text mean, and their vectors; None for all else.
        positions: where the rows of train and of validation are in the source, ascending; rows of a
            second file come after those of the first.
        test: how many rows are set aside; None where they are in a file of their own.
        recipe: how raw rows became these; None where they did not come from a source.
        note: what people should know of how the rows were taken, or empty.
        rest: the other folds, where there are any, in their order: this is the last. Each was
            prepared by its own training rows alone, so that shapes may differ.
        identity: which rows these are, before preprocessing; None where they did not come from a
            source.
    """

    train: Split
    validation: Split
    shape: tuple[int, ...]
    target: Target
    features: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    vocabulary: Vocabulary | None = None
    positions: tuple[Places, ...] = ()
    test: int | None = None
    recipe: Recipe | None = None
    note: str = ""
    rest: tuple[DataSet, ...] = ()
    identity: Identity | None = field(default=None, repr=False, compare=False)

    @property
    def folds(self) -> tuple[DataSet, ...]:
        """All folds in their order; this alone where there are no others."""
        return (*self.rest, self)

    @property
    def categories(self) -> tuple[range, ...]:
        """Where the numbers of each categorical column stand in a row; empty where none is one."""
        return () if self.recipe is None else self.recipe.categories

    @property
    def outputs(self) -> int:
        """How many numbers a network gives for a row: one per class, or one."""
        return len(self.target.classes) or 1

    def to(self, device: torch.device | str) -> DataSet:
        """The same data set on a device; no copy where it is there already."""
        train, validation = self.train.to(device), self.validation.to(device)
        rest = tuple(fold.to(device) for fold in self.rest)
        return replace(self, train=train, validation=validation, rest=rest)
