"""Live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import io
import os
import pty

from rich.console import Console

from tuner.views.watch import watching


def received(terminal: int) -> str:
    """Everything that was sent to a terminal whose other end is closed."""
    found = b""
    with contextlib.suppress(OSError):  # that is how its end is told
        while part := os.read(terminal, 65536):
            found += part
    os.close(terminal)
    return found.decode()


def test_plain_lines_where_there_is_no_terminal(snapshot) -> None:
    stream = io.StringIO()
    # colours may be forced where there is no terminal; a live view may not
    with watching(Console(file=stream, force_terminal=True)) as watch:
        watch(snapshot())
        watch(snapshot())
    assert stream.getvalue() == (
        "trial 22: 0.9700; best 0.9806 (trial 17)\n"
        "trial 23: pruned at epoch 3, 0.5100; best 0.9806 (trial 17)\n"
    )


def test_live_on_a_terminal_and_gone_at_the_end(snapshot) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        console = Console(file=stream, width=100, force_terminal=True)
        with watching(console) as watch:
            watch(snapshot())
            watch(snapshot(complete=20))
    sent = received(ours)
    assert "starting" in sent
    assert "23/60 trials" in sent
    assert "24/60 trials" in sent
    assert sent.count("\x1b[?25l") == sent.count("\x1b[?25h") == 1
    after = sent[sent.rindex("24/60 trials") :]
    assert "\x1b[2K" in after  # every line is erased
    assert "trial 22:" not in sent


def test_a_terminal_without_cursor_gets_plain_lines(snapshot) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        console = Console(file=stream, width=100, _environ={"TERM": "dumb"})
        with watching(console) as watch:
            watch(snapshot())
    sent = received(ours)
    assert sent.startswith("trial 22: 0.9700; best")
    assert "\x1b" not in sent
