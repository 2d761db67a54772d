"""What `report` and `compare` refuse, and what to do instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--format", "pdf"), ("unknown format 'pdf'", "known: html, json, md")),
        (("--out", "r.pdf"), ("r.pdf: a report cannot be written as .pdf", ".html, .htm, .md")),
        (("--out", "r.PNG"), ("cannot be written as .png", "--format")),
        (("--out", "r.html.gz"), ("cannot be written as .gz", "--format")),
        (("--out", "none/report.html"), ("its folder does not exist", "mkdir -p none")),
        (("--out", "studies"), ("studies: is a folder", "name a file: studies/report.html")),
    ],
)
def test_a_place_or_format_that_cannot_be(
    trained: Path, refused: Run, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused("report", "--study", "mine", *arguments, words=words)


def test_a_folder_that_cannot_be_written(trained: Path, refused_process: Run) -> None:
    folder = trained / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    words = ("locked: cannot be written", "change its permissions")
    refused_process("report", "--study", "mine", "--out", "locked/r.html", words=words)


def test_a_study_that_is_not_there(trained: Path, refused: Run) -> None:
    words = ("'mien'", "did you mean 'mine'? known: mine")
    refused("report", "--study", "mien", words=words)
    refused("compare", "mine", "mien", words=words)


def test_no_database(folder: Path, refused: Run) -> None:
    words = ("there is no such database", "tuner optimize --study NAME makes it")
    refused("report", "--study", "mine", words=words)
    refused("compare", "mine", "other", words=words)


def test_a_study_without_a_trial(trained: Path, refused: Run, edit: Callable[..., None]) -> None:
    from typer.testing import CliRunner

    from tuner.cli import app

    text = (trained / "studies" / "mine.toml").read_text()
    (trained / "studies" / "fresh.toml").write_text(text)
    assert CliRunner().invoke(app, ["submit", "--study", "fresh"]).exit_code == 0
    words = ("no trial of 'fresh' has begun yet", "run tuner optimize --study fresh")
    refused("report", "--study", "fresh", words=words)
    refused("compare", "mine", "fresh", words=words)


def test_one_study_or_one_twice(trained: Path, refused: Run) -> None:
    refused(
        "compare", "mine", words=("a comparison needs at least two studies", "tuner compare A B")
    )
    refused("compare", "mine", "mine", words=("found 'mine' twice", "name each study once"))
    refused("compare", words=("Missing argument",))
