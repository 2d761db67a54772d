from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tuner.data.sources import read
from tuner.errors import DataError

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
    table = read(f"{module(code)}:load", target, tmp_path)
    x = table.columns[0].values[:, None] if table.x is None else table.x
    assert x.tolist() == [[1], [2]]
    assert table.y.tolist() == ["a", "b"]
    assert table.classes == classes
    assert sys.path == before


def test_a_module_in_a_package(tmp_path: Path) -> None:
    package = tmp_path / "tuner_test_package"
    package.mkdir()
    (package / "inner.py").write_text("def load(): return [[1.0], [2.0]], [0, 1]")
    assert len(read("tuner_test_package.inner:load", None, tmp_path).y) == 2


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
        read(source, None, tmp_path)
    assert caught.value.where == source


@pytest.mark.parametrize("source", ["load_digits", "sklearn.datasets:", ":load", ""])
def test_not_module_and_function(tmp_path: Path, source: str) -> None:
    with pytest.raises(DataError, match="is not module:function"):
        read(source, None, tmp_path)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def load(): return 5", "returned something of type int"),
        ("def load(): pass", "returned nothing"),
        ("def load(): return 1, 2, 3", "returned a tuple of 3"),
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
        read(source, None, tmp_path)
    assert caught.value.where == source


def test_a_target_beside_labels_is_refused(module: Module, tmp_path: Path) -> None:
    name = module("def load(): return [[1.0], [2.0]], [0, 1]")
    with pytest.raises(DataError, match=r"target = 'y'.*\n.*remove target"):
        read(f"{name}:load", "y", tmp_path)


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
