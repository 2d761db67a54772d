"""The page needs no network, holds what users wrote as text, and stays small."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import plotly.graph_objects as go
import pytest

from tuner.reports.facts import Facts
from tuner.reports.figures import shortened
from tuner.reports.parts import Chart, Code, Grid, Part, Section, Words
from tuner.reports.render import markdown, page, words
from tuner.reports.report import report_of
from tuner.show.text import plain

LOADING = {"src", "srcset", "poster", "data", "background", "action", "formaction", "xlink:href"}
LIMIT = 6_000_000
VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """What a browser would load, the tags, the text outside of scripts, and the scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.words: list[str] = []
        self.kind: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.ids += [found["id"]] if found.get("id") else []
        loads = LOADING | ({"href"} if tag != "a" else set())
        self.loads += [value or "" for name, value in attrs if name in loads]
        self.loads += [name for name, _ in attrs if name.startswith("on")]
        self.kind = found.get("type")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append((self.kind, data))
        elif self.open and self.open[-1] == "style":
            assert not re.search(r"url\(|@import", data)
        else:
            self.words.append(data)


def specs(page: Page) -> list[dict[str, Any]]:
    return [json.loads(text) for kind, text in page.scripts if kind == "application/json"]


def test_a_page_loads_nothing(searched: Facts) -> None:
    page = Page(report_of(searched).html())
    assert page.loads == []
    assert not {"link", "iframe", "img", "object", "embed", "base"} & set(page.tags)
    assert page.open == []
    plotly = [text for kind, text in page.scripts if kind is None and "plotly.js v" in text]
    assert len(plotly) == 1


def test_every_place_for_a_figure_has_its_data(searched: Facts) -> None:
    report = report_of(searched)
    page = Page(report.html())
    assert len(specs(page)) == len(report.figures) == page.tags.count("figcaption") - 3
    assert all(spec["data"] for spec in specs(page))
    assert {"history", "seconds", "curves", "parallel", "mains", "time"} <= set(report.figures)


def test_sections_have_headings_and_links(searched: Facts) -> None:
    report = report_of(searched)
    text = report.html()
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    for section in report.sections:
        assert f'href="#{section.key}"' in text
        assert section.key in page.ids
        assert f"{section.key}-title" in page.ids
    for tag in ("main", "nav", "header", "h1", "caption"):
        assert tag in page.tags
    assert text.count("role=img aria-label=") == len(report.figures)


def test_what_users_wrote_is_text(searched: Facts, evil: str) -> None:
    text = report_of(searched).html()
    page = Page(text)
    assert "alert('x')</script>" not in text
    said = " ".join(" ".join(page.words).split())
    assert said.count(evil) >= 2  # the description and what the failed trial said


HOSTILE = "</script></code></title>\" onload=x '{{ 7 * 7 }}' {% raw %} & <b>"


@pytest.mark.parametrize(
    "part",
    [
        Words(HOSTILE),
        Words(f"{HOSTILE} ` alone", strong=True),
        Grid(HOSTILE, (HOSTILE, HOSTILE), ((HOSTILE, HOSTILE),)),
        Grid(HOSTILE, (HOSTILE,), ((HOSTILE,),), folded=True),
        Code(HOSTILE, "toml", HOSTILE),
        Chart("it", HOSTILE, HOSTILE),
    ],
    ids=lambda part: part.kind,
)
def test_hostile_words_are_text_in_every_part(part: Part) -> None:
    figure = go.Figure(layout={"height": 100, "title": {"text": HOSTILE}})
    made = Page(page(HOSTILE, HOSTILE, [Section("key", HOSTILE, (part,))], {"it": figure}))
    assert made.loads == made.open == []
    assert not {"b", "onload"} & set(made.tags)
    assert " ".join(made.words).count(HOSTILE) >= 5
    assert [spec["layout"]["title"]["text"] for spec in specs(made)] in ([], [HOSTILE])


def test_commands_are_code() -> None:
    section = Section("key", "Title", (Words("say `a < b` or `c`"), Words("one ` alone")))
    text = page("t", "", [section], {})
    assert "<p>say <code>a &lt; b</code> or <code>c</code></p>" in text
    assert "<p>one ` alone</p>" in text


def test_a_figure_shows_names_as_text(searched: Facts) -> None:
    assert shortened("<b>x</b>") == "&lt;b&gt;x&lt;/b&gt;"
    said = json.dumps(specs(Page(report_of(searched).html())))
    assert "<" not in said.replace("<extra></extra>", "")


def test_it_reads_in_the_dark_and_on_paper(searched: Facts) -> None:
    text = report_of(searched).html()
    assert "@media (prefers-color-scheme: dark)" in text
    assert "@media print" in text
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text


def test_answers_are_shown(searched: Facts, make_answers: Callable[..., Any]) -> None:
    report = report_of(replace(searched, answers=make_answers()))
    page = Page(report.html())
    assert {"confirmed", "ablation"} <= set(report.figures)
    assert "0.9500 (0.9400 to 0.9600)" in " ".join(page.words)
    assert "dropout: off" in " ".join(page.words)


@pytest.mark.parametrize("count", [1, 5000])
def test_a_page_is_under_six_megabytes(
    place: Any, make_trial: Callable[..., Any], count: int
) -> None:
    facts = place.facts(*(make_trial(n) for n in range(min(count, 50))))
    entries = tuple(
        replace(
            facts.entries[n % len(facts.entries)], number=n, curve=dict.fromkeys(range(300), 0.5)
        )
        for n in range(count)
    )
    text = report_of(replace(facts, entries=entries)).html()
    assert len(text.encode()) < LIMIT
    assert Page(text).open == []


# A report as Markdown: what users wrote means nothing there.


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
