"""Options that are more than a number or a string."""

from __future__ import annotations

import pytest
import typer

from tuner.cli.options import count_of, parse_device, parse_workers


@pytest.mark.parametrize("text", ["1", "12", "auto"])
def test_workers(text: str) -> None:
    assert parse_workers(text) == text


@pytest.mark.parametrize("text", ["0", "-1", "two", "", "1.5"])
def test_wrong_workers(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="number of at least 1"):
        parse_workers(text)


def test_count_of_workers() -> None:
    assert count_of("3") == 3
    assert count_of("auto") == "auto"


@pytest.mark.parametrize("text", ["auto", "cpu", "cuda", "cuda:0", "cuda:12"])
def test_device(text: str) -> None:
    assert parse_device(text) == text


@pytest.mark.parametrize("text", ["gpu", "cuda:", "cuda:x", "cpu:0"])
def test_wrong_device(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is none of"):
        parse_device(text)
