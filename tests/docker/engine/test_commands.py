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

DOCKER = Path(__file__).parents[3] / "docker"
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


def leaves_in_time(
    image: Any, process: Any, code: int, number: int = signal.SIGTERM, group: bool = False
) -> None:
    """A signal: it is gone within the time it has, and nobody holds its trial.

    Args:
        group: whether all that it started gets the signal as well.
    """
    until(lambda: process.poll() is not None or any(image.holders()))
    known = [psutil.Process(process.pid), *psutil.Process(process.pid).children()]
    for each in known:
        assert PASSWORD not in f"{each.cmdline()}{each.environ()}"
    for each in known if group else known[:1]:
        each.send_signal(number)
    _, said = process.communicate(timeout=GRACE_SECONDS)
    assert process.returncode == code, said
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
    leaves_in_time(image, process, code=0)
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


def test_the_job_takes_a_worker_that_had_to_leave_for_no_failure_and_no_end(
    image: Any, containers: Any, documents: Any
) -> None:
    image.submit("digits", epochs=1_000_000)
    leaves_in_time(image, image.run(containers("kubernetes", "study-job.yaml")), code=143)
    (job,) = documents("study-job.yaml")
    rules = job["spec"]["podFailurePolicy"]["rules"]
    codes = [rule for rule in rules if "onExitCodes" in rule]
    (name,) = [each["name"] for each in job["spec"]["template"]["spec"]["containers"]]
    expected = {"containerName": name, "operator": "In", "values": [143]}
    assert codes == [{"action": "Ignore", "onExitCodes": expected}]


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


@pytest.mark.parametrize(
    ("number", "asked"),
    [(signal.SIGUSR1, "requeue 77\n"), (signal.SIGTERM, "")],
    ids=["the time is over", "scancel"],
)
def test_an_array_task_comes_back_until_it_is_cancelled(
    image: Any, number: int, asked: str
) -> None:
    """A cluster's user runs it as himself, in a folder of his own."""
    image.submit("mine", epochs=1_000_000)
    script = DOCKER / "slurm" / "workers.sbatch"
    slurm = {"SLURM_JOB_ID": "77", "SLURM_CPUS_PER_TASK": "1", "STUDY": "mine"}
    home = {"HOME": str(image.folder), "PATH": f"{image.folder}:{image.environment['PATH']}"}
    (image.folder / ".tuner-storage").write_text(image.url)
    told, scontrol = image.folder / "told", image.folder / "scontrol"
    told.touch()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {told}\n')
    scontrol.chmod(0o755)
    process = image.start(["bash", str(script)], slurm | home, image.folder)
    leaves_in_time(image, process, 143, number, group=number == signal.SIGTERM)
    assert told.read_text() == asked
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
