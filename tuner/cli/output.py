"""Where a command's words go: results to stdout, progress and errors to stderr."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

WIDE = 250
"""Columns where there is no terminal: one row of a table is one line of a file."""


def console(stderr: bool = False) -> Console:
    """A console that shows text as it is: brackets in it mean nothing."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    wide = None if stream.isatty() or "COLUMNS" in os.environ else WIDE
    return Console(file=stream, width=wide, markup=False, highlight=False, emoji=False)


def show(found: RenderableType) -> None:
    """On a terminal as wide as it is; elsewhere one line a row, without blanks at its end."""
    to = console()
    if to.is_terminal:
        to.print(found)
        return
    with to.capture() as captured:
        to.print(found)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def without_ctrl_c(say: Callable[[str], None]) -> None:
    """How to end what goes on for ever, where Ctrl-C is ignored: in a script's background job."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        say(f"Ctrl-C is ignored here; to end this send SIGTERM: kill {os.getpid()}")


def show_json(document: Mapping[str, Any] | list[Any]) -> None:
    """One document on stdout; JSON has no infinity and no NaN, so these become null."""
    typer.echo(json.dumps(_finite(document), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
