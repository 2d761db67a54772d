"""Text for Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$&])")
NUMBERED = re.compile(r"^(\s*\d+)([.)])(?=\s|$)")
MARKED = re.compile(r"^(\s*)([-+=])(?=[-+=\s]|$)")
"""What would begin a list, a line across the page, or a heading."""


def plain(text: str) -> str:
    """Text that means nothing to Markdown, on one line; blanks at its ends stay.

    >>> plain("a_b | <script>")
    'a\\\\_b \\\\| \\\\<script\\\\>'
    """
    text = SPECIAL.sub(r"\\\1", re.sub(r"\s+", " ", text))
    return MARKED.sub(r"\1\\\2", NUMBERED.sub(r"\1\\\2", text))


def code(text: str) -> str:
    """Text as code within a line, which nothing in it ends.

    >>> code("a`b"), code("`")
    ('``a`b``', '`` ` ``')
    """
    text = " ".join(text.split())
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    blank = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{blank}{text}{blank}{ticks}" if text else ""


def fenced(text: str, language: str) -> str:
    """Text as a block of code, which nothing in it ends.

    >>> print(fenced("echo '```'", "bash"))
    ````bash
    echo '```'
    ````
    """
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: int) -> str:
    """Rows of plain text below their titles.

    Args:
        numbers: the first column of numbers, which stand at the right.
    """
    marks = [":--" if i < numbers else "--:" for i in range(len(columns))]
    lines = ["| " + " | ".join(map(plain, row)) + " |" for row in (columns, *rows)]
    return "\n".join([lines[0], "| " + " | ".join(marks) + " |", *lines[1:]])
