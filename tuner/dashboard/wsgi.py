"""What the pieces of the guard share: requests, refusals and answers of a WSGI application."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

SAFE = ("GET", "HEAD")
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Refusal:
    """Why a request is not let through, and what the client is told."""

    status: HTTPStatus
    reason: str
    headers: tuple[tuple[str, str], ...] = ()


Check = Callable[[Environ], Refusal | None]


def path_of(environ: Environ) -> str:
    """The path of a request, with one slash at its beginning however many were sent."""
    return "/" + str(environ.get("PATH_INFO", "")).lstrip("/")


def answer(
    environ: Environ,
    start: Callable[..., Any],
    status: HTTPStatus,
    text: str,
    headers: Iterable[tuple[str, str]] = (("Content-Type", TEXT),),
) -> list[bytes]:
    """A whole answer; HEAD gets the headers alone."""
    body = text.encode()
    start(f"{status.value} {status.phrase}", [*headers, ("Content-Length", str(len(body)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def refuse(environ: Environ, start: Callable[..., Any], refusal: Refusal) -> list[bytes]:
    """The answer to a request that is not let through."""
    headers = (("Content-Type", TEXT), *refusal.headers)
    return answer(environ, start, refusal.status, f"{refusal.reason}\n", headers)
