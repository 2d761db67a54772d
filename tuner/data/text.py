"""Encodes text by a vocabulary, and reads pretrained word vectors."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tuner.data.tables import opened
from tuner.errors import DataError
from tuner.lazy_torch import Tensor

# Text as numbers: words and signs, and the vocabulary.


PADDING, UNKNOWN = 0, 1
SPECIAL = 2
"""The first word has this number."""
WORD = re.compile(r"\w+(?=n't\b)|n't\b|'(?:s|re|ve|ll|d|m)\b|\w+|[^\w\s]")
"""A word, or one sign of punctuation. "don't" is "do" and "n't", "it's" is "it" and "'s", as in the
Penn Treebank and in the vectors that were learned from text divided like it."""

SPACELESS = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\ua9e0-\ua9ff"
    "\uaa60-\uaa7f\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff"
)
"""Scripts that are written without spaces: Thai and Lao, Tibetan, Burmese, Khmer, Tai, Japanese and
Chinese."""
_LETTER = re.compile(rf"[{SPACELESS}]")


def tokens(text: str, cut: bool = True) -> list[str]:
    """The words and signs of a text, in lower case; of a script without spaces each letter
    and each mark.

    Args:
        cut: whether such scripts are cut; else the text between two spaces is a word.

    >>> tokens("It isn't BAD, is it?")
    ['it', 'is', "n't", 'bad', ',', 'is', 'it', '?']
    >>> tokens("我的iPhone坏了")
    ['我', '的', 'iphone', '坏', '了']
    """
    text = text.lower().replace("’", "'")
    if cut and not text.isascii() and _LETTER.search(text):
        text = _LETTER.sub(r" \g<0> ", text)
    return WORD.findall(text)


def word_count(text: str) -> int:
    """About how many words a text has; of a script without spaces, one for two letters."""
    if text.isascii():
        return len(text.split())
    letters = len(_LETTER.findall(text))
    return len(_LETTER.sub(" ", text).split()) + (letters + 1) // 2


@dataclass(frozen=True)
class Vocabulary:
    """The known words, and the encoding of a text as their numbers.

    Attributes:
        words: by number, from 2 on; 0 fills a row up at its end, 1 stands for an unknown word.
        length: numbers of a row: that of the longest training row.
        vectors: float32 [size, E], rows of zeros for words without one; None without a file.
        cut: whether scripts without spaces are cut into letters.
    """

    words: tuple[str, ...]
    length: int
    vectors: Tensor | None = field(default=None, compare=False, repr=False)
    cut: bool = True

    @property
    def size(self) -> int:
        """How many numbers there are, those of padding and of unknown words among them."""
        return len(self.words) + SPECIAL

    def encode(self, texts: Sequence[str] | NDArray[np.object_]) -> NDArray[np.int32]:
        """Numbers [len(texts), length]; a text without a word is one unknown word."""
        number = {word: i for i, word in enumerate(self.words, SPECIAL)}
        rows = np.full((len(texts), self.length), PADDING, dtype=np.int32)
        for row, text in zip(rows, texts, strict=True):
            ids = [number.get(word, UNKNOWN) for word in tokens(text, self.cut)[: self.length]] or [
                UNKNOWN
            ]
            row[: len(ids)] = ids
        return rows


def learn_vocabulary(
    texts: Iterable[str], most: int, min_count: int, max_length: int, cut: bool = True
) -> Vocabulary:
    """The vocabulary of the training rows: the most frequent words first, equal ones by alphabet.

    Args:
        most: the size of the vocabulary.
        min_count: a word that occurs less often is unknown.
        max_length: the first words of a row that are used.
        cut: whether scripts without spaces are cut into letters.
    """
    counts: Counter[str] = Counter()
    longest = 1
    for text in texts:
        words = tokens(text, cut)[:max_length]
        counts.update(words)
        longest = max(longest, len(words))
    frequent = [word for word, count in counts.items() if count >= min_count]
    frequent.sort(key=lambda word: (-counts[word], word))
    return Vocabulary(tuple(frequent[:most]), longest, cut=cut)


# Pretrained word vectors in the text format of GloVe and of word2vec.
#
# A line is a word and its numbers, with a space between them. word2vec's first line says how many
# words and how many numbers there are (Mikolov et al. 2013; Pennington et al. 2014).


FORMAT = "each line is a word and its numbers, separated by spaces; the binary format is not read"


def read_vectors(file: Path, words: Sequence[str]) -> NDArray[np.float32]:
    """Vectors [len(words), E]; zeros where the file lacks a word.

    Raises:
        DataError: an empty file, lines of different length, values that are no finite number (each
            with its line), none of the words.
    """
    place = {word: i for i, word in enumerate(words)}
    vectors: NDArray[np.float32] | None = None
    known = 0
    try:
        for line, word, numbers in _lines(file):
            if vectors is None:
                vectors = np.zeros(
                    (len(words), len(_floats(file, line, numbers))), dtype=np.float32
                )
            if word in place:
                vectors[place[word]] = _floats(file, line, numbers)
                known += 1
    except (OSError, EOFError) as error:
        raise DataError(f"cannot be read as word vectors: {error}", where=str(file)) from error
    if vectors is None:
        raise DataError("holds no word vectors", where=str(file), hint=FORMAT)
    if not known:
        raise DataError(
            f"has no vector for any of the {len(words)} words in the training rows",
            where=str(file),
            hint="words are compared in lower case; the file may be of another language",
        )
    return vectors


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
                    f"line {line} has {len(fields) - 1} numbers, but the lines before have {width}",
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
        floats = np.array([float(each) for each in numbers], dtype=np.float32)
    except ValueError as error:
        raise DataError(
            f"line {line} holds something that is not a number: {error}",
            where=str(file),
            hint=FORMAT,
        ) from error
    if not np.isfinite(floats).all():
        raise DataError(f"line {line} holds a number that is not finite", where=str(file))
    return floats
