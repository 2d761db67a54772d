"""What a trial's failure is told as."""

from __future__ import annotations

import torch

MEMORY_HINT = "out of memory: a smaller batch_size, width, channels or depth, or fewer workers"


def explain(error: BaseException) -> str:
    """What a trial's error says; on a CPU torch has none of its own for want of memory."""
    said = f"{type(error).__name__}: {error}"
    kinds = torch.cuda.OutOfMemoryError, MemoryError
    out = isinstance(error, kinds) or "allocate memory" in str(error)
    return f"{MEMORY_HINT} ({said})" if out else said
