"""The command ``dashboard``."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from tuner.cli.options import Artifacts, LogFormat, StorageUrl, without_ctrl_c
from tuner.hidden import DEFAULT_STORAGE
from tuner.logs import note

Host = Annotated[str, typer.Option("--host", envvar="TUNER_HOST", help="The address to listen on.")]
Port = Annotated[
    int,
    typer.Option(
        "--port",
        envvar="TUNER_PORT",
        min=0,
        max=65535,
        help="The port to listen on; 0: any free port.",
    ),
]
ReadOnly = Annotated[
    bool,
    typer.Option("--read-only", envvar="TUNER_READ_ONLY", help="Refuse all changes."),
]
NoAuth = Annotated[
    bool,
    typer.Option("--no-auth", envvar="TUNER_NO_AUTH", help="Ask for no password."),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        envvar="TUNER_PASSWORD_FILE",
        metavar="FILE",
        help="A file with the password; TUNER_PASSWORD may hold it instead.",
    ),
]
AllowedHost = Annotated[
    list[str] | None,
    typer.Option(
        "--allowed-host",
        envvar="TUNER_ALLOWED_HOST",
        metavar="NAME",
        help="A host name, such as a proxy's, under which clients reach the dashboard.",
    ),
]
TrustedProxy = Annotated[
    str | None,
    typer.Option(
        "--trusted-proxy",
        envvar="TUNER_TRUSTED_PROXY",
        metavar="ADDRESS",
        help="A proxy, or its network, whose X-Forwarded-For and -Proto headers are trusted.",
    ),
]
NoOpen = Annotated[
    bool, typer.Option("--no-open", envvar="TUNER_NO_OPEN", help="Do not open a browser.")
]


def dashboard(
    storage: StorageUrl = DEFAULT_STORAGE,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    read_only: ReadOnly = False,
    no_auth: NoAuth = False,
    password_file: PasswordFile = None,
    allowed_host: AllowedHost = None,
    trusted_proxy: TrustedProxy = None,
    no_open: NoOpen = False,
    artifacts: Artifacts = None,
    log_format: LogFormat = "text",
) -> None:
    """Serve optuna-dashboard, with live curves and trials, until Ctrl-C."""
    from tuner.dashboard.security import read_password
    from tuner.dashboard.serve import Options, require_password, serve

    password = read_password(password_file, os.environ.get("TUNER_PASSWORD"))
    names = tuple(allowed_host or ())
    options = Options(host, port, password, read_only, names, trusted_proxy, artifacts)
    require_password(options, no_auth)
    browser = not no_open and on_desktop(os.environ, sys.platform, sys.stdout.isatty())

    def ready(address: str) -> None:
        typer.echo(f"the dashboard is at {address}")
        without_ctrl_c(note)
        if browser:
            typer.launch(address)

    serve(storage, options, ready)


def on_desktop(environment: Mapping[str, str], platform: str, terminal: bool) -> bool:
    """Whether a browser can open on a screen."""
    remote = {"SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY", "CI"} & set(environment)
    if remote or not terminal:
        return False
    screen = environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")
    return platform == "darwin" or bool(screen)
