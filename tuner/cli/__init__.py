"""The command line: each command parses, makes one call, and returns an exit code.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from tuner.cli import exporting, operating, results, running, serving, studies
from tuner.errors import FAILED, TunerError, UsageError, check_platform
from tuner.hidden import hide, remember_odd
from tuner.logs import as_json, configure, crashed, guard, note, tell

INTERRUPTED = 130
LATER_SECONDS = 0.05
_PATH_ERRNOS = (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EROFS, errno.ENOTDIR)
_SHOWN_LETTERS = 120
_Misused: type[Exception] = typer.BadParameter.__mro__[1]
"""Click's UsageError, of whichever click typer has."""


class _CtrlC:
    """Makes Ctrl-C during a command raise KeyboardInterrupt, until the first one is handled.

    After that, and once the command is over, Ctrl-C is ignored: it would interrupt the
    interpreter's shutdown, which prints a traceback. During an import it is delayed, since some
    imports turn it into another error or abort the process; a second Ctrl-C then exits at once.
    Where Python ignores exceptions (finalizers, callbacks of weak references), it is sent again.
    A command that is started with Ctrl-C ignored, such as a background job of a script, ignores it.
    """

    def __init__(self) -> None:
        self.pressed = False
        self._put_off = False

    def listen(self) -> None:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self)
            sys.unraisablehook = self._ignored

    def __call__(self, number: int, frame: FrameType | None) -> None:
        again, self.pressed, self._put_off = self.pressed and not self._put_off, True, False
        if not _is_importing(frame):
            raise KeyboardInterrupt
        if again:
            _report_interrupted("interrupted")
            os._exit(INTERRUPTED)
        self._send_later()

    def _ignored(self, ignored: Any) -> None:
        """Handles an exception that Python ignores: sends Ctrl-C again, prints others."""
        if issubclass(ignored.exc_type, KeyboardInterrupt):
            self._send_later()
        else:
            sys.__unraisablehook__(ignored)

    def _send_later(self) -> None:
        timer = threading.Timer(LATER_SECONDS, self._send)
        timer.daemon = True
        timer.start()

    def _send(self) -> None:
        self._put_off = True
        os.kill(os.getpid(), signal.SIGINT)

    def end(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


_ctrl_c = _CtrlC()


class Commands(TyperGroup):
    """The group of all commands; turns their errors into a line on stderr and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        # No message repeats a password, even one that was given for another option by mistake.
        remember_odd(args)
        remember_odd(value for name, value in os.environ.items() if name.startswith("TUNER_"))
        try:
            return super().parse_args(ctx, args)
        except _Misused as error:
            raise _usage_error(error, args) from None

    def invoke(self, ctx: Any) -> Any:
        words = tuple(ctx.args)
        try:
            return super().invoke(ctx)
        except _Misused as error:
            raise _usage_error(error, words) from None
        except TunerError as error:
            _report(error)
            raise typer.Exit(error.exit_code) from None
        except OSError as error:
            path_error = _path_error(error)
            if path_error is None:
                raise
            _report(path_error)
            raise typer.Exit(path_error.exit_code) from None
        except KeyboardInterrupt as interrupt:
            raise _interrupted(str(interrupt)) from None


class OfStudy(TyperCommand):
    """A command whose `--study` may also be its one word: `tuner optimize digits`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        kinds = {each.name: each.param_type_name for each in self.params}
        if kinds.get("study") == "option" and "argument" not in kinds.values():
            args = self._named(ctx, args)
        return super().parse_args(ctx, args)

    def _named(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments with `--study` before the only word that is no option's value."""
        given, words, _ = self.make_parser(ctx).parse_args(args=list(args))
        if len(words) != 1 or "study" in given or "://" in words[0]:  # a database has --storage
            return args
        for at in (i for i, each in enumerate(args) if each == words[0]):
            others = [*args[:at], *args[at + 1 :]]
            with suppress(_Misused):
                if not self.make_parser(ctx).parse_args(args=list(others))[1]:
                    return ["--study", words[0], *others]  # in front of a --
        return args


def _interrupted(message: str = "") -> typer.Exit:
    if _ctrl_c.pressed:
        _ctrl_c.end()
    _report_interrupted(message or "interrupted")
    return typer.Exit(INTERRUPTED)


def _report(error: TunerError) -> None:
    if as_json():
        return tell("error", error.message, where=error.where, hint=error.hint)
    return typer.echo(hide(f"error: {error}"), err=True)


def _path_error(error: OSError) -> TunerError | None:
    """The error for a bad path on the command line; None if no path is at fault."""
    if error.errno not in _PATH_ERRNOS or error.filename is None:
        return None
    where = str(error.filename)
    if len(where) > _SHOWN_LETTERS:
        where = f"…{where[-_SHOWN_LETTERS:]}"
    return UsageError(f"cannot be used: {error.strerror}", where=where)


def _report_interrupted(message: str) -> None:
    if as_json():
        return note(message)
    return typer.echo(message, err=True)


def _usage_error(error: Any, words: Sequence[str]) -> Any:
    """The error for a bad command line, reported once and without a password."""
    error.message = hide(error.message)
    if not _wants_json(error.ctx, words):
        return error
    configure("json")
    tell("error", error.format_message(), hint=f"{error.ctx.command_path} --help")
    return typer.Exit(error.exit_code)


def _wants_json(ctx: Any, words: Sequence[str]) -> bool:
    """Whether the log is JSON, even if the command line cannot be parsed."""
    if as_json():
        return True
    if ctx is None or all(each.name != "log_format" for each in ctx.command.params):
        return False
    line = " ".join(words).replace("=", " ")
    return "--log-format json" in line or os.environ.get("TUNER_LOG_FORMAT") == "json"


app = typer.Typer(
    cls=Commands,
    name="tuner",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
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
    studies.init,
    studies.check,
    studies.studies,
    studies.techniques,
    operating.best,
    results.confirm,
    results.ablate,
    results.report,
    results.compare,
    running.retrain,
    exporting.export,
    exporting.predict,
    running.worker,
    running.submit,
    serving.dashboard,
    operating.status,
    operating.pause,
    operating.resume,
    operating.stop,
    operating.logs,
    operating.copy,
    operating.delete,
    operating.gc,
):
    app.command(cls=OfStudy)(command)
app.add_typer(operating.db)


def main() -> int:
    """Runs the command line; the exit code is one of those that the README names."""
    _ctrl_c.listen()
    guard()
    try:
        check_platform(sys.platform)
        app()
    except TunerError as error:
        _report(error)
        return error.exit_code
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    except Exception:
        crashed(*sys.exc_info())
        return FAILED
    finally:
        _ctrl_c.end()
        gc.freeze()  # or the interpreter, which is about to end, looks for garbage once more
    return 0
