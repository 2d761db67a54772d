"""The files in ``docker/`` are what their engines take, by the engines' own rules."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dockerfile_parse import DockerfileParser

DOCKER = Path(__file__).parents[2] / "docker"
MANIFESTS = sorted(path.name for path in (DOCKER / "kubernetes").glob("*.yaml"))
PODS = [name for name in MANIFESTS if "secret" not in name]
BIN = Path(sys.executable).parent
GRACE_SECONDS = 30


def checked(*words: object) -> str:
    command = [str(word) for word in words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_compose_takes_its_file() -> None:
    file = DOCKER / "compose.yaml"
    found = yaml.safe_load(checked(BIN / "docker-compose", "-f", file, "config"))
    assert set(found["services"]) == {"postgres", "dashboard", "worker"}
    for service in found["services"].values():
        assert service["restart"] == "unless-stopped"
    for name in ("dashboard", "worker"):
        assert found["services"][name]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert {"ports", "container_name"} & set(found["services"]["worker"]) == set()  # or no --scale


def test_linters_have_nothing_to_say() -> None:
    assert checked(BIN / "hadolint", DOCKER / "Dockerfile") == ""
    assert checked(BIN / "shellcheck", DOCKER / "slurm" / "workers.sbatch") == ""


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_follow_the_published_schemas(documents: Any, name: str) -> None:
    for document in documents(name):
        assert kubernetes_validate.validate(document, "1.30", strict=True) == "1.30"


@pytest.mark.parametrize("name", PODS)
def test_pods_may_do_little_and_have_time_to_leave(pod: Any, name: str) -> None:
    found = pod(name)
    (container,) = found["containers"]
    assert found["securityContext"]["runAsNonRoot"]
    assert found["enableServiceLinks"] is False  # a service called tuner would set TUNER_PORT
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert found["terminationGracePeriodSeconds"] > GRACE_SECONDS
    assert set(container["resources"]) == {"requests", "limits"}


def test_the_image_is_built_from_what_it_copies(tmp_path: Path) -> None:
    """The build's steps in a folder that has no more than the Dockerfile puts there."""
    dockerfile = DockerfileParser(fileobj=(DOCKER / "Dockerfile").open("rb"))
    steps = dockerfile.structure
    copies = [each["value"].split() for each in steps if each["instruction"] == "COPY"]
    source = tmp_path / "src"
    source.mkdir()
    for *names, _ in [words for words in copies if not words[0].startswith("--from")]:
        for name in names:
            there = DOCKER.parent / name
            copy = shutil.copytree if there.is_dir() else shutil.copy
            copy(there, source / name)
    (built,) = [each["value"] for each in steps if "pip wheel" in each["value"]]
    words = built.replace("/opt/tuner/bin/pip", f"{sys.executable} -m pip")
    words = words.replace("/wheels", str(tmp_path / "wheels"))
    checked("sh", "-c", f"cd {source} && {words} --no-build-isolation --no-index")
    (wheel,) = (tmp_path / "wheels").glob("tuner-*.whl")
    assert "tuner/shipped/digits.toml" in zipfile.ZipFile(wheel).namelist()
    users = [each["value"] for each in steps if each["instruction"] == "USER"]
    assert users == ["1000:1000"]
    assert any(each["instruction"] == "HEALTHCHECK" for each in steps)
