"""A report as Markdown: what users wrote means nothing there."""

from __future__ import annotations

from tuner.reports.facts import Facts
from tuner.reports.markdown import markdown, plain, words
from tuner.reports.parts import Code, Grid, Section, Words
from tuner.reports.report import report_of


def test_users_words_are_escaped() -> None:
    assert plain("a|b <script>\n# x") == "a\\|b \\<script\\> \\# x"
    assert words("say `tuner best` or a_b") == "say `tuner best` or a\\_b"
    assert words("one ` alone") == "one \\` alone"


def test_tables_and_code() -> None:
    grid = Grid("What", ("name", "n"), (("a|b", "1"),))
    section = Section("key", "Title", (Words("Yes.", True), grid, Code("a```b", "toml", "It")))
    text = markdown("t", "", [section])
    assert "**Yes.**" in text
    assert "| name | n |\n| :-- | --: |\n| a\\|b | 1 |" in text
    assert "````toml\na```b\n````" in text


def test_a_report_has_its_words_and_tables(searched: Facts) -> None:
    text = report_of(searched).markdown()
    outside = "".join(text.split("```")[::2])
    assert "\\<script\\>" in outside
    assert "<script" not in outside.replace("\\<script", "")
    assert "```toml\n[model]" in text
    assert "tuner retrain --study made --trial 7" in text
