"""test_memory"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tuner.data import DataSpec, load, memory
from tuner.data.memory import Grown, fresh, narrow
from tuner.data.sources import read_parquet
from tuner.data.tables import read_text

NORMAL = np.random.default_rng(0).normal(size=1000)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.array([0, 127, -128]), np.int8),
        (np.array([0, 128]), np.int16),
        (np.array([2**40, -1]), np.int64),
        (np.array([255], dtype=np.uint64), np.uint8),
        (np.array([], dtype=np.int64), np.int8),
        (np.array([0.5, np.nan, np.inf]), np.float32),
        (np.array([np.nan, np.nan]), np.float32),
        (np.array([2.0**24, 2.0**24 + 1]), np.float64),
        (np.array([0.1, 0.1]), np.float64),
        (np.array([1e300, 0.5]), np.float64),
        (np.array([1e9 + 0.1, -1e9]), np.float64),
        (NORMAL, np.float32),
        (NORMAL + 20, np.float32),
        (NORMAL + 1000, np.float64),
        (NORMAL * 1e-40, np.float64),
        (np.array([0.1], dtype=np.float32), np.float32),
    ],
    ids=str,
)
def test_numbers_take_the_bytes_that_they_need(values: Any, dtype: type) -> None:
    found = narrow(values)
    assert found.dtype == dtype
    if dtype is np.float32 and len(values) == 1000:
        moved = np.abs(found.astype(np.float64) - values).max() / values.std()
        assert 0 < moved < 4e-6
    else:
        np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(
    ("pieces", "dtype"),
    [
        (([1, 2], [300, 4]), np.int16),
        (([1, 2], [0.5, None]), np.float32),
        (([1, 2**20], [0.5]), np.float64),
        (([0.5], [0.1, 0.1], [3]), np.float64),
    ],
    ids=str,
)
def test_pieces_that_need_more_bytes_widen_those_before(pieces: Any, dtype: type) -> None:
    column = Grown(True)
    for piece in pieces:
        column.add(np.array([np.nan if each is None else each for each in piece]))
    expected = [np.nan if each is None else each for piece in pieces for each in piece]
    assert column.values.dtype == dtype
    np.testing.assert_array_equal(column.values, expected)


def test_numbers_that_are_to_stay_do() -> None:
    column = Grown(False)
    column.add(NORMAL)
    column.add(np.array([1, 2]))
    assert column.values.dtype == np.float64
    np.testing.assert_array_equal(column.values, [*NORMAL, 1, 2])


@pytest.mark.parametrize("count", [0, 10, 100_000])
def test_an_array_of_its_own_can_be_written(count: int) -> None:
    found = fresh(count, np.int32)
    found[:] = np.arange(count)
    assert found.tolist() == list(range(count))


ROWS = 400


def _table() -> pd.DataFrame:
    """Columns that change their nature on the way."""
    rng = np.random.default_rng(0)
    late = np.arange(ROWS) > ROWS / 2
    normal = rng.normal(size=ROWS).round(4)
    return pd.DataFrame(
        {
            "normal": normal,
            "gaps": np.where(late, np.nan, normal),
            "count": rng.integers(0, 90, ROWS),
            "wide": np.where(late, 2**40, 1) + np.arange(ROWS),
            "broken": np.where(late, normal, 7),
            "far": normal + 5000,
            "text": rng.choice(["x", "y", "z"], ROWS),
            "late_text": np.where(late, "q", "1.50"),
            "flag": rng.choice([True, False], ROWS),
            "gap_flag": np.where(late, None, rng.choice([True, False], ROWS)),
            "empty": np.nan,
            "y": normal + 0.05,
        }
    )


def _written(folder: Path, ending: str) -> Path:
    file = folder / f"table{ending}"
    if ending == ".parquet":
        _table().rename_axis("row").to_parquet(file)
    else:
        _table().to_csv(file, index=False)
    return file


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_table_from_pieces_is_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    file = _written(tmp_path, ending)
    read = read_parquet if ending == ".parquet" else read_text
    expected = read(file)
    monkeypatch.setattr(memory, "CELLS", 500)
    monkeypatch.setattr(memory, "ROWS", 1)
    found = read(file, ["y"])
    assert found.columns.tolist() == expected.columns.tolist()
    for name in found.columns:
        exact = name != "normal" and name != "gaps" and name != "broken"
        pd.testing.assert_series_equal(
            found[name], expected[name], check_dtype=False, check_exact=exact, check_index=False
        )
    assert found["normal"].dtype == np.float32
    assert found["count"].dtype == np.int8
    assert {found[name].dtype for name in ("far", "y")} == {np.dtype(np.float64)}
    for name in ("text", "late_text", "flag", "gap_flag"):
        assert found[name].dtype == expected[name].dtype


@pytest.mark.parametrize("index", [range(ROWS, 0, -1), range(0, 2 * ROWS, 2), [0] * ROWS])
def test_a_saved_index_moves_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: Any
) -> None:
    """As that of a frame which was shuffled, filtered or appended to."""
    file, table = tmp_path / "table.parquet", _table()
    table.set_axis(index).to_parquet(file)
    monkeypatch.setattr(memory, "CELLS", 500)
    found = read_parquet(file, ["y"])
    assert len(found) == ROWS
    for name in ("count", "text", "y"):
        assert found[name].tolist() == table[name].tolist()


@pytest.mark.parametrize("preprocessing", ["standard", "quantile", "none"])
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_large_table_gives_the_same_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, preprocessing: str
) -> None:
    spec = DataSpec(
        path=str(_written(tmp_path, ending)), target="y", preprocessing=preprocessing, group="count"
    )
    expected = load(spec)
    monkeypatch.setattr(memory, "CELLS", 500)
    monkeypatch.setattr(memory, "ROWS", 1)
    found = load(spec)
    assert (found.features, found.columns) == (expected.features, expected.columns)
    assert found.target == expected.target
    for mine, whole in ((found.train, expected.train), (found.validation, expected.validation)):
        assert mine.y.equal(whole.y)
        assert mine.x.sub(whole.x).abs().max() < 4e-6 * max(1, whole.x.abs().max())
    numbers = [at for at, name in enumerate(found.features) if not name.startswith("normal")]
    exact = [at for at in numbers if not found.features[at].startswith(("gaps", "broken"))]
    assert found.train.x[:, exact].equal(expected.train.x[:, exact])


def test_columns_that_are_dropped_are_dropped_for_the_same_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pd.DataFrame({"id": 2**30 + np.arange(ROWS), "one": 0.1, "a": np.sin(np.arange(ROWS))})
    file = tmp_path / "table.csv"
    table.assign(y=np.arange(ROWS) % 2).to_csv(file, index=False)
    expected = load(DataSpec(path=str(file), target="y")).columns
    monkeypatch.setattr(memory, "CELLS", 100)
    monkeypatch.setattr(memory, "ROWS", 1)
    assert load(DataSpec(path=str(file), target="y")).columns == expected
    assert [each.decision for each in expected] == ["dropped", "dropped", "kept", "target"]


def test_nothing_is_collected_while_a_table_is_looked_at() -> None:
    @memory.uncollected()
    def fails() -> None:
        assert not gc.isenabled()
        raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert gc.isenabled()
