"""test_tables"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tuner.data import DataSpec, load, tables
from tuner.data.tables import (
    Table,
    encoding_of,
    from_arrays,
    from_frame,
    is_frame,
    read_text,
    text_parts,
)
from tuner.errors import DataError

Y = [0, 1, 0]


@pytest.mark.parametrize(
    "x",
    [
        [[1, 2], [3, 4], [5, 6]],
        np.array([[1, 2], [3, 4], [5, 6]], dtype=np.uint8),
        np.array([[1, 2], [3, 4], [5, 6]], dtype=object),
        torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
        pd.DataFrame({"a": [1, 3, 5], "b": [2.0, 4.0, 6.0]}),
    ],
    ids=lambda x: type(x).__name__,
)
def test_features_in_every_form(x: Any) -> None:
    table = from_arrays(x, Y, "here")
    np.testing.assert_array_equal(_values(table), [[1, 2], [3, 4], [5, 6]])
    assert table.names == (("a", "b") if is_frame(x) else ())


def _values(table: Table) -> np.ndarray[Any, Any]:
    return np.stack([c.values for c in table.columns], 1) if table.x is None else table.x


def test_one_feature_and_images() -> None:
    assert _values(from_arrays([1.0, 2.0, 3.0], Y, "here")).shape == (3, 1)
    assert _values(from_arrays(np.zeros((3, 1, 8, 8)), Y, "here")).shape == (3, 1, 8, 8)


@pytest.mark.parametrize(
    "y",
    [
        [[0], [1], [0]],
        np.array([[0], [1], [0]]),
        torch.tensor([0, 1, 0]),
        pd.Series([0, 1, 0], dtype="Int64"),
        pd.DataFrame({"y": [0, 1, 0]}),
    ],
    ids=lambda y: type(y).__name__,
)
def test_labels_in_every_form(y: Any) -> None:
    assert from_arrays([[1.0]] * 3, y, "here").y.tolist() == Y


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        ([[1.0]] * 2, Y, "2 rows of features, but 3 labels"),
        ([], [], "no rows"),
        (np.zeros((3, 0)), Y, "no feature columns"),
        ([["a"]] * 3, Y, "features have type <U1"),
        (np.array([["a"]] * 3, dtype=object), Y, "not numbers: could not convert"),
        ([[1.0], [2.0, 3.0], [4.0]], Y, "features cannot become an array"),
        (None, Y, r"features have type float64 and shape \[\]"),
        ([[1.0]] * 3, np.zeros((3, 2, 2)), r"labels have shape \[3, 2, 2\]"),
        ([[1.0]] * 3, np.zeros((3, 0)), r"labels have shape \[3, 0\]"),
        (
            [[1.0]] * 3,
            [[0, 1], [1, 0, 1], [0]],
            "row 1 counted from 0 has 3 labels, but row 0.* has 2",
        ),
        ([[1.0]] * 3, [[0, 1], 1, 0], "row 1 counted from 0 has 1 labels, but row 0"),
        ([[1.0]] * 3, 5, r"labels have shape \[\]"),
    ],
)
def test_arrays_that_do_not_fit(x: Any, y: Any, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        from_arrays(x, y, "here")
    assert caught.value.where == "here"


def test_frame() -> None:
    frame = pd.DataFrame({"a": [1, 2, None], "label": ["x", "y", "x"], "b": [True, False, True]})
    table = from_frame(frame, "label", "here")
    assert table.names == ("a", "b")
    assert table.y.tolist() == ["x", "y", "x"]
    np.testing.assert_array_equal(_values(table), [[1, 1], [2, 0], [np.nan, 1]])
    assert [column.kind for column in table.columns] == ["numeric", "boolean"]


def test_frame_with_nullable_types() -> None:
    frame = pd.DataFrame(
        {"a": pd.array([1, None, 3], "Int64"), "y": pd.array([1, 0, None], "Int8")}
    )
    table = from_frame(frame, "y", "here")
    np.testing.assert_array_equal(_values(table), [[1], [np.nan], [3]])
    assert pd.isna(table.y).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("frame", "target", "says"),
    [
        (
            pd.DataFrame({"a": [1], "label": [1]}),
            "lable",
            "no column 'lable'\n.*mean 'label'.*a, l",
        ),
        (pd.DataFrame({"a": [1], "label": [1]}), None, "no target given.*\n.*columns: a, label"),
        (pd.DataFrame([[1, 2, 3]], columns=["a", "a", "y"]), "y", "same name: a\n"),
        (
            pd.DataFrame({"a": pd.to_timedelta(["1 day"]), "y": [1]}),
            "y",
            r"neither numbers nor text: a \(timedelta",
        ),
        (pd.DataFrame({"a": [], "y": []}), "y", "no rows"),
        (pd.DataFrame({"y": [1, 2]}), "y", "no feature columns"),
    ],
)
def test_frames_that_do_not_fit(frame: pd.DataFrame, target: str | None, says: str) -> None:
    with pytest.raises(DataError, match=says):
        from_frame(frame, target, "here")


TEXT = 'a,"b, c",größe\n1,2.5,"x\ny"\n3,4.5,naïve – „q“\n'
NAMES = ["a", "b, c", "größe"]


def _file(folder: Path, content: bytes) -> Path:
    file = folder / "table.csv"
    file.write_bytes(content)
    return file


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_every_encoding(tmp_path: Path, encoding: str, packed: bool) -> None:
    content = TEXT.encode(encoding)
    frame = read_text(_file(tmp_path, gzip.compress(content) if packed else content))
    assert frame.columns.tolist() == NAMES
    assert frame["größe"].tolist() == ["x\ny", "naïve – „q“"]


def test_latin_1_and_a_mark_of_utf_16(tmp_path: Path) -> None:
    assert encoding_of(_file(tmp_path, "a,b\n1,Malmö\n".encode("latin-1"))) == "cp1252"
    assert encoding_of(_file(tmp_path, b"\xfe\xff" + "a,b".encode("utf-16-be"))) == "utf-16"


@pytest.mark.parametrize(
    "header", ["temp °C,m²", "price £,x", "ja,Ä", "é,à", "©,®", "×,÷", "§,¶", "30µ,¼", "año,João"]
)
def test_a_few_letters_of_cp1252(tmp_path: Path, header: str) -> None:
    file = _file(tmp_path, f"{header}\n1,2\n3,4\n".encode("cp1252"))
    assert read_text(file).columns.tolist() == header.split(",")


@pytest.mark.parametrize(
    ("content", "tried"),
    [
        (b"a,b\n\x81\x8d,1\n", "utf-8-sig and cp1252"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "utf-8-sig and cp1252"),
        (b"\xff\xfe\x00\xd8,\x00", "utf-16"),
        ("データ,値\n1,2\n".encode("shift-jis"), "utf-8-sig and cp1252"),
        ("a,größe\n1,2\n".encode("utf-16-le"), "utf-8-sig and cp1252"),  # without a mark
    ],
)
def test_no_encoding(tmp_path: Path, content: bytes, tried: str) -> None:
    with pytest.raises(DataError, match=f"is not text in a known encoding: tried {tried}\n"):
        read_text(_file(tmp_path, content))


@pytest.mark.parametrize("delimiter", tables.DELIMITERS)
def test_every_delimiter(tmp_path: Path, delimiter: str) -> None:
    rows = [["a", "b", "c"], ["1", "2.5", '"x, y; z | w"'], ["3", "4", "v"]]
    content = "\r\n".join(delimiter.join(row) for row in rows).encode()
    frame = read_text(_file(tmp_path, content))
    assert frame.columns.tolist() == ["a", "b", "c"]
    assert frame["b"].tolist() == [2.5, 4]
    assert frame["c"].tolist() == ["x, y; z | w", "v"]


def test_decimal_commas(tmp_path: Path) -> None:
    frame = read_text(_file(tmp_path, b"a;b;c\n1,5;2,x;3\n-2;4,y;\n;1,z;4,25\n"))
    assert frame["a"].fillna(0).tolist() == [1.5, -2, 0]
    assert frame["b"].tolist() == ["2,x", "4,y", "1,z"]
    assert frame["c"].fillna(0).tolist() == [3, 0, 4.25]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("label\nx\ny\n", "one column only, 'label'.*\n.*tab, semicolon, |, comma"),
        ("a,b\n1,2\n1,2,3\n", "line 3 has 3 fields, but the header has 2"),
        ("a,b\n1,2,3\n", "line 2 has 3 fields, but the header has 2"),
        ("a,b,c\n1,2,3\n1,2\n1,2,3\n", "line 3 has 2 fields, but the header has 3"),
        ('a,b,c\n1,2,"x\n\ny"\n\n1,2\n', "line 6 has 2 fields"),
        ("a,b,a,b\n1,2,3,4\n", "columns with the same name: a, b"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        read_text(_file(tmp_path, content.encode()))
    assert caught.value.where == str(tmp_path / "table.csv")


@pytest.mark.parametrize("bad", ["1", "1,2,3,4"])
def test_a_ragged_row_far_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    monkeypatch.setattr(tables, "SAMPLE", 50)
    lines = ["a,b,c", *["1,2,3"] * 200, bad, "1,2,3"]
    with pytest.raises(DataError, match=rf"line 202 has {bad.count(',') + 1} fields"):
        read_text(_file(tmp_path, "\n".join(lines).encode()))


def test_empty_cells_are_no_ragged_rows(tmp_path: Path) -> None:
    frame = read_text(_file(tmp_path, b"a,b\n1,\n\n2,\n"))
    assert frame["b"].isna().all()


def test_a_quote_that_never_ends(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line \d+ has 2 fields|cannot be read"):
        read_text(_file(tmp_path, b'a,b,c\n1,"2,3\n' + b"1,2,3\n" * 9))


def test_a_broken_archive(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as a table"):
        read_text(_file(tmp_path, gzip.compress(TEXT.encode() * 99)[:-20]))


def test_parts_of_a_table_keep_text_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.data.memory.CELLS", 4)
    monkeypatch.setattr("tuner.data.memory.ROWS", 1)
    file = _file(tmp_path, b"zip;x\n007;1,5\n9;2,5\n12,5;\n;3,0\n1e3;4,0\n")
    first, second, third = text_parts(file, {"zip", "none"})
    assert first["zip"].tolist() == ["007", "9"]
    assert first["x"].tolist() == [1.5, 2.5]
    assert second["zip"].isna().tolist() == [False, True]
    assert second["zip"].iloc[0] == "12,5"
    assert third["zip"].tolist() == ["1e3"]
    ragged = _file(tmp_path, b"zip;x\n" + b"1;2\n" * 9 + b"1\n")
    with pytest.raises(DataError, match="line 11 has 1 fields"):
        list(text_parts(ragged, ()))
    (alone,) = text_parts(_file(tmp_path, b"a\n1\n"), ())
    assert alone["a"].tolist() == [1]


@pytest.mark.parametrize("first", ["sep=;\r\n", "SEP=;\n", '"sep=;"\n', "\ufeffsep=;\n"])
def test_a_first_line_that_says_the_delimiter(tmp_path: Path, first: str) -> None:
    file = _file(tmp_path, f"{first}a;b, c\n1,5;2\n3;4\n".encode())
    frame = read_text(file)
    assert list(frame) == ["a", "b, c"]
    assert frame["a"].tolist() == [1.5, 3]
    assert len(pd.concat(text_parts(file, ()))) == 2
    with pytest.raises(DataError, match="line 4 has 1 fields, but the header has 2"):
        read_text(_file(tmp_path, f"{first}a;b\n1;5\n3\n".encode()))
    assert list(read_text(_file(tmp_path, b"sep=\\t\na\tb\n1\t2\n"))) == ["a", "b"]


def test_a_header_longer_than_the_sample(tmp_path: Path) -> None:
    names = [f"g{i}" for i in range(20_000)]
    lines = [",".join(names), *([",".join(["1"] * len(names))] * 3)]
    frame = read_text(_file(tmp_path, "\n".join(lines).encode()))
    assert frame.shape == (3, 20_000)


def test_codes_stay_text(tmp_path: Path) -> None:
    frame = read_text(_file(tmp_path, b"zip;x;share\n01234;1;0,5\n98765;0;0,25\n;10;3\n"))
    assert frame["zip"].tolist()[:2] == ["01234", "98765"]
    assert (frame["x"].sum(), frame["share"].sum()) == (11, 3.75)


def test_codes_are_codes_in_the_rows_of_a_study_too(tmp_path: Path) -> None:
    file = tmp_path / "codes.csv"
    file.write_text("a,zip,y\n" + "".join(f"{i},{i % 3:03},{i % 2}\n" for i in range(30)))
    data = load(DataSpec(path=str(file), target="y"))
    assert data.features == ("a", "zip = 000", "zip = 001", "zip = 002")
