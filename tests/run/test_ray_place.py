"""Workers on a real Ray cluster of several nodes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tuner.errors import StorageError, UsageError
from tuner.run import ray
from tuner.run.optimize import optimize
from tuner.run.options import RunOptions
from tuner.run.places import place_of
from tuner.run.prepare import stored_study
from tuner.run.ray import absolute, check_shared, places, workers_of
from tuner.storage import open_storage

PASSWORD = "planted-secret"
HELD = """\
objective = "held:value"
direction = "minimize"
[search]
trials = {trials}
"""
STUDY = """\
[data]
source = "{source}"
[model]
family = "linear"
[training]
epochs = {epochs}
[search]
trials = {trials}
sampler = "random"
pruner = "none"
"""
HERE = Path(__file__).parent
TUNER = Path(sys.executable).with_name("tuner")


class Driver:
    """A ``tuner optimize`` on the cluster, and what the database knows of it."""

    def __init__(self, folder: Path, url: str, tuner: Path) -> None:
        self.folder, self.url, self._warm_tuner = folder, url, tuner
        self.process: subprocess.Popen[str] | None = None
        self.storage = open_storage(url)

    def start(
        self,
        address: str,
        *words: str,
        text: str = STUDY,
        source: str = "sklearn.datasets:load_iris",
        **changes: int,
    ) -> Driver:
        """Starts it on a study of that text; without its imports' seconds where that may be."""
        tuner = TUNER if text == HELD else self._warm_tuner  # which has no PYTHONPATH
        (self.folder / "small.toml").write_text(text.format(source=source, **changes))
        self.process = subprocess.Popen(
            [str(tuner), "optimize", "--study", "small.toml", "--on", f"ray:{address}", *words],
            cwd=self.folder,
            env={**os.environ, "TUNER_STORAGE": self.url, "PYTHONPATH": str(HERE)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self

    def holders(self) -> list[str]:
        """The worker of each running trial, as the database knows them."""
        with self.storage.database.read() as connection:
            found = connection.exec_driver_sql("SELECT holder FROM tuner_leases ORDER BY trial_id")
            return [row[0] for row in found]

    def finished(self) -> int:
        return self.storage.progress(stored_study(self.storage, "small")[1]).finished

    def end(self, seconds: float = 200) -> tuple[int, str, str]:
        assert self.process is not None
        out, said = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, said


@pytest.fixture
def drive(
    tmp_path: Path, warm_tuner: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Driver]]:
    made: list[Driver] = []
    monkeypatch.chdir(tmp_path)  # where a driver runs

    def driver(url: str) -> Driver:
        made.append(Driver(tmp_path, url, warm_tuner))
        return made[-1]

    yield driver
    for each in made:
        if each.process is not None and each.process.poll() is None:
            each.process.kill()
            each.process.communicate()


def until(true: Callable[[], Any], seconds: float = 400) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def words_of(process: psutil.Process) -> str:
    """What anybody may read of a process, and its environment."""
    try:
        return " ".join(process.cmdline()) + str(process.environ())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""


def pid_of(holder: str) -> int:
    return int(holder.split(":")[1])


def test_a_killed_worker_is_replaced_and_ctrl_c_gives_the_trial_back(
    drive: Any, ray_nodes: Any, postgres_url: str
) -> None:
    driver = drive(postgres_url)
    driver.start(ray_nodes.address, "--workers", "1", trials=1, epochs=1_000_000)
    until(lambda: any(driver.holders()))
    (first,) = driver.holders()
    os.kill(pid_of(first), signal.SIGKILL)
    until(lambda: driver.holders()[0] not in ("", first))
    driver.process.send_signal(signal.SIGINT)
    code, _, said = driver.end(60)
    assert (code, "Traceback" in said) == (130, False), said
    assert "no result is lost; to continue: " in said
    assert driver.holders() == [""]


def test_a_study_ends_with_exactly_its_budget_though_a_node_dies(
    drive: Any, ray_nodes: Any, postgres_url: str
) -> None:
    driver = drive(postgres_url.replace("tuner@", f"tuner:{PASSWORD}@"))
    words = ("--workers", "4", "--allow", "held", "--json")
    driver.start(ray_nodes.address, *words, text=HELD, trials=12)
    runs = psutil.Process(ray_nodes.doomed)

    def on_doomed() -> bool:
        there = {each.pid for each in runs.children(recursive=True)}
        return any(pid_of(holder) in there for holder in driver.holders() if holder)

    until(lambda: len(driver.holders()) == 3 and on_doomed())
    others = [each for each in psutil.process_iter() if each.pid != driver.process.pid]
    seen = [words for words in map(words_of, others) if PASSWORD in words]
    ray_nodes.kill_one()
    (ray_nodes.folder / "go").touch()
    code, out, said = driver.end()
    assert code == 0, said
    assert "3 of 4 workers can start now, the others when there is room: the cluster has" in said
    assert json.loads(out)["finished"] == 12 == driver.finished()
    assert len(driver.storage.get_all_trials(stored_study(driver.storage, "small")[1])) == 12
    files = [path for path in ray_nodes.folder.rglob("*") if path.is_file()]
    told = [str(path) for path in files if PASSWORD.encode() in path.read_bytes()]
    assert len(files) > 10
    assert (seen, told) == ([], [])
    assert PASSWORD not in out + said


def test_parts_of_a_gpu_and_a_file_on_a_cluster_of_one_machine(drive: Any, ray_nodes: Any) -> None:
    driver = drive("sqlite:///small.db")
    words = ("--gpus-per-worker", "0.5", "--device", "cpu", "--workers", "2", "--json")
    code, out, said = driver.start(ray_nodes.address, *words, trials=3, epochs=2).end()
    assert (code, json.loads(out or "{}").get("finished")) == (0, 3), said


def test_what_a_worker_cannot_deal_with_is_said(
    drive: Any, ray_nodes: Any, sqlite_url: str
) -> None:
    driver = drive(sqlite_url)
    (driver.folder / "mine.py").write_text("from sklearn.datasets import load_iris\n")
    words, source = ("--workers", "1"), "mine:load_iris"
    code, _, said = driver.start(ray_nodes.address, *words, source=source, trials=1, epochs=2).end()
    assert (code, "Traceback" in said) == (2, False), said
    assert "no module 'mine'" in said
    assert "--allow mine" in said


def test_more_gpus_than_any_node_has(drive: Any, ray_nodes: Any, sqlite_url: str) -> None:
    driver = drive(sqlite_url)
    words = ("--gpus-per-worker", "2")
    code, _, said = driver.start(ray_nodes.address, *words, trials=1, epochs=2).end()
    assert code == 2
    assert "no node has the resources for a worker with 1 CPU and 2 GPUs" in said
    assert "CPUs and 1 GPUs" in said
    assert driver.storage.get_all_studies() == []


def on(where: str, **given: Any) -> None:
    optimize("wine", RunOptions("sqlite:///none.db", on=where, **given))


@pytest.mark.parametrize(
    ("where", "given", "says"),
    [
        ("rays", {}, "did you mean 'ray'"),
        ("here", {"gpus_per_worker": 0.5}, "--gpus-per-worker: needs --on ray"),
        ("here:there", {}, "--on here: has no address"),
        ("ray", {"gpus_per_worker": 1.5}, "1.5 is not a number of GPUs"),
        ("ray:127.0.0.1:1", {}, "--on ray:127.0.0.1:1: no Ray cluster answers"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str, given: dict[str, Any], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        on(where, **given)
    assert says in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_something_that_listens_and_is_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "ANSWER_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UsageError, match="no Ray cluster answers"):
            on(f"ray:{address}")


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(UsageError, match=r'pip install "tuner\[ray\]"'),
        place_of(RunOptions("sqlite:///none.db", on="ray")),
    ):
        pass


def test_a_file_is_refused_where_there_are_other_machines() -> None:
    check_shared("postgresql://a@b/c", ["here", "there"])
    check_shared("sqlite:///a.db", [socket.gethostname()] * 2)
    with pytest.raises(StorageError, match=r"sqlite:///a.db: an SQLite file cannot be shared"):
        check_shared("sqlite:///a.db", [socket.gethostname(), "there"])


def test_the_url_is_the_same_for_a_process_in_another_folder(tmp_path: Path) -> None:
    assert absolute("sqlite:///a.db") == f"sqlite:///{Path.cwd()}/a.db"
    assert absolute(f"sqlite:///{tmp_path}/a.db") == f"sqlite:///{tmp_path}/a.db"
    assert absolute("postgresql://a:b%40@c/d") == "postgresql://a:b%40@c/d"


@pytest.mark.parametrize(
    ("node", "gpus", "count"),
    [
        ({"CPU": 8.0}, 0.0, 8),
        ({"CPU": 8.0, "GPU": 1.0}, 0.25, 4),
        ({"CPU": 8.0, "GPU": 2.0}, 0.4, 4),
        ({"CPU": 8.0, "GPU": 3.0}, 2.0, 1),
        ({"CPU": 2.0, "GPU": 8.0}, 0.5, 2),
        ({"CPU": 64.0, "GPU": 1.0}, 0.1, 10),
        ({"memory": 1.0}, 0.0, 0),
    ],
)
def test_how_many_workers_have_room_on_a_node(
    node: dict[str, float], gpus: float, count: int
) -> None:
    assert places(node, gpus) == count


def test_auto_is_as_many_as_have_room() -> None:
    said: list[str] = []
    has = [{"CPU": 2.0, "GPU": 1.0}, {"CPU": 4.0}]
    assert workers_of(RunOptions("", on="ray"), has, said.append) == 6
    options = RunOptions("", on="ray", workers=64, gpus_per_worker=0.25)
    assert workers_of(options, has, said.append) == 64
    assert len(said) == 1
    assert said[0].startswith("2 of 64 workers can start now, the others when there is room: ")
