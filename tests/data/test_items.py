from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, TensorDataset

from tuner.data.items import MEASURED, Items, class_names, datasets, seed_generators, states
from tuner.errors import DataError


class Numbers(Dataset[Any]):
    """Items (x, y) of a list."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


class Plain:
    """Without torch's base class."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        return [float(index)], index


class Random(Plain):
    def __getitem__(self, index: int) -> Any:
        drawn = [float(torch.rand(())), np.random.rand(), random.random()]
        return [*drawn, float(index)], index


class NoLength(Dataset[Any]):
    def __getitem__(self, index: int) -> Any:
        return [0.0], 0


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(())


PAIRS = TensorDataset(torch.arange(6.0).reshape(3, 2), torch.tensor([0, 1, 0]))


def items(*parts: Any, **more: Any) -> Items:
    return Items(dict(zip(("train", "validation"), parts, strict=False)), "mine:load", **more)


@pytest.mark.parametrize(
    ("value", "splits"),
    [
        (PAIRS, [""]),
        (Plain(), [""]),
        (ConcatDataset([PAIRS, PAIRS]), [""]),
        ((PAIRS, Plain()), ["train", "validation"]),
        ([PAIRS, PAIRS, PAIRS], ["train", "validation", "test"]),
        ({"train": PAIRS, "test": PAIRS}, ["train", "test"]),
    ],
)
def test_what_holds_datasets(value: Any, splits: list[str]) -> None:
    found = datasets(value, "mine:load")
    assert found is not None
    assert list(found) == splits


@pytest.mark.parametrize(
    "value",
    [
        ([[1.0], [2.0]], [0, 1]),
        (np.zeros((2, 1)), np.zeros(2)),
        (torch.zeros(2, 1), torch.zeros(2)),
        {"data": [1], "target": [2]},
        {},
        None,
        "text",
    ],
)
def test_what_holds_none(value: Any) -> None:
    assert datasets(value, "mine:load") is None


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (Stream(), "mine:load: is iterable: its rows have no index\n.*__getitem__"),
        (DataLoader(PAIRS), "mine:load: is a DataLoader\n.*return its dataset"),
        (NoLength(), "mine:load: has no length.*\n.*__len__"),
        (Numbers(), "mine:load: has no items"),
        ((PAIRS, Numbers()), "validation of mine:load: has no items"),
        ((PAIRS,) * 4, "returned 4 Datasets\n.*train, validation, test"),
        ({"train": PAIRS, "valid": PAIRS}, "no split 'valid'\n.*did you mean 'validation'"),
        ({"train": PAIRS}, "Datasets for train alone\n.*train and test"),
        ({"validation": PAIRS, "test": PAIRS}, "for validation, test alone"),
    ],
)
def test_datasets_that_do_not_fit(value: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        datasets(value, "mine:load")


def test_items_of_several_datasets_are_rows_one_after_the_other() -> None:
    both = items(PAIRS, TensorDataset(torch.full((2, 2), 9.0), torch.tensor([2, 3])))
    assert len(both) == 5
    assert both.splits is not None
    assert both.splits.tolist() == [0, 0, 0, 1, 1]
    batch = both.batch([4, 0, 3], MEASURED)
    assert batch.x.tolist() == [[9.0, 9.0], [0.0, 1.0], [9.0, 9.0]]
    assert (batch.y, batch.random) == ([3, 0, 2], False)
    assert both.name(3) == "item 0 of validation"
    assert Items({"": PAIRS}, "mine:load").splits is None
    assert Items({"": PAIRS}, "mine:load").name(2) == "item 2"


@pytest.mark.parametrize(
    ("item", "x", "y"),
    [
        (([1, 2], "a"), [1, 2], "a"),
        ({"x": np.float32([1.5]), "y": np.int64(3), "name": "n"}, [1.5], 3),
        ((torch.tensor(2.0, requires_grad=True), torch.tensor([7])), [2.0], 7),
        ((np.uint8([[1], [2]]), None), [[1], [2]], None),
        (([True], 0.5), [True], 0.5),
        ((torch.tensor([0.5]).bfloat16(), torch.tensor(2.5).bfloat16()), [0.5], 2.5),
        (([1.0], torch.tensor([1, 0])), [1.0], [1, 0]),
        (([1.0], (np.float64(0.5), "a")), [1.0], [0.5, "a"]),
    ],
)
def test_forms_of_an_item(item: Any, x: Any, y: Any) -> None:
    batch = items(Numbers(item)).batch([0], MEASURED)
    assert batch.x.tolist() == [x]
    assert batch.y == [y]
    assert type(batch.y[0]) is type(y)


class Broken(Plain):
    def __getitem__(self, index: int) -> Any:
        raise OSError("no such file" if index == 2 else "other")


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        (Broken(), "item 2 of train raised OSError: no such file"),
        (
            Numbers(0, 1, [1, 2, 3, 4]),
            r"item 2 of train is a list of 4\n.*is \(x, y\) or \(x, y, w",
        ),
        (Numbers(0, 1, {"image": 1}), "is a dict with the keys image"),
        (Numbers(0, 1, 5.0), "item 2 of train is a float\n"),
        (Numbers(0, 1, ("text", 1)), "x of item 2 of train is of type <U4, and not numbers"),
        (Numbers(0, 1, ([[1], [1, 2]], 1)), "x of item 2 of train does not make an array"),
        (Numbers(0, 1, ([], 1)), "x of item 2 of train is empty"),
        (Numbers(0, 1, ([1.0], [[1, 0], 1])), r"a target of item 2 of train is \[1, 0\]"),
        (Numbers(0, 1, ([1.0], torch.ones(3, 1))), r"label of item 2 of train has shape \[3, 1\]"),
        (Numbers(0, 1, ([1.0], {"a": 1})), r"label of item 2 of train is \{'a': 1\}"),
    ],
)
def test_an_error_names_the_item(dataset: Any, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        items(dataset).batch([2], MEASURED)
    assert caught.value.where == "mine:load"


def test_items_with_weights() -> None:
    weighted = Numbers(([1.0], 0, 2), {"x": [2.0], "y": 1, "weight": torch.tensor(0.5)})
    assert items(weighted).batch([1, 0], MEASURED).weight == [0.5, 2]
    assert items(PAIRS).batch([0], MEASURED).weight == []
    some = items(Numbers(([1.0], 0, 2.0), ([2.0], 1)))
    for rows in ([0, 1], [1, 0]):
        with pytest.raises(DataError, match=r"only one of item . of train and item . of train"):
            some.batch(rows, MEASURED)
    with pytest.raises(DataError, match=r"the weight of item 0 of train is \[1\.0, 2\.0\]"):
        items(Numbers(([1.0], 0, [1.0, 2.0]))).batch([0], MEASURED)


def test_items_of_several_shapes_or_types_are_refused() -> None:
    images = items(Numbers((np.zeros((1, 2, 2)), 0), (np.zeros((1, 2, 3)), 1)))
    with pytest.raises(
        DataError, match=r"item 1 of train has shape \[1, 2, 3\], and of item 0 of t"
    ):
        images.batch([0, 1], MEASURED)
    with pytest.raises(DataError, match=r"item 0 .* \[1, 2, 2\].*\n.*equal in the Dataset: resize"):
        images.batch([1, 0], MEASURED)
    whole = items(Numbers(([1, 2], 0), ([1], 1)))
    with pytest.raises(DataError, match=r"item 1 .* \[1\].*\n.*a point: x\.float\(\)"):
        whole.batch([0, 1], MEASURED)
    wider = items(Numbers(([[1.0, 2.0]], 0), ([[1.0]], 1)), collate=alone)
    with pytest.raises(DataError, match=r"item 1 .* \[1, 1\].*\n.*equal in collate"):
        wider.batch([0, 1], MEASURED)
    mixed = items(Numbers((np.float32([1]), 0), (np.uint8([1]), 1)))
    with pytest.raises(DataError, match=r"type uint8, and of item 0 of train float32\n.*x\.float"):
        mixed.batch([0, 1], MEASURED)


# Random items.


def test_a_random_item_is_that_of_its_seed_and_row_whoever_reads_it() -> None:
    drawing = items(Random())
    first = drawing.batch([0, 1, 2], 5)
    assert first.random
    assert np.array_equal(drawing.batch([2, 0], 5).x, first.x[[2, 0]])
    seed_generators(77)
    assert np.array_equal(drawing.batch([1], 5).x, first.x[[1]])
    assert not (drawing.batch([0, 1, 2], 6).x[:, :3] == first.x[:, :3]).any()
    assert len({*first.x[:, :3].reshape(-1).tolist()}) == 9
    known = Items(drawing.parts, "mine:load", random=True)
    assert np.array_equal(known.batch([1], 5).x, first.x[[1]])


def test_reading_leaves_the_generators_alone() -> None:
    before = states()
    items(Random()).batch([0, 1, 2], 5)
    after = states()
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]
    assert str(before[2]) == str(after[2])


# Items of different lengths.


RAGGED = Numbers(([1.0, 2.0], 0), ([3.0], 1), ([4.0, 5.0, 6.0], 0))
NAN = float("nan")


def alone(batch: list[Any]) -> Any:
    xs = [torch.tensor(x) for x, _ in batch]
    rows = torch.nn.utils.rnn.pad_sequence(xs, batch_first=True, padding_value=-1.0)
    return rows, torch.tensor([y for _, y in batch])


@pytest.mark.parametrize("collate", [None, alone])
def test_sequences_are_filled_up_to_the_longest_of_a_batch(collate: Any) -> None:
    ragged = items(RAGGED, collate=collate)
    batch = ragged.batch([0, 1, 2], MEASURED)
    assert np.array_equal(batch.x, [[1, 2, NAN], [3, NAN, NAN], [4, 5, 6]], equal_nan=True)
    assert batch.y == [0, 1, 0]
    assert np.array_equal(ragged.batch([1, 0], MEASURED).x, [[3, NAN], [1, 2]], equal_nan=True)
    assert ragged.batch([1], MEASURED).x.tolist() == [[3.0]]


def test_collate_is_asked_for_each_item_once() -> None:
    asked = []

    def cut(batch: list[Any]) -> Any:
        asked.append(len(batch))
        return {"x": [x[:1] for x, _ in batch], "y": [y for _, y in batch]}

    assert items(RAGGED, collate=cut).batch([0, 2], MEASURED).x.tolist() == [[1.0], [4.0]]
    assert asked == [1, 1]


@pytest.mark.parametrize(
    ("collate", "says"),
    [
        (lambda batch: sys.exit(2), "collate raised SystemExit for item 0 of train: 2"),
        (lambda batch: 1 / 0, "collate raised ZeroDivisionError for item 0 of train"),
        (lambda batch: batch, "is a list of 1"),
        (lambda batch: (torch.zeros(0, 2), []), "is empty"),
    ],
)
def test_a_collate_that_does_not_fit(collate: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        items(RAGGED, collate=collate).batch([0, 1], MEASURED)


def test_names_of_classes() -> None:
    named = Plain()
    named.classes = ["cat", "dog"]  # type: ignore[attr-defined]
    assert class_names(named) == ("cat", "dog")
    assert class_names(torch.utils.data.Subset(named, [0])) == ("cat", "dog")  # type: ignore[arg-type]
    named.classes = [0, 1]  # type: ignore[attr-defined]
    assert class_names(named) == class_names(PAIRS) == ()
