"""What the files in ``docker/`` run, with their environments and secrets, on a real PostgreSQL."""

from __future__ import annotations

import shlex
import signal
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

DOCKER = Path(__file__).parents[2] / "docker"
WORKERS = [("compose", "worker"), ("kubernetes", "worker-deployment.yaml")]
DASHBOARDS = [("compose", "dashboard"), ("kubernetes", "dashboard.yaml")]
GRACE_SECONDS = 30
PASSWORD = "planted-secret"


def until(true: Callable[[], Any], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def leaves_in_time(image: Any, process: Any) -> None:
    """SIGTERM: it is gone within the time it has, and nobody holds its trial."""
    until(lambda: any(image.holders()))
    known = psutil.Process(process.pid)
    assert PASSWORD not in f"{known.cmdline()}{known.environ()}"
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=GRACE_SECONDS)
    assert process.returncode == 0, said
    assert image.holders() == [""]
    assert PASSWORD not in said


@pytest.mark.parametrize(("engine", "name"), WORKERS)
def test_a_worker_serves_until_it_is_to_leave(
    image: Any, containers: Any, engine: str, name: str
) -> None:
    image.submit("any", epochs=1_000_000)
    leaves_in_time(image, image.run(containers(engine, name)))


def test_the_job_ends_with_its_study(image: Any, containers: Any) -> None:
    image.submit("digits", epochs=2)
    process = image.run(containers("kubernetes", "study-job.yaml"))
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert image.progress("digits").finished == 2


def test_the_array_task_is_the_worker_itself(image: Any) -> None:
    image.submit("mine", epochs=1_000_000)
    script = DOCKER / "slurm" / "workers.sbatch"
    slurm = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_CPUS_PER_TASK": "1", "STUDY": "mine"}
    storage = {"TUNER_STORAGE_FILE": str(image.secrets / "storage")}
    leaves_in_time(image, image.start(["bash", str(script)], slurm | storage))


@pytest.mark.parametrize(("engine", "name"), DASHBOARDS)
def test_the_dashboard_answers_at_its_port(
    image: Any, containers: Any, engine: str, name: str
) -> None:
    container = containers(engine, name)
    assert "--port" in container.args
    process = image.run(container, "--port", "0")  # the last one counts; theirs may be taken
    address = process.stdout.readline().split()[-1]
    port = address.rstrip("/").rpartition(":")[2]
    health = f"http://127.0.0.1:{port}/healthz"
    with urllib.request.urlopen(health, timeout=30) as answer:
        assert answer.status == 200
    if engine == "compose":
        services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
        _, *words = services[name]["healthcheck"]["test"]
        words = [word.replace(":8080", f":{port}") for word in words]
        assert image.start(words, {}).wait(60) == 0, shlex.join(words)
    else:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/dashboard", timeout=30)
    process.send_signal(signal.SIGTERM)
    assert process.wait(GRACE_SECONDS) in (0, -signal.SIGTERM, 130)
