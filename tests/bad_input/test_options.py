"""Values of options that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--workers", "0"), ("--workers", "number of at least 1", "auto")),
        (("--workers", "two"), ("--workers", "'two'", "auto")),
        (("--device", "gpu"), ("--device", "'gpu'", "cuda:0")),
        (
            ("--device", "cuda:99"),
            ("--device", "this machine has no device 'cuda:99'", "available: cpu"),
        ),
        (("--timeout", "soon"), ("--timeout", "'soon'", '"10m"')),
        (("--timeout", "0"), ("--timeout", "'0'", '"10m"')),
        (("--timeout", "-5s"), ("--timeout", "'-5s'")),
        (("--trials", "0"), ("'--trials'", "1")),
        (("--trials", "many"), ("'--trials'", "integer")),
        (("--seed", "-1"), ("'--seed'", "0")),
        (("--trails", "5"), ("--trails", "--trials")),
        (("extra",), ("extra",)),
    ],
)
def test_a_value_that_cannot_be(
    refused: Run, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused("optimize", "--study", "mine", *arguments, words=words)


def test_a_study_has_to_be_named(refused: Run) -> None:
    for command in ("optimize", "submit", "best", "retrain", "pause", "resume", "stop"):
        refused(command, words=("Missing option '--study'",))


def test_an_unknown_command(refused: Run) -> None:
    refused("optimise", words=("No such command 'optimise'", "optimize"))


def test_what_the_console_script_says(refused_warm: Run) -> None:
    words = ("--workers", "'none' is neither a number of at least 1 nor 'auto'")
    refused_warm("optimize", "--study", "mine", "--workers", "none", words=words)


LONG = "x" * 300


@pytest.mark.parametrize(
    "words",
    [
        ("init", LONG, "--data", "table.csv", "--target", "kind"),
        ("init", "a", "--data", "table.csv", "--target", "kind", "--out", f"{LONG}.toml"),
        ("init", "a", "--data", LONG, "--target", "kind"),
        ("check", "--study", LONG),
        ("optimize", "--study", f"{LONG}.toml"),
        ("best", "--study", LONG),
        ("delete", "--study", LONG, "--yes"),
        ("compare", LONG, "mine"),
        ("report", "--study", "mine", "--out", LONG),
        ("report", "--study", "mine", "--out", f"{LONG}/report.html"),
        ("export", "--study", "mine", "--out", LONG),
        ("predict", "--model", LONG, "--input", "table.csv"),
        ("dashboard", "--password-file", LONG),
        ("status", "--storage", f"sqlite:///{LONG}"),
        ("optimize", "--study", "mine", "--storage", f"sqlite:///{LONG}/tuner.db"),
        ("db", "upgrade", "--storage", f"sqlite:///{LONG}"),
        ("copy", "--from", "sqlite:///tuner.db", "--to", f"sqlite:///{LONG}"),
    ],
)
def test_a_name_that_is_too_long(trained: Path, refused: Run, words: tuple[str, ...]) -> None:
    refused(*words, words=(LONG[:40],))


def test_data_of_a_name_that_is_too_long(refused: Run, edit: Callable[[str, str], None]) -> None:
    edit('path = "table.csv"', f'path = "{LONG}"')
    refused("check", "--study", "mine", words=(LONG[:40],))
