"""test_text"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from tuner.data.recipe import OfText
from tuner.data.text import PADDING, UNKNOWN, learn_vocabulary, read_vectors, tokens, word_count
from tuner.errors import DataError

WORDS = ["good", "bad", "new york"]
GLOVE = "the 0.1 0.2\ngood 1 -2.5\nnew york 3e-1 4\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "vectors.txt"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("text", [GLOVE, f"3 2\n{GLOVE}", GLOVE.replace("\n", " \r\n")])
def test_both_formats_and_a_word_that_is_not_there(tmp_path: Path, text: str) -> None:
    found = read_vectors(written(tmp_path, text), WORDS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[1, -2.5], [0, 0], [0.3, 4]], rtol=1e-6)


def test_a_packed_file(tmp_path: Path) -> None:
    file = tmp_path / "vectors.txt.gz"
    file.write_bytes(gzip.compress(GLOVE.encode()))
    assert read_vectors(file, WORDS)[0].tolist() == [1, -2.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no word vectors"),
        ("3 2\n", "holds no word vectors"),
        (GLOVE + "bad 1\n", "line 4 has 1 numbers, but the lines before have 2"),
        (GLOVE + "bad 1 2 3\n", "line 4 has 3 numbers, but the lines before have 2"),
        ("3 5\n" + GLOVE, "line 2 has 2 numbers, but the lines before have 5"),
        ("good\n", "line 1 has 0 numbers"),
        (GLOVE + "bad 1 x\n", "line 4 holds something that is not a number"),
        (GLOVE + "bad 1 nan\n", "line 4 holds a number that is not finite"),
        ("gut 1 2\nschlecht 2 3\n", "no vector for any of the 3 words"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        read_vectors(file, WORDS)
    assert caught.value.where == str(file)


def test_the_binary_format(tmp_path: Path) -> None:
    file = tmp_path / "vectors.bin"
    file.write_bytes(b"2 3\ngood " + np.ones(3, np.float32).tobytes() + b"\n")
    with pytest.raises(DataError, match="binary"):
        read_vectors(file, WORDS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A GOOD film.", ["a", "good", "film", "."]),
        ("I don't, can't; won’t!", ["i", "do", "n't", ",", "ca", "n't", ";", "wo", "n't", "!"]),
        ("it's they're I'll o'clock", ["it", "'s", "they", "'re", "i", "'ll", "o", "'", "clock"]),
        ("10/10 -- naïve", ["10", "/", "10", "-", "-", "naïve"]),
        ("  ", []),
    ],
)
def test_a_text_is_words_and_signs(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


def test_the_most_frequent_words_come_first_and_equal_ones_by_alphabet() -> None:
    texts = ["b b c", "c b a", "d"]
    assert learn_vocabulary(texts, 10, 1, 9).words == ("b", "c", "a", "d")
    assert learn_vocabulary(texts, 2, 1, 9).words == ("b", "c")
    assert learn_vocabulary(texts, 10, 2, 9).words == ("b", "c")


def test_a_row_is_as_long_as_the_longest_training_row_that_is_kept() -> None:
    assert learn_vocabulary(["a b c d", "a"], 10, 1, 9).length == 4
    cut = learn_vocabulary(["a b c d", "a"], 10, 1, 2)
    assert (cut.length, cut.words) == (2, ("a", "b"))
    assert learn_vocabulary(["", ""], 10, 1, 9).length == 1


def test_texts_become_numbers() -> None:
    known = learn_vocabulary(["good good film", "film is good"], 10, 1, 9)
    assert known.words == ("good", "film", "is")
    assert known.size == 5
    rows = known.encode(["is film good", "Bad film", "", "good film is good good"])
    assert rows.tolist() == [
        [4, 3, 2],
        [UNKNOWN, 3, PADDING],
        [UNKNOWN, PADDING, PADDING],
        [2, 3, 4],
    ]


def test_scripts_without_spaces_are_cut() -> None:
    assert tokens("这家iPhone店very good!") == [*"这家", "iphone", "店", "very", "good", "!"]
    assert tokens("とてもカワイイ") == list("とてもカワイイ")
    assert tokens("อาหารดี")[:4] == list("อาหา")
    assert tokens("정말 좋아요") == ["정말", "좋아요"]
    assert tokens("这家店", cut=False) == ["这家店"]
    assert [word_count(text) for text in ("a b c", "这家店好", "")] == [3, 2, 0]


def test_an_older_export_does_not_cut() -> None:
    known = learn_vocabulary(["很好 很好", "bad"], 10, 1, 9)
    record = OfText("review", known).to_json()
    assert OfText.from_json(record).vocabulary == known
    del record["cut"]
    older = OfText.from_json({**record, "words": ["很好"]}).vocabulary
    assert older.encode(["很好", "好"])[:, 0].tolist() == [2, 1]


def test_an_older_study_does_not_cut() -> None:
    known = learn_vocabulary(["很好 很好", "bad"], 10, 1, 9, cut=False)
    assert (known.words, known.cut) == (("很好", "bad"), False)
    assert OfText.from_json(OfText("review", known).to_json()).vocabulary == known
