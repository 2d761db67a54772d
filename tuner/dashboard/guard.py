"""The guard around an application: checks in order, then what its answers may do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tuner.dashboard.headers import protect
from tuner.dashboard.wsgi import Application, Check, Environ, Headers, path_of, refuse

OPEN = ("/healthz",)
"""Whoever asks for these is asked nothing: a probe knows neither names nor passwords."""


def guarded(application: Application, checks: Sequence[Check]) -> Application:
    """An application that only sees requests to which no check objects."""

    def guard(environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        path = path_of(environ)

        def protected(status: str, headers: Headers, *error: Any) -> Any:
            return start(status, protect(path, status, headers), *error)

        if path not in OPEN:
            for check in checks:
                refusal = check(environ)
                if refusal is not None:
                    return refuse(environ, protected, refusal)
        return application(environ, protected)

    return guard
