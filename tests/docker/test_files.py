"""The files in ``docker/`` are what their engines take, by the engines' own rules."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from packaging.utils import canonicalize_name

DOCKER = Path(__file__).parents[2] / "docker"
MANIFESTS = sorted(path.name for path in (DOCKER / "kubernetes").glob("*.yaml"))
PODS = [name for name in MANIFESTS if not {"secret", "policy"} & set(re.split(r"[-.]", name))]
BIN = Path(sys.executable).parent
GRACE_SECONDS = 30


def checked(*words: object) -> str:
    command = [str(word) for word in words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_compose_takes_its_file() -> None:
    command = [BIN / "docker-compose", "-f", DOCKER / "compose.yaml", "config"]
    found = yaml.safe_load(checked("env", "TORCH_INDEX=", *command))
    assert set(found["services"]) == {"postgres", "dashboard", "worker"}
    for service in found["services"].values():
        assert service["restart"] == "unless-stopped"
    for name in ("dashboard", "worker"):
        assert found["services"][name]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert {"ports", "container_name"} & set(found["services"]["worker"]) == set()  # or no --scale
    postgres = found["services"]["postgres"]
    assert "127.0.0.1" in postgres["healthcheck"]["test"]  # the first start's server has no address
    asked = subprocess.run(
        ["env", "--unset=TORCH_INDEX", *map(str, command)], capture_output=True, check=False
    )
    assert asked.returncode != 0  # nobody gets CUDA because they did not say
    assert b"TORCH_INDEX is missing a value: docker/README.md says" in asked.stderr


def test_base_images_are_of_one_version(dockerfile: Any) -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    assert re.match(r"PYTHON=python:\d+\.\d+\.\d+-", dockerfile.every("ARG")[0])
    assert re.match(r"postgres:\d+\.\d+-", services["postgres"]["image"])
    assert dockerfile.every("FROM") == ["${PYTHON} AS build", "${PYTHON}"]


def test_linters_have_nothing_to_say() -> None:
    assert checked(BIN / "hadolint", DOCKER / "Dockerfile") == ""
    for script in (DOCKER / "slurm" / "workers.sbatch", DOCKER.parent / ".ci" / "run"):
        assert checked(BIN / "shellcheck", script) == ""


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


def test_policies_are_for_the_pods_that_there_are(documents: Any) -> None:
    found = [each for name in MANIFESTS for each in documents(name)]
    templates = [each["spec"]["template"] for each in found if "template" in each.get("spec", {})]
    roles = {each["metadata"]["labels"]["role"]: each["metadata"]["labels"] for each in templates}
    assert set(roles) == {"worker", "study", "dashboard"}

    def meant(kind: str, selector: str) -> list[set[str]]:
        """The roles of the pods that each document of a kind is for."""
        every = [each["spec"][selector]["matchLabels"] for each in found if each["kind"] == kind]
        return [
            {role for role in roles if wanted.items() <= roles[role].items()} for wanted in every
        ]

    assert meant("PodDisruptionBudget", "selector") == [{"worker"}]
    assert meant("NetworkPolicy", "podSelector") == [set(roles), {"dashboard"}]
    none, dashboard = documents("network-policy.yaml")
    (opened,) = dashboard["spec"]["ingress"]
    assert "ingress" not in none["spec"]
    (inside,) = documents("dashboard.yaml")[0]["spec"]["template"]["spec"]["containers"]
    assert [each["port"] for each in opened["ports"]] == [each["name"] for each in inside["ports"]]


def test_the_image_is_built_from_what_it_copies(dockerfile: Any, tmp_path: Path) -> None:
    """Its steps that fetch nothing, in a folder with no more than what was copied before."""
    source, root = tmp_path / "src", tmp_path / "tuner"
    source.mkdir()
    root.mkdir()
    installed: list[set[str]] = []
    for instruction, value in dockerfile.build:
        if instruction == "COPY":
            copied(value.split()[:-1], source)
        for step in value.split(" && ") if instruction == "RUN" else ():
            if " -m venv " in step:
                continue
            if "pip install" in step:
                installed.append({path.name for path in source.iterdir()})
                unpacked(tmp_path / "wheels", root / "lib" / "python3" / "site-packages")
            else:
                checked("sh", "-c", f"cd {source} && {here(step, tmp_path)}")
    assert all("tuner" not in there for there in installed[:-1])  # or any change installs torch
    needs = (source / "needs.txt").read_text().split("\n")
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    postgres = project["optional-dependencies"]["postgres"]
    assert needs == [*project["dependencies"], *postgres, ""]
    modules = list(root.rglob("*.py"))
    assert len(modules) > 100
    assert all(trusted(path) for path in modules)
    assert dockerfile.every("USER") == ["1000:1000"]
    assert dockerfile.last("HEALTHCHECK")


def copied(names: list[str], source: Path) -> None:
    for name in names:
        there = DOCKER.parent / name
        (shutil.copytree if there.is_dir() else shutil.copy)(there, source / name)


def unpacked(wheels: Path, folder: Path) -> None:
    for wheel in wheels.glob("tuner-*.whl"):
        zipfile.ZipFile(wheel).extractall(folder)
        assert (folder / "tuner" / "shipped" / "digits.toml").exists()


def here(step: str, folder: Path) -> str:
    """A step as it is done here, where nothing comes from an index."""
    python = step.strip().replace("/wheels", f"{folder}/wheels").replace("/opt", str(folder))
    python = python.replace("pip wheel", "python -m pip wheel --no-index")
    return python.replace("python ", f"{sys.executable} ", 1)


def trusted(path: Path) -> bool:
    """Whether a module has bytecode that is taken whatever the time of its source."""
    made = Path(importlib.util.cache_from_source(str(path)))
    return made.exists() and int.from_bytes(made.read_bytes()[4:8], "little") == 1


def test_all_that_the_image_installs_is_pinned(needed: Any) -> None:
    pinned = (DOCKER.parent / "constraints.txt").read_text().splitlines()
    names = {canonicalize_name(line.partition("==")[0]) for line in pinned}
    packages = {"hatchling": distribution("hatchling")}
    needed("hatchling", "", packages)
    needed("tuner", "postgres", packages)
    assert len(packages) > 40
    cuda: dict[str, Any] = {}  # what a build of torch for GPUs brings, where one is installed
    needed("torch", "", cuda)
    of_torch = {name for name in cuda if name.startswith(("nvidia-", "cuda-", "triton"))}
    assert set(packages) - names - of_torch == set()
