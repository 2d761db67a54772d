"""What the files in ``docker/`` run: as their users, with their environments, secrets and ports."""

from __future__ import annotations

import json
import shlex
import signal
import socket
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

DOCKER = Path(__file__).parents[2] / "docker"
GRACE_SECONDS = 30
PASSWORD = "planted-secret"
RUNS = [("worker", "worker-deployment.yaml"), ("dashboard", "dashboard.yaml")]


def until(true: Callable[[], Any], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def is_user(process: Any, expected: tuple[int, int]) -> None:
    known = psutil.Process(process.pid)
    assert set(known.uids()) == {expected[0]}
    assert set(known.gids()) == {expected[1]}


def leaves_in_time(image: Any, process: Any) -> None:
    """SIGTERM: it is gone within the time it has, and nobody holds its trial."""
    until(lambda: process.poll() is not None or any(image.holders()))
    known = psutil.Process(process.pid)
    assert PASSWORD not in f"{known.cmdline()}{known.environ()}"
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=GRACE_SECONDS)
    assert process.returncode == 0, said
    assert image.holders() == [""]
    assert PASSWORD not in said


def free(port: int) -> int:
    """This port, or another if somebody listens there."""
    try:
        with socket.create_server(("0.0.0.0", port)):
            return port
    except OSError:
        with socket.create_server(("0.0.0.0", 0)) as other:
            return int(other.getsockname()[1])


def status(address: str, host: str) -> int:
    """What is answered to somebody who asks for a host and has no password."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(address, headers={"Host": host}), timeout=30
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def plain(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what differs between engines: folders of secrets, and names."""
    values = {
        name: value.rpartition("/")[2].replace("_", "-") for name, value in environment.items()
    }
    values.pop("TUNER_ALLOWED_HOST", None)
    return values


@pytest.mark.parametrize(("service", "file"), RUNS)
def test_compose_and_kubernetes_run_the_same(containers: Any, service: str, file: str) -> None:
    one, other = containers("compose", service), containers("kubernetes", file)
    assert one.args == other.args
    assert one.user == other.user == (1000, 1000)
    assert set(one.places) == set(other.places)
    assert plain(one.environment) == plain(other.environment)


def test_a_worker_serves_until_it_is_to_leave(image: Any, containers: Any, uids: Any) -> None:
    container = containers("kubernetes", "worker-deployment.yaml")
    image.submit("any", epochs=1_000_000)
    process = image.run(container)
    until(lambda: process.poll() is not None or any(image.holders()))
    before = image.files(container)
    is_user(process, uids(container))
    leaves_in_time(image, process)
    assert list(image.at("/var/lib/tuner/spool").iterdir())
    assert image.files(container) == before


def test_the_job_ends_with_its_study(image: Any, containers: Any) -> None:
    container = containers("kubernetes", "study-job.yaml")
    assert container.user == (1000, 1000)
    image.submit("digits", epochs=2)
    process = image.run(container)
    before = image.files(container)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert image.progress("digits").finished == 2
    assert image.files(container) == before


def test_a_study_is_handed_in_from_a_container(image: Any, containers: Any) -> None:
    worker = containers("compose", "worker")
    readme = (DOCKER / "README.md").read_text()
    assert "run --rm worker submit --study digits" in readme
    process = image.run(replace(worker, args=("submit", "--study", "digits")))
    before = image.files(worker)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert image.progress("digits").finished == 0
    health = image.execute(worker, json.loads(image.health))
    found, said = health.communicate(timeout=60)
    assert health.returncode == 0, said
    assert "digits" in found
    assert image.files(worker) == before


def test_the_array_task_is_the_worker_itself(image: Any) -> None:
    """A cluster's user runs it as himself, in a folder of his own."""
    image.submit("mine", epochs=1_000_000)
    script = DOCKER / "slurm" / "workers.sbatch"
    slurm = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_CPUS_PER_TASK": "1", "STUDY": "mine"}
    home = {"HOME": str(image.folder)}
    (image.folder / ".tuner-storage").write_text(image.url)
    process = image.start(["bash", str(script)], slurm | home, image.folder)
    leaves_in_time(image, process)
    assert (image.folder / "spool").is_dir()


def test_the_dashboard_answers_at_its_port(image: Any, containers: Any, uids: Any) -> None:
    container = containers("kubernetes", "dashboard.yaml")
    theirs = int(container.environment["TUNER_PORT"])
    port = free(theirs)
    environment = {**container.environment, "TUNER_PORT": str(port)}
    container = replace(container, environment=environment)
    process = image.run(container)
    before = image.files(container)
    said = process.stdout.readline()
    assert said.endswith(f" http://127.0.0.1:{port}/\n"), process.stderr.read()
    is_user(process, uids(container))
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    kind, *words = services["dashboard"]["healthcheck"]["test"]
    assert kind == "CMD"
    assert image.execute(container, words).wait(60) == 0, shlex.join(words)
    pages = f"http://127.0.0.1:{port}"
    assert status(f"{pages}/healthz", f"10.1.2.3:{theirs}") == 200  # the kubelet's probe
    assert status(f"{pages}/dashboard", "tuner-dashboard") == 401  # the service's name
    assert status(f"{pages}/dashboard", f"localhost:{theirs}") == 401  # a forwarded port
    assert status(f"{pages}/dashboard", "elsewhere") == 421
    process.send_signal(signal.SIGTERM)
    assert process.wait(GRACE_SECONDS) == 0
    assert image.files(container) == before


def test_probes_and_published_ports_are_the_dashboards(containers: Any, documents: Any) -> None:
    deployment, service = documents("dashboard.yaml")
    (inside,) = deployment["spec"]["template"]["spec"]["containers"]
    (opened,) = inside["ports"]
    environment = containers("kubernetes", "dashboard.yaml").environment
    assert str(opened["containerPort"]) == environment["TUNER_PORT"]
    assert inside["readinessProbe"]["httpGet"] == {"path": "/healthz", "port": opened["name"]}
    assert service["spec"]["ports"][0]["targetPort"] == opened["name"]
    found = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]["dashboard"]
    (published,) = found["ports"]
    assert published.rpartition(":")[2] == found["environment"]["TUNER_PORT"]


def test_the_user_cannot_write_elsewhere(image: Any, containers: Any, uids: Any) -> None:
    """What the tests above rely on; root, where it can be nobody else, may write everywhere."""
    container = containers("kubernetes", "worker-deployment.yaml")
    for place, succeeds in ((".", False), ("$HOME", False), ("$TUNER_SPOOL/..", True)):
        process = image.execute(container, ["sh", "-c", f"mkdir -p {place}/made"])
        process.communicate(timeout=60)
        expected = succeeds or uids(container)[0] == 0
        assert (process.returncode == 0) is expected, place
