"""Saves a trainer between two epochs as bytes and restores it; the trial then continues exactly.

The format is safetensors, which holds numbers and no code. An epoch's noise is a function of the
seed and the epoch, so no state of a random generator is in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from tuner.errors import TrainingError
from tuner.training.folds import Folds
from tuner.training.trainer import Epoch, Trainer

FORMAT = 1
HEADER, EPOCHS, BEST, FOLD = "tuner", "epochs", "best/", "fold/"


def to_bytes(trainer: Trainer | Folds) -> bytes:
    """Everything that a trainer needs to go on; of folds, such bytes of each as a tensor.

    Raises:
        TrainingError: it is in the middle of an epoch.
    """
    if not trainer.between_epochs:
        raise TrainingError("a checkpoint can be written only between two epochs")
    rows = [[e.value, e.train_loss, e.validation_loss] for e in trainer.past]
    epochs = torch.tensor(rows, dtype=torch.float64).reshape(-1, 3)
    held = _folds(trainer) if isinstance(trainer, Folds) else _whole(trainer)
    tensors = {EPOCHS: epochs, **held}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    words = {"format": FORMAT, "trial": _facts(trainer)}
    if isinstance(trainer, Trainer):
        words["steps"] = trainer.state.count
    # one entry, for safetensors writes several in random order
    return save(tensors, {HEADER: json.dumps(words, sort_keys=True)})


def _whole(trainer: Trainer) -> dict[str, Tensor]:
    best = {BEST + name: tensor for name, tensor in (trainer.best or {}).items()}
    return {**_state(trainer), **best}


def _folds(trainer: Folds) -> dict[str, Tensor]:
    parts = [bytearray(to_bytes(part)) for part in trainer.parts]
    return {f"{FOLD}{i}": torch.frombuffer(p, dtype=torch.uint8) for i, p in enumerate(parts)}


def restore(trainer: Trainer | Folds, data: bytes) -> None:
    """Puts a new trainer of the same trial to where the checkpoint was taken.

    Raises:
        TrainingError: the bytes are not a checkpoint, or of another configuration, seed or data;
            the trainer is as it was.
    """
    _ready(trainer, data)()


def _ready(trainer: Trainer | Folds, data: bytes) -> Callable[[], None]:
    """Checks everything; what is left to do then."""
    tensors, header = _read(data)
    _check(header["trial"], _facts(trainer), "")
    past = [Epoch(i + 1, *row) for i, row in enumerate(tensors[EPOCHS].tolist())]
    if isinstance(trainer, Folds):
        parts = [tensors.get(f"{FOLD}{i}", torch.empty(0)) for i in range(len(trainer.parts))]
        steps = [
            _ready(part, stored.numpy().tobytes())
            for part, stored in zip(trainer.parts, parts, strict=True)
        ]
    else:
        steps = [_ready_whole(trainer, tensors, header)]

    def put() -> None:
        for step in steps:
            step()
        trainer.past = past

    return put


def _ready_whole(
    trainer: Trainer, tensors: dict[str, Tensor], header: dict[str, Any]
) -> Callable[[], None]:
    state = _state(trainer)
    best = {name: t for name, t in tensors.items() if name.startswith(BEST)}
    stored = {name: t for name, t in tensors.items() if name not in best and name != EPOCHS}
    _check(_shapes(stored), _shapes(state), "tensor ")

    def put() -> None:
        with torch.no_grad():
            for name, tensor in state.items():
                tensor.copy_(stored[name])
        trainer.state.count = header["steps"]
        named = {name.removeprefix(BEST): t.to(trainer.device) for name, t in best.items()}
        trainer.best = named or None

    return put


def _state(trainer: Trainer) -> dict[str, Tensor]:
    """The tensors themselves, by name."""
    state = {"params": trainer.params}
    state |= {f"optimizer/{i}": tensor for i, tensor in enumerate(trainer.state.optimizer)}
    for technique, kept in trainer.state.techniques.items():
        state |= {f"technique/{technique}/{i}": tensor for i, tensor in enumerate(kept)}
    return state | {f"buffer/{name}": tensor for name, tensor in trainer.buffers().items()}


def _facts(trainer: Trainer | Folds) -> dict[str, Any]:
    """What must be the same where the trial goes on."""
    facts = {"seed": trainer.seed, "metric": trainer.metric.name}
    if isinstance(trainer, Folds):
        return {**trainer.config, **facts, "folds": len(trainer.parts)}
    return {**trainer.config, **facts, "training rows": len(trainer.data.train)}


def _shapes(tensors: dict[str, Tensor]) -> dict[str, str]:
    return {name: f"{list(t.shape)} of {t.dtype}" for name, t in tensors.items()}


def _read(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors, and the header's own words: 8 bytes of length, then JSON (the format's layout)."""
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
