"""A small study with an artifact, and real servers: the guarded dashboard and the bare one."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import optuna_dashboard
import pytest
import waitress
from optuna.artifacts import upload_artifact
from optuna.study import StudyDirection, load_study
from waitress import wasyncore

from tuner.dashboard.serve import Options, address_of, application, create, listen
from tuner.storage import Storage, artifact_store, open_storage

HTML = "<script>fetch('/api/studies/1', {method: 'DELETE'})</script>"


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __getitem__(self, header: str) -> str:
        return self.headers.get(header.lower(), "")

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Site:
    """A server that runs."""

    address: str

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: Any = None,
        password: str | None = None,
        user: str = "anybody",
        timeout: float = 30,
        **headers: str | None,
    ) -> Reply:
        """Headers are spelt with `_` for `-`; None leaves one out that would be sent."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if password is not None:
            given = base64.b64encode(f"{user}:{password}".encode()).decode()
            sent["Authorization"] = f"Basic {given}"
        parts = urlsplit(self.address)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=timeout)
        try:
            connection.putrequest(method, path, skip_host="Host" in sent)
            data = b"" if body is None else json.dumps(body).encode()
            sent = {"Content-Length": str(len(data)), "Content-Type": "application/json"} | sent
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(data)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, found, answer.read())
        finally:
            connection.close()


@contextmanager
def running(server: Any, address: str) -> Iterator[Site]:
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield Site(address)
    finally:
        # In its own thread, which ends when nothing is left; a browser keeps connections.
        with suppress(OSError):  # it was awake, and is done before it is woken
            server.trigger.pull_trigger(lambda: wasyncore.close_all(server._map))
        thread.join(10)
        server.task_dispatcher.shutdown()


@pytest.fixture(scope="session")
def _original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dashboard") / "tuner.db"
    storage = open_storage(f"sqlite:///{path}")
    storage.create_new_study([StudyDirection.MAXIMIZE], "small")
    page = path.with_name("page.html")
    page.write_text(HTML, encoding="utf-8")
    study = load_study(study_name="small", storage=storage)
    store = artifact_store(storage)
    upload_artifact(artifact_store=store, file_path=str(page), study_or_trial=study)
    storage.close()
    return path


@pytest.fixture
def storage(_original: Path, tmp_path: Path) -> Iterator[Storage]:
    """A database with the study `small`, number 1, to which an HTML file is attached."""
    shutil.copy(_original, tmp_path / "tuner.db")
    opened = open_storage(f"sqlite:///{tmp_path}/tuner.db", engine_kwargs={"pool_size": 4})
    yield opened
    opened.close()


@pytest.fixture
def artifact(storage: Storage) -> str:
    """The path of the HTML file."""
    (name,) = (key for key in storage.get_study_system_attrs(1) if key.startswith("artifacts:"))
    return f"/artifacts/1/{name.removeprefix('artifacts:')}"


@pytest.fixture
def bare(storage: Storage) -> Iterator[Site]:
    """optuna-dashboard on waitress as both come."""
    socket = listen("127.0.0.1", 0)
    app = optuna_dashboard.wsgi(storage, artifact_store=artifact_store(storage))
    with running(waitress.create_server(app, sockets=[socket]), address_of(socket)) as site:
        yield site


@pytest.fixture
def guard(storage: Storage) -> Iterator[Callable[..., Site]]:
    """Ours, with the options that it is given, on the same database."""
    open_ones: list[Any] = []

    def served(**options: Any) -> Site:
        made, socket = Options(**options), listen("127.0.0.1", 0)
        server = create(application(storage, made), socket)
        entered = running(server, address_of(socket))
        open_ones.append(entered)
        return entered.__enter__()

    yield served
    for each in open_ones:
        each.__exit__(None, None, None)
