"""An artifact as rows of at most so many bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, BinaryIO

PART = 2**20
"""Bytes of a row: a reader holds one at a time."""


def parts(artifact_id: str, body: BinaryIO) -> list[dict[str, Any]]:
    """An artifact's rows; one of nothing has one too."""
    pieces = list(iter(lambda: body.read(PART), b"")) or [b""]
    return [{"artifact_id": artifact_id, "part": i, "data": data} for i, data in enumerate(pieces)]


def all_parts(artifacts: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """The rows of some artifacts."""
    return [row for name, data in artifacts.items() for row in parts(name, io.BytesIO(data))]
