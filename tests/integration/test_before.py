"""Studies that an earlier tuner made open, go on, report and export.

`before/README.md` says how they were made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
from typer.testing import CliRunner

import tuner
from tuner.cli import app
from tuner.run.prepare import load_job, stored_study
from tuner.show.tables import event_line
from tuner.storage import Storage, open_storage

BEFORE = Path(__file__).with_name("before")
ROW = 1 / 24
"""What one row for validation is of the accuracy: other processors round otherwise."""
VALUES = [8 / 24, 9 / 24, 15 / 24, 8 / 24, 9 / 24, 6 / 24, 11 / 24, 8 / 24]
CONFIRMED = {"trial 2": (0.6667, 0.625), "trial 6": (0.5, 0.5625), "baseline": (0.3125, 0.3125)}


class Earlier(NamedTuple):
    """A copy of the studies, which is the working directory."""

    folder: Path
    url: str

    def tuner(self, *words: str) -> str:
        """What a command writes to stdout."""
        done = CliRunner().invoke(app, [*words], env={"TUNER_STORAGE": self.url})
        assert done.exit_code == 0, done.output
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.tuner(*words, "--json"))

    @property
    def storage(self) -> Storage:
        return open_storage(self.url)

    def trials(self, name: str) -> list[Any]:
        return self.storage.get_all_trials(stored_study(self.storage, name)[1])


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Earlier:
    folder = tmp_path / "before"
    shutil.copytree(BEFORE, folder)
    monkeypatch.chdir(folder)
    made = Earlier(folder, f"sqlite:///{folder}/studies.sqlite")
    assert "tables of tuner 4" in made.tuner("db", "upgrade")
    return made


def test_its_studies_are_listed_and_their_results_shown(earlier: Earlier) -> None:
    studies = {each["name"]: each for each in earlier.json("status")["studies"]}
    assert {name: (each["state"], each["finished"]) for name, each in studies.items()} == {
        "plants": ("finished", 8),
        "hills": ("finished", 6),
        "plants:confirm": ("finished", 12),
        "plants:ablate": ("finished", 6),
        "paused": ("open", 0),
    }
    assert studies["paused"]["interrupted"] == 1
    best = earlier.json("best", "--study", "plants")
    assert (best["number"], best["chosen_by"], best["value"]) == (2, "confirm", 15 / 24)
    hill = earlier.json("best", "--study", "hills")
    assert (hill["number"], round(hill["value"], 4)) == (3, 3.4541)


def test_its_reports_have_the_same_trials_and_values(earlier: Earlier) -> None:
    written = earlier.tuner("report", "--study", "plants", "--format", "json", "--out", "-")
    page = json.loads(written)
    assert [each["number"] for each in page["trials"]] == list(range(8))
    assert [each["value"] for each in page["trials"]] == pytest.approx(VALUES)
    assert [each["number"] for each in page["trials"] if each["state"] == "pruned"] == [5, 7]
    assert page["confirmation"] is not None
    assert page["ablation"] is not None


def test_its_confirmation_and_ablation_are_shown_without_training(earlier: Earlier) -> None:
    words = ("--study", "plants", "--seeds", "2")
    shown = earlier.json("confirm", *words, "--top", "2", "--full")
    assert len(shown["rows"]) == len(CONFIRMED)
    for row in shown["rows"]:
        means = row["validation"]["mean"], row["test"]["mean"]
        assert means == pytest.approx(CONFIRMED[row["label"]], abs=1e-4)
    (effect,) = earlier.json("ablate", *words, "--view", "off")["effects"]
    assert effect["technique"] == "dropout"
    assert effect["difference"]["values"] == pytest.approx([-7 / 24, 0.0])
    finished = {each["name"]: each["finished"] for each in earlier.json("status")["studies"]}
    assert (finished["plants:confirm"], finished["plants:ablate"]) == (12, 6)


def test_its_rows_are_read_and_divided_as_they_were(earlier: Earlier) -> None:
    data = load_job(*stored_study(earlier.storage, "plants")).data
    train, validation = data.positions
    assert (len(train), len(validation), data.test) == (72, 24, 24)
    decided = {column.name: column.decision for column in data.columns}
    assert (decided["code"], decided["wet"], decided["price"]) == ("kept", "one-hot", "dropped")
    # By the rule of studies that begin now it would be another network.
    shutil.copy("plants.toml", "anew.toml")
    earlier.tuner("submit", "--study", "anew.toml")
    anew = load_job(*stored_study(earlier.storage, "anew")).data
    assert "one-hot" not in {c.decision for c in anew.columns if c.name in ("wet", "price")}


@pytest.mark.parametrize("number", [0, 2, 6])
def test_a_trial_trained_again_gives_the_recorded_value(earlier: Earlier, number: int) -> None:
    again = earlier.json("retrain", "--study", "plants", "--trial", str(number))
    assert again["recorded"] == VALUES[number]
    assert again["value"] == pytest.approx(VALUES[number], abs=1.5 * ROW)


def test_a_larger_budget_goes_on_with_the_same_rows(earlier: Earlier) -> None:
    before = earlier.trials("plants")
    for name in ("plants.toml", "hills.toml"):
        earlier.tuner("optimize", "--study", name, "--trials", "10", "--workers", "1")
    trials = earlier.trials("plants")
    assert (len(trials), len(earlier.trials("hills"))) == (10, 10)
    assert [(t.params, t.value, t.user_attrs) for t in trials[:8]] == [
        (t.params, t.value, t.user_attrs) for t in before
    ]
    kept = stored_study(earlier.storage, "plants")[0].row_record
    assert kept is not None
    assert (kept["rows"], kept["division"]) == (120, 1)
    assert earlier.json("retrain", "--study", "plants", "--trial", "8")["equal"]


def test_an_interrupted_trial_goes_on_from_its_checkpoint(earlier: Earlier) -> None:
    (before,) = earlier.trials("paused")
    earlier.tuner("optimize", "--study", "paused.toml", "--workers", "1")
    (trial,) = earlier.trials("paused")
    assert (trial.state.name, trial.user_attrs["epochs"]) == ("COMPLETE", 600)
    assert len(before.intermediate_values) == 14
    lines = event_line(earlier.storage.events(stored_study(earlier.storage, "paused")[1]))
    assert any("resumed" in line for line in lines)
    known = trial.intermediate_values
    assert {step: known[step] for step in before.intermediate_values} == before.intermediate_values


def test_it_exports_and_predicts(earlier: Earlier) -> None:
    earlier.tuner("export", "--study", "plants", "--out", "model")
    earlier.tuner("predict", "--model", "model", "--input", "rows.csv", "--output", "out.csv")
    found = pd.read_csv("out.csv")
    right = (found["class"] == pd.read_csv("rows.csv")["kind"]).mean()
    assert len(found) == 120
    assert right > 0.5
    (trial,) = (t for t in earlier.trials("plants") if t.number == 2)
    weights = sum(each.numel() for each in tuner.load("model").parameters())
    assert weights == trial.user_attrs["parameters"]


def test_its_tables_are_brought_up_to_date(earlier: Earlier) -> None:
    shown = earlier.json("status")
    shutil.copy(BEFORE / "studies.sqlite", earlier.folder)
    refused = CliRunner().invoke(app, ["status"], env={"TUNER_STORAGE": earlier.url})
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "its tables have version 3, not 4" in refused.stderr
    assert earlier.json("db", "upgrade")["before"] == 3
    assert earlier.json("status") == shown
