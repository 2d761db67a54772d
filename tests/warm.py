"""``tuner`` without its imports' seconds: a process that has done them forks for each command.

``warm.py FOLDER`` puts a script ``tuner`` into the folder. What it is told, where it runs, its
environment, streams, exit code and signals are those of the console script. Not for what is about
processes themselves: their groups and capabilities, PYTHONPATH, or what a list of them shows.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PRELOADED = [
    "tuner.run.optimize",
    "tuner.run.prepare",
    "tuner.run.replicate",
    "tuner.run.retrain",
    "tuner.run.serve",
    "sklearn.datasets",
    "sklearn.metrics",
    "alembic.command",
    "pydantic",
]
SCRIPT = """#!{python} -IS
import json, os, signal, socket, sys

server = socket.socket(socket.AF_UNIX)
server.connect({path!r})
socket.send_fds(server, [b"0"], [0, 1, 2])
asked = [sys.argv[1:], os.getcwd(), dict(os.environ)]
server.sendall(json.dumps(asked).encode() + b"\\n")
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, lambda number, frame: server.send(bytes([number])))
status = int(server.recv(9) or 9)
if os.WIFSIGNALED(status):
    signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
    os.kill(os.getpid(), os.WTERMSIG(status))
os._exit(os.WEXITSTATUS(status))
"""


def serve(folder: Path) -> Callable[[], None]:
    """Forks for each call of the script, until stdin ends; returns what is to be done then, which
    is in a child its command."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(folder / "socket"))
    server.listen(64)
    script = folder / "tuner"
    script.write_text(SCRIPT.format(python=sys.executable, path=str(folder / "socket")))
    script.chmod(0o755)
    gc.freeze()
    print("ready", flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a keeper
    while sys.stdin not in select.select([server, sys.stdin], [], [])[0]:
        connection, _ = server.accept()
        if os.fork() == 0:
            server.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return keep(connection)
        connection.close()
    return lambda: None


def keep(connection: socket.socket) -> Callable[[], None]:
    """Forks the command itself, sends it signals and says how it ended."""
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    words, place, environment = json.loads(connection.makefile("rb").readline())
    child = os.fork()
    if child == 0:
        connection.close()
        return lambda: become(words, place, environment, streams)
    for stream in streams:
        os.close(stream)
    threading.Thread(target=pass_on, args=(connection, child), daemon=True).start()
    _, status = os.waitpid(child, 0)
    connection.sendall(str(status).encode())
    os._exit(0)


def pass_on(connection: socket.socket, child: int) -> None:
    """Signals that the script got."""
    while number := connection.recv(1):
        os.kill(child, number[0])
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)  # as the script was


def become(words: list[str], place: str, environment: dict[str, str], streams: list[int]) -> None:
    """Runs ``tuner WORDS`` in this process."""
    os.setsid()
    os.chdir(place)
    os.environ.clear()
    os.environ.update(environment)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.argv[1:] = words
    sys.exit(tuner.cli.main())


if __name__ == "__main__":
    import tuner.cli

    for name in PRELOADED:
        importlib.import_module(name)
    serve(Path(sys.argv[1]))()
