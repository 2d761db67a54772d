"""test_sources"""

from __future__ import annotations

import gzip
import io
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tuner.data import DataSpec, sources
from tuner.data.sources import FILES, find_path, read_loader
from tuner.data.tables import Table
from tuner.errors import DataError


def read(path: str, target: str | None, folder: Path) -> Table:
    return sources.read_path(DataSpec(path=path, target=target), folder)


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
        "from tuner.data.sources import read_parquet\n"
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
        ("a,b,label\n1,2,x\n1,2,3,4,5\n", "line 3 has 5 fields, but the header has 3"),
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
    with pytest.raises(DataError, match=r"unknown format '\.xls'\n.*known formats: \.csv"):
        read("table.xls", "label", tmp_path)


def test_a_dollar_in_a_name_is_itself_where_there_is_such_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERE", "there")
    for name in ("a$2024.csv", "$HERE.csv", "${HERE}.csv", "there.tsv", "~draft.csv"):
        (tmp_path / name).touch()
    for name in ("a$2024.csv", "$HERE.csv", "${HERE}.csv", "~draft.csv"):
        assert find_path(name, "data.path", tmp_path).name == name
    assert find_path("$HERE.tsv", "data.path", tmp_path).name == "there.tsv"
    with pytest.raises(DataError, match=r"no such file 'b\$2024.csv'"):
        find_path("b$2024.csv", "data.path", tmp_path)


Module = Callable[[str], str]


@pytest.mark.parametrize(
    ("code", "target", "classes"),
    [
        ("def load(): return [[1.0], [2.0]], ['a', 'b']", None, ()),
        (
            "from sklearn.utils import Bunch\n"
            "def load(): return Bunch(data=[[1.0], [2.0]], target=['a', 'b'], target_names=['n'])",
            None,
            ("n",),
        ),
        (
            "import pandas\n"
            "def load(): return pandas.DataFrame({'x': [1.0, 2.0], 'y': ['a', 'b']})",
            "y",
            (),
        ),
    ],
)
def test_every_form_of_result(
    module: Module, tmp_path: Path, code: str, target: str | None, classes: tuple[str, ...]
) -> None:
    before = list(sys.path)
    table = read_loader(DataSpec(source=f"{module(code)}:load", target=target), tmp_path)
    x = table.columns[0].values[:, None] if table.x is None else table.x
    assert x.tolist() == [[1], [2]]
    assert table.y.tolist() == ["a", "b"]
    assert table.classes == classes
    assert sys.path == before


def listed(code: str) -> str:
    return f"import numpy as np\ndef load(): return {code}, [0, 1, 0]"


def test_sequences_in_a_list_or_an_array_of_objects(module: Module, tmp_path: Path) -> None:
    nan, rows = np.nan, "[[1.0], [2.0, 3.0], [4.0]]"
    for code in (rows, f"np.array({rows}, dtype=object)"):
        table = read_loader(DataSpec(source=f"{module(listed(code))}:load"), tmp_path)
        np.testing.assert_array_equal(table.x, [[1, nan], [2, 3], [4, nan]])


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("[[1.0], [2.0, 3.0], []]", "row 2 counted from 0 is empty\n"),
        ("[[1], [2, 3], [4]]", r"row 1 .* is int64 of shape \[2\], .* \[1\]\n.* x.astype\(float\)"),
        (
            "[[1.0], [2.0, 3.0], [4]]",
            r"row 2 .* is int64 .*, and row 0 .* float64 .*\n.* x.astype\(float\)",
        ),
        ("[[1.0], [[2.0], [3.0]], [4.0]]", r"row 1 .* shape \[2, 1\], and row 0 .* \[1\]\n.*equal"),
    ],
)
def test_rows_of_different_lengths_that_are_no_sequences(
    module: Module, tmp_path: Path, code: str, says: str
) -> None:
    with pytest.raises(DataError, match=says):
        read_loader(DataSpec(source=f"{module(listed(code))}:load"), tmp_path)


def test_a_module_in_a_package(tmp_path: Path) -> None:
    package = tmp_path / "tuner_test_package"
    package.mkdir()
    (package / "inner.py").write_text("def load(): return [[1.0], [2.0]], [0, 1]")
    assert len(read_loader(DataSpec(source="tuner_test_package.inner:load"), tmp_path).y) == 2


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("no_such_module:load", "no module 'no_such_module'"),
        ("sklearn.no_such:load", "the module 'sklearn.no_such' is not allowed here"),
        ("sklearn.datasets:load_digit", "no function 'load_digit'.*\n.*did you mean 'load_digits'"),
        ("sklearn.datasets:clear_data_home", "'sklearn.datasets' is not allowed here"),
        ("os:getcwd", "the module 'os' is not allowed here, and was not imported"),
    ],
)
def test_unknown_module_or_function(tmp_path: Path, source: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        read_loader(DataSpec(source=source), tmp_path)
    assert caught.value.where == source


@pytest.mark.parametrize("source", ["load_digits", "sklearn.datasets:", ":load", ""])
def test_not_module_and_function(tmp_path: Path, source: str) -> None:
    with pytest.raises(DataError, match="is not module:function"):
        read_loader(DataSpec(source=source), tmp_path)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def load(): return 5", "returned something of type int"),
        ("def load(): pass", "returned nothing"),
        ("def load(): return 1, 2, 3, 4", "returned a tuple of 4"),
        ("def load(): raise OSError('disk on fire')", "raised OSError: disk on fire"),
        ("def load(folder): pass", "cannot be called without arguments.*'folder'"),
        ("import no_such_dependency", "needs the module 'no_such_dependency'"),
        ("1 / 0", "raised ZeroDivisionError: division by zero"),
        ("import pandas\ndef load(): return pandas.DataFrame({'x': [1]})", "no target given"),
    ],
)
def test_functions_that_do_not_fit(module: Module, tmp_path: Path, code: str, says: str) -> None:
    source = f"{module(code)}:load"
    with pytest.raises(DataError, match=says) as caught:
        read_loader(DataSpec(source=source), tmp_path)
    assert caught.value.where == source


@pytest.mark.parametrize(
    "code", ["[[1.0], [2.0]], [0, 1]", "__import__('pandas').DataFrame({'y': [1, 2]})"]
)
def test_collate_is_for_the_items_of_a_dataset(module: Module, tmp_path: Path, code: str) -> None:
    name = module(f"def load(): return {code}")
    with pytest.raises(DataError, match=f"of a Dataset, and {name}:load returned") as caught:
        read_loader(DataSpec(source=f"{name}:load", collate=f"{name}:load"), tmp_path)
    assert caught.value.where == "data.collate"


def test_a_target_beside_labels_is_refused(module: Module, tmp_path: Path) -> None:
    name = module("def load(): return [[1.0], [2.0]], [0, 1]")
    with pytest.raises(DataError, match=r"target = 'y'.*\n.*remove target"):
        read_loader(DataSpec(source=f"{name}:load", target="y"), tmp_path)


def test_heavy_libraries_are_imported_only_when_needed(module: Module, tmp_path: Path) -> None:
    name = module("def load(): return [[float(i)] for i in range(30)], [0, 1] * 15")
    code = (
        "import sys; from pathlib import Path; from tuner.data import DataSpec, load;"
        f"load(DataSpec(source='{name}:load'), folder=Path({str(tmp_path)!r}));"
        "print({'pandas', 'sklearn', 'scipy'} & set(sys.modules))"
    )
    root = str(Path(__file__).parents[2])
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert result.stdout.strip() == "set()"


# Reading ahead, in another process.


READ_ELSEWHERE = """
import sys
from pathlib import Path
import numpy as np
from tuner.data import DataSpec, sources
spec, folder = DataSpec(source="sklearn.datasets:load_iris"), Path()
with sources.reading_ahead(spec, folder):
    table = sources.read(DataSpec(source=spec.source, preprocessing="quantile"), folder)
for name in ("sklearn", "pandas", "torch"):
    assert name not in sys.modules, name
own = sources.read(spec, folder)
assert "sklearn" in sys.modules and "torch" not in sys.modules
assert np.array_equal(own.x, table.x) and np.array_equal(own.y, table.y)
assert (own.where, own.names, own.classes) == (table.where, table.names, table.classes)
"""


def test_another_process_reads_what_this_one_takes() -> None:
    done = subprocess.run([sys.executable, "-c", READ_ELSEWHERE], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_small_file_is_read_ahead(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b,y\n1,x,u\n2,,v\n3,x,u\n", encoding="utf-8")
    spec = DataSpec(path="rows.csv", target="y")
    with sources.reading_ahead(spec, tmp_path):
        assert sources.Ahead.open is not None
        ahead = sources.read(spec, tmp_path)
        assert sources.Ahead.open is None
        own = sources.read(spec, tmp_path)
    assert ahead.where == own.where
    assert [each.name for each in ahead.columns] == [each.name for each in own.columns]
    for one, other in zip(ahead.columns, own.columns, strict=True):
        assert one.kind == other.kind
        assert np.array_equal(one.values, other.values)
    assert ahead.y.tolist() == own.y.tolist()
    assert ahead.row(1) == own.row(1)


def test_rows_of_another_specification_are_not_taken(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / f"{name}.csv").write_text(f"a,y\n1,{name}\n2,v\n", encoding="utf-8")
    with sources.reading_ahead(DataSpec(path="one.csv", target="y"), tmp_path):
        ahead = sources.Ahead.open
        table = sources.read(DataSpec(path="other.csv", target="y"), tmp_path)
        assert ahead is not None
        assert ahead.process.is_alive() or ahead.process.exitcode == 0
    assert table.y.tolist() == ["other", "v"]
    assert sources.Ahead.open is None
    assert ahead.process.exitcode is not None  # nobody took its rows, and it ended


def test_a_process_whose_rows_nobody_takes_ends_at_once(tmp_path: Path) -> None:
    rows = "".join(f"{k},{k % 2}\n" for k in range(50_000))  # more than a pipe holds
    (tmp_path / "rows.csv").write_text("a,y\n" + rows, encoding="utf-8")
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        for wait in (0.0, 0.3):
            with sources.reading_ahead(DataSpec(path="rows.csv", target="y"), tmp_path):
                ahead = sources.Ahead.open
                assert ahead is not None
                ahead.pipe.poll(wait)
            assert ahead.process.exitcode is not None
    finally:
        signal.signal(signal.SIGTERM, before)


def test_what_cannot_be_read_ahead_fails_as_ever(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    spec = DataSpec(path="rows.csv", target="y")
    with sources.reading_ahead(spec, tmp_path), pytest.raises(DataError, match="no column 'y'"):
        sources.read(spec, tmp_path)


def test_functions_and_large_files_are_not_read_ahead(tmp_path: Path) -> None:
    with (tmp_path / "rows.csv").open("wb") as file:
        file.truncate(sources.AHEAD + 1)
    for spec in (
        DataSpec(path="rows.csv", target="y"),
        DataSpec(path="missing.csv", target="y"),
        DataSpec(source="mine:rows"),
        DataSpec(source="sklearn.datasets:fetch_covtype"),
    ):
        with sources.reading_ahead(spec, tmp_path):
            assert sources.Ahead.open is None
