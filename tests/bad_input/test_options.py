"""Values of options that cannot be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Run = Callable[..., str]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--workers", "0"), ("--workers", "number of at least 1", "auto")),
        (("--workers", "two"), ("--workers", "'two'", "auto")),
        (("--device", "gpu"), ("--device", "'gpu'", "cuda:0")),
        (("--device", "cuda:99"), ("--device", "no device 'cuda:99' here", "there is: cpu")),
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
