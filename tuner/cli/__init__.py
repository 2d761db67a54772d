"""The command line: each command parses, makes one call, and returns an exit code.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tuner.cli import (
    answering,
    catalogue,
    control,
    exporting,
    operating,
    reporting,
    running,
    serving,
    start,
)
from tuner.errors import TunerError
from tuner.hidden import hide

INTERRUPTED = 130


class Commands(TyperGroup):
    """Turns errors into a line on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except TunerError as error:
            typer.echo(hide(f"error: {error}"), err=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt as interrupt:
            typer.echo(str(interrupt) or "interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=Commands,
    name="tuner",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("tuner"))
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
]


@app.callback()
def options(version: Version = False) -> None:
    """Search regularization, normalization, schedules, optimizers and architecture of a network."""


for command in (
    running.optimize,
    start.init,
    catalogue.check,
    catalogue.studies,
    catalogue.techniques,
    control.best,
    answering.confirm,
    answering.ablate,
    reporting.report,
    reporting.compare,
    running.retrain,
    exporting.export,
    exporting.predict,
    running.worker,
    running.submit,
    serving.dashboard,
    control.status,
    control.pause,
    control.resume,
    control.stop,
    operating.logs,
    operating.copy,
    operating.delete,
    operating.gc,
):
    app.command()(command)
app.add_typer(operating.db)


def main() -> int:
    """Runs the command line; the exit code: 0 done, 1 failed, 2 usage, 130 interrupted."""
    try:
        app()
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    return 0
