"""What a trial's failure is told as."""

from __future__ import annotations

import traceback

import torch
from optuna.trial import FrozenTrial

from tuner.hidden import hide
from tuner.training.own import ONE_ROW

MEMORY_HINT = "out of memory: a smaller batch_size, width, channels or depth, or fewer workers"

ONE_ROW_HINT = "batch normalization learns nothing of one row: a batch_size of at least 2"


def explain(error: BaseException) -> str:
    """What a trial's error says, without a password; a CPU has no error for want of memory."""
    said = hide(f"{type(error).__name__}: {error}")
    kinds = torch.cuda.OutOfMemoryError, MemoryError
    if isinstance(error, kinds) or "allocate memory" in str(error):
        return f"{MEMORY_HINT} ({said})"
    return f"{ONE_ROW_HINT} ({said})" if ONE_ROW in str(error) else said


def traced() -> str:
    """The traceback of what is being handled, without a password."""
    return hide(traceback.format_exc())


def outcome(trial: FrozenTrial, lost: bool) -> tuple[str, str]:
    """How a worker's time with a trial ended: the kind of event, and words for people."""
    if lost:
        return "lost", "another worker has it"
    if not trial.state.is_finished():
        return "released", ""
    value = "" if trial.values is None else f"{trial.values[0]:.6g}"
    said = trial.user_attrs.get("error", trial.user_attrs.get("ended", ""))
    return "ended", ", ".join(filter(None, (trial.state.name.lower(), value, str(said))))
