"""Folds that share one copy of their rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tuner.data import DataSet, DataSpec, load
from tuner.data.gathered import Gathered, Pool

COUNT = 90


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "far": rng.normal(1e6, 1.0, COUNT),
            "whole": rng.integers(0, 9, COUNT),
            "kind": np.resize(["a", "b", "c"], COUNT),
            "y": np.arange(COUNT) % 2,
        }
    )


def read(folder: Path, frame: pd.DataFrame, **of: Any) -> DataSet:
    frame.to_csv(folder / "t.csv", index=False)
    return load(DataSpec(path=str(folder / "t.csv"), target="y", folds=3, **of))


def rows(data: DataSet) -> list[torch.Tensor]:
    return [part.x[:] for fold in data.folds for part in (fold.train, fold.validation)]


def check_learned_alone(data: DataSet, frame: pd.DataFrame, names: list[str]) -> None:
    """Each fold is standardised by its own training rows."""
    values = frame[names].to_numpy(float)
    for fold in data.folds:
        train = values[fold.positions[0]]
        for part, places in zip((fold.train, fold.validation), fold.positions, strict=True):
            wanted = (values[places] - train.mean(0)) / train.std(0)
            np.testing.assert_allclose(part.x[:][:, : len(names)], wanted, atol=2e-6)


def test_a_table_is_held_once(tmp_path: Path, frame: pd.DataFrame) -> None:
    data = read(tmp_path, frame)
    parts = [part.x for fold in data.folds for part in (fold.train, fold.validation)]
    assert len({id(x.pool) for x in parts if isinstance(x, Gathered)}) == 1
    assert all(isinstance(x, Gathered) for x in parts)
    check_learned_alone(data, frame, ["far", "whole"])
    for fold in data.folds:
        hot = fold.train.x[:][:, 2:]
        kinds = frame["kind"].to_numpy()[fold.positions[0]]
        assert hot.argmax(1).tolist() == ["abc".index(kind) for kind in kinds]
        assert torch.equal(hot.sum(1), torch.ones(len(hot)))


@pytest.mark.parametrize("why", ["ranks", "gaps", "categories"])
def test_what_differs_by_more_is_held_by_each(
    tmp_path: Path, frame: pd.DataFrame, why: str
) -> None:
    of = {"preprocessing": "quantile"} if why == "ranks" else {}
    if why == "gaps":
        frame.loc[::7, "far"] = None
    if why == "categories":
        frame.loc[5, "kind"] = "rare"
    data = read(tmp_path, frame, **of)
    assert all(isinstance(part.x, torch.Tensor) for f in data.folds for part in (f.train,))
    if why == "gaps":  # each with the median of its own training rows
        for fold in data.folds:
            assert fold.recipe is not None
            train = frame["far"].to_numpy()[fold.positions[0]]
            assert fold.recipe.to_json()["columns"][0]["encoder"]["median"] == np.nanmedian(train)


def test_a_column_whose_gaps_are_among_the_test_rows_is_shared(
    tmp_path: Path, frame: pd.DataFrame
) -> None:
    whole = load(DataSpec(path=_write(tmp_path, frame), target="y", folds=3))
    test = np.setdiff1d(np.arange(COUNT), np.concatenate(whole.positions))
    frame.loc[test[0], "far"] = None
    data = read(tmp_path, frame)
    assert isinstance(data.train.x, Gathered)
    for found, wanted in zip(rows(data), rows(whole), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def _write(folder: Path, frame: pd.DataFrame) -> str:
    frame.to_csv(folder / "whole.csv", index=False)
    return str(folder / "whole.csv")


@pytest.mark.parametrize("preprocessing", ["standard", "none"])
def test_images_are_held_once(tmp_path: Path, preprocessing: str) -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, (60, 3, 4, 4)).astype(np.uint8)
    np.savez(tmp_path / "i.npz", x=x, y=np.arange(60) % 2)
    spec = DataSpec(path=str(tmp_path / "i.npz"), target="y", folds=3, preprocessing=preprocessing)
    for fold in load(spec).folds:
        assert isinstance(fold.validation.x, Gathered)
        train, held = (x[places].astype(float) for places in fold.positions)
        mean, scale = train.mean((0, 2, 3)), train.std((0, 2, 3))
        shape = (1, 3, 1, 1)
        wanted = held if preprocessing == "none" else None
        if wanted is None:
            wanted = (held - mean.reshape(shape)) / scale.reshape(shape)
        np.testing.assert_allclose(fold.validation.x[:], wanted, atol=1e-6)


def test_it_takes_rows_as_a_tensor_does() -> None:
    pool, places = (
        Pool(torch.arange(12.0).reshape(6, 2)),
        torch.tensor([5, 1, 2], dtype=torch.int32),
    )
    plain = Gathered(pool, places)
    moved = Gathered(pool, places, torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 1.0]]))
    assert (len(moved), moved.shape, moved.is_floating_point()) == (3, (3, 2), True)
    assert plain[torch.tensor([2, 0])].tolist() == [[4.0, 5.0], [10.0, 11.0]]
    assert moved[1:].tolist() == [[0.5, 3.0], [1.5, 5.0]]
    assert pool.rows.tolist() == torch.arange(12.0).reshape(6, 2).tolist()  # taken, not changed
    assert moved.to("cpu").pool is pool
    wide = moved.to(torch.float64)
    assert wide[:].dtype == torch.float64
    assert plain.to(torch.float64).pool is wide.pool  # made once
