"""Rows that stay where they are, in a Dataset of the user's, and are read as a training needs them.

One pass over all rows learns what has to be known of them: labels, shapes, hashes and statistics.
After it a row is read again each time it is needed, ahead of the training in processes of their
own where the study asks for readers.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial, reduce
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tuner.data import prepare, sequences
from tuner.data.identity import array_sums, hashes_of_sums
from tuner.data.items import MEASURED, Batch, Collate, Items, class_names
from tuner.data.prepare import Shifted, Transform, Unchanged
from tuner.data.raw import Naming
from tuner.data.recipe import OfArray, arranged, shape_of
from tuner.data.rows import Following, Order, Ordered, Taking
from tuner.data.spec import DataSpec
from tuner.data.tables import Table, from_arrays, from_stream
from tuner.devices import upload
from tuner.errors import DataError, ReaderError, TunerError
from tuner.lazy_torch import Tensor, torch

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

Places = NDArray[np.signedinteger[Any]]

GROUP = 2**17
"""Numbers that a reader reads at a time, at least a batch: no result depends on it."""
NUMBER = 4
"""Bytes of a float32."""
REPEATED = 4
"""Items that are read twice, to see whether they are the same."""
SMALL = 2**28
"""Bytes up to which a Dataset is held in memory, unless the study says otherwise."""
OF_PARENTS: list[Any] = []
"""Loaders that a process was forked with, and must not end."""


# Readers: processes that read rows ahead.


@dataclass(frozen=True, eq=False)
class Request:
    """Rows to read.

    Attributes:
        rows: the places [n] of the items.
        seed: for items that are random.
        recipe: makes inputs of a network of them; None for the raw rows with their labels.
    """

    rows: Places
    seed: int
    recipe: OfArray | None = None

    def same(self, other: Request) -> bool:
        """Whether both have the same answer."""
        alike = self.seed == other.seed and self.recipe is other.recipe
        return alike and np.array_equal(self.rows, other.rows)


@dataclass(frozen=True)
class Failure:
    """An error of a reader, which torch would wrap in another."""

    message: str
    where: str
    hint: str


class Answers:
    """The items as a DataLoader knows them, by request.

    Inputs are arrays, which a process writes into a pipe: of a tensor it would send the handle
    through a socket, whose path in a deep TMPDIR is too long, and the request would get no answer.
    """

    def __init__(self, items: Items) -> None:
        self.items = items

    def __getitem__(self, request: Request) -> NDArray[np.float32] | Batch | Failure:
        try:
            items, rows = self.items, request.rows.tolist()
            batch = items.batch(rows, request.seed)
            if request.recipe is None:
                return batch
            return inputs(batch.x, request.recipe, items.where, lambda at: items.name(rows[at]))
        except DataError as error:
            return Failure(error.message, error.where, error.hint)


def inputs(x: NDArray[Any], recipe: OfArray, where: str, row: Naming) -> NDArray[np.float32]:
    """Raw rows as float32 [n, *shape], as ``OfArray.rows`` makes them."""
    x = recipe.extended(x, where, row) if recipe.padded else x
    prepared = recipe.transform(arranged(x, recipe.shape, recipe.turns))
    return np.ascontiguousarray(prepared, dtype=np.float32)


class Pass:
    """Requests that are likely to follow; it is known late what they are.

    Attributes:
        begun: the readers have the first of them.
    """

    def __init__(self, given: Callable[[], Sequence[Request]]) -> None:
        self._given = given
        self.begun = False

    @cached_property
    def requests(self) -> Sequence[Request]:
        """None of them where a user's function fails: it does so again in its own time."""
        try:
            return self._given()
        except TunerError:
            return ()

    def is_of(self, requests: Sequence[Request]) -> bool:
        """Whether it is these."""
        mine = self.requests
        return len(mine) == len(requests) and all(map(Request.same, mine, requests))


class Requests:
    """The requests of a pass and of those that follow, which a DataLoader takes for its batches."""

    def __init__(self) -> None:
        self.now: Sequence[Request] = ()
        self.following: deque[Pass] = deque()

    def __iter__(self) -> Iterator[Request]:
        yield from self.now
        while self.following:
            coming = self.following.popleft()
            coming.begun = True
            yield from coming.requests

    def __len__(self) -> int:
        return len(self.now)


class Readers:
    """Reads items in the order of requests, in so many processes, or in this one if they are none.

    The processes begin with the first requests and stay. While a pass over an epoch's rows ends,
    they begin with the next one: the rows that are measured as after the epoch before, and then
    those of the following epoch. Where something else comes, such as the first epoch of another
    trial, their work is lost, and until a guess would have been right they begin nothing.

    A process that was forked starts its own; and those of other items end when these begin.
    """

    open: Readers | None = None

    def __init__(self, items: Items, count: int) -> None:
        self.items, self.count = items, count
        self._process = 0
        self._forget()

    def _forget(self) -> None:
        self._requests = Requests()
        self._loader: DataLoader[Any] | None = None
        self._answers: Iterator[Any] = iter(())
        self._owner: object | None = None  # the pass whose answers are next; None: all were taken
        self._guesses: deque[Pass] = deque()
        self._coming: Pass | None = None
        self._trusted = True
        self._measured: Sequence[Request] = ()

    def __getstate__(self) -> dict[str, Any]:
        return {"items": self.items, "count": self.count}

    def __setstate__(self, known: dict[str, Any]) -> None:
        self.__init__(**known)  # type: ignore[misc]

    def read(
        self,
        requests: Sequence[Request],
        following: Callable[[], Sequence[Request]] | None = None,
        *,
        measured: bool = False,
    ) -> Iterator[Any]:
        """The answer to each request: inputs of a network, or a ``Batch`` of raw rows.

        Args:
            following: for an epoch, the requests of the next one.
            measured: the rows are measured, as they are likely to be after each epoch.

        Raises:
            DataError: as ``Items.batch``; or a ReaderError.
        """
        if self.count == 0 or not requests:
            answers = Answers(self.items)
            return (_checked(answers[request]) for request in requests)
        return self._ahead(requests, following, measured)

    def passing(self, requests: Sequence[Request]) -> Iterator[Any]:
        """The same for one pass alone, after which the processes end."""
        try:
            yield from self.read(requests)
        finally:
            self.close()

    def _ahead(
        self,
        requests: Sequence[Request],
        following: Callable[[], Sequence[Request]] | None,
        measured: bool,
    ) -> Iterator[Any]:
        self._started()
        owner = object()
        if self._has_begun(requests, following, measured):
            self._owner = owner
        try:
            for at in range(len(requests)):
                if self._owner is not owner:
                    self._begin(requests[at:], owner)
                answer = next(self._answers, None)
                if answer is None:  # all that was likely to follow was read
                    self._begin(requests[at:], owner)
                    answer = next(self._answers)
                if at == len(requests) - 1:
                    self._owner = None
                yield _checked(answer)
        except RuntimeError as error:  # so torch says it; other processes start with the next pass
            self.close()
            hint = "if memory ran out: fewer data.readers, or smaller batches"
            what = f"a reader failed: {error}"
            raise ReaderError(what, where=self.items.where, hint=hint) from error

    def _has_begun(
        self,
        requests: Sequence[Request],
        following: Callable[[], Sequence[Request]] | None,
        measured: bool,
    ) -> bool:
        """Whether the processes have begun with a pass; and guesses what follows it."""
        guess = self._guesses.popleft() if self._guesses else None
        if guess is not None:
            self._trusted = guess.is_of(requests)
        begun = guess is not None and guess.begun and self._trusted and self._owner is None
        if measured:
            self._measured = requests
            self._guesses = deque([] if self._coming is None else [self._coming])
            return begun
        self._coming = None if following is None else Pass(following)
        likely = [Pass(partial(tuple, self._measured)), self._coming]
        self._guesses = deque(each for each in likely if each is not None and self._measured)
        if begun:
            self._requests.following.extend(self._guesses)
        return begun

    def _begin(self, requests: Sequence[Request], owner: object) -> None:
        """Lets the processes read these, and then what is likely to follow."""
        loader = self._started()
        for guess in self._guesses:
            guess.begun = False
        self._requests.now = requests
        self._requests.following = deque(self._guesses if self._trusted else ())
        with _may_start_processes():
            self._answers = iter(loader)
        self._owner = owner

    def _started(self) -> DataLoader[Any]:
        from torch.utils.data import DataLoader

        if self._loader is None or self._process != os.getpid():
            self._leave()
            if Readers.open is not None and Readers.open is not self:
                Readers.open.close()
            Readers.open, self._process = self, os.getpid()
            self._loader = DataLoader(
                Answers(self.items),  # type: ignore[arg-type]
                batch_size=None,
                sampler=self._requests,
                num_workers=self.count,
                collate_fn=_as_it_is,
                worker_init_fn=_begin,
                multiprocessing_context="fork" if sys.platform == "linux" else None,
                generator=torch.Generator(),  # or it would draw from the one of the training
                persistent_workers=True,
            )
        return self._loader

    def close(self) -> None:
        """Ends the processes, if they are this process' own."""
        self._leave()
        if Readers.open is self:
            Readers.open = None

    def _leave(self) -> None:
        """Lets go of the loader, which ends its processes; of a parent's they go on."""
        if self._loader is not None and self._process != os.getpid():
            OF_PARENTS.append(self._loader)
        self._forget()


def _as_it_is(answer: Any) -> Any:
    return answer


def _begin(number: int) -> None:
    """A reader leaves Ctrl-C to the process that started it, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _checked(answer: Any) -> Any:
    if isinstance(answer, Failure):
        raise DataError(answer.message, where=answer.where, hint=answer.hint)
    return torch.from_numpy(answer) if isinstance(answer, np.ndarray) else answer


@contextmanager
def _may_start_processes() -> Iterator[None]:
    """Lets a worker start readers: as a daemon, which ends with its parent, it may have no children
    by the rules of multiprocessing, although readers are daemons too and end with it."""
    config: dict[str, Any] = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    daemon = config.get("daemon", False)
    config["daemon"] = False
    try:
        yield
    finally:
        config["daemon"] = daemon


# One pass over all rows.


@dataclass(frozen=True, eq=False)
class Survey:
    """What one pass learns of each row.

    Attributes:
        sums, counts: of the raw numbers, as ``array_sums``.
        odd: how many numbers are not finite, or too large for float32.
        means, squares: of an image the mean of each channel [N, C], and the sum of the squared
            differences from it; None for other rows.
    """

    sums: NDArray[np.uint64]
    counts: NDArray[np.int64]
    odd: NDArray[np.int64]
    means: NDArray[np.float64] | None
    squares: NDArray[np.float64] | None

    @classmethod
    def empty(cls, count: int, shape: tuple[int, ...]) -> Survey:
        """Of so many rows, of which nothing is known yet."""
        of_channels = [np.zeros((count, shape[0])) if len(shape) == 3 else None for _ in range(2)]
        counts, odd = (np.zeros(count, np.int64) for _ in range(2))
        return cls(np.zeros(count, np.uint64), counts, odd, *of_channels)

    @property
    def hashes(self) -> NDArray[np.uint64]:
        return hashes_of_sums(self.sums, self.counts)

    def joined(self, other: Survey) -> Survey:
        """Of these rows and of others after them."""

        def both(one: NDArray[Any], two: NDArray[Any]) -> NDArray[Any]:
            return np.concatenate((one, two))

        means = squares = None
        if self.means is not None and other.means is not None:
            means = both(self.means, other.means)
        if self.squares is not None and other.squares is not None:
            squares = both(self.squares, other.squares)
        sums, counts = both(self.sums, other.sums), both(self.counts, other.counts)
        return Survey(sums, counts, both(self.odd, other.odd), means, squares)

    def add(self, place: slice, x: NDArray[Any], shape: tuple[int, ...], turns: bool) -> None:
        """Learns of some rows, which are raw."""
        self.sums[place], self.counts[place] = array_sums(x)
        if x.dtype.kind == "f":
            self.odd[place] = sequences.odd(x).reshape(len(x), -1).sum(1)
        if self.means is not None and self.squares is not None:
            pixels = arranged(x, shape, turns).reshape(len(x), shape[0], -1).astype(np.float64)
            means = pixels.mean(2, keepdims=True)
            self.means[place] = means[:, :, 0]
            self.squares[place] = np.square(pixels - means).sum(2)


@dataclass(frozen=True, eq=False)
class Stream:
    """The raw rows of a table that is not in memory.

    Attributes:
        readers: read its items.
        places: which items its rows are.
        shape: of a row as a network takes it.
        turns: as for ``OfArray``.
        given: the shape of a row as an item has it.
        survey: of all items.
        why: they are not in memory, in words.
    """

    readers: Readers
    places: Places
    shape: tuple[int, ...]
    turns: bool
    given: tuple[int, ...]
    survey: Survey
    why: str

    def __len__(self) -> int:
        return len(self.places)

    def only(self, rows: NDArray[Any]) -> Stream:
        """Some of the rows."""
        return replace(self, places=self.places[rows])

    @property
    def note(self) -> str:
        """How rows are read, in words."""
        count = self.readers.count
        by = f"by {count} readers ahead" if count > 1 else "by 1 reader ahead" if count else ""
        return f"rows are read as they are needed{f', {by}' * bool(by)}: {self.why}"

    @property
    def hashes(self) -> NDArray[np.uint64]:
        return self.survey.hashes[self.places]

    @property
    def steps(self) -> NDArray[np.int64]:
        """How long each row is, along its first axis."""
        return self.survey.counts[self.places] // max(1, math.prod(self.shape[1:]))

    def odd(self, rows: Places) -> Places:
        """Those of some rows that hold a number that is not finite, or too large."""
        return rows[self.survey.odd[self.places[rows]] > 0]

    def name(self, row: int) -> str:
        """A row in words, as an item of its Dataset."""
        return self.readers.items.name(int(self.places[row]))

    def joined(self, test: Stream) -> Stream:
        """These rows, and after them those of a second stream."""
        (one,), (two,) = (each.readers.items.parts.values() for each in (self, test))
        items = replace(self.readers.items, parts={"train": one, "test": two})
        places = np.concatenate((self.places, len(one) + test.places))
        readers, survey = Readers(items, self.readers.count), self.survey.joined(test.survey)
        return replace(self, readers=readers, places=places, survey=survey)

    def transform(self, name: str, train: Places, padded: bool) -> Transform:
        """The statistics of that name, of the training rows, which may be of different lengths.

        Raises:
            DataError: they need all numbers of a column at once.
        """
        prepare.lookup(name)
        if name == "none":
            return Unchanged()
        if name != "standard":
            raise DataError(
                f"{name} needs all rows in memory, and these are read as they are needed",
                where="data.preprocessing",
                hint='use "standard" or "none"; data.in_memory sets how much is held in memory',
            )
        if padded:
            return self._of_sequences(train).standardizing
        moments = self._of_channels(train) if len(self.shape) == 3 else self._of_numbers(train)
        return standardizing(*moments, (1, *self.shape))

    def _of_channels(self, train: Places) -> tuple[NDArray[Any], NDArray[Any]]:
        assert self.survey.means is not None
        assert self.survey.squares is not None
        rows, pixels = self.places[train], math.prod(self.shape[1:])
        means, squares = self.survey.means[rows], self.survey.squares[rows]
        mean = means.mean(0)
        variance = (squares.sum(0) + pixels * np.square(means - mean).sum(0)) / (pixels * len(rows))
        return mean, variance

    def _of_sequences(self, train: Places) -> sequences.Moments:
        wanted = requests(self.places[train], math.prod(self.shape))
        parts = (sequences.Moments.of(batch.x) for batch in self.readers.passing(wanted))
        return reduce(sequences.Moments.joined, parts)

    def _of_numbers(self, train: Places) -> tuple[NDArray[Any], NDArray[Any]]:
        """Mean and variance in one pass more, of the training rows alone (Chan et al. 1979)."""
        count, mean, squares = 0, np.zeros(self.shape), np.zeros(self.shape)
        for batch in self.readers.passing(requests(self.places[train], math.prod(self.shape))):
            x = arranged(batch.x, self.shape, self.turns).astype(np.float64)
            its_mean, new = x.mean(0), count + len(x)
            shift = its_mean - mean
            squares += np.square(x - its_mean).sum(0) + np.square(shift) * count * len(x) / new
            mean += shift * len(x) / new
            count = new
        return mean, squares / count

    def rows(self, recipe: OfArray, wanted: Places) -> Streamed:
        """Some rows as inputs of a network."""
        return Streamed(self.readers, self.places[wanted], recipe)


def standardizing(mean: NDArray[Any], variance: NDArray[Any], shape: tuple[int, ...]) -> Shifted:
    """As `standard` of ``tuner.data.prepare``."""
    size = (1, len(mean), 1, 1) if len(shape) == 4 else shape
    deviation = np.sqrt(variance)
    varies = deviation > 10 * np.finfo(np.float64).eps * np.abs(mean)
    return Shifted(mean.reshape(size), np.where(varies, deviation, 1.0).reshape(size))


def requests(places: Places, numbers: int) -> list[Request]:
    """Requests for raw rows, of so many numbers each, in their order."""
    size = max(1, GROUP // max(1, numbers))
    parts = (places[start : start + size] for start in range(0, len(places), size))
    return [Request(part, MEASURED) for part in parts]


def read(
    datasets: Mapping[str, Any],
    spec: DataSpec,
    where: str,
    collate: Collate | None = None,
) -> Table:
    """The rows of Datasets, read once; in memory where they are small and not random.

    Args:
        datasets: by their split, as ``items.datasets`` gives them.
        collate: makes a batch of items; else an attribute `collate_fn` of the first Dataset does.

    Raises:
        DataError: as ``Items.batch``; or items are others when they are read again.
    """
    first = next(iter(datasets.values()))
    items = Items(datasets, where, collate or getattr(first, "collate_fn", None))
    one = items.batch([0], MEASURED).x
    given = tuple(one.shape[1:])
    turns = spec.division > 1
    shape = shape_of(given, spec.shape, turns, where)
    numbers = math.prod(shape)
    every = np.arange(len(items))
    survey = Survey.empty(len(items), shape)
    longest = given[0]
    held: list[NDArray[Any]] | None = []
    labels: list[Any] = []
    weights: list[Any] = []
    random = False
    for batch in Readers(items, spec.readers).passing(requests(every, numbers)):
        place = slice(len(labels), len(labels) + len(batch.y))
        items.check_alike(0, one[0], place.start, batch.x[0])
        survey.add(place, batch.x, shape, turns)
        longest = max(longest, batch.x.shape[1])
        if held is not None and fits(len(items) * numbers * longest // given[0], spec, SMALL):
            held.append(batch.x)
        else:
            held = None
        labels += batch.y
        weights += batch.weight
        random = random or batch.random
    _check_labels(labels, items)
    weight = weights or None
    items = replace(items, random=random)
    again = every[:REPEATED]
    if (array_sums(items.batch(again.tolist(), MEASURED).x)[0] != survey.sums[again]).any():
        raise _unseeded(where)
    classes = class_names(first)
    if longest > given[0]:
        given = (longest, *given[1:])
        shape = shape_of(given, spec.shape, turns, where)
    if held is not None and not random:
        table = from_arrays(sequences.joined(held), labels, where, classes=classes, weight=weight)
    else:
        readers = Readers(items, spec.readers)
        why = "its items are random" if random else too_large(spec)
        stream = Stream(readers, every, shape, turns, given, survey, why)
        table = from_stream(stream, labels, where, classes=classes, weight=weight)
    return replace(table, parts=items.splits, named=items.name)


def _check_labels(labels: list[Any], items: Items) -> None:
    """DataError where items have different numbers of labels; names the first."""
    counts = [len(each) if isinstance(each, list) else 1 for each in labels]
    odd = next((row for row, count in enumerate(counts) if count != counts[0]), None)
    if odd is not None:
        what = f"{items.name(odd)} has {counts[odd]} labels, but {items.name(0)} has {counts[0]}"
        hint = "give each item one label for each target, 0 where it does not apply"
        raise DataError(what, where=items.where, hint=hint)


def fits(numbers: int, spec: DataSpec, most: int) -> bool:
    """Whether so many numbers are held in memory: up to `most` bytes, unless the study says."""
    limit = most if spec.in_memory is None else spec.in_memory * 2**20
    return NUMBER * numbers <= limit


def too_large(spec: DataSpec) -> str:
    """Why rows are not held in memory, in words."""
    return "they are large" if spec.in_memory is None else f"in_memory = {spec.in_memory}"


def half_of_memory() -> int:
    """Bytes up to which rows in files and arrays are held."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


class Rows:
    """Rows and their labels as items: of an array that may be a file, or of files to decode.

    Args:
        rows: an array or a list.
        labels: [N], whole numbers.
        decoded: makes numbers of a row.
        classes: the names of the labels.
    """

    def __init__(
        self,
        rows: Any,
        labels: NDArray[Any],
        decoded: Callable[[Any], NDArray[Any]],
        classes: Sequence[str] = (),
    ) -> None:
        self.rows, self.labels, self.decoded, self.classes = rows, labels, decoded, classes

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[NDArray[Any], Any]:
        return self.decoded(self.rows[index]), self.labels[index]


def of_arrays(table: Table, spec: DataSpec) -> Table:
    """A table whose array is not held, where it is too large: such an array is a file."""
    x = table.x
    if x is None or fits(x.size, spec, half_of_memory()):
        return table
    rows = Rows(x, np.zeros(len(x), np.int64), np.array)
    return replace(table, x=None, stream=of_rows(rows, spec, table.where).stream)


def of_rows(rows: Rows, spec: DataSpec, where: str) -> Table:
    """A table of rows that are not held."""
    table = read({"": rows}, replace(spec, in_memory=0), where)
    assert table.stream is not None
    return replace(table, stream=replace(table.stream, why=too_large(spec)))


def _unseeded(where: str) -> DataError:
    return DataError(
        "an item is another each time it is read, although torch, numpy and random are seeded",
        where=where,
        hint="draw random numbers from torch, numpy.random or random alone, and not from a "
        "generator of its own: tuner seeds them by the trial, the epoch and the row",
    )


# Rows for a training.


@dataclass(frozen=True, eq=False)
class Streamed(Ordered):
    """Rows that are read from a Dataset as they are needed.

    Attributes:
        readers: read its items.
        places: which items the rows are.
        recipe: makes inputs of them.
        device, dtype: of the rows that are given.
    """

    readers: Readers
    places: Places
    recipe: OfArray
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = field(default_factory=lambda: torch.float32)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, wanted: Tensor | slice) -> Tensor:
        """Some rows as they are measured, read in this process."""
        places = self.places[wanted if isinstance(wanted, slice) else wanted.cpu().numpy()]
        if not len(places):
            return torch.empty((0, *self.recipe.shape), dtype=self.dtype, device=self.device)
        answer = Answers(self.readers.items)[Request(places, MEASURED, self.recipe)]
        return self._moved(_checked(answer))

    def epoch(self, order: Order, seed: int, following: Following | None = None) -> Taking:
        def groups(order: Order, seed: int) -> tuple[Sequence[Sequence[Places]], Sequence[Request]]:
            return self._groups([self.places[batch.numpy()] for batch in order()], seed)

        later = None if following is None else lambda: groups(*following)[1]
        batches = self._in_turn(*groups(order, seed), following=later)

        def next_ones(some: Sequence[Tensor], rows: Tensor) -> Iterator[Tensor]:
            return islice(batches, len(some))

        return next_ones

    def slices(self, size: int) -> Iterator[Tensor]:
        starts = range(0, len(self), size)
        if not starts:
            return iter([self[:0]])
        places = [self.places[start : start + size] for start in starts]
        return self._in_turn(*self._groups(places, MEASURED), measured=True)

    def _groups(
        self, batches: Sequence[Places], seed: int
    ) -> tuple[Sequence[Sequence[Places]], Sequence[Request]]:
        """Batches with a request for several of them at once, where they are small."""
        size = max(1, GROUP // (len(batches[0]) * math.prod(self.recipe.shape)))
        groups = [batches[start : start + size] for start in range(0, len(batches), size)]
        return groups, [Request(np.concatenate(group), seed, self.recipe) for group in groups]

    def _in_turn(
        self, groups: Sequence[Sequence[Places]], requests: Sequence[Request], **kind: Any
    ) -> Iterator[Tensor]:
        """Each batch."""
        answers = self.readers.read(requests, **kind)
        for group, rows in zip(groups, answers, strict=True):
            yield from torch.split(self._moved(rows), [len(batch) for batch in group])

    def _moved(self, rows: Tensor) -> Tensor:
        return upload(rows.to(self.dtype), self.device)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self.places), *self.recipe.shape))

    def is_floating_point(self) -> bool:
        return True

    def to(self, where: torch.device | torch.dtype | str) -> Streamed:
        """The same rows on a device or in a precision."""
        if isinstance(where, torch.dtype):
            return replace(self, dtype=where)
        return replace(self, device=torch.device(where))
