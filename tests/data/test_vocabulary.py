from __future__ import annotations

import pytest

from tuner.data.vocabulary import PADDING, UNKNOWN, learn, tokens


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
    assert learn(texts, 10, 1, 9).words == ("b", "c", "a", "d")
    assert learn(texts, 2, 1, 9).words == ("b", "c")
    assert learn(texts, 10, 2, 9).words == ("b", "c")


def test_a_row_is_as_long_as_the_longest_training_row_that_is_kept() -> None:
    assert learn(["a b c d", "a"], 10, 1, 9).length == 4
    cut = learn(["a b c d", "a"], 10, 1, 2)
    assert (cut.length, cut.words) == (2, ("a", "b"))
    assert learn(["", ""], 10, 1, 9).length == 1


def test_texts_become_numbers() -> None:
    known = learn(["good good film", "film is good"], 10, 1, 9)
    assert known.words == ("good", "film", "is")
    assert known.size == 5
    rows = known.encode(["is film good", "Bad film", "", "good film is good good"])
    assert rows.tolist() == [
        [4, 3, 2],
        [UNKNOWN, 3, PADDING],
        [UNKNOWN, PADDING, PADDING],
        [2, 3, 4],
    ]
