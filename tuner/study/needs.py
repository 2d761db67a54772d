"""What a family or a technique may need of the data; StudyFileError where it is not so."""

from __future__ import annotations

from tuner.data import DataSet
from tuner.errors import StudyFileError
from tuner.models import FAMILIES
from tuner.models.categories import FEWEST


def needs_text(where: str, text: bool, numbers: bool, data: DataSet) -> None:
    """With `text` rows must be words, with `numbers` they must not."""
    if text and data.vocabulary is None:
        raise StudyFileError(
            f"needs text, but a row is numbers of shape {list(data.shape)}",
            where=where,
            hint='name the column of text: [data] text = "review"',
        )
    if numbers and data.vocabulary is not None:
        fitting = ", ".join(family.name for family in FAMILIES.values() if family.text)
        raise StudyFileError(
            "needs numbers that can be added and scaled, but a row is text",
            where=where,
            hint=f"families for text: {fitting}" if "family" in where else "leave it out",
        )


def needs_shape(where: str, images: bool, classes: bool, data: DataSet) -> None:
    """With `images` rows must be images, with `classes` there must be some."""
    if images and len(data.shape) != 3:
        words = data.vocabulary is not None
        raise StudyFileError(
            f"needs images of shape [C, H, W], but a row has shape {list(data.shape)}",
            where=where,
            hint="leave it out" if words else "say the shape: [data] shape = [1, 8, 8]",
        )
    if classes and data.target.task != "classification":
        raise StudyFileError("needs classes, but the data is for regression", where=where)


def needs_categories(where: str, data: DataSet) -> None:
    """In some fold a column must have enough categories to be worth a vector for each."""
    if not any(len(column) >= FEWEST for fold in data.folds for column in fold.categories):
        raise StudyFileError(
            "needs a column of more than two categories, and the data has none",
            where=where,
            hint="leave it out; tuner check says what was decided about each column",
        )
