"""Saves a course between two epochs as bytes and restores it; the trial then continues exactly.

The bytes of a course of one part hold the tensors of its trainer; those of several, such bytes of
each. The format is safetensors, which holds numbers and no code. An epoch's noise is a function of
the seed and the epoch, so no state of a random generator is in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from tuner.devices import described
from tuner.errors import TrainingError
from tuner.models import FAMILIES
from tuner.optimizers import State
from tuner.study.catalogue import SECTIONS
from tuner.training.trainer import Course, Epoch, Trainer

FORMAT = 1
DEFAULTS = {
    **{leaf.name: leaf.default for leaves in SECTIONS.values() for leaf in leaves},
    **{leaf.name: leaf.default for f in FAMILIES.values() for leaf in f.leaves},
    **{f"{f.name}.{leaf.name}": leaf.default for f in FAMILIES.values() for leaf in f.leaves},
}
"""The values of leaves that an earlier tuner did not know, and so are not in its checkpoints."""
HEADER, EPOCHS, BEST, FOLD, OPTIMIZER = "tuner", "epochs", "best/", "fold/", "optimizer/"
DEVICE = "device"


def to_bytes(course: Course) -> bytes:
    """Everything that a course needs to go on.

    Raises:
        TrainingError: it is in the middle of an epoch.
    """
    if not course.between_epochs:
        raise TrainingError("a checkpoint can be written only between two epochs")
    rows = [[e.value, e.train_loss, e.validation_loss] for e in course.past]
    epochs = torch.tensor(rows, dtype=torch.float64).reshape(-1, 3)
    header: dict[str, Any] = {"format": FORMAT, "trial": _facts(course), DEVICE: _device(course)}
    if len(course.parts) > 1:
        stored = _fold_checkpoints(course)
    else:
        [trainer] = course.parts
        stored, header["steps"] = _trainer_tensors(trainer), trainer.state.count
    tensors = {EPOCHS: epochs, **stored}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # one entry, for safetensors writes several in random order
    return save(tensors, {HEADER: json.dumps(header, sort_keys=True)})


def _trainer_tensors(trainer: Trainer) -> dict[str, Tensor]:
    best = {BEST + name: tensor for name, tensor in (trainer.best or {}).items()}
    return {**_state(trainer), **best}


def _fold_checkpoints(course: Course) -> dict[str, Tensor]:
    parts = [bytearray(to_bytes(part)) for part in course.parts]
    return {f"{FOLD}{i}": torch.frombuffer(p, dtype=torch.uint8) for i, p in enumerate(parts)}


def _device(course: Course) -> str:
    """Where it was trained, which decides about rounding alone."""
    return described(course.parts[0].device)


def restore(course: Course, data: bytes) -> str:
    """Puts a new course of the same trial to where the checkpoint was taken.

    Returns:
        the device that trained it until then; empty if the checkpoint does not say so.

    Raises:
        TrainingError: the bytes are not a checkpoint, or of another configuration, seed or data;
            the course is as it was.
    """
    _prepare(course, data)()
    return str(_read(data)[1].get(DEVICE, ""))


def _prepare(course: Course, data: bytes) -> Callable[[], None]:
    """Checks everything, and returns a function that puts the checkpoint into the course."""
    tensors, header = _read(data)
    facts = _facts(course)
    unknown = {name: DEFAULTS[name] for name in facts if name in DEFAULTS}
    _check({**unknown, **header["trial"]}, facts, "")
    past = [Epoch(i + 1, *row) for i, row in enumerate(tensors[EPOCHS].tolist())]
    if len(course.parts) > 1:
        stored = [tensors.get(f"{FOLD}{i}", torch.empty(0)) for i in range(len(course.parts))]
        steps = [
            _prepare(part, each.numpy().tobytes())
            for part, each in zip(course.parts, stored, strict=True)
        ]
    else:
        [trainer] = course.parts
        steps = [_prepare_trainer(trainer, tensors, header)]

    def put() -> None:
        for step in steps:
            step()
        course.past = past

    return put


def _prepare_trainer(
    trainer: Trainer, tensors: dict[str, Tensor], header: dict[str, Any]
) -> Callable[[], None]:
    state = _state(trainer)
    best = {name: t for name, t in tensors.items() if name.startswith(BEST)}
    stored = {name: t for name, t in tensors.items() if name not in best and name != EPOCHS}
    own = _own_state(trainer, stored)
    known = {name: t for name, t in stored.items() if own is None or not name.startswith(OPTIMIZER)}
    _check(_shapes(known), _shapes(state), "tensor ")

    def put() -> None:
        with torch.no_grad():
            for name, tensor in state.items():
                tensor.copy_(known[name])
        if own is not None:
            trainer.state.optimizer = own
        trainer.state.count = header["steps"]
        named = {name.removeprefix(BEST): t.to(trainer.device) for name, t in best.items()}
        trainer.best = named or None

    return put


def _own_state(trainer: Trainer, stored: dict[str, Tensor]) -> State | None:
    """The state of a user's optimizer, which may be any tensors; None where it is one of ours."""
    if not trainer.recipe.optimizer.own:
        return None
    count = sum(name.startswith(OPTIMIZER) for name in stored)
    tensors = [stored[f"{OPTIMIZER}{i}"] for i in range(count)]
    return tuple(tensor.to(trainer.device, copy=True) for tensor in tensors)


def _state(trainer: Trainer) -> dict[str, Tensor]:
    """The trainer's own tensors, not copies, by name."""
    state = {"params": trainer.params}
    state |= {f"{OPTIMIZER}{i}": tensor for i, tensor in enumerate(trainer.state.optimizer)}
    for technique, tensors in trainer.state.techniques.items():
        state |= {f"technique/{technique}/{i}": tensor for i, tensor in enumerate(tensors)}
    return state | {f"buffer/{name}": tensor for name, tensor in trainer.buffers().items()}


def _facts(course: Course) -> dict[str, Any]:
    """The facts that must be the same where the trial goes on."""
    facts = {**course.config, "seed": course.seed, "metric": course.metric.name}
    if len(course.parts) > 1:
        return {**facts, "folds": len(course.parts)}
    return {**facts, "training rows": len(course.parts[0].data.train)}


def _shapes(tensors: dict[str, Tensor]) -> dict[str, str]:
    return {name: f"{list(t.shape)} of {t.dtype}" for name, t in tensors.items()}


def _read(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors, and the header, which is 8 bytes of length and then JSON (safetensors' layout)."""
    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        words: dict[str, Any] = json.loads(header["__metadata__"][HEADER])
        known = words["format"] == FORMAT and EPOCHS in tensors
    except (SafetensorError, KeyError, ValueError) as error:
        raise TrainingError(f"these bytes are no checkpoint: {error}") from error
    if not known:
        raise TrainingError(f"a checkpoint of format {words['format']!r}, where {FORMAT} is read")
    return tensors, words


def _check(stored: dict[str, Any], wanted: dict[str, Any], kind: str) -> None:
    """Raises TrainingError that names everything that differs."""
    names = sorted(stored.keys() | wanted.keys())
    differing = [
        f"{kind}{name} is {stored.get(name, 'absent')} there and {wanted.get(name, 'absent')} here"
        for name in names
        if stored.get(name) != wanted.get(name)
    ]
    if differing:
        raise TrainingError(
            "the checkpoint belongs to another training: " + "; ".join(differing),
            hint="a trial continues only with its own configuration, seed and data",
        )
