"""Tests pass and end wherever and however somebody starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
INNER = """\
import os, subprocess, sys, time
from pathlib import Path

def test_surroundings():
    code = "import signal; print(signal.getsignal(2) is signal.default_int_handler)"
    words = [sys.executable, "-S", "-c", code]
    assert subprocess.run(words, capture_output=True, text=True).stdout == "True\\n"
    assert list(Path.home().iterdir()) == []
    assert "TUNER_STORAGE" not in os.environ

def test_that_waits():
    for_ever()

def for_ever():
    while True:
        time.sleep(1)
"""


def test_a_background_job_of_a_script_passes_and_ends(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    (tmp_path / "test_inner.py").write_text(INNER)
    configuration = ("-c", str(TESTS.parent / "pyproject.toml"), "--rootdir", str(tmp_path))
    words = ["-m", "pytest", *configuration, "-n", "1", "-o", "faulthandler_timeout=6"]
    done = subprocess.run(
        ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, *words, str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "TUNER_STORAGE": "sqlite:///somebodys.db"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "crashed while running 'test_inner.py::test_that_waits'" in done.stdout
    assert "in for_ever" in done.stderr


README = """\
<!-- test line -->
```bash
mkdir -p .venv/bin
for each in ruff mypy lint-imports; do ln -s "$(type -P true)" ".venv/bin/$each"; done
ls -A
echo "there: $(ls -A "$HOME") $(ls -A "${TMPDIR:-/tmp}")"
env
```
<!-- end -->
"""


def test_ci_runs_the_line_where_nobody_has_been(tmp_path: Path) -> None:
    script = (TESTS.parent / ".ci" / "run").read_text()
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "run").write_text(script.replace("command -v apt-get", "false"))
    (tmp_path / ".gitignore").write_text("*.db\n.venv/\n")
    (tmp_path / "README.md").write_text(README)
    for name in ("new.py", "somebodys.db", ".git/somebodys", ".venv/bin/somebodys"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    knows = {"PIP_DEFAULT_TIMEOUT": "77", "HTTPS_PROXY": "", "OWN_VARIABLE": "1"}
    done = subprocess.run(
        ["bash", ".ci/run"],
        cwd=tmp_path,
        env={**os.environ, **knows},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    files, _, variables = done.stdout.rpartition("there: ")
    assert set(files.split()[-5:]) == {".ci", ".gitignore", ".venv", "README.md", "new.py"}
    assert variables.startswith(" \n")
    assert "PIP_DEFAULT_TIMEOUT=77" in variables.splitlines()
    assert "OWN_VARIABLE" not in variables
    assert [path.name for path in (tmp_path / ".venv" / "bin").iterdir()] == ["somebodys"]
