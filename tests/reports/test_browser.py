"""The page in a real browser: on a phone, in the dark and on paper."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tuner.reports.facts import Facts
from tuner.reports.report import report_of

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
CUT_OFF = """() => [...document.querySelectorAll('.plot .main-svg text')].filter(text => {
  const at = text.getBoundingClientRect();
  return at.width && (at.right > innerWidth + 1 || at.left < -1) && !text.closest('.across');
}).map(text => text.textContent)"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed here")
def test_the_page_on_a_phone_in_the_dark_and_on_paper(
    searched: Facts, make_answers: Callable[..., Any], tmp_path: Path
) -> None:
    from playwright.sync_api import sync_playwright

    path = tmp_path / "page.html"
    path.write_text(report_of(replace(searched, answers=make_answers())).html(), encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        size = {"width": 390, "height": 800}
        page = browser.new_page(viewport=size, color_scheme="dark")
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda request: wrong.append(request.url))
        page.set_default_timeout(120_000)
        page.goto(path.as_uri())
        charts = page.locator(".plot").count()
        page.wait_for_function(
            f"() => document.querySelectorAll('.js-plotly-plot .main-svg').length >= {charts}"
        )
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.evaluate(CUT_OFF) == []
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 29)"
        ink = page.evaluate("document.querySelector('.plot').layout.font.color")
        assert ink == "#d3d9e0"
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.evaluate("document.querySelector('.plot').layout.font.color") == "#24292f"
        assert page.evaluate("document.querySelectorAll('details:not([open])').length") == 0
        assert wrong == []
        browser.close()
