"""Reads the folder of an export."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tuner.data import Target, recipe
from tuner.data.labels import SCALES
from tuner.data.recipe import Recipe
from tuner.data.text import Vocabulary
from tuner.errors import UsageError
from tuner.exports import folder as files
from tuner.exports.network import network_of
from tuner.imports import Allowed, allowing, of_person
from tuner.space import walk
from tuner.study import NetworkStudy, load_study

AGAIN = "export it again: tuner export --study NAME --out DIR --force"


@dataclass(frozen=True)
class Model:
    """What an export holds besides its weights.

    Attributes:
        recipe: from raw rows to the network's input.
        target: the meaning of its outputs.
        words: the vocabulary of a text, with vectors of the right size; None for other data.
        features: the name of the array that the network learned from, in an archive.
    """

    folder: Path
    recipe: Recipe
    target: Target
    words: Vocabulary | None
    features: str | None = None


def load(folder: str | Path) -> nn.Module:
    """The network of an export, of plain layers, with its weights, in evaluation mode.

    No database and no data are needed. It takes rows that are prepared as preprocessing.json says.
    For a user's own family the module that makes the network is imported, if it is in the working
    directory or in the folder, or `TUNER_ALLOW` names it; no other code is run.

    Raises:
        UsageError: the folder is no export, or a file in it is damaged.

    Shape:
        ``[B, *shape]`` to ``[B, outputs]``.
    """
    model = read(Path(folder))
    return network(model, of_person((), model.folder))


def network(model: Model, allowed: Allowed) -> nn.Module:
    """The network of an export that was read; it may import the allowed modules."""
    study = load_study(str(model.folder / files.STUDY))
    if not isinstance(study, NetworkStudy) or any(node.searched for node in walk(study.nodes)):
        where = str(model.folder / files.STUDY)
        raise UsageError("is not a study of one configuration", where=where, hint=AGAIN)
    outputs = len(model.target.classes) or 1
    with allowing(allowed):
        config = study.config({})
        learned = model.recipe
        inputs = model.words, learned.categories, learned.numbers
        module = network_of(config, learned.shape, outputs, *inputs)
    weights = _weights(model.folder / files.WEIGHTS)
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        message = f"does not fit the network of {files.STUDY}: {error}"
        raise UsageError(message, where=str(model.folder / files.WEIGHTS), hint=AGAIN) from error
    return module


def read(folder: Path) -> Model:
    """Reads what an export says about rows and outputs.

    Raises:
        UsageError: it is no export, has an unknown format, or is damaged.
    """
    versions = _json(folder / files.VERSIONS) if files.is_export(folder) else {}
    if not versions:
        hint = "tuner export --study NAME --out DIR makes one"
        raise UsageError("is not an export", where=str(folder), hint=hint)
    if versions[files.MARK] != files.FORMAT:
        raise UsageError(
            f"has the format {versions[files.MARK]!r}, and this version reads {files.FORMAT}",
            where=str(folder),
            hint="use the version of tuner named in versions.json",
        )
    file = folder / files.PREPROCESSING
    document = _json(file)
    try:
        learned, target = recipe.from_json(document["input"]), _target(document["target"])
        words = _words(learned, document["word_vectors"])
        features = document["features"]
    except (KeyError, TypeError, ValueError) as error:
        message = f"is damaged: {type(error).__name__}: {error}"
        raise UsageError(message, where=str(file), hint=AGAIN) from error
    return Model(folder, learned, target, words, features)


def _target(about: dict[str, Any]) -> Target:
    classes, form = tuple(about["classes"]), about.get("form", "linear")
    SCALES[form]
    limits = about.get("limits")  # older exports have neither these nor a form
    between = None if limits is None else (float(limits[0]), float(limits[1]))
    return Target(about["task"], classes, about["mean"], about["scale"], form, between)


def _words(learned: Recipe, size: int | None) -> Vocabulary | None:
    """The vocabulary, with vectors of zeros where the training had pretrained ones."""
    if not isinstance(learned, recipe.OfText):
        return None
    known = learned.vocabulary
    return known if size is None else replace(known, vectors=torch.zeros(known.size, size))


def _json(file: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot be read: {error}", where=str(file), hint=AGAIN) from error
    return document


def _weights(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"is damaged: {error}", where=str(file), hint=AGAIN) from error
