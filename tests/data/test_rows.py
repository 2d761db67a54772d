from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tuner.data.file_rows import FileRows, Packing, RowFile
from tuner.data.rows import Gathered, Padded, RowSource, SharedRows, epoch_of, slices_of

ORDER = [torch.tensor([5, 0]), torch.tensor([3])]


def test_it_takes_rows_as_a_tensor_does() -> None:
    pool, places = (
        SharedRows(torch.arange(12.0).reshape(6, 2)),
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


def test_texts_are_cut_to_the_longest_of_a_slice() -> None:
    words = torch.tensor([[3, 0, 0, 0], [2, 5, 0, 0], [0, 0, 0, 0], [2, 4, 6, 0]])
    texts = Padded.of(words)
    assert texts.lengths.tolist() == [1, 2, 0, 3]
    assert texts[:2].tolist() == [[3, 0], [2, 5]]
    assert texts[2:3].tolist() == [[0]]
    assert texts[0:0].shape == (0, 1)
    some = torch.tensor([3, 0])
    assert texts[some].tolist() == words[some].tolist()  # where the longest is known later
    assert texts.cut(texts[some], some).tolist() == [[2, 4, 6], [3, 0, 0]]
    assert (len(texts), texts.shape, texts.is_floating_point()) == (4, (4, 4), False)
    assert texts.to("cpu").rows is words


def test_the_batches_of_an_epoch_are_the_same_from_each_kind(tmp_path: Path) -> None:
    words = torch.tensor([[3, 0], [2, 5], [0, 0], [6, 0], [1, 1], [4, 0]])
    pooled = Gathered(SharedRows(words), torch.arange(6, dtype=torch.int32))
    (tmp_path / "rows").write_bytes(words.float().numpy().tobytes())
    filed = FileRows(RowFile((tmp_path / "rows").open("rb"), 2), Packing(2, ()), (2,), np.arange(6))
    kinds: list[RowSource] = [words, pooled, Padded.of(words), filed]
    taken = [list(epoch_of(x, lambda: ORDER, 0)(ORDER, torch.cat(ORDER))) for x in kinds]
    assert [each.tolist() for each in taken[0]] == [[[4, 0], [3, 0]], [[6, 0]]]
    assert [each.tolist() for each in taken[1]] == [[[4, 0], [3, 0]], [[6, 0]]]
    assert [each.tolist() for each in taken[2]] == [[[4], [3]], [[6]]]
    assert [each.tolist() for each in taken[3]] == [[[4, 0], [3, 0]], [[6, 0]]]


def test_slices_hold_every_row_once_and_there_is_always_one() -> None:
    rows = torch.arange(10.0).reshape(5, 2)
    assert [len(each) for each in slices_of(rows, 2)] == [2, 2, 1]
    assert torch.equal(torch.cat([*slices_of(rows, 2)]), rows)
    assert [each.shape for each in slices_of(rows[:0], 2)] == [(0, 2)]
    texts = Padded.of(torch.tensor([[1, 0], [2, 3], [4, 0]]))
    assert [each.shape for each in slices_of(texts, 2)] == [(2, 2), (1, 1)]
