"""A study is trained on the rows that it began with: every reader compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import pytest
from sqlalchemy import text

from tuner.errors import DataError, TrainingError
from tuner.exports.write import export
from tuner.reports.report import compare, report
from tuner.run.optimize import optimize as optimize_study
from tuner.run.options import RunOptions
from tuner.run.plain import objective
from tuner.run.prepare import DATA, load_job, stored_study, with_known_rows
from tuner.run.prepare import submit as submit_study
from tuner.run.replicate import ablate as ablate_study
from tuner.run.replicate import confirm as confirm_study
from tuner.run.retrain import retrain as retrain_trial
from tuner.run.serve import serve as serve_studies
from tuner.show.tables import event_line
from tuner.storage import Storage, open_storage
from tuner.study import load_study

STUDY = """\
metric = "accuracy"
[data]
path = "t.csv"
target = "y"
[model]
family = "linear"
[regularization]
weight_decay = { off = 0.0, low = 1e-3, high = 1e-1, log = true }
[training]
epochs = 2
[search]
trials = 2
sampler = "random"
pruner = "none"
"""
ROWS = [f"{i % 7},{i % 11 - i % 2},{i % 2}" for i in range(80)]


class Here(NamedTuple):
    """A study whose file is in a folder of its own, with its table."""

    folder: Path
    url: str

    def write(self, rows: list[str]) -> None:
        (self.folder / "t.csv").write_text("\n".join(["a,b,y", *rows]) + "\n")

    @property
    def name(self) -> str:
        return str(self.folder / "small.toml")

    @property
    def options(self) -> RunOptions:
        return RunOptions(self.url, workers=1, device="cpu")

    @property
    def storage(self) -> Storage:
        return open_storage(self.url)

    def stored(self) -> tuple[Any, int]:
        return stored_study(self.storage, "small")

    def kept(self) -> Any:
        return self.storage.get_study_user_attrs(self.stored()[1]).get(DATA)

    def forget(self) -> None:
        """As in a study that was made when nothing was kept of the rows."""
        with self.storage.database.write() as connection:
            gone = "DELETE FROM study_user_attributes WHERE key = :key"
            connection.execute(text(gone), {"key": DATA})


@pytest.fixture
def here(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.chdir(tmp_path)  # where a study that is read from the database looks
    found = Here(tmp_path, sqlite_url)
    (tmp_path / "small.toml").write_text(STUDY)
    found.write(ROWS)
    return found


@pytest.fixture
def anywhere(here: Here, database_url: str) -> Here:
    """The same with each kind of database."""
    return here._replace(url=database_url)


READERS: dict[str, Callable[[Here], Any]] = {
    "optimize": lambda here: optimize_study(here.name, here.options),
    "by its name": lambda here: optimize_study("small", here.options),
    "submit": lambda here: submit_study(here.name, here.url),
    "confirm": lambda here: confirm_study("small", here.options, top=1, seeds=1),
    "ablate": lambda here: ablate_study("small", here.options, seeds=1),
    "retrain": lambda here: retrain_trial("small", 1, here.options),
    "export": lambda here: export("small", here.folder / "out", here.options),
}


def test_every_reader_refuses_other_rows(anywhere: Here) -> None:
    here = anywhere
    optimize_study(here.name, here.options)
    here.storage.set_budget(here.stored()[1], 4)
    here.write([*ROWS[:5], *ROWS[6:]])
    for name, reader in READERS.items():
        with pytest.raises(DataError) as caught:
            reader(here)
        assert "1 row removed (80 rows then, 79 now)" in str(caught.value), name
        assert "another name" in str(caught.value)
        assert str(here.folder / "t.csv") in str(caught.value)
        assert caught.value.exit_code == 2
    said: list[str] = []
    with pytest.raises(TrainingError, match="this worker cannot train its trials"):
        serve_studies(here.url, device="cpu", idle_exit=True, say=said.append)
    assert len(said) == 1
    assert said[0].startswith("cannot serve small: ")
    assert here.storage.progress(here.stored()[1]).finished == 2
    assert len(here.storage.get_all_studies()) == 1
    here.write([f"{row.replace(',', ', ', 1)}" for row in ROWS])  # written otherwise
    assert retrain_trial("small", 1, here.options).equal


def test_a_study_of_another_file_is_told_what_its_file_changed(here: Here) -> None:
    submit_study(here.name, here.url)
    here.write(ROWS[:60])
    Path(here.name).write_text(STUDY.replace('target = "y"', 'target = "y"\ntest = 0.3'))
    with pytest.raises(Exception, match=r"changed since it began: data\.test"):
        submit_study(here.name, here.url)


def test_whoever_comes_first_decides(anywhere: Here) -> None:
    here = anywhere
    submit_study(here.name, here.url)
    here.forget()
    first = load_job(*here.stored())
    here.write(ROWS[2:])
    second = load_job(*here.stored())
    record = first.keep_rows(here.storage).study.row_record
    assert record == here.kept()
    assert "adopted" not in record
    with pytest.raises(DataError, match="differs from what the study began with: 2 rows removed"):
        second.keep_rows(here.storage)
    assert here.kept() == record


def test_rows_of_an_older_study_are_adopted_and_divided_as_they_were(here: Here) -> None:
    optimize_study(here.name, here.options)
    new = load_job(*here.stored()).data.positions
    assert here.stored()[0].data.division == 3
    here.forget()
    study, study_id = here.stored()
    assert (study.row_record, study.data.division) == (None, 1)
    old = load_job(study, study_id).data.positions
    assert old[1].tolist() != new[1].tolist()
    assert with_known_rows(load_study(here.name), here.url).data == study.data
    optimize_study(here.name, RunOptions(here.url, trials=3, workers=1, device="cpu"))
    assert (here.kept()["division"], here.kept()["adopted"]) == (1, True)
    (line,) = [line for line in event_line(here.storage.events(study_id)) if " adopted " in line]
    assert "rows=80" in line
    here.write(ROWS[1:])
    with pytest.raises(DataError, match="1 row removed"):
        optimize_study(here.name, RunOptions(here.url, trials=4, workers=1, device="cpu"))


@pytest.mark.parametrize("known", [True, False])
def test_only_rows_that_are_known_were_never_seen(here: Here, known: bool) -> None:
    optimize_study(here.name, here.options)
    if not known:
        here.forget()
    confirm_study("small", here.options, top=1, seeds=1)
    page = "".join(report("small", here.options).verdict)
    assert "rows of the test split" in page
    assert ("never saw" in page) == known
    held = stored_study(here.storage, "small:confirm")[0]
    assert (held.row_record, held.data.division) == (here.kept(), 3 if known else 1)


def test_a_study_of_an_earlier_rule_goes_on_by_it(here: Here) -> None:
    here.write([f"{row[:-2]},2024-0{1 + i % 9}-1{i % 7},{row[-1]}" for i, row in enumerate(ROWS)])
    text = (here.folder / "t.csv").read_text()
    (here.folder / "t.csv").write_text(text.replace("a,b,y", "a,b,day,y", 1))
    submit_study(here.name, here.url)
    here.forget()
    study, study_id = here.stored()
    assert load_job(study, study_id).data.features[2] == "day age"
    begun = load_job(replace(study, data=replace(study.data, division=2)), study_id)
    begun.keep_rows(here.storage)
    assert with_known_rows(load_study(here.name), here.url).data.division == 2
    optimize_study(here.name, here.options)
    study, study_id = here.stored()
    assert (here.kept()["division"], study.data.division) == (2, 2)
    assert load_job(study, study_id).data.features == ("a", "b")


def test_the_test_rows_are_compared_when_they_are_read(here: Here) -> None:
    submit_study(here.name, here.url)
    job = load_job(*here.stored())
    here.write(ROWS[:-1])
    with pytest.raises(DataError, match="1 row removed"):
        _ = job.finals


def test_studies_of_other_rows_are_not_ranked(here: Here) -> None:
    others = {"same": ROWS, "fewer": ROWS, "other": ROWS[1:], "labels": [*ROWS[:-1], "2,1,0"]}
    for name, rows in others.items():
        here.write(rows)
        drop = 'target = "y"\ndrop = ["a"]' if name == "fewer" else 'target = "y"'
        path = here.folder / f"{name}.toml"
        path.write_text(STUDY.replace('target = "y"', drop).replace("trials = 2", "trials = 1"))
        optimize_study(str(path), here.options)
    assert compare(["same", "fewer"], here.options).best is not None
    for name in ("other", "labels"):
        found = compare(["same", name], here.options)
        assert found.best is None
        assert "The rows differ, so nothing is ranked: each study has other data" in found.notes[0]


def test_an_optuna_study_keeps_its_rows(here: Here) -> None:
    theirs = optuna.create_study(direction="maximize")
    theirs.optimize(objective(here.name), n_trials=1)
    theirs.optimize(objective(here.name), n_trials=1)
    here.write([*ROWS, "1,2,0"])
    with pytest.raises(DataError, match="1 row added at the end"):
        theirs.optimize(objective(here.name), n_trials=1)
    fresh = optuna.create_study(direction="maximize")
    fresh.optimize(objective(here.name), n_trials=1)
    assert fresh.user_attrs[DATA]["rows"] == 81
    older = optuna.create_study(direction="maximize")
    older.add_trial(optuna.trial.create_trial(value=0.5, user_attrs={"seed": 1}))
    older.optimize(objective(here.name), n_trials=1)
    assert older.user_attrs[DATA]["division"] == 1
