"""Functions by name: only those of modules that are allowed here, and the others untouched."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tuner.errors import DataError, UsageError
from tuner.imports import (
    Allowed,
    allowing,
    distribution,
    function,
    of_operator,
    of_person,
    read_packages,
)

Module = Callable[..., str]
_number = itertools.count()


@pytest.fixture
def module(tmp_path: Path) -> Module:
    """Writes a module that leaves a file when it is imported; its name."""

    def write(code: str = "def make(): return 5", folder: Path = tmp_path) -> str:
        name = f"tuner_test_import_{next(_number)}"
        folder.mkdir(exist_ok=True, parents=True)
        mark = f"open({str(tmp_path / 'imported')!r}, 'w').close()\n"
        (folder / f"{name}.py").write_text(mark + code)
        return name

    return write


def refused(reference: str, rules: Allowed) -> str:
    with allowing(rules), pytest.raises(UsageError) as caught:
        function(reference, "data.source", DataError)
    assert isinstance(caught.value, DataError)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_an_operator_allows_a_module_by_name(
    module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = module()
    said = refused(f"{name}:make", of_operator())
    assert f"the module {name!r} is not allowed here, and was not imported" in said
    assert f"--allow {name}, or TUNER_ALLOW={name}" in said
    assert not (tmp_path / "imported").exists()
    assert name not in sys.modules
    with allowing(of_operator([name])):
        assert function(f"{name}:make", "family")() == 5
    assert (tmp_path / "imported").exists()


def test_a_person_may_use_what_lies_in_the_working_directory_and_beside_the_study(
    module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, beside, below = tmp_path / "here", tmp_path / "studies", tmp_path / "here" / "below"
    names = [module(folder=folder) for folder in (here, beside, below)]
    monkeypatch.chdir(here)
    before = list(sys.path)
    with allowing(of_person((), beside)):
        assert function(f"{names[0]}:make", "family")() == 5
        assert function(f"{names[1]}:make", "family")() == 5
    assert f"no module {names[2]!r}" in refused(f"{names[2]}:make", of_person((), beside))
    assert f"no module {names[1]!r}" not in refused(f"{names[1]}:make", of_person())
    assert sys.path == before


def test_a_library_within_the_working_directory_is_not_of_it(
    module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as an environment's site-packages in a project's folder."""
    inside = tmp_path / "venv"
    name = module(folder=inside)
    monkeypatch.syspath_prepend(str(inside))
    monkeypatch.chdir(tmp_path)
    assert "is not allowed here" in refused(f"{name}:make", of_person())
    assert not (tmp_path / "imported").exists()


def test_a_file_named_like_a_library_opens_no_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shutil.py").write_text("")
    assert "'shutil' is not allowed here" in refused("shutil:rmtree", of_person())


@pytest.mark.parametrize(
    ("package", "name", "has"),
    [
        ("sklearn", "sklearn", True),
        ("sklearn", "sklearn.datasets", True),
        ("sklearn.datasets", "sklearn.datasets", True),
        ("sklearn.datasets", "sklearn.datasets.inner", True),
        ("sklearn.datasets", "sklearn", False),
        ("sklearn.datasets", "sklearn.datasets_evil", False),
        ("sklearn", "sklearn_evil", False),
        ("sklearn", "os", False),
    ],
)
def test_a_package_brings_what_is_within_it_and_nothing_else(
    package: str, name: str, has: bool
) -> None:
    assert of_operator([package]).has(name) is has


@pytest.mark.parametrize("reference", ["os:system", "os.path:join", "builtins:exec", "sys:exit"])
def test_the_standard_library_is_not_allowed(reference: str) -> None:
    module = reference.partition(":")[0]
    for rules in (of_operator(), of_person()):
        assert f"the module {module!r} is not allowed here" in refused(reference, rules)


@pytest.mark.parametrize(
    "reference",
    ["os", "os:", ":system", "", ".os:system", "os:path.join", "a-b:c", "a:b:c"],
)
def test_what_is_no_reference(reference: str) -> None:
    assert f"{reference!r} is not module:function" in refused(reference, of_operator(["os"]))


def test_the_variable_names_packages_where_nothing_else_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TUNER_ALLOW", "json, mine.networks,,json")
    assert of_operator().packages == ("json", "mine.networks")
    assert of_operator(["math"]).packages == ("math",)
    assert function("json:dumps", "objective")([1]) == "[1]"


@pytest.mark.parametrize("text", ["os:system", "../mine", "mine.py/", "1a", "a..b", "-x"])
def test_what_is_no_package(text: str) -> None:
    with pytest.raises(UsageError, match="is not the name of a package"):
        read_packages([text])


def test_a_missing_module_is_named_with_what_to_install() -> None:
    said = refused("no_such_thing.data:load", of_operator(["no_such_thing"]))
    assert "no module 'no_such_thing'" in said
    assert "pip install no-such-thing" in said
    said = refused("no_such_thing.data:load", of_operator())
    assert "pip install no-such-thing and --allow no_such_thing" in said


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("sklearn.datasets", "scikit-learn"),
        ("PIL", "pillow"),
        ("mlxtend.data", "mlxtend"),
        ("my_own", "my-own"),
    ],
)
def test_what_to_install_for_a_module(module: str, name: str) -> None:
    assert distribution(module) == name


def test_a_module_that_a_module_needs_is_named(module: Module, tmp_path: Path) -> None:
    name = module("import no_such_dependency")
    said = refused(f"{name}:make", of_person((), tmp_path))
    assert f"{name} needs the module 'no_such_dependency'" in said
    assert "pip install no-such-dependency" in said


def test_a_function_that_is_not_there_is_named_with_those_that_are(
    module: Module, tmp_path: Path
) -> None:
    name = module("def make(): pass\nsize = 5")
    assert "did you mean 'make'" in refused(f"{name}:mak", of_person((), tmp_path))
    assert "not a function: 'size'" in refused(f"{name}:size", of_person((), tmp_path))
