"""A table in files gives the same data, bit by bit, as in memory."""

from __future__ import annotations

import gzip
import os
import shutil
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tuner.data import DataSet, DataSpec, cached, load, memory
from tuner.data.file_rows import FileRows
from tuner.errors import DataError

ROWS = 600


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cache; tables are read in pieces of 200 rows."""
    monkeypatch.setenv("TUNER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(memory, "CELLS", 200)
    monkeypatch.setattr(memory, "ROWS", 200)
    return tmp_path / "cache"


def frame() -> pd.DataFrame:
    """Columns of every kind, some of which change their nature on the way; in another order than
    their index."""
    rng = np.random.default_rng(0)
    late = np.arange(ROWS) > ROWS / 2
    normal = rng.normal(size=ROWS)
    table = pd.DataFrame(
        {
            "id": np.arange(ROWS),
            "normal": normal,
            "gaps": np.where(late, np.nan, normal),
            "count": rng.integers(1, 90, ROWS),
            "wide": np.where(late, 2**40, 1) + rng.integers(0, 50, ROWS),
            "huge": np.where(late, 2**63 + 5, 1).astype(np.uint64),
            "far": normal + 1e9,
            "text": rng.choice(["x", "y", None], ROWS),
            "copy": 0,
            "late_text": np.where(late, "q", "1.50"),
            "late_word": np.where(late, rng.choice(["True", "no"], ROWS), "True"),
            "flag": rng.choice([True, False], ROWS),
            "gap_flag": np.where(late, None, rng.choice([True, False], ROWS)),
            "empty": np.nan,
            "late_gap": np.where(late, None, "word"),
            "code": [f"{each:05d}" for each in rng.integers(0, 40, ROWS)],
            "when": pd.date_range("2020", periods=ROWS, freq="37h").strftime("%Y-%m-%d %H:%M"),
            "money": [f"${each:,.2f}" for each in rng.normal(2000, 900, ROWS)],
            "yes": rng.choice(["yes", "no"], ROWS),
            "kind": rng.choice(["a", "b", "c"], ROWS),
            "y": normal + 0.05,
        }
    )
    table["copy"] = table["text"]
    table.loc[3, "kind"] = None
    table.loc[7, "y"] = np.nan
    table.loc[[11, 12], "kind"] = "rare"
    return pd.concat([table, table.iloc[20:24]]).sample(frac=1, random_state=0)


def write(table: pd.DataFrame, file: Path) -> str:
    if file.name.endswith(".parquet"):
        typed = table.assign(
            moment=pd.to_datetime(table["when"]), class_=table["kind"].astype("category")
        )
        typed.to_parquet(file)
    elif file.name.endswith(".txt"):
        table.to_csv(file, index=False, sep=";", decimal=",")
    else:
        table.to_csv(file, index=False)
    return str(file)


def same(one: DataSet, other: DataSet) -> bool:
    """Whether nothing but where the rows lie differs."""
    for a, b in zip(one.folds, other.folds, strict=True):
        for mine, others in ((a.train, b.train), (a.validation, b.validation)):
            assert torch.equal(mine.x[:], others.x[:])  # type: ignore[arg-type]
            assert torch.equal(mine.y, others.y)
            assert (mine.weight is None) == (others.weight is None)
            assert mine.weight is None or torch.equal(mine.weight, others.weight)  # type: ignore
        assert a.recipe is not None
        assert b.recipe is not None
        assert a.recipe.to_json() == b.recipe.to_json()
        assert (a.columns, a.target, a.test) == (b.columns, b.target, b.test)
        assert all(map(np.array_equal, a.positions, b.positions))
    assert one.identity is not None
    assert other.identity is not None
    return one.identity.record() == other.identity.record()


KEYS: dict[str, dict[str, Any]] = {
    "classes": {"target": "kind", "drop": ("y", "id")},
    "folds": {"target": "y", "folds": 3},
    "folds of one copy": {"target": "y", "folds": 3, "drop": ("gaps", "money", "when")},
    "ranks": {"target": "kind", "preprocessing": "quantile", "group": "code", "weight": "count"},
    "time": {"target": "y", "preprocessing": "none", "time": "when", "categories": ("count",)},
    "labels": {"target": ("flag", "yes"), "copies": "apart", "preprocessing": "robust"},
}


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("name", ["t.csv", "t.txt", "t.parquet"])
def test_the_same_as_in_memory(name: str, keys: dict[str, Any], tmp_path: Path) -> None:
    path = write(frame(), tmp_path / name)
    for final in (False, True):
        held = load(DataSpec(path=path, **keys), final=final)
        data = load(DataSpec(path=path, in_memory=0, **keys), final=final)
        assert isinstance(data.train.x, FileRows)
        assert not isinstance(held.train.x, FileRows)
        assert same(data, held)
        assert data.note.endswith("rows are read from a file as they are needed: they are large")


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_test_rows_of_a_second_file(name: str, tmp_path: Path) -> None:
    table = frame()
    path = write(table, tmp_path / name)
    other = write(table.iloc[:90].assign(text="new"), tmp_path / f"test{name}")
    for final in (False, True):
        keys = {"path": path, "test_path": other, "target": "kind"}
        assert same(
            load(DataSpec(**keys, in_memory=0), final=final), load(DataSpec(**keys), final=final)
        )
    write(table.iloc[:90].drop(columns="far"), tmp_path / f"test{name}")
    with pytest.raises(DataError, match="no column 'far'"):
        load(DataSpec(**keys, in_memory=0))


def test_a_small_table_and_one_that_is_gzipped(tmp_path: Path) -> None:
    table = frame()
    small = write(table.iloc[:150], tmp_path / "small.csv")  # in one piece: nothing is narrowed
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(gzip.compress(Path(write(table, tmp_path / "t.csv")).read_bytes()))
    for path in (small, str(packed)):
        keys = {"path": path, "target": "y"}
        assert same(load(DataSpec(**keys, in_memory=0)), load(DataSpec(**keys)))


def test_numbers_of_a_shape(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (100, 12))
    table = pd.DataFrame(pixels, columns=[f"p{i}" for i in range(12)]).assign(y=pixels[:, 0] > 99)
    keys = {"path": write(table, tmp_path / "t.csv"), "target": "y", "shape": (1, 3, 4)}
    data = load(DataSpec(**keys, in_memory=0))
    assert data.train.x.shape[1:] == (1, 3, 4)
    assert same(data, load(DataSpec(**keys)))


# What is refused, in the same words as in memory.


def test_sequences_of_different_lengths_are_in_memory(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": np.arange(60.0), "b": np.arange(60) % 7 * 1.0, "y": ["n", "p"] * 30})
    table.loc[::3, "b"] = np.nan
    spec = DataSpec(path=write(table, tmp_path / "t.csv"), target="y", shape=(2,))
    assert load(spec).train.x[:].isnan().any()
    with pytest.raises(DataError, match=r"different lengths is read into memory .*\n.*NPZ"):
        load(replace(spec, in_memory=0))


def test_bad_input_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    def read(text: str, **keys: Any) -> None:
        (tmp_path / "bad.csv").write_text(text)
        messages = []
        for limit in ({}, {"in_memory": 0}):
            with pytest.raises(DataError) as error:
                load(DataSpec(path=str(tmp_path / "bad.csv"), **{"target": "y", **keys, **limit}))
            messages.append(str(error.value))
        assert messages[0] == messages[1]

    read("a,y\n")
    read("a,b\n1,2\n")
    read("a,y\n1,2\n" * 3)
    read("a,a,y\n1,2,3\n")
    read("a,y\n" + "1,2\n" * 100 + "1\n")
    read("a,y\n" + "1,2\n" * 100 + "1,2,3\n")
    read("a,y\n" + "1,2\n" * 100 + "inf,3\n")
    read("a,y\n" + "1,2\n2,3\n" * 100, group="g")
    read("a,y\n" + "1,2\n2,3\n" * 100, drop=("g",))
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        load(DataSpec(path=str(tmp_path / "bad.parquet"), target="y", in_memory=0))
    spans = frame().assign(span=pd.to_timedelta(1, "h"))
    with pytest.raises(DataError, match=r"neither numbers nor text: span \(timedelta"):
        load(DataSpec(path=write(spans, tmp_path / "l.parquet"), target="y", in_memory=0))
    assert not [each for each in cache.iterdir() if each.name.startswith("part-")]


def test_too_many_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(cached, "TEXTS", 100)
    path = write(frame(), tmp_path / "t.csv")
    with pytest.raises(
        DataError, match=r"'when' has more than 100 different texts.*\n.*drop = \['w"
    ):
        load(DataSpec(path=path, target="y", in_memory=0))
    assert {each.name[:5] for each in cache.iterdir()} == {"lock-"}
    keys = {"path": path, "target": "y", "drop": ("when", "money")}
    assert same(load(DataSpec(**keys, in_memory=0)), load(DataSpec(**keys)))


def test_a_column_of_text_is_in_memory(tmp_path: Path) -> None:
    path = write(frame(), tmp_path / "t.csv")
    with pytest.raises(
        DataError, match=r"a column of text, 'text', is always held in memory"
    ) as error:
        load(DataSpec(path=path, target="kind", text="text", in_memory=0))
    assert error.value.where == "data.in_memory"


# The cache.


def files(cache: Path, kind: str) -> list[Path]:
    return sorted(cache.glob(f"{kind}-*"))


def test_it_is_read_once_and_may_be_deleted(tmp_path: Path, cache: Path) -> None:
    path = write(frame(), tmp_path / "t.csv")
    spec = DataSpec(path=path, target="kind", in_memory=0)
    first = load(spec)
    (columns,), (rows,) = files(cache, "columns"), files(cache, "rows")
    made = [each.stat().st_ino for each in (columns, rows)]
    again = load(spec)
    assert [each.stat().st_ino for each in (columns, rows)] == made
    load(DataSpec(path=path, target="kind", in_memory=0, preprocessing="none"))
    assert (len(files(cache, "columns")), len(files(cache, "rows"))) == (1, 2)
    load(DataSpec(path=path, target="kind", in_memory=0, seed=1))
    assert len(files(cache, "rows")) == 3
    shutil.rmtree(cache)
    assert same(load(spec), first)
    assert torch.equal(again.train.x[:3], first.train.x[:3])  # of files without a name
    write(frame().iloc[1:], tmp_path / "t.csv")
    assert len(load(spec).train) < len(first.train) + 1
    assert len(files(cache, "columns")) == 2


def test_another_table_of_the_same_size_and_time_is_read(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    spec = DataSpec(path=write(frame(), file), target="kind", in_memory=0)
    load(spec)
    known, text = file.stat(), file.read_text()
    file.write_text(text[: text.index("\n") + 1] + "".join(reversed(text.splitlines(True)[1:])))
    os.utime(file, ns=(known.st_atime_ns, known.st_mtime_ns))
    assert file.stat().st_size == known.st_size
    assert same(load(spec), load(replace(spec, in_memory=None)))


def test_the_same_numbers_of_another_split_are_another_file(tmp_path: Path) -> None:
    """Although what was learned of the training rows is the same."""
    table = pd.DataFrame(
        {"a": np.tile([0, 1], 50), "b": np.tile([1, 1, 0, 0], 25), "y": np.arange(100) % 3}
    )
    table["y"] = table["y"].map(str)
    path = write(table, tmp_path / "t.csv")
    for seed in range(3):
        keys = {
            "path": path,
            "target": "y",
            "preprocessing": "none",
            "seed": seed,
            "copies": "apart",
        }
        assert same(load(DataSpec(**keys, in_memory=0)), load(DataSpec(**keys)))


def test_files_are_deleted_when_nobody_asks_for_them(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(name: str, size: int = 10) -> Path:
        with cached.cached_file(name, lambda file: file.write(b"1" * size) and None) as file:
            assert len(file.read()) == size
        return cache / name

    other = cache / "a file of yours"
    old, part, used = make("rows-old"), make("part-of-a-writer"), make("columns-used")
    other.write_text("")
    for each in (old, part, used, other):
        os.utime(each, (0, 0))
    make("columns-used")  # it is there, and young again
    make("rows-new")
    assert [each.exists() for each in (old, part, used, other)] == [False, False, True, True]
    usage = shutil.disk_usage(cache)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=10))
    os.utime(used, (10**9 * 2, 10**9 * 2))
    make("rows-newest")
    assert [each.name for each in files(cache, "rows")] == ["rows-newest"]
    assert used.exists()


def test_where_it_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(frame(), tmp_path / "t.csv")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TUNER_CACHE", str(tmp_path / "file"))
    with pytest.raises(
        DataError, match=r"the cache cannot be \w+: .*\n.*export TUNER_CACHE=FOLDER"
    ):
        load(DataSpec(path=path, target="y", in_memory=0))
    monkeypatch.delenv("TUNER_CACHE")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = cached.cache_folder()
    assert folder.name == f"tuner-cache-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    folder.rename(tmp_path / "tuner-cache-12345")
    with pytest.raises(DataError, match="belongs to another user"):
        cached.cache_folder()


def test_no_room_for_some_of_the_rows(tmp_path: Path) -> None:
    """Although there was room for the columns."""
    with pytest.raises(DataError, match=r"cannot be written: .*\n.*export TUNER_CACHE=FOLDER"):
        memory.put_away([np.zeros(3)], tmp_path / "away")


@pytest.mark.parametrize("left", [0, 100, -1])
def test_a_damaged_file(left: int, tmp_path: Path, cache: Path) -> None:
    spec = DataSpec(path=write(frame(), tmp_path / "t.csv"), target="kind", in_memory=0)
    load(spec)
    (columns,) = files(cache, "columns")
    os.truncate(columns, left % columns.stat().st_size)
    with pytest.raises(DataError, match=r"columns-\w+: a file of the cache is damaged\n.*delete"):
        load(spec)
    columns.unlink()
    load(spec)


def test_two_processes_at_once(tmp_path: Path, cache: Path) -> None:
    spec = DataSpec(path=write(frame(), tmp_path / "t.csv"), target="kind", in_memory=0)
    context = get_context("fork")
    pipes = [context.Pipe() for _ in range(2)]

    def work(pipe: Any) -> None:
        pipe.send(float(load(spec).train.x[:].double().sum()))

    workers = [context.Process(target=work, args=(pipe,)) for _, pipe in pipes]
    for worker in workers:
        worker.start()
    sums = [pipe.recv() for pipe, _ in pipes]
    for worker in workers:
        worker.join()
    assert sums == [float(load(spec).train.x[:].double().sum())] * 2
    assert (len(files(cache, "columns")), len(files(cache, "rows"))) == (1, 1)


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
def test_how_large_a_table_is(name: str, tmp_path: Path) -> None:
    table = frame()
    file = Path(write(table, tmp_path / name))
    cells = len(table) * (
        len(pd.read_parquet(file).columns) if ".parquet" in name else table.shape[1]
    )
    assert abs(cached.numbers_in(file, lambda count: False) / cells - 1) < 0.1
    if ".parquet" not in name:
        assert cached.numbers_in(file, lambda count: True) >= cells
