"""The dashboard's server: optuna-dashboard behind the guard, on waitress."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from types import FrameType
from typing import Any, BinaryIO

from bottle import HTTPError
from optuna.artifacts.exceptions import ArtifactNotFound

from tuner.dashboard.metrics import metrics
from tuner.dashboard.pulse import Pulse, healthz, retrying
from tuner.dashboard.security import (
    Application,
    Check,
    Environ,
    Login,
    guarded,
    host_check,
    is_loopback,
    names_of,
    origin_check,
    parse_proxy,
    read_only_check,
    require_names,
    with_proxy_headers,
)
from tuner.dashboard.studies import protecting_studies, shown
from tuner.errors import UsageError
from tuner.hidden import remember_secret
from tuner.logs import gather, tell
from tuner.storage import Artifacts, Storage, artifact_store, opened

# Texts that an application writes on ``wsgi.errors``, such as tracebacks, as lines of the log.


_LOGGER = logging.getLogger("tuner.dashboard")


class _ErrorLog:
    """The methods of a stream that WSGI requires; each text is a line of the log."""

    def write(self, text: str) -> None:
        if text.strip():
            _LOGGER.error("%s", text.strip())

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        pass


def with_error_log(application: Application) -> Application:
    """An application whose errors are logged, without passwords, and as JSON if the log is."""

    def handle(environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.errors"] = _ErrorLog()
        return application(environ, start)

    return handle


# Artifacts as optuna-dashboard reads and removes them: some may no longer exist.


class ArtifactFiles:
    """Optuna's store of artifacts, for pages and deletions that name artifacts already removed.

    Artifacts of trials that are no longer among the best are removed.
    """

    def __init__(self, store: Artifacts) -> None:
        self._store = store

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """The artifact's bytes; the answer is 404 if they no longer exist."""
        try:
            return self._store.open_reader(artifact_id)
        except ArtifactNotFound:
            raise HTTPError(int(HTTPStatus.NOT_FOUND), "this file no longer exists") from None

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        self._store.write(artifact_id, content_body)

    def remove(self, artifact_id: str) -> None:
        """Removes an artifact if it exists."""
        with suppress(ArtifactNotFound):
            self._store.remove(artifact_id)


# The dashboard's server: optuna-dashboard behind the guard, on waitress.


THREADS = 8
CONNECTIONS = {"pool_size": 2, "max_overflow": 6}
BODY_BYTES = 16 * 2**20
"""The longest request: an uploaded artifact is one, in base64, a third longer than its file."""
SOCKETS = {
    "connection_limit": 800,  # of the 1,024 files that a process usually may have open
    "channel_timeout": 30,
    "cleanup_interval": 5,
    "asyncore_use_poll": True,
}
"""Limits on connections and on their idle time, so that no client can occupy them all."""


@dataclass(frozen=True)
class Options:
    """How the dashboard is served.

    Attributes:
        host: the address to listen at.
        port: 0 takes one that is free.
        password: required with every request; None for no password.
        allowed_hosts: names, beside its own, under which it is reached.
        trusted_proxy: the address or network of a proxy whose headers about the client count.
        artifacts: where they are, as for ``artifact_store``.

    Raises:
        UsageError: a name that no browser sends, or a proxy that is no address.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    password: str | None = None
    read_only: bool = False
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxy: str | None = None
    artifacts: str | None = None

    def __post_init__(self) -> None:
        require_names(self.allowed_hosts)
        if self.trusted_proxy is not None:
            parse_proxy(self.trusted_proxy)


def require_password(options: Options, no_auth: bool) -> None:
    """Raises UsageError if others could reach a dashboard without a password."""
    if no_auth and options.password is not None:
        raise UsageError("a password is set, and --no-auth asks for none", hint="drop one")
    if options.password is None and not no_auth and not is_loopback(options.host):
        raise UsageError(
            f"anyone who can reach {options.host} could read and delete every study",
            where="--host",
            hint="set a password with --password-file or TUNER_PASSWORD, or give --no-auth",
        )


def checks(options: Options) -> list[Check]:
    """The checks that every request has to pass, in this order."""
    names = names_of(options.host, options.allowed_hosts)
    required = [host_check(names), origin_check(options.allowed_hosts)]
    if options.read_only:
        required.append(read_only_check)
    if options.password is not None:
        required.append(Login(options.password))
    return required


def application(storage: Storage, options: Options) -> Application:
    """The whole WSGI application: guard, health, metrics, and optuna-dashboard's own."""
    pulse = Pulse(storage.database)
    files = ArtifactFiles(artifact_store(storage, options.artifacts))
    pages = protecting_studies(storage.database, _pages(storage, files))
    inner = healthz(pulse, metrics(storage.database, pulse, retrying(pulse, pages)))
    trusted = None if options.trusted_proxy is None else parse_proxy(options.trusted_proxy)
    return with_proxy_headers(trusted, guarded(with_error_log(inner), checks(options)))


def _pages(storage: Storage, files: ArtifactFiles) -> Application:
    import optuna_dashboard

    pages: Application = optuna_dashboard.wsgi(shown(storage), artifact_store=files)
    return pages


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; UsageError if the machine lacks the address or the port is in use."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = addresses[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except (OSError, UnicodeError) as error:
        hint = "--port 0 uses any free port; --host sets another address"
        why = getattr(error, "strerror", None) or str(error)
        message = f"cannot listen there: {why}"
        raise UsageError(message, where=f"{host}:{port}", hint=hint) from None


def address_of(listening: socket.socket) -> str:
    """The URL of the server for a browser on this machine."""
    host, port = listening.getsockname()[:2]
    own = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{own}:{port}/"


def create(app: Application, listening: socket.socket) -> Any:
    """A waitress server; it closes the socket with itself."""
    import waitress

    return waitress.create_server(
        app,
        sockets=[listening],
        threads=THREADS,
        max_request_body_size=BODY_BYTES,
        clear_untrusted_proxy_headers=False,  # `with_proxy_headers` reads and clears them
        ident="",
        **SOCKETS,
    )


def serve(url: str, options: Options, ready: Callable[[str], None]) -> None:
    """Serves until SIGTERM or Ctrl-C.

    Args:
        ready: called with the URL once the server listens.

    Raises:
        StorageError: there is no such database, or it does not answer.
        UsageError: the address cannot be listened at.
    """
    remember_secret(options.password)
    storage = opened(url, engine_kwargs=CONNECTIONS)
    listening = listen(options.host, options.port)
    server = create(application(storage, options), listening)
    logging.getLogger("optuna_dashboard._bottle_util").addFilter(_one_line)
    gather()
    signal.signal(signal.SIGTERM, leave)
    tell("started", "dashboard", host=options.host, port=listening.getsockname()[1])
    ready(address_of(listening))
    server.run()
    tell("left", "dashboard")
    server.close()
    storage.close()


def leave(number: int, frame: FrameType | None) -> None:
    """Exits; a second signal ends the process at once, as it does by default."""
    signal.signal(number, signal.SIG_DFL)
    sys.exit(0)


def _one_line(record: logging.LogRecord) -> bool:
    """Cuts a record to its first line: during an outage every open page causes errors."""
    record.msg, record.args = record.getMessage().split("\n", 1)[0], ()
    return True
