"""Pretrained word vectors in the text format of GloVe and of word2vec.

A line is a word and its numbers, with a space between them. word2vec's first line says how many
words and how many numbers there are (Mikolov et al. 2013; Pennington et al. 2014).
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tuner.data.layout import opened
from tuner.errors import DataError

FORMAT = "each line is a word and its numbers, with a space between; the binary format is not read"


def read(file: Path, words: Sequence[str]) -> NDArray[np.float32]:
    """Vectors [len(words), E]; zeros where the file lacks a word.

    Raises:
        DataError: nothing in it, lines of different length, what is no finite number (each with its
            line), none of the words.
    """
    place = {word: i for i, word in enumerate(words)}
    found: NDArray[np.float32] | None = None
    known = 0
    try:
        for line, word, numbers in _lines(file):
            if found is None:
                found = np.zeros((len(words), len(_floats(file, line, numbers))), dtype=np.float32)
            if word in place:
                found[place[word]] = _floats(file, line, numbers)
                known += 1
    except (OSError, EOFError) as error:
        raise DataError(f"cannot be read as word vectors: {error}", where=str(file)) from error
    if found is None:
        raise DataError("holds no word vectors", where=str(file), hint=FORMAT)
    if not known:
        raise DataError(
            f"has a vector for none of the {len(words)} words of the training rows",
            where=str(file),
            hint="words are compared in lower case; is the file of another language?",
        )
    return found


def _lines(file: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Line numbers, words and their numbers as text, as many in each line."""
    width = 0
    with io.TextIOWrapper(opened(file), encoding="utf-8", errors="replace", newline="\n") as text:
        for line, content in enumerate(text, 1):
            fields = content.rstrip("\r\n ").split(" ")
            if line == 1 and len(fields) == 2 and all(each.isdigit() for each in fields):
                width = int(fields[1])
                continue
            if fields == [""]:
                continue
            width = width or len(fields) - 1
            # A word of some files holds spaces; a line with a number too many is no such word.
            if not 0 < width < len(fields) or any(map(_is_number, fields[1:-width])):
                raise DataError(
                    f"line {line} has {len(fields) - 1} numbers, and those before have {width}",
                    where=str(file),
                    hint=FORMAT,
                )
            yield line, " ".join(fields[:-width]), fields[-width:]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _floats(file: Path, line: int, numbers: list[str]) -> NDArray[np.float32]:
    try:
        found = np.array([float(each) for each in numbers], dtype=np.float32)
    except ValueError as error:
        raise DataError(
            f"line {line} holds what is no number: {error}", where=str(file), hint=FORMAT
        ) from error
    if not np.isfinite(found).all():
        raise DataError(f"line {line} holds a number that is not finite", where=str(file))
    return found
