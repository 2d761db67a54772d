"""Identifies the rows of a study by a digest of a kilobyte, and describes how other rows differ.

Each row becomes a hash of 64 bits, before preprocessing: numbers count as float64, text by its
letters, a label by its class or number. Neither the file's place nor its quotes, its line ends
or the types of its columns matter; the order of the rows does, since it decides which row is in
which split, and so does the order of the columns, which a network's inputs follow.

A sketch of all rows (an invertible Bloom lookup table: Goodrich and Mitzenmacher 2011) says
exactly how many were added and removed, as long as these are few; its size is always the same.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.labels import Labels
from tuner.data.memory import let_go
from tuner.data.raw import RawColumn
from tuner.data.splits import Rows
from tuner.data.tables import Table, opened

Hashes = NDArray[np.uint64]

NUMBERS = 2**16
"""Numbers that are hashed at a time."""
MISSING = 0x9E3779B97F4A7C15
"""The hash of a missing number or text."""
NAMED = 600
"""Up to so many letters, the names of all columns are stored; of longer ones only a digest."""
CELLS, TABLES = 22, 3
"""Cells in each table of the sketch, and tables; a row is in one cell of each table."""
WORD = 8
"""Bytes of a hash."""


@dataclass(frozen=True, eq=False)
class Identity:
    """The identity of the rows of a study.

    Attributes:
        where: the file or function, for messages.
        columns: names of the features; empty for an array.
        hashes: of each row with its label, in order; test rows of a second file come last.
        inputs, labels: digests of the rows without their labels, and of these alone, with their
            weights.
        parts: how many rows each split has, and a digest of them.
        vectors: a digest of the word vectors; empty without them.
        weighted: rows have weights.
    """

    where: str
    columns: tuple[str, ...]
    hashes: Hashes = field(repr=False)
    inputs: str
    labels: str
    parts: Mapping[str, str]
    vectors: str = ""
    weighted: bool = False

    def record(self) -> dict[str, Any]:
        """The identity as plain values, for the database."""
        named = sum(map(len, self.columns)) <= NAMED
        values = {
            "rows": len(self.hashes),
            "columns": list(self.columns) if named else len(self.columns),
            "names": _digest_of("\n".join(self.columns)),
            "digest": _digest(self.hashes),
            "inputs": self.inputs,
            "labels": self.labels,
            "parts": dict(self.parts),
            "sketch": _sketch_text(_sketch(self.hashes)),
        }
        return {**values, "vectors": self.vectors} if self.vectors else values

    def differs(self, known: Mapping[str, Any]) -> str:
        """The changes since a record was made, in words; empty if there are none."""
        now = self.record()
        changes = [*_column_changes(known, now), *self._row_changes(known, now)]
        if known.get("vectors", "") != self.vectors:
            changes.append("the word vectors changed")
        if not changes and known["parts"] != now["parts"]:
            changes.append("the same rows are split differently")
        elif changes and _only_test(known["parts"], now["parts"]):
            changes.append("all of it in the test rows")
        before = f" ({_rows(known['rows'])} then, {now['rows']:,} now)"
        return ", ".join(changes) + (before if changes and known["rows"] != now["rows"] else "")

    def _row_changes(self, known: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
        if known["digest"] == now["digest"]:
            return []
        if known["names"] != now["names"]:  # then every row has changed
            return []
        if 0 < known["rows"] < now["rows"]:
            begun = _digest(self.hashes[: known["rows"]])
            if begun == known["digest"]:
                return [f"{_rows(now['rows'] - known['rows'])} added at the end"]
        between = _added_and_removed(known["sketch"], now["sketch"])
        if known["inputs"] == now["inputs"]:
            what = "labels or weights" if self.weighted else "labels"
            return [f"the {what} of {_rows(between[0]) if between else 'many rows'} changed"]
        if between is None:
            return ["many rows changed"]
        return _count_changes(*between) or ["the same rows in another order"]


def _only_test(known: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Whether only the test rows changed, and not those that a search sees."""
    return [key for key in now if known.get(key) != now[key]] == ["test"]


def _count_changes(added: int, removed: int) -> list[str]:
    changed = min(added, removed)
    counts = {"changed": changed, "added": added - changed, "removed": removed - changed}
    return [f"{_rows(count)} {change}" for change, count in counts.items() if count]


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _column_changes(known: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The changes of the columns, in words."""
    if known["names"] == now["names"]:
        return []
    before, after = known["columns"], now["columns"]
    if not isinstance(before, list) or not isinstance(after, list):
        count = [each if isinstance(each, int) else len(each) for each in (before, after)]
        return [f"different columns ({count[0]:,} then, {count[1]:,} now)"]
    lost, new = ([n for n in a if n not in b] for a, b in ((before, after), (after, before)))
    changes = [
        f"column{'s' * (len(names) > 1)} {', '.join(map(repr, names[:5]))}"
        f"{' and more' * (len(names) > 5)} {what}"
        for names, what in ((new, "added"), (lost, "removed"))
        if names
    ]
    return changes or ["the columns are in another order"]


@dataclass(frozen=True, eq=False)
class RowHashes:
    """Hashes of the rows of a table, [N] each.

    Attributes:
        inputs, labels: of rows without their labels, and of these alone.
        targets: of the labels with their weights; without weights the same as labels.
    """

    inputs: Hashes
    labels: Hashes
    targets: Hashes

    @classmethod
    def of(cls, table: Table, labels: Labels) -> RowHashes:
        """The hashes of a table's rows and their labels."""
        ys = _label_hashes(labels)
        if table.weight is None:
            return cls(_input_hashes(table), ys, ys)
        weights = _bits(table.weight.astype(np.float64))
        return cls(_input_hashes(table), ys, _mixed(ys + _odd_hash("weight") * weights))

    @property
    def rows(self) -> Hashes:
        """Of whole rows, whatever their weights."""
        return _whole(self.inputs, self.labels)


def _whole(inputs: Hashes, labels: Hashes) -> Hashes:
    return _mixed(inputs + _odd_hash("label") * labels)


def first_alike(hashes: Hashes) -> NDArray[np.intp] | None:
    """The first row [N] that is equal to each; None where all rows differ."""
    ordered = np.sort(hashes)
    if not (ordered[1:] == ordered[:-1]).any():
        return None
    _, first, same = np.unique(hashes, return_index=True, return_inverse=True)
    return np.asarray(first[same])


def identify(
    table: Table, hashed: RowHashes, folds: Sequence[Rows], test: RowHashes | None
) -> Identity:
    """The identity of the rows of a table, and of the test rows that are in a second one."""
    each = [hashed] if test is None else [hashed, test]
    inputs = np.concatenate([one.inputs for one in each])
    ys = np.concatenate([one.targets for one in each])
    hashes = _whole(inputs, ys)
    last, count = folds[-1], len(hashed.labels)
    held = last.test if test is None else np.arange(count, len(hashes))
    kinds = {"train": last.train, "validation": last.validation, "test": held}
    parts = {name: f"{len(rows)} {_digest(hashes[rows])}" for name, rows in kinds.items()}
    if len(folds) > 1:
        every = [_digest(hashes[rows.validation]) for rows in folds]
        parts["folds"] = f"{len(folds)} {_digest_of(' '.join(every))}"
    names = () if table.text is None else (table.text.name,)
    columns = names or tuple(raw.name for raw in table.columns)
    weighted = table.weight is not None
    digests = _digest(inputs), _digest(ys)
    return Identity(table.where, columns, hashes, *digests, parts, weighted=weighted)


def alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two studies' records are of the same rows, of which they may take other columns."""
    keys = ["rows", "labels"] + ["digest"] * (one["names"] == other["names"])
    return all(one[key] == other[key] for key in keys)


def file_digest(file: Path) -> str:
    """A digest of a file's content, unpacked where it is gzipped."""
    with opened(file) as stream:
        digest = hashlib.blake2b(digest_size=WORD)
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _digest(hashes: Hashes) -> str:
    return hashlib.blake2b(hashes.astype("<u8").tobytes(), digest_size=WORD).hexdigest()


def _digest_of(text: str) -> str:
    encoded = text.encode(errors="surrogatepass")
    return hashlib.blake2b(encoded, digest_size=WORD).hexdigest()


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=WORD)
    return int.from_bytes(digest.digest(), "little")


def _hashes(texts: Sequence[str]) -> Hashes:
    return np.array([_hash(text) for text in texts], dtype=np.uint64)


def _odd_hash(text: str) -> np.uint64:
    return np.uint64(_hash(text) | 1)


def _mixed(values: Hashes) -> Hashes:
    """Each number with its bits mixed, one to one (the finalizer of SplitMix64)."""
    mixed = values ^ (values >> np.uint64(30))
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _summed(words: Hashes, keys: Hashes) -> Hashes:
    """A number for each of the last axis of words [k, n], whose rows have keys [k]."""
    products = words ^ (words >> np.uint64(32))
    products *= keys[:, None]
    products ^= products >> np.uint64(29)
    return np.asarray(products.sum(axis=0, dtype=np.uint64))


def _bits(numbers: NDArray[np.float64], instead: int = MISSING) -> Hashes:
    """The bits of numbers, in place, those of missing ones `instead`; 0 and -0 are the same."""
    numbers += 0.0
    words = numbers.view(np.uint64)
    missing = np.isnan(numbers)
    if missing.any():
        words[missing] = instead
    return np.asarray(words)


def _input_hashes(table: Table) -> Hashes:
    """A hash of each row without its label."""
    if table.text is not None:
        return _mixed(_hashes(table.text.values.tolist()))
    if table.x is not None:
        return array_hashes(table.x)
    if table.stream is not None:
        return table.stream.hashes
    sums = np.zeros(len(table.y), dtype=np.uint64)
    plain = [raw for raw in table.columns if _is_number(raw)]
    coded = [(raw, _code_hashes(raw)) for raw in table.columns if not _is_number(raw)]
    size = min(len(sums), NUMBERS // 8)
    for start in range(0, len(sums), size):
        rows = slice(start, start + size)
        _add_numbers(sums[rows], plain, rows)
        for raw, texts in coded:
            words = texts[raw.values[rows].astype(np.int64)]
            sums[rows] += _summed(words[None], np.array([_odd_hash(raw.name)]))
            let_go(raw.values)
    return sums


def _is_number(raw: RawColumn) -> bool:
    return raw.categories is None and raw.values.dtype.kind != "b"


def _code_hashes(raw: RawColumn) -> Hashes:
    """The hash of each code of a column; the last, which is that of -1, is for a missing value."""
    texts = ["False", "True"] if raw.categories is None else raw.categories.tolist()
    return np.append(_hashes(texts), np.uint64(MISSING))


def _add_numbers(sums: Hashes, columns: Sequence[RawColumn], rows: slice) -> None:
    """Adds columns of numbers to the sums, as many at a time as memory allows for these rows."""
    most = max(1, NUMBERS // len(sums))
    for start in range(0, len(columns), most):
        some = columns[start : start + most]
        numbers = np.empty((len(some), len(sums)))
        for place, raw in zip(numbers, some, strict=True):
            place[:] = raw.values[rows]
            let_go(raw.values)
        sums += _summed(_bits(numbers), np.array([_odd_hash(raw.name) for raw in some]))


def array_hashes(x: NDArray[Any]) -> Hashes:
    """A hash of each of rows [N, ...]."""
    return hashes_of_sums(*array_sums(x))


def hashes_of_sums(sums: Hashes, counts: NDArray[np.int64]) -> Hashes:
    """A hash of each row by ``array_sums``: where rows have different lengths, it tells a 0 at the
    end from no number."""
    if not len(counts) or (counts == counts[0]).all():
        return sums
    return _mixed(sums + _odd_hash("length") * counts.astype(np.uint64))


def array_sums(x: NDArray[Any]) -> tuple[Hashes, NDArray[np.int64]]:
    """A sum over the numbers of each of rows [N, ...], to which NaN and 0 add nothing, and how many
    are not NaN; bytes, as in images, are taken eight at a time."""
    hashes = np.empty(len(x), dtype=np.uint64)
    width = math.prod(x.shape[1:])
    words = -(-width // WORD) if x.dtype.itemsize == 1 else width
    keys = np.random.PCG64(0).random_raw(words) | np.uint64(1)
    counts = np.full(len(x), width)
    size = max(1, NUMBERS // words)
    for start in range(0, len(x), size):
        some = x[start : start + size].reshape(-1, width)
        if x.dtype.itemsize == 1:
            packed = np.zeros((len(some), words * WORD), dtype=np.uint8)
            packed[:, :width] = some.view(np.uint8)
            of_rows = packed.view("<u8").astype(np.uint64, copy=False)
        else:
            of_rows = _bits(np.array(some, dtype=np.float64, order="C"), 0)
            if x.dtype.kind == "f":
                counts[start : start + size] -= np.isnan(some).sum(1)
        hashes[start : start + size] = _summed(of_rows.T, keys)
        let_go(x)
    return hashes, counts


def _label_hashes(labels: Labels) -> Hashes:
    if labels.classes:
        return np.asarray(_hashes(labels.classes)[labels.values])
    if labels.values.ndim == 2:
        return array_hashes(labels.values)
    return _bits(labels.values.astype(np.float64))


def _keys(hashes: Hashes) -> Hashes:
    """32 bits of each row's hash, followed by 16 that are computed from these."""
    short = hashes >> np.uint64(32)
    return np.asarray((short << np.uint64(16)) | (_mixed(short) >> np.uint64(48)))


def _cells(keys: Hashes) -> NDArray[np.int64]:
    """The cell of each key in each table [TABLES, n]."""
    cells = [_mixed(keys + np.uint64(i)) % np.uint64(CELLS) for i in range(TABLES)]
    return np.array(cells, dtype=np.int64).reshape(TABLES, -1) + CELLS * np.arange(TABLES)[:, None]


def _sketch(hashes: Hashes) -> bytes:
    """How many rows each cell has, in a byte, and the sum of their keys, in eight."""
    keys = _keys(hashes)
    counts, sums = np.zeros(CELLS * TABLES, np.uint8), np.zeros(CELLS * TABLES, np.uint64)
    for cells in _cells(keys):
        counts += np.bincount(cells, minlength=len(counts)).astype(np.uint8)
        np.add.at(sums, cells, keys)
    return counts.tobytes() + sums.astype("<u8").tobytes()


def _sketch_text(sketch: bytes) -> str:
    """A sketch as text, in groups of letters so that a page with a study's attributes can wrap."""
    letters = base64.b85encode(sketch).decode()
    return " ".join(letters[i : i + 40] for i in range(0, len(letters), 40))


def _added_and_removed(before: str, after: str) -> tuple[int, int] | None:
    """How many rows were added and removed, by two sketches; None where they are too many."""
    many = CELLS * TABLES
    known, now = (base64.b85decode(each.replace(" ", "")) for each in (before, after))
    if len(known) != len(now):
        return None
    counts = np.frombuffer(now[:many], np.uint8) - np.frombuffer(known[:many], np.uint8)
    sums = np.frombuffer(now[many:], "<u8") - np.frombuffer(known[many:], "<u8")
    left = list(zip(counts.view(np.int8).tolist(), sums.view(np.int64).tolist(), strict=True))
    copies = _peeled(left)
    if any(count or total for count, total in left):
        return None
    return sum(n for n in copies if n > 0), -sum(n for n in copies if n < 0)


def _peeled(cells: list[tuple[int, int]]) -> list[int]:
    """Takes keys out of the cells that hold a single one, until none does, and returns the count of
    each: negative for a key that was removed."""
    copies = []
    waiting = list(range(len(cells)))
    while waiting:
        at = waiting.pop()
        count, total = cells[at]
        key, rest = divmod(total, count) if count else (0, 1)
        if rest or not 0 <= key < 2**48:
            continue
        short = np.array([key >> 16], dtype=np.uint64) << np.uint64(32)
        places = _cells(_keys(short)).ravel().tolist()
        if int(_keys(short)[0]) != key or at not in places:
            continue
        copies.append(count)
        for place in places:
            cells[place] = cells[place][0] - count, cells[place][1] - count * key
        waiting += places
    return copies
