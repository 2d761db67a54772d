"""The options that commands share, and how commands print results and progress."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from tuner.cli.lookup import parse_storage
from tuner.logs import Say
from tuner.output import to_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


# Commands that only read end within a second.


C = TypeVar("C", bound=Callable[..., Any])


def brief(command: C) -> C:
    """Turns the garbage collector off for a command: it takes a sixth of the time, mostly that of
    imports, and frees nothing."""

    @wraps(command)
    def run(*given: Any, **named: Any) -> Any:
        from tuner.data.memory import uncollected

        with uncollected():
            return command(*given, **named)

    return cast("C", run)


# Output: results go to stdout, progress and errors to stderr.


WIDE = 250
"""Width of output that is no terminal: one row of a table is one line of a file."""


def console(stderr: bool = False) -> Console:
    """A console that shows text as it is, without markup in brackets."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    wide = None if stream.isatty() or "COLUMNS" in os.environ else WIDE
    return Console(file=stream, width=wide, markup=False, highlight=False, emoji=False)


def show(renderable: RenderableType) -> None:
    """Prints to stdout: as wide as the terminal; elsewhere one line a row, without final blanks."""
    target = console()
    if target.is_terminal:
        target.print(renderable)
        return
    with target.capture() as captured:
        target.print(renderable)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def without_ctrl_c(say: Say) -> None:
    """Says how to stop an endless command if Ctrl-C is ignored, as in a script's background job."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        say(f"Ctrl-C is ignored here; to stop, send SIGTERM: kill {os.getpid()}")


def show_json(document: Mapping[str, Any] | list[Any]) -> None:
    """Prints one JSON document to stdout."""
    typer.echo(to_json(document))


# The options that commands share; each has an environment variable.
#
# Options of a single command have one too. Where two commands use one name for different things,
# the variable carries the command's name, so that it has one meaning. What deletes has no variable.


def parse_workers(text: str) -> str:
    """A number of worker processes, at least 1, or "auto"."""
    if text != "auto" and not re.fullmatch(r"[1-9]\d*", text):
        raise typer.BadParameter(f"{text!r} is neither a number of at least 1 nor 'auto'")
    return text


def parse_device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise typer.BadParameter(f"{text!r} is none of auto, cpu, cuda, cuda:0")
    return text


StudyName = Annotated[
    str,
    typer.Option(
        "--study",
        envvar="TUNER_STUDY",
        metavar="NAME",
        help="A file in studies/, a path, a study that ships with tuner, or one in the database; "
        "`tuner COMMAND NAME` does without the option.",
    ),
]
StorageUrl = Annotated[
    str,
    typer.Option(
        "--storage",
        envvar="TUNER_STORAGE",
        metavar="URL",
        callback=parse_storage,
        help="The database: sqlite:///FILE or postgresql://USER@HOST/NAME.",
    ),
]
Trials = Annotated[
    int | None,
    typer.Option(
        "--trials",
        envvar="TUNER_TRIALS",
        min=1,
        help="The budget: trials that end complete or pruned.  [default: the study's]",
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        "--epochs",
        envvar="TUNER_EPOCHS",
        min=1,
        help="The budget in work: epochs that all trials together train.  [default: the study's]",
    ),
]
Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout",
        envvar="TUNER_TIMEOUT",
        metavar="DURATION",
        help="Stop after this long, such as 90s, 10m, 2h.  [default: the study's]",
    ),
]
Workers = Annotated[
    str,
    typer.Option(
        "--workers",
        envvar="TUNER_WORKERS",
        metavar="N|auto",
        callback=parse_workers,
        help="Number of worker processes; auto: as many as pay on the GPUs, or one per core.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        envvar="TUNER_DEVICE",
        metavar="auto|cpu|cuda:0",
        callback=parse_device,
        help="The device to train on; auto: a GPU if there is one and it is faster than the cores.",
    ),
]
On = Annotated[
    str,
    typer.Option(
        "--on",
        envvar="TUNER_ON",
        metavar="here|ray[:ADDRESS]",
        help="Where workers run: this machine, or a Ray cluster.",
    ),
]
GpusPerWorker = Annotated[
    float,
    typer.Option(
        "--gpus-per-worker",
        envvar="TUNER_GPUS_PER_WORKER",
        min=0.0,
        help="With --on ray: GPUs per worker, such as 0.25.",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        envvar="TUNER_SEED",
        min=0,
        help="The random seed of the study.  [default: the study's]",
    ),
]
Studies = Annotated[
    list[str] | None,
    typer.Option(
        "--study",
        envvar="TUNER_STUDY",
        metavar="NAME",
        help="Serve only this study; repeatable.  [default: every open one]",
    ),
]
IdleExit = Annotated[
    bool,
    typer.Option(
        "--idle-exit", envvar="TUNER_IDLE_EXIT", help="Exit when nothing is left to train."
    ),
]
Trial = Annotated[
    int, typer.Option("--trial", envvar="TUNER_RETRAIN_TRIAL", min=0, help="The trial's number.")
]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        envvar="TUNER_ALLOW",
        metavar="PACKAGE",
        help="A package from which a study may import its data, network or objective; repeatable.",
    ),
]
Artifacts = Annotated[
    str | None,
    typer.Option(
        "--artifacts",
        envvar="TUNER_ARTIFACTS",
        metavar="URL",
        help="Where to store weights, plots and large checkpoints: a folder, or a URL such as "
        "s3://BUCKET/FOLDER.  [default: the database]",
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        envvar="TUNER_JSON",
        help="Print one JSON document on stdout; progress goes to stderr.",
    ),
]


def _log(form: str) -> str:
    from tuner.logs import FORMATS, configure

    if form not in FORMATS:
        raise typer.BadParameter(f"{form!r} is none of {', '.join(FORMATS)}")
    configure(form)
    return form


def _log_json(form: str) -> str:
    return _log(form) if form != "text" else form


LogFormat = Annotated[
    str,
    typer.Option(
        "--log-format",
        envvar="TUNER_LOG_FORMAT",
        metavar="text|json",
        callback=_log,
        is_eager=True,  # an error in another option is logged in this format, too
        help="The format of the log on stderr, one line per event.",
    ),
]
ProgressFormat = Annotated[
    str,
    typer.Option(
        "--log-format",
        envvar="TUNER_LOG_FORMAT",
        metavar="text|json",
        callback=_log_json,
        is_eager=True,
        help="json: log one line per event on stderr, instead of progress.",
    ),
]


def count_of(workers: str) -> int | str:
    """The number of workers as an int, or "auto"."""
    return workers if workers == "auto" else int(workers)
