"""What identifies the rows of a study, and what is said of a difference."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tuner.data import DataSpec, load
from tuner.data.identity import Identity

COUNT = 120


def frame(count: int = COUNT) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.integers(20, 70, count),
            "gap": np.where(rng.random(count) < 0.2, np.nan, rng.normal(size=count).round(6)),
            "town": rng.choice(["Rome", "Oslo", "Bön, north"], count),
            "member": rng.choice([True, False], count),
            "who": np.arange(count) // 4,
            "bought": rng.choice(["no", "yes"], count),
        }
    )


def identity(of: pd.DataFrame | Path, folder: Path | None = None, **spec: Any) -> Identity:
    if isinstance(of, Path):
        file = of
    else:
        assert folder is not None
        file = folder / "table.csv"
        of.to_csv(file, index=False)
    found = load(DataSpec(path=str(file), **{"target": "bought", **spec})).identity
    assert found is not None
    return found


def test_a_file_that_is_written_anew_is_the_same(tmp_path: Path) -> None:
    known = identity(frame(), tmp_path).record()
    (tmp_path / "elsewhere").mkdir()
    for i, how in enumerate(
        (
            {"quoting": csv.QUOTE_ALL},
            {"lineterminator": "\r\n", "quoting": csv.QUOTE_NONNUMERIC},
            {"sep": "\t"},
            {"float_format": "%.9f"},
        )
    ):
        file = tmp_path / "elsewhere" / f"{i}.csv"
        frame().to_csv(file, index=False, **how)  # type: ignore[call-overload]
        found = identity(file)
        assert (found.differs(known), found.record()) == ("", known)


def test_types_of_columns_say_nothing(tmp_path: Path) -> None:
    known = identity(frame(), tmp_path).record()
    frame().astype({"age": float, "who": "int8"}).to_parquet(tmp_path / "t.parquet")
    assert identity(tmp_path / "t.parquet").record() == known


def test_another_process_finds_the_same(tmp_path: Path) -> None:
    known = identity(frame(), tmp_path).record()
    code = (
        "import json; from tuner.data import DataSpec, load; "
        "print(json.dumps(load(DataSpec(path='table.csv', target='bought')).identity.record()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True
    )
    assert json.loads(done.stdout) == json.loads(json.dumps(known))
    assert len(done.stdout) < 1600


def added(some: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([some, some.iloc[[3, 8, 8]].assign(age=99)])


def changed(some: pd.DataFrame) -> pd.DataFrame:
    some.loc[[5, 9], "age"] = 71
    return some.drop(index=20)


def relabelled(some: pd.DataFrame) -> pd.DataFrame:
    some.loc[:3, "bought"] = np.where(some.loc[:3, "bought"] == "no", "yes", "no")
    return some


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.drop(index=1), "1 row removed (120 rows then, 119 now)"),
        (added, "3 rows added at the end (120 rows then, 123 now)"),
        (lambda f: added(f).iloc[::-1], "3 rows added (120 rows then, 123 now)"),
        (changed, "2 rows changed, 1 row removed (120 rows then, 119 now)"),
        (relabelled, "the labels of 4 rows changed"),
        (lambda f: f.iloc[::-1], "the same rows in another order"),
        (lambda f: f.assign(age=f["age"] + 1), "many rows changed"),
        (lambda f: f.assign(weight=f["age"] / 2, w=1), "columns 'weight', 'w' added"),
        (
            lambda f: f.drop(columns="gap").rename(columns={"age": "years"}),
            "column 'years' added, columns 'age', 'gap' removed",
        ),
        (lambda f: f[["gap", "age", *f.columns[2:]]], "the columns are in another order"),
        (
            lambda f: f.fillna({"gap": 0.0}).iloc[:60],
            "many rows changed (120 rows then, 60 now)",
        ),
        (lambda f: f, ""),
    ],
)
def test_what_changed(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], said: str
) -> None:
    known = json.loads(json.dumps(identity(frame(), tmp_path).record()))
    assert identity(change(frame()), tmp_path).differs(known) == said


def test_many_columns(tmp_path: Path) -> None:
    wide = pd.DataFrame({f"a long name {i}": np.arange(40) % (i + 2) for i in range(100)})
    wide["bought"] = np.arange(40) % 2
    known = identity(wide, tmp_path).record()
    assert len(json.dumps(known)) < 1600
    other = identity(wide.drop(columns="a long name 7"), tmp_path)
    assert other.differs(known) == "different columns (100 then, 99 now)"


def test_each_split_is_apart(tmp_path: Path) -> None:
    plain = identity(frame(), tmp_path)
    parts = {name: part.split() for name, part in plain.parts.items()}
    assert sum(int(count) for count, _ in parts.values()) == COUNT
    assert len({digest for _, digest in parts.values()}) == 3
    folded = identity(frame(), tmp_path, folds=4)
    assert folded.parts["test"] == plain.parts["test"]
    assert folded.parts["folds"].startswith("4 ")


def test_other_groups_divide_the_same_rows_otherwise(tmp_path: Path) -> None:
    known = identity(frame(), tmp_path, group="who").record()
    other = frame().assign(who=np.arange(COUNT) // 5)
    said = identity(other, tmp_path, group="who").differs(known)
    assert said == "the same rows are split differently"


def test_the_rows_of_a_second_file(tmp_path: Path) -> None:
    frame(12).to_csv(tmp_path / "b.csv", index=False)
    first = identity(frame(), tmp_path, test_path=str(tmp_path / "b.csv"))
    known = first.record()
    assert (known["rows"], first.parts["test"].split()[0]) == (COUNT + 12, "12")
    frame(12).assign(age=1).iloc[:3].to_csv(tmp_path / "b.csv", index=False)
    again = identity(frame(), tmp_path, test_path=str(tmp_path / "b.csv"))
    said = again.differs(known)
    assert "3 rows changed, 9 rows removed, all of it in the test rows" in said
    other = identity(frame().assign(age=1), tmp_path, test_path=str(tmp_path / "b.csv"))
    assert "test rows" not in other.differs(known)
    assert again.parts["train"] == first.parts["train"]


@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.int64, bool])
def test_arrays(tmp_path: Path, kind: Any) -> None:
    x = np.random.default_rng(0).integers(0, 2, (90, 3, 5)).astype(kind)
    y = np.arange(90) % 3
    found = []
    for i, (rows, labels) in enumerate(((x, y), (x.copy(order="F"), y), (1 - x * 1, y))):
        np.savez(tmp_path / f"{i}.npz", x=rows.astype(kind), y=labels)
        found.append(identity(tmp_path / f"{i}.npz", target=None))
    assert found[1].differs(found[0].record()) == ""
    assert found[2].differs(found[0].record()) == "many rows changed"
    x[7, 2, 4] = 1 - x[7, 2, 4] * 1
    np.savez(tmp_path / "one.npz", x=x, y=y)
    one = identity(tmp_path / "one.npz", target=None)
    assert one.differs(found[0].record()) == "1 row changed"


def test_images_in_folders(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "a" / name).mkdir(parents=True)
        for i in range(8):
            image = Image.fromarray(rng.integers(0, 256, (4, 4), dtype=np.uint8))
            image.save(tmp_path / "a" / name / f"{i}.png")
    known = identity(tmp_path / "a", target=None).record()
    (tmp_path / "a").rename(tmp_path / "b")
    assert identity(tmp_path / "b", target=None).differs(known) == ""
    (tmp_path / "b" / "cat" / "3.png").unlink()
    said = identity(tmp_path / "b", target=None).differs(known)
    assert said == "1 row removed (16 rows then, 15 now)"


def test_text_and_its_vectors(tmp_path: Path) -> None:
    rows = [f"{'good' if i % 2 else 'bad'} thing {i},{i % 2}" for i in range(40)]
    text = tmp_path / "a.csv"
    text.write_text("\n".join(["said,kind", *rows]))
    (tmp_path / "words.txt").write_text("good 1 2\nbad 2 1\n")
    spec = {"target": "kind", "text": "said", "vectors": str(tmp_path / "words.txt")}
    known = identity(text, **spec).record()
    (tmp_path / "words.txt").write_text("good 1 2\nbad 2 3\n")
    assert identity(text, **spec).differs(known) == "the word vectors changed"
    (tmp_path / "words.txt").write_text("good 1 2\nbad 2 1\n")
    text.write_text(text.read_text().replace("thing 7", "things 7"))
    assert identity(text, **spec).differs(known) == "1 row changed"


def test_quantities(tmp_path: Path) -> None:
    some = frame().assign(bought=np.random.default_rng(1).normal(size=COUNT))
    known = identity(some, tmp_path).record()
    some.loc[4, "bought"] += 1e-9
    assert identity(some, tmp_path).differs(known) == "the labels of 1 row changed"


def test_a_final_number_is_of_the_same_rows(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "t.csv", index=False)
    spec = DataSpec(path=str(tmp_path / "t.csv"), target="bought")
    search, final = load(spec).identity, load(spec, final=True).identity
    assert search is not None
    assert final is not None
    assert final.record() == search.record()


def test_weights_belong_to_the_rows_and_copies_stay_together(tmp_path: Path) -> None:
    weighted = frame().assign(w=np.arange(COUNT) + 1.0)
    known = identity(weighted, tmp_path, weight="w")
    assert known.record() != identity(frame(), tmp_path).record()
    weighted.loc[[3, 4], "w"] = 500.0
    found = identity(weighted, tmp_path, weight="w").differs(known.record())
    assert found == "the labels or weights of 2 rows changed"
    twice = pd.concat([frame(), frame()]).assign(w=np.arange(2 * COUNT) + 1.0)
    twice.to_csv(tmp_path / "twice.csv", index=False)
    data = load(DataSpec(path=str(tmp_path / "twice.csv"), target="bought", weight="w"))
    train, validation = ({int(p) % COUNT for p in places} for places in data.positions)
    assert not train & validation
