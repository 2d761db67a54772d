"""Text as numbers: words and signs, and which of them are known."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

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
        cut: whether such scripts are cut; else what stands between two spaces is a word.

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
    """The words that are known, and how a text becomes numbers.

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
        found = np.full((len(texts), self.length), PADDING, dtype=np.int32)
        for row, text in zip(found, texts, strict=True):
            ids = [number.get(word, UNKNOWN) for word in tokens(text, self.cut)[: self.length]] or [
                UNKNOWN
            ]
            row[: len(ids)] = ids
        return found


def learn(texts: Iterable[str], most: int, min_count: int, max_length: int) -> Vocabulary:
    """The vocabulary of the training rows: the most frequent words first, equal ones by alphabet.

    Args:
        most: how many words are kept.
        min_count: a word that stands there less often is unknown.
        max_length: words of a row that are looked at.
    """
    counts: Counter[str] = Counter()
    longest = 1
    for text in texts:
        found = tokens(text)[:max_length]
        counts.update(found)
        longest = max(longest, len(found))
    frequent = [word for word, count in counts.items() if count >= min_count]
    frequent.sort(key=lambda word: (-counts[word], word))
    return Vocabulary(tuple(frequent[:most]), longest)
