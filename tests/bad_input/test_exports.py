"""What cannot be exported or predicted is refused, and nothing is half written."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from typer.testing import CliRunner

from tuner.cli import app
from tuner.errors import UsageError
from tuner.exports.folder import PREPROCESSING, PROGRAM, STUDY, VERSIONS, WEIGHTS, write

Run = Callable[..., str]
EXPORT = ("export", "--study", "mine")
ROWS = "a,b,kind,more\n3,4,one,x\n,4,,\n"


@pytest.fixture
def model(trained: Path) -> Path:
    """The folder `model`, an export, and beside it `rows.csv`."""
    done = CliRunner().invoke(app, [*EXPORT, "--out", "model"])
    assert done.exit_code == 0, done.stderr
    (trained / "rows.csv").write_text(ROWS)
    return trained / "model"


def listed(folder: Path) -> list[str]:
    """What a folder holds, but for SQLite's journal, which a command's end may write later."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("tuner.db-"))


def test_no_complete_trial_or_not_that_one(folder: Path, refused: Run) -> None:
    words = ("there is no such database", "tuner optimize --study NAME makes it")
    refused(*EXPORT, "--out", "model", words=words)
    assert CliRunner().invoke(app, ["submit", "--study", "mine"]).exit_code == 0
    words = ("no trial of 'mine' is complete yet", "tuner optimize --study mine trains some")
    refused(*EXPORT, "--out", "model", words=words)
    refused(*EXPORT, "--out", "model", "--trial", "0", words=("the study has no trial 0",))


def test_a_trial_that_is_not_complete(trained: Path, refused: Run) -> None:
    study = optuna.load_study(study_name="mine", storage="sqlite:///tuner.db")
    study.tell(study.ask(), state=optuna.trial.TrialState.PRUNED)
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    study.ask()
    refused(*EXPORT, "--out", "m", "--trial", "99", words=("has no trial 99", "0 to 5"))
    for number, state in ((3, "pruned"), (4, "fail"), (5, "running")):
        words = (f"mine: trial {number} is {state} and not complete", "tuner best --study mine")
        refused(*EXPORT, "--out", "m", "--trial", str(number), words=words)
    refused("export", "--study", "mien", "--out", "m", words=("did you mean 'mine'",))


def test_a_folder_that_is_there(model: Path, refused: Run) -> None:
    refused(*EXPORT, "--out", "model", words=("model: already exists", "use --force to replace it"))
    words = ("is not an export", "give another folder")
    refused(*EXPORT, "--out", "studies", "--force", words=words)
    refused(*EXPORT, "--out", "table.csv", "--force", words=words)
    refused(*EXPORT, "--out", "table.csv/model", words=("cannot be written: ",))
    (model / WEIGHTS).write_bytes(b"")
    (model / "notes.txt").write_text("somebody's own")
    words = ("model: holds notes.txt, which are not part of an export", "move these files")
    refused(*EXPORT, "--out", "model", "--force", words=words)
    (model / "notes.txt").unlink()
    done = CliRunner().invoke(app, [*EXPORT, "--out", "model", "--force"])
    assert done.exit_code == 0, done.stderr
    assert (model / WEIGHTS).stat().st_size > 0
    before = listed(model.parent)
    refused(*EXPORT, "--out", ".", "--force", words=("is not an export",))
    os.chdir(model)
    write(Path(), {WEIGHTS: b"of another"}, force=True)
    assert [path.name for path in model.iterdir()] == [WEIGHTS]
    assert listed(model.parent) == before


def test_what_was_there_comes_back_where_a_folder_cannot_be_replaced(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, rename = {path: path.read_bytes() for path in model.iterdir()}, Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name == "made":
            raise OSError("no room")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(UsageError, match="no room"):
        write(model, {WEIGHTS: b""}, force=True)
    assert {path: path.read_bytes() for path in model.iterdir()} == before
    assert not list(model.parent.glob(".model.*"))


def test_a_folder_makes_predict_import_nothing(model: Path, refused: Run) -> None:
    for place in (model, model.parent):
        (place / "evil_of_a_test.py").write_text("open('ran', 'w').close()\n")
    study = model / STUDY
    text = study.read_text()
    words = ("study.toml: is not a study of one configuration", "export it again")
    for said in (
        text.replace('"linear"', '{ choices = ["evil_of_a_test:net"] }'),
        'objective = "evil_of_a_test:net"\ndirection = "maximize"\n',
    ):
        study.write_text(said)
        refused("predict", "--model", "model", "--input", "rows.csv", words=words)
        assert "evil_of_a_test" not in sys.modules
    study.write_text(text.replace('"linear"', '{ name = "evil_of_a_test:net" }'))
    (model / PROGRAM).write_bytes(b"none")
    words = ("program.pt2: is damaged",)
    refused("predict", "--model", "model", "--input", "rows.csv", words=words)
    assert "evil_of_a_test" not in sys.modules


def test_columns_to_keep_and_names_of_outputs(model: Path, refused: Run) -> None:
    predict = ("predict", "--model", "model", "--input", "rows.csv")
    words = ("rows.csv: --keep: no column 'knd'", "kind")
    refused(*predict, "--keep", "knd", words=words)
    (model.parent / "rows.csv").write_text("a,b,class\n3,4,one\n")
    words = ("the predictions have a column 'class' too", "rename")
    refused(*predict, "--keep", "class", words=words)
    words = ("out.parquet: predictions are written as CSV", ".csv or .csv.gz")
    refused(*predict, "--output", "out.parquet", words=words)
    # The second piece of a table is bad: nothing of the first is shown or left.
    rows = "a,b\n" + "3,4\n" * 2**16 + "3,many\n"
    (model.parent / "rows.csv").write_text(rows)
    for more in ((), ("--output", "out.csv")):
        refused(*predict, *more, words=("column 'b' has",))


def test_a_folder_that_may_not_be_written(trained: Path, refused_process: Run) -> None:
    (trained / "locked").mkdir(mode=0o500)
    refused_process(*EXPORT, "--out", "locked/model", words=("cannot be written: ", "denied"))


def test_onnx_without_its_package(
    trained: Path, refused: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)  # as where it is not installed
    words = ("--onnx: needs the package onnx", "pip install 'tuner[onnx]'")
    refused(*EXPORT, "--out", "model", "--onnx", words=words)


def test_rows_that_lack_a_column_or_hold_something_else(model: Path, refused: Run) -> None:
    predict = ("predict", "--model", "model", "--input")
    rows = model.parent / "rows.csv"
    rows.write_text("b,c\n1,2\n")
    refused(*predict, "rows.csv", words=("rows.csv: no column 'a'", "known: b, c"))
    rows.write_text("b,a\n1,many\n")
    refused(*predict, "rows.csv", words=("column 'a' has 'many'", "have numbers"))
    rows.write_text("b,a\n1,inf\n")
    refused(
        *predict, "rows.csv", words=("infinite", "row 2 (the header is row 1)", "remove these rows")
    )
    rows.write_text("b,a\n")
    refused(*predict, "rows.csv", words=("rows.csv: no rows",))
    refused(*predict, "none.csv", words=("none.csv: no such file",))
    refused(*predict, "studies/mine.toml", words=("unknown format '.toml'", ".csv"))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (VERSIONS, b"{}", "is not an export"),
        (VERSIONS, b'{"tuner_export": 99}', "has the format 99, and this version reads 1"),
        (PREPROCESSING, b"{", "cannot be read"),
        (PREPROCESSING, b'{"input": {"kind": "columns"}}', "is damaged: KeyError"),
        (PREPROCESSING, b"[]", "is damaged"),
        (WEIGHTS, b"half", "is damaged"),
        (STUDY, b"metric = ", "study.toml"),
        (STUDY, b'[data]\npath = "x.csv"\ntarget = "y"\n[model]\nwidth = 3\n', "does not fit"),
    ],
)
def test_a_damaged_export(model: Path, refused: Run, name: str, content: bytes, words: str) -> None:
    (model / name).write_bytes(content)
    refused("predict", "--model", "model", "--input", "rows.csv", words=(words,))


def test_no_export_at_all(model: Path, refused: Run) -> None:
    for place in ("studies", "nowhere", "table.csv"):
        words = (f"{place}: is not an export", "tuner export --study NAME")
        refused("predict", "--model", place, "--input", "rows.csv", words=words)
    words = ("is also the input", "give another --output")
    refused(
        "predict", "--model", "model", "--input", "rows.csv", "--output", "rows.csv", words=words
    )
    words = ("nowhere/out.csv: cannot be written",)
    predict = ("predict", "--model", "model", "--input", "rows.csv")
    refused(*predict, "--output", "nowhere/out.csv", words=words)
