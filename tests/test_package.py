"""The wheel holds what an installation needs, and the sources keep to their rules."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "tuner").rglob("*.py"))
STUDIES = sorted(path.stem for path in (ROOT / "studies").glob("*.toml"))
SPEAKS = ("cli", "show")
HOME = re.compile(r"(?<![\w.])/(?:home|root|work|mnt|Users)/\w")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "-w", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_what_is_needed_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(path.relative_to(ROOT)) for path in SOURCES}
    studies = {f"tuner/shipped/{name}.toml" for name in STUDIES}
    (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    about = {name for name in names if name.startswith(f"{info}/")}
    page = {f"tuner/reports/page.{ending}" for ending in ("html", "css", "js")}
    assert names - about == modules | studies | page | {"tuner/py.typed"}
    assert f"{info}/licenses/LICENSE" in about
    text = zipfile.ZipFile(wheel).read(f"{info}/entry_points.txt").decode()
    assert "tuner = tuner.cli:main" in text


def test_an_installation_finds_its_studies_from_any_folder(wheel: Path, tmp_path: Path) -> None:
    installed, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    zipfile.ZipFile(wheel).extractall(installed)
    elsewhere.mkdir()
    code = (
        "import sys, tuner.cli as cli\n"
        f"assert cli.__file__.startswith({str(installed)!r}), cli.__file__\n"
        "for sys.argv in (['tuner', 'studies'], ['tuner', 'check', '--study', 'digits']):\n"
        "    assert cli.main() == 0"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.strip()]
    assert set(STUDIES) <= set(listed)
    assert "digits: " in done.stdout
    assert not list(elsewhere.iterdir())


def test_only_the_command_line_prints() -> None:
    printing = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.relative_to(ROOT / "tuner").parts[0] not in SPEAKS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not printing


def _of_other_systems(node: ast.AST) -> bool:
    """Whether code asks which system it is on, or for what only some have."""
    if isinstance(node, ast.Constant):
        return node.value in ("win32", "cygwin", "nt", "Windows")
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return (node.value.id, node.attr) in (("os", "name"), ("platform", "system"))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        asked = node.args[0] if node.func.id in ("hasattr", "getattr") else None
        return isinstance(asked, ast.Name) and asked.id in ("os", "signal", "mmap", "socket")
    return False


def test_it_is_said_on_which_systems_it_runs_and_nothing_is_written_for_others() -> None:
    asking = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if _of_other_systems(node)
    }
    # One refuses Windows, the other counts cores: macOS does not say which are a process's.
    assert asking == {"tuner/errors.py", "tuner/run/options.py"}
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    systems = {each for each in project["classifiers"] if each.startswith("Operating System")}
    assert systems == {"Operating System :: POSIX :: Linux", "Operating System :: MacOS"}
    assert "win32" not in text
    assert "On Linux or macOS (on Windows in WSL)" in (ROOT / "README.md").read_text()


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    folders = ("tuner", "tests", "studies", ".ci", ".")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in folders
        for path in (ROOT / folder).glob("*" if folder == "." else "**/*")
        if path.is_file()
        and path.name != ".git"
        and path.suffix in (".py", ".toml", ".md", ".txt", ".yaml", "")
        for line in path.read_text(encoding="utf-8").splitlines()
        if HOME.search(line) and "HOME = re" not in line
    ]
    assert not found
