from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from tuner.data import file_rows
from tuner.data.file_rows import FileRows, Packing, RowFile
from tuner.data.rows import Gathered, SharedRows, slices_of
from tuner.errors import DataError

ROWS = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)


@pytest.fixture
def filed(tmp_path: Path) -> FileRows:
    (tmp_path / "rows").write_bytes(ROWS.tobytes())
    file = RowFile((tmp_path / "rows").open("rb"), 3)
    return FileRows(file, Packing(3, ()), (3,), np.arange(200))


@pytest.mark.parametrize("numbers", [2**19, 30])
def test_rows_in_any_order(filed: FileRows, numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_rows, "CHUNK", numbers)
    known = torch.from_numpy(ROWS)
    few, near = torch.tensor([150, 3, 3]), torch.arange(10, 90, 3)
    for wanted in (torch.randperm(200), few, near, near.flip(0), torch.tensor([7])):
        assert torch.equal(filed[wanted], known[wanted])
    assert torch.equal(filed[:], known)
    assert torch.equal(filed[5:40], known[5:40])
    assert filed[:0].shape == (0, 3)
    part = filed.part(np.arange(1, 200, 2))
    assert torch.equal(part[torch.tensor([4, 0])], known[[9, 1]])
    assert torch.equal(torch.cat([*slices_of(part, 33)]), known[1::2])
    assert [each.shape for each in slices_of(part.part(np.arange(0)), 9)] == [(0, 3)]


def test_it_is_like_a_tensor(filed: FileRows) -> None:
    assert (len(filed), filed.shape, filed.device.type) == (200, (200, 3), "cpu")
    assert filed.is_floating_point()
    assert filed.to("cpu").to(torch.float64)[:2].dtype == torch.float64
    shift, scale = torch.tensor([[1.0, 0.0, 2.0]]), torch.tensor([[2.0, 1.0, 3.0]])
    places = np.array([5, 0, 9])
    gathered = Gathered(SharedRows(torch.from_numpy(ROWS)), torch.from_numpy(places), shift, scale)
    for dtype in (torch.float32, torch.float64):
        moved = filed.part(places, shift, scale).to(dtype)
        assert torch.equal(moved[:], gathered.to(dtype)[:])


def test_another_process_opens_the_file(filed: FileRows) -> None:
    there = pickle.loads(pickle.dumps(filed))
    assert torch.equal(there[:4], filed[:4])
    gone = pickle.dumps(filed)
    Path(filed.file._path).unlink()
    assert torch.equal(filed[:4], torch.from_numpy(ROWS[:4]))  # who has it goes on
    with pytest.raises(DataError, match=r"cannot be read: .*\n  start the command again"):
        pickle.loads(gone)[:4]


def test_a_file_that_is_too_short(filed: FileRows) -> None:
    file = Path(filed.file._path)
    file.write_bytes(ROWS[:100].tobytes())
    with pytest.raises(DataError, match="too short"):
        filed[torch.tensor([150, 2])]


def test_a_category_is_one_number_of_a_row() -> None:
    packing = Packing(7, (range(1, 3), range(4, 7)))
    rows = np.array(
        [[5, 0, 1, 6, 0, 0, 1], [7, 1, 0, 8, 1, 0, 0], [9, 0, 0, 2, 0, 0, 0]], np.float32
    )
    packed = packing.pack(rows)
    assert packed.tolist() == [[5, 6, 1, 2], [7, 8, 0, 0], [9, 2, -1, -1]]
    assert packed.shape[1] == packing.packed
    assert packing.unpack(packed).tolist() == rows.tolist()
    assert Packing(7, ()).unpack(rows) is rows
