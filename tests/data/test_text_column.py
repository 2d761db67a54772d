from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tuner.data import DataSpec, load
from tuner.errors import DataError

Table = Callable[[str], Path]


def reviews(count: int = 60, last: str = "") -> str:
    """A row's text holds its own number, so that it shows which rows a word comes from."""
    lines = ["id,text,label"]
    for i in range(count):
        words = f"only{i} {'good' if i % 2 else 'bad'} " + "film, " * (i % 4) + last
        lines.append(f'{i},"{words if i else ""}",{"yes" if i % 2 else "no"}')
    return "\n".join(lines)


def spec(file: Path, **changes: object) -> DataSpec:
    return DataSpec(**{"path": str(file), "target": "label", "text": "text", **changes})  # type: ignore[arg-type]


def test_a_column_of_text(table: Table) -> None:
    data = load(spec(table(reviews()), seed=1))
    known = data.vocabulary
    assert known is not None
    assert data.train.x.dtype == torch.int32
    assert data.shape == (known.length,) == tuple(data.train.x.shape[1:])
    assert data.validation.x.shape[1:] == data.train.x.shape[1:]
    assert {"good", "bad", "film", ","} < set(known.words)
    assert int(data.train.x.max()) < known.size
    assert bool((data.train.x[:, 0] > 0).all())
    decided = {column.name: column.decision for column in data.columns}
    assert decided == {"text": "words", "id": "dropped", "label": "target"}


def test_words_are_those_of_the_training_rows(table: Table) -> None:
    data = load(spec(table(reviews())))
    assert data.vocabulary is not None
    own = [word for word in data.vocabulary.words if word.startswith("only")]
    empty = int((data.train.x[:, 0] == 1).sum())
    assert len(own) == len(data.train) - empty
    assert bool((data.validation.x[:, 0] == 1).all())  # their first word is theirs alone


@pytest.mark.parametrize(
    ("changes", "size", "length"),
    [({"vocabulary": 3}, 3, 8), ({"min_count": 2}, 4, 8), ({"max_length": 2}, None, 2)],
)
def test_what_is_kept(table: Table, changes: dict[str, int], size: int | None, length: int) -> None:
    data = load(spec(table(reviews()), **changes))
    assert data.vocabulary is not None
    assert size is None or len(data.vocabulary.words) == size
    assert data.shape == (length,)


def test_vectors_are_those_of_the_words(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    file = table(reviews())
    (file.parent / "vectors.txt").write_text("good 1 2 3\nelsewhere 4 5 6\n")
    data = load(spec(file, vectors="vectors.txt"), folder=file.parent)
    known = data.vocabulary
    assert known is not None
    assert known.vectors is not None
    assert known.vectors.shape == (known.size, 3)
    assert known.vectors[known.words.index("good") + 2].tolist() == [1, 2, 3]
    assert float(known.vectors.abs().sum()) == 6
    monkeypatch.delenv("NO_SUCH_VECTORS", raising=False)
    optional = load(spec(file, vectors="${NO_SUCH_VECTORS:-}"))
    assert optional.vocabulary is not None
    assert optional.vocabulary.vectors is None
    monkeypatch.setenv("NO_SUCH_VECTORS", str(file.parent / "vectors.txt"))
    given = load(spec(file, vectors="${NO_SUCH_VECTORS:-}"))
    assert given.vocabulary is not None
    assert given.vocabulary.vectors is not None


def test_a_function_that_returns_a_frame(module: Callable[[str], str], tmp_path: Path) -> None:
    name = module(
        """
        import pandas
        def load():
            text = ["good one", None, "bad"] * 20
            return pandas.DataFrame({"label": [0, 1, 0] * 20, "text": text})
        """
    )
    named = DataSpec(source=f"{name}:load", target="label", text="text")
    data = load(named, folder=tmp_path)
    assert data.shape == (2,)
    wrong = DataSpec(source="sklearn.datasets:load_wine", text="text")
    with pytest.raises(DataError, match="no column 'text': only a table has columns"):
        load(wrong)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"shape": (2, 2)}, "data.shape"),
        ({"text": None, "vectors": "a.txt"}, "data.vectors"),
    ],
)
def test_what_cannot_be_said(tmp_path: Path, changes: dict[str, object], where: str) -> None:
    with pytest.raises(DataError) as caught:
        spec(tmp_path, **changes)
    assert caught.value.where == where
