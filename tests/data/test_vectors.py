from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from tuner.data.vectors import read
from tuner.errors import DataError

WORDS = ["good", "bad", "new york"]
GLOVE = "the 0.1 0.2\ngood 1 -2.5\nnew york 3e-1 4\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "vectors.txt"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("text", [GLOVE, f"3 2\n{GLOVE}", GLOVE.replace("\n", " \r\n")])
def test_both_formats_and_a_word_that_is_not_there(tmp_path: Path, text: str) -> None:
    found = read(written(tmp_path, text), WORDS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[1, -2.5], [0, 0], [0.3, 4]], rtol=1e-6)


def test_a_packed_file(tmp_path: Path) -> None:
    file = tmp_path / "vectors.txt.gz"
    file.write_bytes(gzip.compress(GLOVE.encode()))
    assert read(file, WORDS)[0].tolist() == [1, -2.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no word vectors"),
        ("3 2\n", "holds no word vectors"),
        (GLOVE + "bad 1\n", "line 4 has 1 numbers, and those before have 2"),
        (GLOVE + "bad 1 2 3\n", "line 4 has 3 numbers, and those before have 2"),
        ("3 5\n" + GLOVE, "line 2 has 2 numbers, and those before have 5"),
        ("good\n", "line 1 has 0 numbers"),
        (GLOVE + "bad 1 x\n", "line 4 holds what is no number"),
        (GLOVE + "bad 1 nan\n", "line 4 holds a number that is not finite"),
        ("gut 1 2\nschlecht 2 3\n", "none of the 3 words"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        read(file, WORDS)
    assert caught.value.where == str(file)


def test_the_binary_format(tmp_path: Path) -> None:
    file = tmp_path / "vectors.bin"
    file.write_bytes(b"2 3\ngood " + np.ones(3, np.float32).tobytes() + b"\n")
    with pytest.raises(DataError, match="binary"):
        read(file, WORDS)
