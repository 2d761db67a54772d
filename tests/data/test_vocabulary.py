from __future__ import annotations

import pytest

from tuner.data.recipe import OfText
from tuner.data.vocabulary import PADDING, UNKNOWN, learn, tokens, word_count


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


def test_scripts_without_spaces_are_cut() -> None:
    assert tokens("这家iPhone店very good!") == [*"这家", "iphone", "店", "very", "good", "!"]
    assert tokens("とてもカワイイ") == list("とてもカワイイ")
    assert tokens("อาหารดี")[:4] == list("อาหา")
    assert tokens("정말 좋아요") == ["정말", "좋아요"]
    assert tokens("这家店", cut=False) == ["这家店"]
    assert [word_count(text) for text in ("a b c", "这家店好", "")] == [3, 2, 0]


def test_an_older_export_does_not_cut() -> None:
    known = learn(["很好 很好", "bad"], 10, 1, 9)
    record = OfText("review", known).to_json()
    assert OfText.from_json(record).vocabulary == known
    del record["cut"]
    older = OfText.from_json({**record, "words": ["很好"]}).vocabulary
    assert older.encode(["很好", "好"])[:, 0].tolist() == [2, 1]
