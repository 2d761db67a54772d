"""The parts of a report, independent of its format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Words:
    """A paragraph; ``strong`` for a verdict."""

    kind: ClassVar[str] = "words"
    text: str
    strong: bool = False


@dataclass(frozen=True)
class Grid:
    """A table; the columns from ``first_number`` on hold numbers; ``folded``: shown on demand."""

    kind: ClassVar[str] = "grid"
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    first_number: int = 1
    folded: bool = False


@dataclass(frozen=True)
class Chart:
    """A figure by its name, with a caption, and a text for readers who do not see it."""

    kind: ClassVar[str] = "chart"
    name: str
    caption: str
    alternative: str
    wide: bool = True


@dataclass(frozen=True)
class Code:
    """Text to copy."""

    kind: ClassVar[str] = "code"
    text: str
    language: str
    caption: str = ""


Part = Words | Grid | Chart | Code


@dataclass(frozen=True)
class Section:
    """A heading and its parts; ``key`` is its anchor."""

    key: str
    title: str
    parts: tuple[Part, ...]
