from __future__ import annotations

import gzip
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tuner.data import DataSpec, files
from tuner.data.files import FILES, find
from tuner.data.table import Table
from tuner.errors import DataError


def read(path: str, target: str | None, folder: Path) -> Table:
    return files.read(DataSpec(path=path, target=target), folder)


TEXT = "a,b,label\n1,2.5,x\n3,4.5,y\n"


def test_reads_every_table(tmp_path: Path) -> None:
    for ending in FILES:
        if ending == ".npz" or "idx" in ending:
            continue
        file = tmp_path / f"table{ending}"
        if ending == ".parquet":
            pd.read_csv(io.StringIO(TEXT)).to_parquet(file)
        else:
            content = (TEXT.replace(",", "\t") if ".tsv" in ending else TEXT).encode()
            file.write_bytes(gzip.compress(content) if ending.endswith(".gz") else content)
        table = read(str(file), "label", tmp_path)
        assert [column.values.tolist() for column in table.columns] == [[1, 3], [2.5, 4.5]]
        assert table.y.tolist() == ["x", "y"]
        assert (table.names, table.where) == (("a", "b"), str(file))


def test_a_broken_parquet_file(tmp_path: Path) -> None:
    (tmp_path / "table.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read("table.parquet", "label", tmp_path)


def test_parquet_without_pyarrow(tmp_path: Path) -> None:
    """In another process, in which it cannot be imported."""
    (tmp_path / "table.parquet").touch()
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from pathlib import Path\n"
        "from tuner.data.files import read_parquet\n"
        "read_parquet(Path('table.parquet'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "reading Parquet needs pyarrow" in done.stderr
    assert "pip install 'tuner[parquet]'" in done.stderr


def test_environment_variables_in_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "table.csv").write_text(TEXT)
    monkeypatch.setenv("SOME_DATA", str(tmp_path))
    for path in ("$SOME_DATA/table.csv", "${SOME_DATA}/table.csv"):
        assert read(path, "label", Path("/")).where == str(tmp_path / "table.csv")
    monkeypatch.delenv("SOME_DATA")
    with pytest.raises(DataError, match=r"variable SOME_DATA is not set\n.*export SOME_DATA"):
        read("$SOME_DATA/table.csv", "label", tmp_path)


def test_a_folder_without_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the folder holds no data\n.*train-images-idx3-ubyte"):
        read(str(tmp_path), None, tmp_path)


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
        ("a,b,label\n1,2,x\n1,2,3,4,5\n", "line 3 has 5 fields, and the header has 3"),
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
    with pytest.raises(DataError, match="tried utf-8-sig and cp1252"):
        read(str(file), "label", tmp_path)


def test_unknown_format(tmp_path: Path) -> None:
    (tmp_path / "table.xls").write_text("")
    with pytest.raises(DataError, match=r"unknown format '\.xls'\n.*known: \.csv"):
        read("table.xls", "label", tmp_path)


def test_a_dollar_in_a_name_is_itself_where_there_is_such_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERE", "there")
    for name in ("a$2024.csv", "$HERE.csv", "${HERE}.csv", "there.tsv"):
        (tmp_path / name).touch()
    for name in ("a$2024.csv", "$HERE.csv", "${HERE}.csv"):
        assert find(name, "data.path", tmp_path).name == name
    assert find("$HERE.tsv", "data.path", tmp_path).name == "there.tsv"
    with pytest.raises(DataError, match=r"no such file 'b\$2024.csv'"):
        find("b$2024.csv", "data.path", tmp_path)
