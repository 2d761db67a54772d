"""One real run of a small study, and the command line in this process and in others."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tuner.cli import app

SMALL = """\
description = "Flowers by a line"
metric = "accuracy"

[data]
source = "sklearn.datasets:load_iris"

[model]
family = "linear"

[regularization]
l2_lambda = { off = 0.0, low = 1e-4, high = 1e-1, log = true }

[training]
epochs = 3
learning_rate = { low = 1e-3, high = 1e-1, log = true }
optimizer = { choices = ["adam", { name = "sgd", momentum = { low = 0.0, high = 0.9 } }] }

[search]
trials = 4
pruner = "none"
sampler = "random"
"""

BARE = {k: v for k, v in os.environ.items() if not k.startswith(("TUNER_", "COLUMNS", "LINES"))}
Run = Callable[..., "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """An exit code and what was written."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Place:
    """A folder with ``studies/small.toml`` and the database of a run of it, which wrote this."""

    folder: Path
    first: Outcome


def spawn(tuner: Path, folder: Path, *arguments: str, **environment: str) -> Outcome:
    """The command line in a process of its own, without a terminal."""
    done = subprocess.run(
        [tuner, *arguments],
        cwd=folder,
        env={**BARE, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory, warm_tuner: Path) -> Place:
    folder = tmp_path_factory.mktemp("original")
    (folder / "studies").mkdir()
    (folder / "studies" / "small.toml").write_text(SMALL, encoding="utf-8")
    words = ("optimize", "--study", "small", "--workers", "1")
    return Place(folder, spawn(warm_tuner, folder, *words))


@pytest.fixture
def place(original: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A copy of the folder after the run, which is the working directory."""
    folder = tmp_path / "place"
    shutil.copytree(original.folder, folder)
    monkeypatch.chdir(folder)
    return Place(folder, original.first)


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def clothes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the four files of Fashion-MNIST: 600 made images, each kind brighter."""
    folder = tmp_path_factory.mktemp("clothes")
    for name, count in (("train", 600), ("t10k", 20)):
        labels = np.arange(count, dtype=np.uint8) % 10
        pixels = np.random.default_rng(0).integers(0, 20, (count, 28, 28), dtype=np.uint8)
        pixels += 25 * labels[:, None, None]
        for kind, array in (("images-idx3", pixels), ("labels-idx1", labels)):
            header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            (folder / f"{name}-{kind}-ubyte").write_bytes(header + array.tobytes())
    return folder


@pytest.fixture(scope="session")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 400 made reviews, each of two to eight words and a full stop, and beside it
    vectors in which good words are positive."""
    folder = tmp_path_factory.mktemp("reviews")
    rng = np.random.default_rng(0)
    told = {"positive": ["good", "great", "fun"], "negative": ["bad", "dull", "slow"]}
    others = ["a", "the", "film", "plot", "it", "is"]
    lines = ["sentiment,text"]
    for i in range(400):
        kind = ("positive", "negative")[i % 2]
        words = [*rng.choice(others, 1 + i % 7), str(rng.choice(told[kind]))]
        lines.append(f'{kind},"{" ".join(words)}."')
    (folder / "reviews.csv").write_text("\n".join(lines), encoding="utf-8")
    signs = {word: 1 if kind == "positive" else -1 for kind in told for word in told[kind]}
    vectors = [f"{word} {signs.get(word, 0)} 0.5 {rng.normal():.3f}" for word in [*signs, *others]]
    (folder / "vectors.txt").write_text("\n".join(vectors), encoding="utf-8")
    return folder / "reviews.csv"


@pytest.fixture
def tuner(monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line in this process; keyword arguments are environment variables."""
    for name in os.environ:
        if name.startswith("TUNER_") or name in ("COLUMNS", "LINES"):
            monkeypatch.delenv(name)

    def run(*arguments: str, **environment: str) -> Outcome:
        result = CliRunner().invoke(app, list(arguments), env=environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def started_without_ctrl_c() -> Iterator[Callable[..., Any]]:
    """The command line in a process of its own, started with Ctrl-C ignored as by a script's
    ``tuner … &``."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        shell = "trap '' INT; exec \"$@\""
        words = ["sh", "-c", shell, "sh", Path(sys.executable).with_name("tuner"), *arguments]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(words, env=BARE, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()
