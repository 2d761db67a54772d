"""The search that a first study file proposes: its space, its size, and what it tries first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuner.output import toml

if TYPE_CHECKING:
    from tuner.data import DataSet


@dataclass(frozen=True)
class Line:
    """One leaf or key of a study file.

    Attributes:
        section: of the file; empty before all sections.
        key, value: as in TOML.
        why: a comment, or nothing.
        active: whether it counts, or is only suggested in a comment.
    """

    section: str
    key: str
    value: str
    why: str = ""
    active: bool = True

    def __str__(self) -> str:
        text = f"{'' if self.active else '# '}{self.key} = {self.value}"
        return f"{text:<43} # {self.why}" if self.why else text


# How long a trial trains, and on how much at once. Networks learn by steps: where rows are few,
# many epochs are few steps.


SIZES = (
    (1_000, 32, (32, 64, 128, 256)),
    (10_000, 128, (64, 128, 256, 512)),
    (100_000, 256, (128, 256, 512)),
)
"""Up to so many rows to train on: batch size and widths."""
LARGEST = (1024, (128, 256, 512))
WEIGHTS = 5_000_000
"""Where a row has very many numbers, widths are those of at most so many weights."""
LARGER_BATCH = 4
"""Where rows are few, a batch so many times larger is tried too: fewer and calmer steps."""
SHORTEST = 8
"""Epochs of a trial at least, however many the rows are."""
STEPS, LONGEST = 3_000, 256
"""Steps of a trial, and how many epochs it may take for them where rows are few."""
IMAGE_STEPS, IMAGE_LONGEST = 1_500, 400
"""The same of networks for images."""
SLOW_STEPS, SLOW_LONGEST = 600, 100
"""The same of networks for texts and sequences."""
SLOW_BATCH = 128
"""The largest batch of networks for images, texts and sequences."""
LARGE_IMAGE = 32
"""From such a side on, an image is halved more often, and the network is deeper."""
FEW_IMAGES, SMALL_BATCH = 500, 16
"""Up to so many images to train on, batches are smaller: an epoch of them has more steps."""
MANY_EPOCHS = 64
"""From so many epochs on, those of a network for tables are searched: few rows are soon learned by
heart. So is early stopping, which takes the best epoch, and with few rows to validate also luck."""


@dataclass(frozen=True)
class Size:
    """The extent of a trial.

    Attributes:
        rows: to train on.
        epochs, batch: of a trial; the most epochs, where their number is searched.
        widths: of a network for tables.
        begin: epochs to begin with, where their number is searched.
    """

    rows: int
    epochs: int
    batch: int
    widths: tuple[int, ...]
    begin: int | None

    def lines(self) -> list[tuple[str, str, str]]:
        steps = self.epochs * -(-self.rows // self.batch)
        why = f"{steps:,} steps, for {self.rows:,} rows to train on"
        small = "small, so that few rows make many steps" * (self.batch == SMALL_BATCH)
        least = max(SHORTEST, self.epochs // 16)
        value = f"{{ low = {least}, high = {self.epochs}, log = true }}"
        epochs = (
            ("epochs", value, f"up to {why}") if self.begin else ("epochs", str(self.epochs), why)
        )
        batch = _choices(self.batches) if len(self.batches) > 1 else str(self.batch)
        return [epochs, ("batch_size", batch, small)]

    @property
    def batches(self) -> tuple[int, ...]:
        """The sizes of a batch that are searched."""
        few = self.begin is not None and self.rows <= SIZES[0][0]
        return (self.batch, LARGER_BATCH * self.batch) if few else (self.batch,)


def size_of(data: DataSet) -> Size:
    """The extent of a trial on this data."""
    rows = len(data.train)
    known = (each[1:] for each in SIZES if rows <= each[0])
    batch, listed = next(known, LARGEST)
    inputs = math.prod(data.shape)
    widths = tuple(each for each in listed if each * inputs <= WEIGHTS) or listed[:1]
    if not is_slow(data):
        epochs = _epochs(rows, batch, STEPS, LONGEST)
        begin = epochs // 4 if epochs >= MANY_EPOCHS else None
        return Size(rows, epochs, batch, widths, begin)
    batch = min(batch, SLOW_BATCH)
    if len(data.shape) != 3:
        return Size(rows, _epochs(rows, batch, SLOW_STEPS, SLOW_LONGEST), batch, widths, None)
    batch = SMALL_BATCH if rows <= FEW_IMAGES else batch
    return Size(rows, _epochs(rows, batch, IMAGE_STEPS, IMAGE_LONGEST), batch, widths, None)


def _epochs(rows: int, batch: int, steps: int, longest: int) -> int:
    """How many epochs have so many steps, within bounds."""
    return min(max(steps // -(-rows // batch), SHORTEST), longest)


def is_slow(data: DataSet) -> bool:
    """Whether its networks are for images, texts or sequences of numbers."""
    return len(data.shape) in (2, 3) or data.vocabulary is not None or data.padded


# The space.


MANY = 6
"""With so many categories a column may be better off as a vector."""
LONGEST_VECTOR = 16
"""Numbers of such a vector to begin with."""
EMBEDDED = 100
"""Up to so many quantities, a network may take each by an embedding."""
NOISE = 20
"""Of so many features, some may be noise."""


@dataclass(frozen=True)
class Space:
    """What the data says about the space.

    Attributes:
        data: the rows.
        size: of a trial.
        judges: what the metric judges of a classification: classes, ranks or probabilities.
        rare: the rarest class in words, where classes count alike although one is rare; or empty.
        preprocessing: whether it is searched.
    """

    data: DataSet
    size: Size
    judges: str
    rare: str
    preprocessing: bool

    @property
    def for_table(self) -> bool:
        return len(self.data.shape) == 1 and not is_slow(self.data)

    @property
    def embeds(self) -> bool:
        """Whether the embedding of quantities is searched."""
        return self.for_table and 1 <= len(self.data.numbers) <= EMBEDDED

    @property
    def vector(self) -> int:
        """The largest vector of a category that is searched; 0 for none."""
        most = max(map(len, self.data.categories), default=0)
        return min(LONGEST_VECTOR, -(-most // 2)) if self.for_table and most >= MANY else 0

    @property
    def deepest(self) -> int:
        """The deepest network for images."""
        return 4 if min(self.data.shape[1:]) >= LARGE_IMAGE else 3

    @property
    def smooths(self) -> bool:
        """Whether smoothed labels are searched: they bend probabilities, and so their order."""
        return bool(self.data.target.classes) and self.judges == "classes"

    def lines(self) -> tuple[Line, ...]:
        """The lines of [model], [regularization] and [training]."""
        model = self._model() if self.for_table else self._model_of_signals()
        return (
            *(Line("model", *each) for each in model),
            *(Line("regularization", *each) for each in self._regularization()),
            *(Line("training", *each) for each in self._training()),
        )

    def _model_of_signals(self) -> list[tuple[Any, ...]]:
        if self.data.vocabulary is not None:
            why = "a convolution over words, or a recurrent network"
            return [("family", '{ choices = ["text-cnn", "rnn"] }', why)]
        if len(self.data.shape) == 2 or self.data.padded:
            return self._model_of_sequences()
        if len(self.data.shape) != 3:
            return [
                ("family", '"mlp"'),
                ("depth", "{ low = 1, high = 3 }"),
                ("width", _choices(self.size.widths)),
            ]
        return [
            ("family", '"cnn"', "rows are images"),
            ("depth", f"{{ low = 1, high = {self.deepest} }}"),
            ("channels", "{ choices = [16, 32] }"),
            ("residual", "{ choices = [true, false] }"),
        ]

    def _model_of_sequences(self) -> list[tuple[Any, ...]]:
        shape = list(self.data.shape)
        steps = f"{shape[0]} steps of {math.prod(shape[1:])}"
        why = f"rows are sequences, {steps}; if images: shape = {[1, *shape]}"
        if self.data.padded:
            why = f"rows are sequences, up to {steps}"
        return [
            ("family", '{ choices = ["rnn", "transformer"] }', why),
            ("depth", "{ low = 1, high = 3 }"),
            ("width", "{ choices = [32, 64, 128] }", "of an rnn"),
            ("heads", "{ choices = [2, 4, 8] }", "of a transformer"),
        ]

    def _model(self) -> list[tuple[Any, ...]]:
        lines: list[tuple[Any, ...]] = [
            ("family", '"mlp"'),
            ("depth", "{ low = 1, high = 4 }"),
            ("width", _choices(self.size.widths), f"for {self.size.rows:,} rows to train on"),
            ("activation", _choices(("relu", "silu", "mish", "selu"))),
        ]
        if self.vector:
            most = max(map(len, self.data.categories))
            vector = f'{{ name = "embedding", size = {{ low = 2, high = {self.vector} }} }}'
            value = f'{{ choices = ["one-hot", {vector}] }}'
            lines.append(("categories", value, f"a column has {most} of them"))
        if self.embeds:
            bins = '{ name = "piecewise-linear", bins = { low = 8, high = 32, log = true } }'
            scale = "scale = { low = 0.01, high = 10.0, log = true }"
            waves = f'{{ name = "periodic", form = "pbld", size = 4, {scale} }}'
            why = "a quantity as it is, by bins or as waves"
            lines.append(("numbers", f'{{ choices = ["plain", {bins}, {waves}] }}', why))
        lines.append(("input_scale", "{ choices = [true, false] }"))
        why = "networks in one: often better, at about as many times the time"
        lines.append(("members", "{ off = 1, low = 8, high = 32 }", why, False))
        return lines

    def _regularization(self) -> list[tuple[Any, ...]]:
        lines: list[tuple[Any, ...]] = [
            ("dropout", "{ off = 0.0, low = 0.05, high = 0.5 }", "off, or in the range")
        ]
        if self.data.vocabulary is None and len(self.data.shape) != 2:
            lines.append(("batch_norm", "{ choices = [true, false] }"))
        if self.for_table and len(self.data.features) >= NOISE:
            why = f"some of {len(self.data.features)} features may be noise"
            lines.append(("l1_lambda", "{ off = 0.0, low = 1e-6, high = 1e-2, log = true }", why))
        most = "1.0" if self.for_table else "1e-1"
        lines.append(("weight_decay", f"{{ off = 0.0, low = 1e-5, high = {most}, log = true }}"))
        if len(self.data.shape) == 3:
            lines.append(("shift", "{ off = 0.0, low = 0.04, high = 0.12 }"))
            why = "where a mirrored image means the same"
            lines.append(("horizontal_flip", "{ off = 0.0, low = 0.1, high = 0.5 }", why, False))
            why = "where a part of an image, larger, means the same"
            lines.append(("crop_resize", "{ off = 0.0, low = 0.1, high = 0.6 }", why, False))
            why = "where colours and angles do not matter"
            lines.append(("trivial_augment", "{ off = 0.0, low = 0.2, high = 1.0 }", why, False))
        if self.size.begin:
            epochs = self.size.epochs
            value = f"{{ off = 0, low = {epochs // 4}, high = {epochs}, log = true }}"
            lines.append(("early_stopping", value, "on: the best epoch counts, not the last"))
        if self.smooths:
            lines.append(("label_smoothing", "{ off = 0.0, low = 0.01, high = 0.2 }"))
        return lines

    def _training(self) -> list[tuple[Any, ...]]:
        schedules: tuple[str, ...] = ("constant", "cosine")
        lines: list[tuple[Any, ...]] = [
            *self.size.lines(),
            ("learning_rate", "{ low = 3e-4, high = 3e-2, log = true }"),
        ]
        if self.for_table:
            beta2 = "beta2 = { choices = [0.95, 0.999] }"
            lines.append(("optimizer", f'{{ name = "adam", {beta2} }}'))
            lines.append(("scale_rate", "20.0", "times the learning rate, for input_scale"))
            schedules += ("coslog4", "flat-cosine")
        lines.append(("lr_scheduler", _choices(schedules)))
        if self.rare:
            lines.append(("class_weights", _choices(("none", "sqrt", "balanced")), self.rare))
        return lines

    def known_good(self) -> dict[str, dict[str, Any]]:
        """Configurations that are good on most data, by what they are; all within the space.

        That for images normalizes each block and anneals the rate.

        For tables, the rate of the first is that of RealMLP-TD in the usual parametrization: there,
        weights are divided by the root of their inputs, and so is the step; the decay of a step is
        the rate times `weight_decay` in both. It trains to the end, and its best epoch counts.
        """
        if len(self.data.shape) == 3:
            name = "a usual network of convolutions (Simonyan and Zisserman 2015)"
            return {name: self._known_for_images()}
        if not self.for_table:
            return {}
        vector = min(8, self.vector)
        both = {
            "width": min(256, self.size.widths[-1]),
            "categories": "embedding" if vector else None,
            "embedding.size": vector or None,
            "class_weights": "balanced" if self.rare else None,
        }
        classes = bool(self.data.target.classes)
        realmlp = {
            "depth": 3,
            "activation": "selu" if classes else "mish",
            "numbers": "periodic" if self.embeds else None,
            "input_scale": True,
            "dropout": 0.15,
            "weight_decay": 0.3,
            "label_smoothing": 0.1 if self.smooths else None,
            "learning_rate": 3e-3 if classes else 1.2e-2,
            "batch_size": self.size.batches[-1] if len(self.size.batches) > 1 else None,
            "epochs": self.size.epochs if self.size.begin else None,
            "early_stopping": self.size.epochs if self.size.begin else None,
            "adam.beta2": 0.95,
            "lr_scheduler": "coslog4",
            "preprocessing": "robust" if self.preprocessing else None,
        }
        plain = {
            "depth": 2,
            "numbers": "piecewise-linear" if self.embeds else None,
            "dropout": 0.1,
            "weight_decay": 0.01,
            "learning_rate": 2e-3,
            "lr_scheduler": "cosine",
            "epochs": self.size.begin,
        }
        known = {
            "close to RealMLP-TD (Holzmüller et al. 2024)": realmlp,
            "a strong plain network (Gorishniy et al. 2022)": plain,
        }
        return {
            name: {key: value for key, value in {**each, **both}.items() if value is not None}
            for name, each in known.items()
        }

    def _known_for_images(self) -> dict[str, Any]:
        known = {
            "depth": self.deepest,
            "channels": 16,
            "batch_norm": True,
            "shift": 0.08,
            "learning_rate": 3e-3,
            "lr_scheduler": "cosine",
            "class_weights": "balanced" if self.rare else None,
        }
        return {name: value for name, value in known.items() if value is not None}


MOST_TRIALS = 1000
"""Of a search whose budget is time."""


def search(space: Space, budget: str | None = None) -> list[Line]:
    """The lines of [search]; for a budget in time, such as "10m", trials are hardly limited."""
    trials = 30 if space.size.rows > 10_000 else 60
    work = trials * space.size.epochs // 3
    lines = [
        Line("search", "trials", str(trials)),
        Line("search", "epochs", str(work), "in work instead, if most trials end early", False),
    ]
    if budget is not None:
        lines = [
            Line("search", "timeout", toml(budget), "the budget, of each run"),
            Line("search", "trials", str(MOST_TRIALS), "at most"),
        ]
    if space.size.begin:
        value = toml({"epochs": space.size.begin})
        lines.append(Line("search", "baseline", value, "of trial 0, whose techniques are off"))
    known = space.known_good()
    if known:
        value = "\n".join(("[", *(f"    {toml(each)}," for each in known.values()), "]"))
        lines.append(Line("search", "enqueue", value, "; ".join(known)))
    return lines


def _choices(values: Sequence[Any]) -> str:
    return f"{{ choices = {toml(list(values))} }}"
