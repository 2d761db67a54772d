from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tuner.data import DataSet, DataSpec, load
from tuner.data.rows import epoch_of, slices_of
from tuner.data.streamed import Readers, Streamed
from tuner.errors import DataError

Module = Callable[[str], str]

SETS = """
    import random
    import numpy as np
    import torch
    from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

    generator = torch.Generator().manual_seed(0)
    X = torch.rand(60, 3, 4, 5, generator=generator) + torch.arange(3.0).reshape(3, 1, 1)
    WIDE = X.reshape(60, -1)[:, :7]
    BYTES = (40 * torch.rand(60, 6, 5, 3, generator=generator)).byte()
    Y = torch.arange(60) % 3
    NAMES = ["a", "b", "c"]

    class Pairs(Dataset):
        def __init__(self, x, y, noise=0.0):
            self.x, self.y, self.noise = x, y, noise
        def __len__(self):
            return len(self.x)
        def __getitem__(self, index):
            x = self.x[index]
            if self.noise:
                drawn = torch.randn(()) + np.random.randn() + random.gauss(0, 1)
                x = x + self.noise * float(drawn)
            return x, self.y[index]

    def images(): return X, Y
    def image_set(): return Pairs(X, Y)
    def images_together(): return ConcatDataset([Subset(Pairs(X, Y), range(20)),
        TensorDataset(X[20:], Y[20:])])
    def wide(): return WIDE, Y
    def wide_set(): return Pairs(WIDE, Y)
    def pixels(): return BYTES.numpy(), Y
    def pixel_set(): return Pairs(BYTES.numpy(), Y)
    def texts(): return WIDE, [NAMES[y] for y in Y]
    def text_set(): return Pairs(WIDE, [NAMES[y] for y in Y])
    def weighted(): return X, Y, torch.arange(60) + 1
    def weighted_set(): return TensorDataset(X, Y, torch.arange(60) + 1)
    def many(): return X, torch.stack([Y == 0, Y == 1], 1).int()
    def many_set(): return TensorDataset(X, torch.stack([Y == 0, Y == 1], 1))
    def two_amounts(): return X, WIDE[:, :2]
    def two_amount_set(): return TensorDataset(X, WIDE[:, :2])
    def amounts(): return WIDE, WIDE.sum(1)
    def amount_set(): return Pairs(WIDE, WIDE.sum(1))
    def noisy(): return Pairs(X, Y, 0.1)
    def parts(): return Pairs(X[:30], Y[:30]), Pairs(X[30:45], Y[30:45]), Pairs(X[45:], Y[45:])
    def two(): return Pairs(X[:30], Y[:30]), Pairs(X[30:], Y[30:])
    def tested(): return {"train": Pairs(X[:40], Y[:40]), "test": Pairs(X[40:], Y[40:])}
    def strange():
        return {"train": Pairs(X[:40], Y[:40].clamp(max=1)), "test": Pairs(X[40:], Y[40:])}
"""


@pytest.fixture(autouse=True)
def _no_reader_is_left() -> Iterator[None]:
    yield
    if Readers.open is not None:
        Readers.open.close()
    assert multiprocessing.active_children() == []


@pytest.fixture
def read(module: Module, tmp_path: Path) -> Callable[..., DataSet]:
    name = module(SETS)

    def read(function: str, final: bool = False, **keys: Any) -> DataSet:
        spec = DataSpec(source=f"{name}:{function}", **keys)
        return load(spec, folder=tmp_path, final=final)

    return read


def same(one: DataSet, other: DataSet) -> bool:
    """Whether not a bit differs."""
    splits = ((getattr(one, name), getattr(other, name)) for name in ("train", "validation"))
    alike = []
    for a, b in splits:
        alike += [np.array_equal(a.x[:], b.x[:], equal_nan=True), torch.equal(a.y, b.y)]
        weights = [torch.ones(1) if each.weight is None else each.weight for each in (a, b)]
        alike.append(torch.equal(*weights))
    assert one.identity is not None
    assert other.identity is not None
    known = one.identity.record() | {"where": 0} == other.identity.record() | {"where": 0}
    return all(alike) and known and (one.shape, one.target) == (other.shape, other.target)


@pytest.mark.parametrize("in_memory", [256, 0])
@pytest.mark.parametrize(
    ("arrays", "dataset"),
    [
        ("images", "image_set"),
        ("images", "images_together"),
        ("wide", "wide_set"),
        ("pixels", "pixel_set"),
        ("texts", "text_set"),
        ("weighted", "weighted_set"),
        ("many", "many_set"),
        ("two_amounts", "two_amount_set"),
        ("amounts", "amount_set"),
    ],
)
def test_the_rows_of_a_dataset_are_those_of_the_same_arrays(
    read: Any, arrays: str, dataset: str, in_memory: int
) -> None:
    expected, data = read(arrays), read(dataset, in_memory=in_memory)
    assert isinstance(data.train.x, Streamed if in_memory == 0 else torch.Tensor)
    assert same(data, expected)
    assert data.test == expected.test
    assert data.note.startswith(expected.note)
    assert same(read(dataset, final=True, in_memory=in_memory), read(arrays, final=True))


@pytest.mark.parametrize("arrays", ["images", "wide"])
def test_folds_have_statistics_of_their_own(read: Any, arrays: str) -> None:
    expected = read(arrays, folds=3)
    data = read(f"{arrays.removesuffix('s')}_set", folds=3, in_memory=0)
    for fold, known in zip(data.folds, expected.folds, strict=True):
        torch.testing.assert_close(fold.train.x[:], known.train.x[:], rtol=1e-5, atol=1e-6)
        assert torch.equal(fold.validation.y, known.validation.y)


def test_shape_and_preprocessing(read: Any) -> None:
    keys = {"shape": (1, 12, 5), "preprocessing": "none"}
    assert same(read("image_set", in_memory=0, **keys), read("images", **keys))
    with pytest.raises(DataError, match=r"shape .* holds 6 numbers"):
        read("image_set", shape=(6,))
    with pytest.raises(DataError, match="quantile needs all rows in memory"):
        read("wide_set", preprocessing="quantile", in_memory=0)
    assert same(read("wide_set", preprocessing="quantile"), read("wide", preprocessing="quantile"))


@pytest.mark.parametrize("in_memory", [256, 0])
def test_splits_that_the_source_gives(read: Any, in_memory: int) -> None:
    data = read("parts", in_memory=in_memory)
    assert [len(data.train), len(data.validation), data.test] == [30, 15, None]
    assert [each.tolist() for each in data.positions] == [[*range(30)], [*range(30, 45)]]
    final = read("parts", final=True, in_memory=in_memory)
    assert [len(final.train), len(final.validation)] == [45, 15]
    data = read("two", in_memory=in_memory)
    assert [len(data.train), len(data.validation), data.test] == [30, 30, 0]
    with pytest.raises(DataError, match="there are no test rows"):
        read("two", final=True)
    data = read("tested", in_memory=in_memory)
    assert [len(data.train), len(data.validation), data.test] == [32, 8, None]
    data = read("tested", folds=4, in_memory=in_memory)
    places = [fold.positions[1] for fold in data.folds]
    assert sorted(torch.cat([*map(torch.tensor, places)]).tolist()) == [*range(40)]
    with pytest.raises(DataError, match="folds cannot be combined with validation rows"):
        read("parts", folds=4)
    for keys in ({}, {"folds": 4}):
        with pytest.raises(DataError, match="class '2' does not occur in the training rows"):
            read("strange", in_memory=in_memory, **keys)


def test_the_note_says_how_rows_are_read(read: Any) -> None:
    begin = "rows are read as they are needed"
    assert read("image_set").note == ""
    assert read("image_set", in_memory=0).note == f"{begin}: in_memory = 0"
    note = read("pixel_set", in_memory=0, readers=1).note
    assert note.endswith(f"[3, 6, 5]; {begin}, by 1 reader ahead: in_memory = 0")
    assert read("noisy", readers=2).note == f"{begin}, by 2 readers ahead: its items are random"


def test_random_items_are_never_held(read: Any) -> None:
    data = read("noisy")
    assert isinstance(data.train.x, Streamed)
    assert torch.equal(data.train.x[:], read("noisy").train.x[:])
    order = [torch.arange(8), torch.arange(8, 13)]

    def taken(seed: int, readers: int = 0) -> torch.Tensor:
        x = read("noisy", readers=readers).train.x
        return torch.cat([*epoch_of(x, lambda: order, seed)(order, torch.cat(order))])

    assert torch.equal(taken(1), taken(1, readers=2))
    assert not (taken(1) == taken(2)).all(1).any()


@pytest.mark.parametrize("readers", [0, 2])
def test_an_epoch_and_slices(read: Any, readers: int) -> None:
    x = read("image_set", in_memory=0, readers=readers).train.x
    every = x[:]
    order = torch.split(torch.randperm(len(x)), 7)
    for _ in range(2):
        taking = epoch_of(x, lambda: order, 3)
        parts = [*taking(order[:2], torch.cat(order[:2])), *taking(order[2:], torch.cat(order[2:]))]
        assert [len(each) for each in parts] == [len(each) for each in order]
        assert torch.equal(torch.cat(parts), every[torch.cat(order)])
    begun = epoch_of(x, lambda: order, 3)
    assert len([*begun(order[:1], order[0])]) == 1  # and is never ended
    assert [len(each) for each in slices_of(x, 10)] == [10, 10, 10, 6]
    assert torch.equal(torch.cat([*slices_of(x, 10)]), every)


def take(x: Any, of: tuple[Any, int], following: Any = None) -> torch.Tensor:
    """The rows of an epoch, by its order and seed."""
    order, seed = of
    return torch.cat([*epoch_of(x, lambda: order, seed, following)(order, torch.cat(order))])


LOGGED = """
    import os
    import torch

    class Logged(torch.utils.data.Dataset):
        def __len__(self):
            return 60
        def __getitem__(self, index):
            with open(os.environ["LOG"], "a") as file:
                file.write(f"{index}\\n")
            return torch.full((3,), float(index)) + torch.rand(1), index % 3

    def load(): return Logged()
"""


def test_readers_begin_with_what_follows_while_a_pass_ends(
    module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("LOG", str(log))
    monkeypatch.setattr("tuner.data.streamed.GROUP", 1)  # a request for each batch
    spec = DataSpec(source=f"{module(LOGGED)}:load", readers=1)
    x = load(spec, folder=tmp_path).train.x
    epochs = [(torch.split(torch.randperm(36), 9), seed) for seed in range(4)]
    places = x.places  # type: ignore[union-attr]

    def indices(of: tuple[Any, int], count: int) -> list[str]:
        return [str(each) for each in places[torch.cat(of[0]).numpy()][:count]]

    def until_read(ahead: list[str]) -> None:
        while len(log.read_text().split()) < len(ahead):  # after ten minutes the process ends
            time.sleep(0.01)
        assert log.read_text().split() == ahead
        log.write_text("")

    plain = load(replace(spec, readers=0), folder=tmp_path).train.x
    log.write_text("")
    rows = take(x, epochs[0], following=(lambda: epochs[1][0], 1))
    until_read(indices(epochs[0], 36))  # what is measured is not known yet
    list(slices_of(x, 12))
    until_read([*map(str, places), *indices(epochs[1], 18)])  # two requests for a reader
    again = take(x, epochs[1], following=(lambda: epochs[2][0], 2))
    until_read([*indices(epochs[1], 36)[18:], *map(str, places[:24])])
    list(slices_of(x, 12))
    until_read([*map(str, places[24:]), *indices(epochs[2], 18)])
    other = take(x, epochs[3])  # another trial: what was begun is lost
    until_read(indices(epochs[3], 36))
    for mine, of in ((rows, 0), (again, 1), (other, 3)):
        assert torch.equal(mine, take(plain, epochs[of]))


@pytest.mark.parametrize("size", [1, 2**17])
@pytest.mark.parametrize("name", ["image_set", "noisy"])
def test_any_guess_may_be_wrong(
    read: Any, size: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.data.streamed.GROUP", size)
    x, plain = (read(name, in_memory=0, readers=count).train.x for count in (1, 0))
    epochs = [(torch.split(torch.randperm(36), 7), seed) for seed in range(3)]

    def failing() -> Any:
        raise DataError("later")

    wanted = [(at, then) for at in range(3) for then in (0, 1, 2, None, 3)]
    for number, (at, then) in enumerate(wanted * 2):
        follows = None if then is None else (failing, 0) if then == 3 else epochs[then]
        following = follows and (follows[0] if then == 3 else partial(list, follows[0]), follows[1])
        if number % 7 == 3:  # a pass that is given up
            order, seed = epochs[at]
            taking = epoch_of(x, partial(list, order), seed, following)
            assert len([*taking(order[:2], order[0])]) == 2
        assert torch.equal(take(x, epochs[at], following), take(plain, epochs[at]))
        for rows in (5, 36)[: number % 3]:
            assert torch.equal(torch.cat([*slices_of(x, rows)]), plain[:])


def test_two_passes_at_once(read: Any) -> None:
    x = read("image_set", in_memory=0, readers=2).train.x
    order = torch.split(torch.randperm(36), 7)
    one, two = (epoch_of(x, lambda: order, 0, (lambda: order, 1)) for _ in range(2))
    parts: list[list[torch.Tensor]] = [[], []]
    for batch in order:
        for mine, taking in zip(parts, (one, two), strict=True):
            mine += taking([batch], batch)
    assert torch.equal(torch.cat(parts[0]), x[:][torch.cat(order)])
    assert torch.equal(torch.cat(parts[1]), torch.cat(parts[0]))


def test_it_is_like_a_tensor(read: Any) -> None:
    x = read("image_set", in_memory=0, readers=2).train.x
    assert (len(x), x.shape, x.device.type, x.is_floating_point()) == (
        36,
        (36, 3, 4, 5),
        "cpu",
        True,
    )
    assert x.to(torch.float64)[:2].dtype == torch.float64
    assert x.to("cpu").device == torch.device("cpu")
    assert torch.equal(x[torch.tensor([3, 0])], x[:][[3, 0]])
    assert x[:0].shape == (0, 3, 4, 5)
    assert [len(each) for each in slices_of(Streamed(x.readers, x.places[:0], x.recipe), 9)] == [0]


def test_readers_of_other_items_end_the_first(read: Any) -> None:
    one, two = (read(name, in_memory=0, readers=1).train.x for name in ("image_set", "wide_set"))
    assert len(next(iter(slices_of(one, 40)))) == 36
    assert Readers.open is one.readers
    assert len(next(iter(slices_of(two, 40)))) == 36
    assert Readers.open is two.readers
    assert torch.equal(torch.cat([*slices_of(one, 9)]), one[:])


def test_after_a_reader_died_others_begin(read: Any) -> None:
    x = read("image_set", in_memory=0, readers=1).train.x
    assert torch.equal(torch.cat([*slices_of(x, 9)]), x[:])
    (reader,) = multiprocessing.active_children()
    assert reader.pid is not None
    os.kill(reader.pid, signal.SIGKILL)
    reader.join()
    with pytest.raises(DataError, match=r"a reader failed: .*\n.*fewer data\.readers"):
        list(slices_of(x, 9))
    assert torch.equal(torch.cat([*slices_of(x, 9)]), x[:])


def test_a_daemon_has_readers_of_its_own(read: Any) -> None:
    x = read("image_set", in_memory=0, readers=1).train.x
    assert sum(len(each) for each in slices_of(x, 9)) == 36
    (reader,) = multiprocessing.active_children()
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def work() -> None:
        theirs.send(sum(len(each) for each in slices_of(x, 9)))
        theirs.send(multiprocessing.current_process().daemon)

    process = context.Process(target=work, daemon=True)
    process.start()
    assert (ours.recv(), ours.recv()) == (36, True)
    process.join(30)
    assert process.exitcode == 0
    assert reader.is_alive()
    assert sum(len(each) for each in slices_of(x, 9)) == 36
    assert multiprocessing.active_children() == [reader]


def test_readers_are_not_pickled(read: Any) -> None:
    from torch.utils.data import TensorDataset

    from tuner.data.items import Items

    readers = Readers(Items({"": TensorDataset(torch.ones(3, 1), torch.ones(3))}, "mine"), 1)
    copy = pickle.loads(pickle.dumps(readers))
    assert (copy.count, len(copy.items)) == (1, 3)


ITEMS = """
    import numpy as np
    class Set:
        def __len__(self): return 30
        def __getitem__(self, i):
            {code}
    def load(): return Set()
"""


@pytest.mark.parametrize("readers", [0, 2])
@pytest.mark.parametrize("in_memory", [256, 0])
@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            "return [1] * (1 + (i == 17)), i % 2",
            r"item 17 has shape \[2\], and of item \d+ \[1\]",
        ),
        ("return [[float(i)][i % 29]], i % 2", "item 1 raised IndexError: list index out of range"),
        ("return [np.nan if i == 3 else i / 2], i % 2", "too large for float32 .* the first .* 3"),
        ("raise SystemExit(i)", "item 0 raised SystemExit: 0"),
        ("return [1.0], i % 2", "in every training row"),
        ("return ([float(i)], i % 2, 1.0)[: 2 + (i < 29)]", "weight"),
        ("return [float(i)], i % 2, i - 3", "4 of 30 weights are no positive numbers"),
        ("return [float(i)], i % 2, 'much'", "weights have type"),
        ("return [float(i)], 1", "all 30 labels are '1'"),
        ("return np.random.default_rng().random(3), i % 2", "another each time it is read"),
        ("return [float(i)], [[i]]", r"label of a target of item 0 is \[0\]"),
        ("return [float(i)], [i, 1][: 1 + (i < 9)]", "item 9 has 1 labels, but item 0 has 2"),
    ],
)
def test_items_that_do_not_fit(
    module: Module, tmp_path: Path, code: str, says: str, in_memory: int, readers: int
) -> None:
    source = f"{module(ITEMS.format(code=code))}:load"
    with pytest.raises(DataError, match=says):
        load(DataSpec(source=source, in_memory=in_memory, readers=readers), folder=tmp_path)


def test_collate_by_the_study_and_by_the_dataset(module: Module, tmp_path: Path) -> None:
    code = (
        ITEMS.format(code="return [1.0 + i] * (1 + i % 4), i % 2")
        + """
    def pad(batch):
        longest = max(len(x) for x, _ in batch)
        return [x + [0.0] * (longest - len(x)) for x, _ in batch], [y for _, y in batch]
    def own():
        made = Set()
        made.collate_fn = pad
        return made
    """
    )
    name = module(code)
    expected = load(DataSpec(source=f"{name}:load"), folder=tmp_path)
    for in_memory in (256, 0):
        spec = DataSpec(source=f"{name}:load", collate=f"{name}:pad", in_memory=in_memory)
        assert same(load(spec, folder=tmp_path), expected)
        spec = DataSpec(source=f"{name}:own", in_memory=in_memory, readers=1)
        assert same(load(spec, folder=tmp_path), expected)
    with pytest.raises(DataError, match="no function 'pas'"):
        load(DataSpec(source=f"{name}:load", collate=f"{name}:pas"), folder=tmp_path)


LENGTHS = """
    import numpy as np
    import pandas as pd
    import torch
    SEQUENCES = [torch.randn({size}, generator=torch.Generator().manual_seed(i)) + i / 9
        for i, n in enumerate([2, 5, 3, 1, 4, 5] * 10)]
    class Set:
        def __len__(self): return 60
        def __getitem__(self, i): return SEQUENCES[i], i % 3
    class Noisy(Set):
        def __getitem__(self, i): return SEQUENCES[i] + torch.rand(()), i % 3
    class Longer(Set):
        def __getitem__(self, i):
            return SEQUENCES[i][:1].repeat(int(1 / torch.rand(())), {ones}), i % 3
    class Numbered(Set):
        def __getitem__(self, i): return SEQUENCES[i], None if i == 7 else i % 3
    def load(): return Set()
    def noisy(): return Noisy()
    def longer(): return Longer()
    def parts(): return {{"train": Set(), "test": Numbered()}}
    def rows():
        x = torch.nn.utils.rnn.pad_sequence(SEQUENCES, batch_first=True, padding_value=np.nan)
        return x, torch.arange(60) % 3
    def frame():
        x = rows()[0].reshape(60, -1).numpy()
        return pd.DataFrame(x).assign(y=np.arange(60) % 3)
"""
CHANNELS = {"size": "n, 2", "ones": "1"}


@pytest.mark.parametrize("form", [CHANNELS, {"size": "n", "ones": ""}], ids=["channels", "plain"])
@pytest.mark.parametrize("keys", [{}, {"folds": 3}, {"preprocessing": "none"}], ids=str)
def test_sequences_of_different_lengths(
    form: dict[str, str], keys: dict[str, Any], module: Module, tmp_path: Path
) -> None:
    name = module(LENGTHS.format(**form))
    held = load(DataSpec(source=f"{name}:load", **keys), folder=tmp_path)
    rows = load(DataSpec(source=f"{name}:rows", **keys), folder=tmp_path)
    streamed = load(DataSpec(source=f"{name}:load", in_memory=0, **keys), folder=tmp_path)
    assert held.padded
    first = [min(p for p in np.concatenate(held.positions) if p % 6 in at) for at in ((3,), (1, 5))]
    one, five = (f"item {int(each)}" for each in first)
    assert held.note == f"rows are sequences of 1 ({one}) to 5 ({five}) steps"
    for fold, other, third in zip(held.folds, rows.folds, streamed.folds, strict=True):
        x, places = fold.train.x[:], fold.positions[0]
        for each in (other, third):
            torch.testing.assert_close(each.train.x[:], x, equal_nan=True, rtol=1e-5, atol=1e-6)
            assert (each.shape, each.padded) == (fold.shape, True)
        lengths = torch.tensor([2, 5, 3, 1, 4, 5] * 10)[places]
        known = torch.arange(5) < lengths[:, None]
        assert torch.equal(~x.isnan() if x.dim() == 2 else ~x.isnan().all(2), known)
        if "preprocessing" not in keys:
            steps = x[known].reshape(int(known.sum()), -1)
            torch.testing.assert_close(
                steps.mean(0), torch.zeros(steps.shape[1]), atol=1e-5, rtol=0
            )
            deviation = steps.std(0, correction=0)
            torch.testing.assert_close(deviation, torch.ones(steps.shape[1]), atol=1e-5, rtol=0)
    assert held.identity is not None
    records = [each.identity.record() for each in (held, rows, streamed) if each.identity]
    assert records[0] == records[1] == records[2]


def test_a_table_with_a_shape_may_hold_sequences(module: Module, tmp_path: Path) -> None:
    name = module(LENGTHS.format(**CHANNELS))
    load(DataSpec(source=f"{name}:frame", target="y"), folder=tmp_path)  # a table with gaps
    spec = DataSpec(source=f"{name}:frame", target="y", shape=(5, 2))
    made, expected = (
        load(spec, folder=tmp_path),
        load(DataSpec(source=f"{name}:rows"), folder=tmp_path),
    )
    assert (made.padded, made.shape) == (True, (5, 2))
    assert torch.allclose(made.train.x[:], expected.train.x[:], equal_nan=True)
    frame = sys.modules[name].frame()
    for file, part in (("all.csv", frame[:40]), ("more.csv", frame[40:])):
        part.to_csv(tmp_path / file, index=False)
    spec = DataSpec(path="all.csv", test_path="more.csv", target="y", shape=(5, 2))
    final = load(spec, folder=tmp_path, final=True)
    assert (len(final.train), len(final.validation), final.padded) == (40, 20, True)


def test_sequences_that_do_not_fit(module: Module, tmp_path: Path) -> None:
    name = module(LENGTHS.format(**CHANNELS))
    with pytest.raises(DataError, match="robust needs rows of one length"):
        load(DataSpec(source=f"{name}:load", preprocessing="robust"), folder=tmp_path)
    with pytest.raises(DataError, match=r"shape \[4\] holds 4 numbers"):
        load(DataSpec(source=f"{name}:load", shape=(4,)), folder=tmp_path)
    noisy = load(DataSpec(source=f"{name}:noisy"), folder=tmp_path)
    assert isinstance(noisy.train.x, Streamed)
    assert noisy.padded
    longer = load(DataSpec(source=f"{name}:longer"), folder=tmp_path).train.x
    order = [torch.arange(len(longer))]
    epochs = chain.from_iterable(
        epoch_of(longer, lambda: order, seed)(order, order[0]) for seed in range(1, 99)
    )
    with pytest.raises(DataError, match=r"item \d+ has \d+ steps, and the longest of the st"):
        list(epochs)
    with pytest.raises(DataError, match=r"labels are missing .*, the first in item 7 of test"):
        load(DataSpec(source=f"{name}:parts", unlabelled="refuse"), folder=tmp_path)
    x = np.ones((20, 4, 1)) * np.arange(20)[:, None, None]
    for at, says in (((3, 1), "the first in row 3"), ((4, slice(None)), "the first in row 4")):
        odd = x.copy()
        odd[at] = np.nan
        np.savez(tmp_path / "odd.npz", x=odd, y=np.arange(20) % 2)
        with pytest.raises(DataError, match=f"NaN, infinite or too large .*{says}"):
            load(DataSpec(path=str(tmp_path / "odd.npz"), test=0.0))


def test_the_last_number_of_a_sequence_may_be_zero(module: Module, tmp_path: Path) -> None:
    x, y = np.ones((20, 3)) * np.arange(20)[:, None], np.arange(20) % 2
    records = []
    for last in (np.nan, 0.0):
        x[4:, 2], x[5, 2] = np.nan, last
        np.savez(tmp_path / "rows.npz", x=x, y=y)
        identity = load(DataSpec(path=str(tmp_path / "rows.npz"))).identity
        assert identity is not None
        records.append(identity)
    assert "1 row" in records[1].differs(records[0].record())


def test_a_target_beside_a_dataset_is_refused(module: Module, tmp_path: Path) -> None:
    source = f"{module(ITEMS.format(code='return [1.0], 1'))}:load"
    with pytest.raises(DataError, match="returns its labels separately"):
        load(DataSpec(source=source, target="y"), folder=tmp_path)


# Files.


def make_images(folder: Path, count: int, start: int = 0) -> None:
    from PIL import Image

    generator = torch.Generator().manual_seed(start)
    for row in range(count):
        place = folder / "abc"[row % 3]
        place.mkdir(parents=True, exist_ok=True)
        pixels = torch.randint(0, 200, (5, 6, 3), generator=generator, dtype=torch.uint8)
        Image.fromarray((pixels + 20 * (row % 3)).numpy()).save(place / f"{row}.png")


def check_files(readers: int = 0, final: bool = True, **keys: Any) -> None:
    """The rows of files are the same, in memory or not."""
    held = DataSpec(**keys)
    streamed = DataSpec(**keys, in_memory=0, readers=readers)
    for last in (False, True)[: 1 + final]:
        expected, data = load(held, final=last), load(streamed, final=last)
        assert isinstance(data.train.x, Streamed)
        assert same(data, expected)
        assert (data.features, data.test) == (expected.features, expected.test)
        assert data.note.startswith(expected.note)


def test_images_that_are_read_as_they_are_needed(tmp_path: Path) -> None:
    make_images(tmp_path / "all", 30)
    check_files(readers=1, path=str(tmp_path / "all"))
    make_images(tmp_path / "more", 9, 1)
    check_files(path=str(tmp_path / "all"), test_path=str(tmp_path / "more"))
    for number, name in enumerate(("train", "val", "test")):
        make_images(tmp_path / "parts" / name, 9, number)
    check_files(path=str(tmp_path / "parts"), split="folder")


def test_an_image_that_breaks_later_is_named(tmp_path: Path) -> None:
    make_images(tmp_path, 30)
    x = load(DataSpec(path=str(tmp_path), in_memory=0)).train.x
    for file in (tmp_path / "a").iterdir():
        file.write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"a/\d+\.png: cannot be read as an image"):
        x[:]


def test_arrays_that_are_read_as_they_are_needed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    for name, x in (("wide", rng.normal(size=(40, 3))), ("images", rng.random((40, 6, 5, 3)))):
        np.savez(tmp_path / f"{name}.npz", x=x, y=y)
        check_files(path=str(tmp_path / f"{name}.npz"))
        np.savez(tmp_path / f"{name}-test.npz", x=x + 1, y=y)
        paths = {"path": f"{name}.npz", "test_path": f"{name}-test.npz"}
        check_files(**{key: str(tmp_path / file) for key, file in paths.items()})
    spec = DataSpec(
        path=str(tmp_path / "wide.npz"), test_path=str(tmp_path / "images.npz"), in_memory=0
    )
    with pytest.raises(DataError, match=r"rows of shape \[6, 5, 3\], but the training rows have"):
        load(spec)
    np.savez(tmp_path / "nan.npz", x=np.where(np.eye(40, 41), np.nan, 1.0), y=y)
    with pytest.raises(
        DataError, match=r"NaN, infinite or too large for float32 .* in 32 rows, the f.* item"
    ):
        load(DataSpec(path=str(tmp_path / "nan.npz"), in_memory=0))
