"""Leaves to begin with, by what the data is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tuner.study.survey import Survey

MANY = 6
"""With so many categories a column may be better off as a vector."""
LONGEST = 16
"""Numbers of such a vector to begin with."""


@dataclass(frozen=True)
class Line:
    """One leaf or key of a study file.

    Attributes:
        section: of the file; empty for what stands before all sections.
        key, value: as in TOML.
        why: a comment, or nothing.
        active: whether it is said, or suggested in a comment.
    """

    section: str
    key: str
    value: str
    why: str = ""
    active: bool = True

    def __str__(self) -> str:
        said = f"{'' if self.active else '# '}{self.key} = {self.value}"
        return f"{said:<43} # {self.why}" if self.why else said


def model(found: Survey, widths: tuple[int, ...]) -> list[Line]:
    if found.data.vocabulary is not None:
        why = "a convolution over words, or a recurrent network"
        return [Line("model", "family", '{ choices = ["text-cnn", "rnn"] }', why)]
    if len(found.data.shape) == 3:
        return [
            Line("model", "family", '"cnn"', "rows are images"),
            Line("model", "depth", "{ low = 1, high = 3 }"),
            Line("model", "channels", "{ choices = [16, 32] }"),
            Line("model", "residual", "{ choices = [true, false] }"),
        ]
    why = f"for {len(found.data.train):,} rows to train on"
    return [
        Line("model", "family", '"mlp"'),
        Line("model", "depth", "{ low = 1, high = 3 }"),
        Line("model", "width", f"{{ choices = {list(widths)} }}", why),
        *_categories(found),
    ]


def _categories(found: Survey) -> list[Line]:
    """Vectors as rivals of one-hot columns, where a column is long."""
    most = max(map(len, found.data.categories), default=0)
    if most < MANY:
        return []
    size = f"{{ low = 2, high = {min(LONGEST, -(-most // 2))} }}"
    value = f'{{ choices = ["one-hot", {{ name = "embedding", size = {size} }}] }}'
    return [Line("model", "categories", value, f"a column has {most} of them")]


def regularization(found: Survey) -> list[Line]:
    def line(key: str, value: str, why: str = "", active: bool = True) -> Line:
        return Line("regularization", key, value, why, active)

    lines = [line("dropout", "{ off = 0.0, low = 0.05, high = 0.5 }", "off, or in the range")]
    if found.data.vocabulary is None:
        lines.append(line("batch_norm", "{ choices = [true, false] }"))
    if len(found.data.shape) == 1 and len(found.data.features) >= 20:
        why = f"some of {len(found.data.features)} features may be noise"
        lines.append(line("l1_lambda", "{ off = 0.0, low = 1e-6, high = 1e-2, log = true }", why))
    lines.append(line("weight_decay", "{ off = 0.0, low = 1e-5, high = 1e-1, log = true }"))
    if len(found.data.shape) == 3:
        lines.append(line("shift", "{ off = 0.0, low = 0.04, high = 0.12 }"))
        why = "where a mirrored image means the same"
        lines.append(line("horizontal_flip", "{ off = 0.0, low = 0.1, high = 0.5 }", why, False))
    if found.data.target.classes:
        lines.append(line("label_smoothing", "{ off = 0.0, low = 0.01, high = 0.2 }"))
    return lines


def training(found: Survey, epochs: int, batch: int, rare: str) -> list[Line]:
    slow = len(found.data.shape) == 3 or found.data.vocabulary is not None
    sized = f"for {len(found.data.train):,} rows to train on"
    lines: list[tuple[Any, ...]] = [
        ("epochs", str(min(epochs, 10) if slow else epochs), sized),
        ("batch_size", str(min(batch, 128) if slow else batch)),
        ("learning_rate", "{ low = 3e-4, high = 3e-2, log = true }"),
        ("lr_scheduler", '{ choices = ["constant", "cosine"] }'),
    ]
    if rare:
        value = '{ choices = ["none", "sqrt", "balanced"] }'
        lines.append(("class_weights", value, rare))
    return [Line("training", *each) for each in lines]
