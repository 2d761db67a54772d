"""The dashboard in a real browser: Debian's chromium, without a network.

With the variable SCREENSHOT, a picture of the study's page is written there, for docs/dashboard.md.
"""

from __future__ import annotations

import base64
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.study import StudyDirection

from tuner.run.prepare import submit
from tuner.storage import Storage, open_storage

CHROMIUM = Path("/usr/bin/chromium")
DIGITS = Path(__file__).parents[2] / "studies" / "digits.toml"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PASSWORD = "correct horse"
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation",
    event => window.violations.push(event.violatedDirective + " " + event.blockedURI));
"""
TRIALS = """
Math.max(...document.querySelector(".js-plotly-plot").data.map(trace => trace.x.length))
"""
CURVES = """
[...document.querySelectorAll(".js-plotly-plot")].flatMap(plot => plot.data)
    .filter(trace => trace.x && trace.x.length > 4 && trace.mode && trace.mode.includes("lines"))
    .length
"""


@pytest.fixture(scope="module")
def _browser() -> Iterator[Any]:
    """Chromium; the tests are skipped where there is none, and `.ci/run` installs it."""
    if not CHROMIUM.exists():
        pytest.skip(f"needs {CHROMIUM}: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def chromium(_browser: Any) -> Iterator[Any]:
    """The browser, whose pages are closed at the end of a test: an open one goes on asking."""
    yield _browser
    for context in _browser.contexts:
        context.close()


@pytest.fixture
def start(tmp_path: Path, warm_tuner: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """The command line in processes that end with the test."""
    processes: list[subprocess.Popen[str]] = []

    def started(*words: str, **environment: str) -> subprocess.Popen[str]:
        with (tmp_path / "stderr").open("ab") as errors:
            process = subprocess.Popen(
                [warm_tuner, *words],
                cwd=tmp_path,
                env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        processes.append(process)
        return process

    yield started
    for process in processes:
        process.kill()
        process.communicate()


def until(true: Callable[[], Any], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def test_a_study_is_seen_while_two_workers_train(
    chromium: Any, start: Callable[..., Any], postgres_url: str, tmp_path: Path
) -> None:
    storage = open_storage(postgres_url)
    text = DIGITS.read_text(encoding="utf-8")
    if "SCREENSHOT" not in os.environ:  # a tenth of the seconds, and a curve for each trial
        text = text.replace("epochs = 30", "epochs = 6").replace('"promote"', '"none"')
    (tmp_path / "digits.toml").write_text(text, encoding="utf-8")
    study_id = submit(str(tmp_path / "digits.toml"), postgres_url, 12)
    workers = [start("worker", TUNER_STORAGE=postgres_url) for _ in range(2)]
    served = start("dashboard", "--port=0", TUNER_STORAGE=postgres_url, TUNER_PASSWORD=PASSWORD)
    address = served.stdout.readline().split()[-1]
    until(lambda: storage.progress(study_id).met)

    wrong = chromium.new_context(http_credentials={"username": "me", "password": "incorrect"})
    assert wrong.new_page().goto(address).status == 401
    context = chromium.new_context(
        http_credentials={"username": "me", "password": PASSWORD},
        viewport={"width": 1200, "height": 900},
    )
    context.set_default_timeout(90_000)  # where much else runs
    context.add_init_script(WATCH)
    errors: list[str] = []

    def opened(path: str, selector: str) -> Any:
        # A page of its own: one that is left gives up what it asked for, which is no error.
        page = context.new_page()
        page.on("console", lambda message: errors.append(message.text) if _bad(message) else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("requestfailed", lambda request: errors.append(f"{request.url} {request.failure}"))
        page.goto(f"{address}dashboard/studies/{study_id}{path}")
        page.wait_for_selector(selector)
        return page

    page = opened("", ".js-plotly-plot")
    page.wait_for_function(f"{TRIALS} >= 5", polling=250)
    before = page.evaluate(TRIALS)
    assert len(storage.workers()) == 2
    storage.set_budget(study_id, 24)
    page.wait_for_function(f"{TRIALS} > {before}", polling=250)  # the page asks by itself
    page.wait_for_function(f"{CURVES} >= 5", polling=250)
    assert all(worker.poll() is None for worker in workers)
    _picture(page, tmp_path)
    pages = [page, opened("/analytics", ".js-plotly-plot"), opened("/trials", "text=Trial 0")]
    assert [each.evaluate("window.violations") for each in pages] == [[], [], []]
    assert errors == []
    storage.close()


def _bad(message: Any) -> bool:
    return message.type == "error" or "Content Security Policy" in message.text


def _picture(page: Any, folder: Path) -> None:
    """A picture in a few colours: a tenth of the bytes."""
    from PIL import Image

    whole = folder / "whole.png"
    page.screenshot(path=whole, full_page=True)
    drawn = Image.open(whole).convert("RGB")
    assert drawn.width == 1200
    assert len(drawn.getcolors(2**24) or ()) > 100  # an empty page has few
    wanted = os.environ.get("SCREENSHOT")
    if wanted:
        drawn.quantize(64, dither=Image.Dither.NONE).save(wanted, optimize=True)


def test_a_page_that_was_uploaded_runs_nothing(
    chromium: Any, storage: Storage, bare: Any, guard: Any, artifact: str
) -> None:
    """It deletes the study where it is shown, with the rights of whoever looks at it."""
    html, page = bare.ask(artifact).body, chromium.new_page()
    page.goto(bare.address.rstrip("/") + artifact)
    until(lambda: not bare.ask("/api/studies").json["study_summaries"], 20)
    assert storage.create_new_study([StudyDirection.MAXIMIZE], "small") == 1
    body = {"file": "data:text/html;base64," + base64.b64encode(html).decode()}
    number = bare.ask("/api/artifacts/1", "POST", body | {"filename": "page.html"}).json
    served = guard()
    address = f"{served.address}artifacts/1/{number['artifact_id']}"
    with page.expect_download() as download:
        page.evaluate("address => { location = address }", address)
    assert "<script>" in Path(download.value.path()).read_text(encoding="utf-8")
    assert served.ask("/api/studies").json["study_summaries"]


def test_text_that_was_uploaded_is_no_script(chromium: Any, bare: Any, guard: Any) -> None:
    """Pages may run what comes from their own server, where uploads come from too."""
    script = base64.b64encode(b"window.ran = true").decode()
    body = {"file": f"data:text/plain;base64,{script}", "filename": "notes.txt"}
    number = bare.ask("/api/artifacts/1", "POST", body).json["artifact_id"]
    insert = """path => new Promise(done => {
        const script = document.createElement("script");
        script.onload = script.onerror = () => done(Boolean(window.ran));
        script.src = path;
        document.head.append(script);
    })"""
    page = chromium.new_page()
    for site, ran in ((bare, True), (guard(), False)):
        page.goto(f"{site.address}dashboard")
        assert page.evaluate(insert, f"/artifacts/1/{number}") is ran


def test_the_page_is_shown_in_no_frame_of_others(chromium: Any, bare: Any, guard: Any) -> None:
    """Around it somebody else's page could make its reader click on what it does not show."""
    page = chromium.new_page()
    for site, shown in ((bare, True), (guard(), False)):
        page.set_content(f'<iframe src="{site.address}dashboard"></iframe>')
        frame = page.wait_for_selector("iframe").content_frame()
        until(lambda frame=frame: frame.url != "about:blank" and frame.url)
        frame.wait_for_load_state()
        assert (frame.title() == "Optuna Dashboard") is shown
