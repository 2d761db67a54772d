from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from tuner.data.files import FILES, read
from tuner.errors import DataError

TEXT = "a,b,label\n1,2.5,x\n3,4.5,y\n"


def test_reads_every_format(tmp_path: Path) -> None:
    for ending in FILES:
        text = TEXT.replace(",", "\t") if ".tsv" in ending else TEXT
        content = text.encode()
        file = tmp_path / f"table{ending}"
        file.write_bytes(gzip.compress(content) if ending.endswith(".gz") else content)
        table = read(str(file), "label", tmp_path)
        assert [column.values.tolist() for column in table.columns] == [[1, 3], [2.5, 4.5]]
        assert table.y.tolist() == ["x", "y"]
        assert (table.names, table.where) == (("a", "b"), str(file))


def test_the_folder_comes_before_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, work = tmp_path / "study", tmp_path / "work"
    for folder in (study, work):
        folder.mkdir()
        (folder / "both.csv").write_text(TEXT)
    (work / "one.csv").write_text(TEXT)
    monkeypatch.chdir(work)
    assert read("both.csv", "label", study).where == str(study / "both.csv")
    assert read("one.csv", "label", study).where == str(work / "one.csv")


def test_a_missing_file_names_every_path_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"no such file 'data/train\.csv'") as caught:
        read("data/train.csv", "label", tmp_path / "studies")
    assert str(tmp_path / "studies/data/train.csv") in caught.value.hint
    assert str(tmp_path / "data/train.csv") in caught.value.hint


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file is empty"),
        ("a,b,label\n", "no rows"),
        ("a,a,label\n1,2,x\n", "columns with the same name: a"),
        ("a,label,label\n1,x,y\n", "columns with the same name: label"),
        ("a,b,label\n1,2,x\n1,2,3,4,5\n", "cannot be read as a table"),
        ("a,b,lable\n1,2,x\n", "no column 'label'\n.*did you mean 'lable'"),
    ],
)
def test_files_that_do_not_fit(table: Callable[[str], Path], text: str, says: str) -> None:
    file = table(text)
    with pytest.raises(DataError, match=says) as caught:
        read(str(file), "label", file.parent)
    assert caught.value.where == str(file)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(b"a,label\n\xff\xfe\x00,1\n")
    with pytest.raises(DataError, match="cannot be read as a table"):
        read(str(file), "label", tmp_path)


def test_unknown_format(tmp_path: Path) -> None:
    (tmp_path / "table.xls").write_text("")
    with pytest.raises(DataError, match=r"unknown format '\.xls'\n.*known: \.csv"):
        read("table.xls", "label", tmp_path)
