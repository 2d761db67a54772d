"""Reads the folder of an export."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tuner.data import Target, recipe
from tuner.data.recipe import Recipe
from tuner.data.text import Vocabulary
from tuner.errors import UsageError
from tuner.exports import folder as files
from tuner.exports.network import Average, network_of, parts, with_temperature
from tuner.imports import Allowed, allowing, of_person
from tuner.models.mlp import average_as
from tuner.space import walk
from tuner.study import NetworkStudy, load_study

AGAIN = "export it again: tuner export --study NAME --out DIR --force"


@dataclass(frozen=True)
class MemberFile:
    """What an export says of a member of its ensemble.

    Attributes:
        study: the name of the study file with its configuration.
        input: the number of its recipe.
        weight: of its predictions.
    """

    study: str
    input: int
    weight: float


@dataclass(frozen=True)
class Model:
    """What an export holds besides its weights.

    Attributes:
        recipe: from raw rows to the network's input; of an ensemble the first member's.
        target: the meaning of its outputs.
        words: for each recipe the vocabulary of a text, with vectors of the right size; None for
            other data.
        features: the name of the array that the network learned from, in an archive.
        more: of an ensemble whose members differ in preprocessing, the other recipes; the input
            holds the numbers of all, one after the other along the first axis of a row.
        members: of an ensemble.
        of_member: the meaning of a member's outputs.
        temperature: by which the outputs are divided; 1 leaves them.
    """

    folder: Path
    recipe: Recipe
    target: Target
    words: tuple[Vocabulary | None, ...]
    features: str | None = None
    more: tuple[Recipe, ...] = ()
    members: tuple[MemberFile, ...] = ()
    of_member: Target | None = None
    temperature: float = 1.0

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        return self.recipe, *self.more

    @property
    def studies(self) -> tuple[Path, ...]:
        """The study files, one for each configuration."""
        names = dict.fromkeys(each.study for each in self.members) or [files.STUDY]
        return tuple(self.folder / name for name in names)


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
    with allowing(allowed):
        module = _plain(model, files.STUDY, 0) if model.of_member is None else _average(model)
    module = with_temperature(module, model.temperature)
    weights = _weights(model.folder / files.WEIGHTS)
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        names = ", ".join(file.name for file in model.studies)
        message = f"does not fit the network of {names}: {error}"
        raise UsageError(message, where=str(model.folder / files.WEIGHTS), hint=AGAIN) from error
    return module


def _average(model: Model) -> nn.Module:
    members = model.members
    networks = [_plain(model, each.study, each.input) for each in members]
    every = parts([recipe.shape for recipe in model.recipes])
    weights, places = [each.weight for each in members], [every[each.input] for each in members]
    assert model.of_member is not None
    return Average(networks, weights, places, model.of_member).eval()


def _plain(model: Model, name: str, number: int) -> nn.Module:
    """The network of a study file for the rows of a recipe, without its weights."""
    where = str(model.folder / name)
    study = load_study(where)
    if not isinstance(study, NetworkStudy) or any(node.searched for node in walk(study.nodes)):
        raise UsageError("is not a study of one configuration", where=where, hint=AGAIN)
    outputs = model.target.outputs
    learned = model.recipes[number]
    inputs = model.words[number], learned.categories, learned.numbers
    module = network_of(study.config({}), learned.shape, outputs, *inputs)
    average_as(module, model.target.task)
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
    if versions[files.MARK] not in (files.FORMAT, files.OF_ENSEMBLE):
        known = f"{files.FORMAT} and {files.OF_ENSEMBLE}"
        raise UsageError(
            f"has the format {versions[files.MARK]!r}, and this version reads {known}",
            where=str(folder),
            hint="use the version of tuner named in versions.json",
        )
    file = folder / files.PREPROCESSING
    document = _json(file)
    try:
        learned, target = recipe.from_json(document["input"]), Target.from_json(document["target"])
        features, vectors = document["features"], document["word_vectors"]
        more = tuple(map(recipe.from_json, document.get("more_inputs", ())))
        words = tuple(_words(each, vectors) for each in (learned, *more))
        temperature = _temperature(document)
    except (KeyError, TypeError, ValueError) as error:
        message = f"is damaged: {type(error).__name__}: {error}"
        raise UsageError(message, where=str(file), hint=AGAIN) from error
    model = Model(folder, learned, target, words, features, more, temperature=temperature)
    if versions[files.MARK] != files.OF_ENSEMBLE:
        return model
    members, of_member = _members(folder, len(model.recipes))
    return replace(model, members=members, of_member=of_member)


def _members(folder: Path, recipes: int) -> tuple[tuple[MemberFile, ...], Target]:
    """The members of an ensemble, and the meaning of their outputs."""
    file = folder / files.ENSEMBLE
    document = _json(file)
    try:
        members = tuple(
            MemberFile(each["study"], int(each["input"]), float(each["weight"]))
            for each in document["members"]
        )
        known = all(m.input in range(recipes) and files.is_ours(m.study) for m in members)
        target = Target.from_json(document["target"])
    except (KeyError, TypeError, ValueError) as error:
        message = f"is damaged: {type(error).__name__}: {error}"
        raise UsageError(message, where=str(file), hint=AGAIN) from error
    if not members or not known:
        what = "is damaged: no members" if not members else "is damaged: an unknown input or file"
        raise UsageError(what, where=str(file), hint=AGAIN)
    return members, target


def _temperature(document: dict[str, Any]) -> float:
    """1 where an export is not calibrated.

    Raises:
        ValueError: it is no number above 0.
    """
    number = float(document.get("temperature", 1.0))
    if not 0 < number < math.inf:
        raise ValueError(f"a temperature of {number}")
    return number


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
