"""The section ``[data]`` of a study file as a checked record."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from tuner.errors import DataError
from tuner.space import Leaf, declare

TASKS = ("auto", "classification", "multilabel", "regression")
TARGET_SCALES = ("linear", "log", "log1p")
"""Scales on which a quantity is learned; see ``tuner.data.labels.SCALES``."""
LEFT_OUT = ("drop", "refuse")
COPIES = ("together", "apart")
TABLES = (".csv", ".tsv", ".txt", ".parquet")
"""Files, gzipped or not, in which the target is a column and has to be named."""

APART = (
    ("group", "time"),
    ("group", "split"),
    ("time", "split"),
    ("test_path", "source"),
    ("path", "collate"),
    ("test_path", "split"),
    ("test", "test_path"),
    ("test", "split"),
    ("text", "shape"),
)
"""Keys of a study file that contradict each other."""
DIVISIONS = (1, 2, 3)
"""Rules by which rows are read and divided. The first shuffles them anew where rows are appended,
and takes all text for categories. By the second the rows that were there stay in their split, text
may be numbers or dates, which are dropped, and the channels of an array may come last. By the third
dates are features, yes and no one number, rows without a label and of rare classes are left
out, equal rows stay in one split, and columns that say the same as another are dropped."""
WISHES = ("categories", "day_first", "month_first")
"""Keys that list columns to be read in one way, whatever they look like."""
OF_TEXT = ("vectors", "vocabulary", "min_count", "max_length")
"""Keys that mean nothing without a column of text."""


FOLDS = Leaf(
    "folds",
    int,
    None,
    minimum=2,
    doc="parts of the rows, each for validation once; a trial takes the mean over them",
)
"""In a study file ``validation = { folds = 5 }``."""


@dataclass(frozen=True)
class DataSpec:
    """Where the rows come from and how they are divided: each field is a key of ``[data]``.

    Either `source` or `path` is given. A relative path is looked for beside the study file, then in
    the working directory.

    Attributes:
        folds: as FOLDS; without them `validation` is the share of rows for validation.
        preprocessing: see ``tuner.study.catalogue.PREPROCESSING``: trials may differ in it.
        division: by which rule rows are read and divided, of DIVISIONS. No key of a study file: a
            study that is stored keeps the rule that it began with.

    Raises:
        DataError: values do not go together.
    """

    source: str | None = declare(str, None, '"module:function", called without arguments')
    path: str | None = declare(str, None, "a file or folder; $NAME is an environment variable")
    target: str | tuple[str, ...] | None = declare(
        str,
        None,
        "the column to predict, or several: labels of yes and no, or quantities; or the array of "
        "labels in an NPZ file",
    )
    features: str | None = declare(str, None, "the array of features in an NPZ file")
    task: Literal["auto", "classification", "multilabel", "regression"] = declare(
        str, "auto", "kind of target; auto: the labels decide", options=dict.fromkeys(TASKS, ())
    )
    labels_separator: str | None = declare(
        str,
        None,
        "what stands between the labels in a target that holds several, such as the semicolon in "
        '"red;round"; an empty one has none',
    )
    target_scale: Literal["linear", "log", "log1p"] = declare(
        str,
        "linear",
        "scale on which a quantity is learned: linear, log (for targets above 0), or log1p, the "
        "log of 1 more (above -1); predictions and metrics stay in the target's unit",
        options=dict.fromkeys(TARGET_SCALES, ()),
    )
    target_clip: bool = declare(
        bool, False, "clip predictions of a quantity to its range in the training rows"
    )
    validation: float = declare(
        float,
        0.2,
        "fraction of rows for validation, or folds, over which a trial takes the mean",
        above=0,
        below=1,
    )
    folds: int | None = None
    test: float = declare(
        float,
        0.2,
        "fraction of rows for the test, which the search never sees",
        minimum=0,
        below=1,
    )
    seed: int = declare(int, 0, "seed of the split", minimum=0)
    shape: tuple[int, ...] | None = declare(
        list,
        None,
        "sizes of one row, such as [1, 8, 8] for an image; default: those of the source",
        items=int,
        minimum=1,
    )
    resize: tuple[int, ...] | None = declare(
        list,
        None,
        "height and width of all images of a folder, such as [48, 64]; each is resized whole, and "
        "those of other proportions are squeezed; default: their own, where all have the same",
        items=int,
        minimum=1,
        maximum=16_384,
    )
    group: str | None = declare(str, None, "a column whose groups are never divided")
    time: str | None = declare(str, None, "a column: train before validation before test")
    split: str | None = declare(
        str,
        None,
        "a column that says train, validation or test; or 'folder': folders of images say so",
    )
    test_path: str | None = declare(
        str, None, "a second file or folder, with the test rows; path has all others"
    )
    weight: str | None = declare(
        str,
        None,
        "a column, or the array of an NPZ file, that says how much each row counts; not a feature",
    )
    preprocessing: str = "standard"
    text: str | None = declare(str, None, "a column of text, then the only feature")
    vectors: str | None = declare(
        str,
        None,
        "file of pretrained word vectors, in the text format of GloVe or word2vec; empty: none",
    )
    vocabulary: int = declare(
        int,
        20_000,
        "largest size of the vocabulary: the most frequent words of the training rows",
        minimum=1,
    )
    min_count: int = declare(int, 1, "smallest count of a word in the vocabulary", minimum=1)
    max_length: int = declare(int, 256, "longest text, in words; longer ones are cut", minimum=1)
    drop: tuple[str, ...] = declare(list, (), "columns to drop from the features", items=str)
    keep: tuple[str, ...] = declare(
        list,
        (),
        "columns to keep as they are although they look like identifiers, copies or dates",
        items=str,
    )
    categories: tuple[str, ...] = declare(
        list, (), "columns whose values are categories, whatever they look like", items=str
    )
    day_first: tuple[str, ...] = declare(
        list, (), "columns of dates in which 1/2/2024 is in February", items=str
    )
    month_first: tuple[str, ...] = declare(
        list, (), "columns of dates in which 1/2/2024 is in January", items=str
    )
    unlabelled: Literal["drop", "refuse"] = declare(
        str, "drop", "what becomes of rows without a label", options=dict.fromkeys(LEFT_OUT, ())
    )
    rare: Literal["drop", "refuse"] = declare(
        str,
        "drop",
        "what becomes of classes with fewer rows than there are splits",
        options=dict.fromkeys(LEFT_OUT, ()),
    )
    copies: Literal["together", "apart"] = declare(
        str,
        "together",
        "whether rows that are equal stay in one split",
        options=dict.fromkeys(COPIES, ()),
    )
    collate: str | None = declare(
        str,
        None,
        '"module:function" that makes a batch of a list of items of a Dataset, as for a DataLoader',
    )
    readers: int = declare(
        int, 0, "processes that read the rows of a large Dataset ahead, for each worker", minimum=0
    )
    in_memory: int | None = declare(
        int,
        None,
        "MB of float32 up to which rows are held in memory, larger ones are read as they are "
        "needed; default: 256 for a Dataset, half of the machine's memory for all else",
        minimum=0,
    )
    division: int = DIVISIONS[-1]

    def __post_init__(self) -> None:
        if self.shape == ():
            hint = "give the sizes of one row, such as [1, 8, 8]"
            raise DataError("[] is not a shape", where="data.shape", hint=hint)
        if self.resize is not None and len(self.resize) != 2:
            raise DataError(
                f"{list(self.resize)} is not a height and a width",
                where="data.resize",
                hint="give both, such as [48, 64]",
            )
        self._check_origin()
        self._check_targets()
        self._check_shares()
        self._check_division()
        self._check_text()

    def _check_origin(self) -> None:
        if (self.source is None) == (self.path is None):
            given = "neither source nor path" if self.source is None else "both source and path"
            raise DataError(
                f"{given} given",
                where="data",
                hint='give one: source = "module:function", or path = "table.csv" with target',
            )
        if self.path is not None and self.collate is not None:
            raise DataError(
                "is for the items of a Dataset, which a source returns",
                where="data.collate",
                hint="remove collate",
            )
        named = (self.path or "").lower().removesuffix(".gz").endswith(TABLES)
        if named and self.target is None:
            raise DataError(
                "no target given",
                where="data.target",
                hint='name the column to predict: target = "label"',
            )

    def _check_targets(self) -> None:
        names = self.targets
        twice = len(set(names)) < len(names)
        if isinstance(self.target, tuple) and (len(names) < 2 or twice):
            what = f"{names[-1]!r} is named twice" if twice else "lists fewer than two columns"
            hint = 'name one column as text, target = "a", or several, target = ["a", "b"]'
            raise DataError(what, where="data.target", hint=hint)
        self._check_separator()
        if len(names) > 1 and (self.path or "").lower().endswith(".npz"):
            hint = 'name one array [N, K] with a column for each: target = "y"'
            raise DataError("lists several arrays", where="data.target", hint=hint)

    def _check_separator(self) -> None:
        if self.labels_separator is None:
            return
        where = "data.labels_separator"
        if not self.labels_separator:
            raise DataError("is empty", where=where, hint='give a sign, such as ";"')
        if len(self.targets) > 1:
            hint = "name that column alone, or remove labels_separator"
            raise DataError("is for one column that holds all labels", where=where, hint=hint)
        if self.task not in ("auto", "multilabel"):
            hint = f"remove it, or task = {self.task!r}"
            raise DataError("makes labels, of which several apply to a row", where=where, hint=hint)

    def _check_text(self) -> None:
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
    def targets(self) -> tuple[str, ...]:
        """The columns to predict."""
        return (self.target,) if isinstance(self.target, str) else self.target or ()

    @property
    def dividing(self) -> tuple[str, ...]:
        """The columns that divide rows and are no features."""
        return tuple(name for name in (self.group, self.time, self.split) if name is not None)

    def _check_division(self) -> None:
        both = sorted({*self.drop} & {*self.keep, *self.targets, self.text, *self.dividing})
        if both:
            raise DataError(
                f"column {both[0]!r} is used, so it cannot be dropped",
                where="data.drop",
                hint="name it only once",
            )
        self._check_wishes()
        self._check_weight()
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

    def _check_weight(self) -> None:
        """DataError where the weights are used for something else."""
        others = (*self.targets, self.text, self.features, *self.dividing, *self.drop)
        if self.weight is not None and self.weight in others:
            raise DataError(
                f"{self.weight!r} is used for something else",
                where="data.weight",
                hint="name it only once",
            )

    def _check_wishes(self) -> None:
        """DataError where a column is to be two things."""
        named: dict[str, str] = dict.fromkeys(self.drop, "drop")
        for key in WISHES:
            for name in getattr(self, key):
                if name in named:
                    raise DataError(
                        f"column {name!r} is in {named[name]} too",
                        where=f"data.{key}",
                        hint="name it only once",
                    )
                named[name] = key

    def _check_shares(self) -> None:
        if self.folds is None and math.fsum((self.validation, self.test)) >= 1:
            raise DataError(
                f"validation = {self.validation} and test = {self.test} leave nothing to train on",
                where="data",
                hint="their sum must be below 1",
            )
