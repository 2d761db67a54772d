"""Formats numbers, durations and configurations as text, and escapes text for Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from tuner.space import Config, distinguishable

if TYPE_CHECKING:
    from tuner.storage import Progress

# Numbers, durations and configurations as text.


def number(value: float | None) -> str:
    """A metric's value: with four decimals if it is of ordinary size, else with four digits.

    >>> number(0.97222), number(54.31), number(2e-05), number(None)
    ('0.9722', '54.3100', '2e-05', '–')
    """
    if value is None:
        return "–"
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4f}"
    return f"{value:.4g}"


def duration(seconds: float | None) -> str:
    """Seconds in words.

    >>> duration(7.2), duration(65), duration(7380), duration(None)
    ('7 s', '1 min 5 s', '2 h 3 min', '–')
    """
    if seconds is None or not math.isfinite(seconds):
        return "–"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def budget_text(progress: Progress) -> str:
    """A study's budget, such as "60 trials", "1,800 epochs" or "60 trials or 1,800 epochs"."""
    parts = [] if progress.limit is None else [several(progress.limit, "trial")]
    parts += [] if progress.epochs is None else [several(progress.epochs, "epoch")]
    return " or ".join(parts)


def progress_text(progress: Progress, epochs: int) -> str:
    """How much of the budget is done, such as "12 of 60 trials" or "12 trials, 90 of 1,800 epochs".

    Args:
        epochs: that the study's trials trained.
    """
    if progress.epochs is None:
        return f"{progress.finished:,} of {several(progress.budget, 'trial')}"
    trials = several(progress.finished, "trial")
    if progress.limit is not None and not progress.met:
        trials = f"{progress.finished:,} of {several(progress.limit, 'trial')}"
    return f"{trials}, {epochs:,} of {several(progress.epochs, 'epoch')}"


ROUNDING = 1e-12


def difference(value: float, baseline: float) -> str:
    """How far a value is from the baseline's, with its sign.

    >>> difference(0.98, 0.95)
    '+0.0300'
    >>> difference(0.1 + 0.2, 0.3)  # what is left of rounding is no difference
    '+0.0000'
    """
    gap = value - baseline
    if abs(gap) <= ROUNDING * max(1.0, abs(value), abs(baseline)):
        gap = 0.0
    return ("-" if gap < 0 else "+") + number(abs(gap))


def leaves(
    config: Config, baseline: Config | None, searched: Collection[str]
) -> list[tuple[str, str, bool]]:
    """The parameters that are searched or differ from the baseline's: name, value, differs."""
    known = baseline or {}
    rows = []
    for name, value in config.items():
        differs = baseline is not None and known.get(name) != value
        if differs or name in searched:
            rows.append((name, apart(value, known.get(name, value))[0], differs))
    return rows


def apart(value: Any, other: Any) -> list[str]:
    """Two values of a parameter as text; equal texts only for equal values."""
    return distinguishable([value, other])


def several(count: int, noun: str) -> str:
    """
    >>> several(1, "trial"), several(1200, "trial")
    ('1 trial', '1,200 trials')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


# Text for Markdown.


SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$&])")
NUMBERED = re.compile(r"^(\s*\d+)([.)])(?=\s|$)")
MARKED = re.compile(r"^(\s*)([-+=])(?=[-+=\s]|$)")
"""The start of a list, a horizontal line, or the underline of a heading."""


def plain(text: str) -> str:
    """Text on one line, escaped for Markdown; blanks at its ends stay.

    >>> plain("a_b | <script>")
    'a\\\\_b \\\\| \\\\<script\\\\>'
    """
    text = SPECIAL.sub(r"\\\1", re.sub(r"\s+", " ", text))
    return MARKED.sub(r"\1\\\2", NUMBERED.sub(r"\1\\\2", text))


def code(text: str) -> str:
    """Text as inline code that no backtick in it can end.

    >>> code("a`b"), code("`")
    ('``a`b``', '`` ` ``')
    """
    text = " ".join(text.split())
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    blank = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{blank}{text}{blank}{ticks}" if text else ""


def fenced(text: str, language: str) -> str:
    """Text as a block of code that no backticks in it can end.

    >>> print(fenced("echo '```'", "bash"))
    ````bash
    echo '```'
    ````
    """
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: int) -> str:
    """A Markdown table of plain text.

    Args:
        numbers: index of the first column of numbers; from there on, columns align right.
    """
    marks = [":--" if i < numbers else "--:" for i in range(len(columns))]
    lines = ["| " + " | ".join(map(plain, row)) + " |" for row in (columns, *rows)]
    return "\n".join([lines[0], "| " + " | ".join(marks) + " |", *lines[1:]])
