"""A study of a table that is not held in memory, over every command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

ROWS = 800


@pytest.fixture
def study(make: Any, sqlite_url: str) -> Callable[..., Any]:
    """A study of a table, in files or in memory."""

    def write(ending: str, target: str, in_memory: str) -> Any:
        shared = make(sqlite_url).write(epochs=2, trials=3)
        rng = np.random.default_rng(0)
        numbers, kind = rng.normal(size=(ROWS, 4)), rng.choice(["x", "y", None], ROWS)
        table = pd.DataFrame(numbers, columns=["a", "b", "c", "d"]).assign(kind=kind)
        table["when"] = pd.date_range("2020", periods=ROWS, freq="h").strftime("%Y-%m-%d %H:%M")
        table["size"] = numbers[:, 0] + (kind == "x")
        table["class"] = np.where(table["size"] > 0, "large", "small")
        table = table.drop(columns={"size", "class"} - {target})
        if ending == ".parquet":
            table.to_parquet(shared.folder / "t.parquet")
        else:
            table.to_csv(shared.folder / "t.csv", index=False)
        text = shared.path.read_text()
        where = f'path = "t{ending}"\ntarget = "{target}"\n{in_memory}'
        text = text.replace('source = "sklearn.datasets:load_iris"', where)
        if target == "size":
            text = text.replace('"accuracy"', '"mse"')
        shared.path.write_text(text)
        return shared

    return write


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """What a command says, which has to succeed."""

    def run(shared: Any, *words: str) -> str:
        process = shared.warm(*words, TUNER_CACHE=str(tmp_path / "cache"))
        said, errors = process.communicate(timeout=120)
        assert process.returncode == 0, said + errors
        assert "Traceback" not in errors
        return str(said)

    return run


def test_every_command_knows_a_table_in_files(study: Any, run: Any, tmp_path: Path) -> None:
    shared = study(".csv", "class", "in_memory = 0")
    name, place = ["--study", str(shared.path)], ["--device", "cpu"]
    said = run(shared, "check", *name)
    assert "480 rows to train on, 160 to validate" in said
    assert "rows are read from a file as they are needed: they are large" in said
    run(shared, "optimize", *name, "--workers", "2", *place)
    assert [trial.state.name for trial in shared.trials()] == ["COMPLETE"] * 3
    assert "on the test rows" in run(shared, "confirm", *name, "--seeds", "2", *place)
    assert "adds" in run(shared, "ablate", *name, "--seeds", "2", *place)
    run(shared, "report", *name, "--out", "report.html")
    run(shared, "export", *name, "--out", "model", *place)
    predicted = run(shared, "predict", "--model", "model", "--input", "t.csv").splitlines()
    assert len(predicted) == 1 + ROWS
    assert len(list((tmp_path / "cache").glob("columns-*"))) == 1


def test_it_is_the_same_study_in_memory(study: Any, run: Any) -> None:
    shared = study(".parquet", "size", "in_memory = 0")
    name, place = ["--study", str(shared.path)], ["--device", "cpu"]
    run(shared, "optimize", *name, "--workers", "1", "--trials", "2", *place)
    shared.path.write_text(shared.path.read_text().replace("in_memory = 0", "in_memory = 1"))
    assert "the same" in run(shared, "retrain", *name, "--trial", "1", *place)


def test_what_cannot_be_in_files_is_refused_before_a_trial(study: Any) -> None:
    shared = study(".csv", "class", 'in_memory = 0\ntext = "kind"')
    process = shared.warm("optimize", "--study", str(shared.path), "--workers", "1")
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 2
    assert "data.in_memory" in errors
    assert "always held in memory" in errors
