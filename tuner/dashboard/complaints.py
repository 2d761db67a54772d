"""What an application writes on ``wsgi.errors``, such as a traceback: a line of the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from tuner.dashboard.wsgi import Application, Environ

_LOGGER = logging.getLogger("tuner.dashboard")


class _Complaints:
    """As much of a stream as WSGI asks for."""

    def write(self, text: str) -> None:
        if text.strip():
            _LOGGER.error("%s", text.strip())

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        pass


def complaining(application: Application) -> Application:
    """An application whose complaints are logged, without passwords and as JSON if asked."""

    def asked(environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.errors"] = _Complaints()
        return application(environ, start)

    return asked
