"""Progress while a study runs: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tuner.logs import as_json
from tuner.views.lines import Lines
from tuner.views.live import live_view
from tuner.views.snapshot import Snapshot

Watch = Callable[[Snapshot], None]


@contextmanager
def watching(console: Console) -> Iterator[Watch]:
    """What to call with each snapshot; the live view is gone at the end.

    It is drawn only when it is called: a thread that draws would be in the way of workers that
    are forked.
    """
    if as_json():  # the workers' lines say it all
        yield lambda _: None
        return
    if not console.file.isatty() or console.is_dumb_terminal:
        yield _plain(console)
        return
    with Live(
        Text("starting"),
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as live:
        live.refresh()
        yield lambda snapshot: live.update(live_view(snapshot), refresh=True)


def _plain(console: Console) -> Watch:
    lines = Lines()

    def watch(snapshot: Snapshot) -> None:
        for line in lines.new(snapshot):
            console.file.write(f"{line}\n")
        console.file.flush()

    return watch
