"""The section ``[data]`` of a study file as a checked record."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from tuner.errors import DataError, nearest

TASKS = ("auto", "classification", "regression")
TABLES = (".csv", ".tsv", ".txt", ".parquet")
"""Files, gzipped or not, in which the target is a column and has to be named."""

APART = (
    ("group", "time"),
    ("group", "split"),
    ("time", "split"),
    ("test_path", "source"),
    ("test_path", "split"),
    ("test", "test_path"),
    ("test", "split"),
    ("text", "shape"),
)
"""Keys of a study file that do not go together: each says otherwise where rows belong, or what they
are."""
DIVISIONS = (1, 2)
"""Rules by which rows are read and divided. The first shuffles them anew where rows are appended,
and takes text for categories whatever it says. By the second those that were there stay where they
are, text may be numbers or dates, and the channels of an array may come last."""
OF_TEXT = ("vectors", "vocabulary", "min_count", "max_length")
"""Keys that mean nothing without a column of text."""


@dataclass(frozen=True)
class DataSpec:
    """Where the rows come from and how they are divided; DataError for what cannot be.

    Attributes:
        source: "module:function", called without arguments. Either this or `path`.
        path: a file or folder; a relative one is looked for beside the study file, then in the
            working directory. It may hold environment variables ($NAME).
        target: the column to predict; or the array with the labels, in an archive of arrays.
        features: the array with the features, in an archive of arrays.
        task: "auto" decides by the labels.
        validation: share of all rows that the search sees, in (0, 1); without `folds`.
        folds: parts of the rows, each for validation once, at least 2; None without them. In a
            study file `validation = { folds = 5 }`.
        test: share of all rows that the search never sees, in [0, 1).
        seed: decides which row goes where, at least 0.
        shape: of one row, such as (1, 8, 8) for an image; by default as the source gives it, but
            that images whose channels come last are turned.
        group: a column; rows of one group are never divided.
        time: a column; training rows are before those for validation, and these before the test.
        split: a column that says train, validation or test; "folder" of a folder of images, whose
            folders train, validation (or val, valid, dev) and test then say so.
        test_path: a second file or folder with the test rows; all rows of `path` are then for
            training and validation.
        preprocessing: "standard" gives each feature mean 0 and deviation 1 over the training
            rows (each channel, for a shape [C, H, W]); "quantile" gives normal scores of the ranks
            among them, "uniform" the ranks; "none" leaves the numbers alone.
        text: a column of text, which is then the only feature.
        vectors: a file with pretrained word vectors, in the text format of GloVe or word2vec; it
            may hold environment variables, and empty, as in "${GLOVE:-}", it is none.
        vocabulary: how many words are known at most, the most frequent of the training rows.
        min_count: how often a word stands in the training rows at least, to be known.
        max_length: a text is cut after so many words and signs.
        drop: columns that are no features.
        keep: columns that are features although they look like identifiers.
        division: by which rule rows are read and divided, of DIVISIONS. No key of a study file: a
            study that is stored keeps the rule that it began with.
    """

    source: str | None = None
    path: str | None = None
    target: str | None = None
    features: str | None = None
    task: Literal["auto", "classification", "regression"] = "auto"
    validation: float = 0.2
    folds: int | None = None
    test: float = 0.2
    seed: int = 0
    shape: tuple[int, ...] | None = None
    group: str | None = None
    time: str | None = None
    split: str | None = None
    test_path: str | None = None
    preprocessing: Literal["standard", "quantile", "uniform", "none"] = "standard"
    text: str | None = None
    vectors: str | None = None
    vocabulary: int = 20_000
    min_count: int = 1
    max_length: int = 256
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    division: int = DIVISIONS[-1]

    def __post_init__(self) -> None:
        self._check_origin()
        self._check_fractions()
        self._check_division()
        self._check_text()
        if self.task not in TASKS:
            raise DataError(
                f"unknown task {self.task!r}", where="data.task", hint=nearest(self.task, TASKS)
            )
        if self.seed < 0:
            raise DataError(f"{self.seed} is below 0", where="data.seed")
        if self.shape is not None and (not self.shape or min(self.shape) < 1):
            raise DataError(
                f"{list(self.shape)} is not a shape",
                where="data.shape",
                hint="give the sizes of one row, such as [1, 8, 8]",
            )

    def _check_origin(self) -> None:
        if (self.source is None) == (self.path is None):
            found = "neither source nor path" if self.source is None else "both source and path"
            raise DataError(
                f"{found} given",
                where="data",
                hint='give one: source = "module:function", or path = "table.csv" with target',
            )
        named = (self.path or "").lower().removesuffix(".gz").endswith(TABLES)
        if named and self.target is None:
            raise DataError(
                "no target given",
                where="data.target",
                hint='name the column to predict: target = "label"',
            )

    def _check_text(self) -> None:
        for key in ("vocabulary", "min_count", "max_length"):
            if getattr(self, key) < 1:
                raise DataError(f"{getattr(self, key)} is below 1", where=f"data.{key}")
        if self.text is not None and self.shape is not None:
            raise DataError(
                "cannot be combined with text, whose length decides the shape",
                where="data.shape",
                hint="remove shape, or text",
            )
        if self.text is None and self.vectors is not None:
            raise DataError(
                "word vectors need a text column",
                where="data.vectors",
                hint='name the column: text = "review"',
            )

    @property
    def dividing(self) -> tuple[str, ...]:
        """The columns that divide rows and are no features."""
        return tuple(name for name in (self.group, self.time, self.split) if name is not None)

    def _check_division(self) -> None:
        both = sorted({*self.drop} & {*self.keep, self.target, self.text, *self.dividing})
        if both:
            raise DataError(
                f"column {both[0]!r} is used, so it cannot be dropped",
                where="data.drop",
                hint="name it only once",
            )
        if len(self.dividing) > 1:
            raise DataError(
                f"rows can be split by one column, not by {' and '.join(self.dividing)}",
                where="data",
                hint="give one of group, time and split",
            )
        if self.folds is not None and self.split is not None:
            raise DataError(
                "folds cannot be combined with split, which names the validation rows",
                where="data.validation",
                hint="remove split, or give a share: validation = 0.2",
            )
        if self.test_path is None:
            return
        for key in ("source", "split"):
            if getattr(self, key) is not None:
                raise DataError(
                    f"cannot be combined with {key}",
                    where="data.test_path",
                    hint=f"give either test_path or {key}",
                )

    def _check_fractions(self) -> None:
        if self.folds is not None and self.folds < 2:
            raise DataError(
                f"{self.folds} is below 2",
                where="data.validation.folds",
                hint="use at least 2 folds, such as 5",
            )
        if not 0 < self.validation < 1:
            raise DataError(
                f"{self.validation} is not between 0 and 1",
                where="data.validation",
                hint="give the share of all rows to validate on, such as 0.2",
            )
        if not 0 <= self.test < 1:
            raise DataError(
                f"{self.test} is not 0 or between 0 and 1",
                where="data.test",
                hint="give the share of all rows to keep for the test, such as 0.2",
            )
        if self.folds is None and math.fsum((self.validation, self.test)) >= 1:
            raise DataError(
                f"validation = {self.validation} and test = {self.test} leave nothing to train on",
                where="data",
                hint="their sum must be below 1",
            )
