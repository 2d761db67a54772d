"""What an objective asks of its trial, without a worker too; and the rule of its pauses."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

import tuner
from tuner.search.promote import CONTINUES, promotion
from tuner.study.objective import ObjectiveStudy
from tuner.study.parse import parse
from tuner.worker.objective import TO_ITS_END, ReportSegments


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_an_objective_can_be_tried_alone(place: Path) -> None:
    folders: list[Path] = []

    def objective(trial: optuna.Trial) -> float:
        folder = tuner.checkpoint(trial)
        assert list(folder.iterdir()) == []
        (folder / "state.json").write_text(json.dumps(trial.number))
        trial.report(1.0, 0)
        assert tuner.checkpoint(trial) == folder
        assert (folder / "state.json").read_text() == str(trial.number)
        folders.append(folder)
        trial.set_user_attr("own", tuner.seed(trial))
        return trial.suggest_float("x", 0.0, 1.0)

    study = optuna.create_study()
    study.optimize(objective, n_trials=2)
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}
    seeds = [trial.user_attrs["own"] for trial in study.trials]
    assert len(set(seeds)) == 2
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert objective(FixedTrial({"x": 0.5})) == 0.5
    assert len(set(folders)) == 3
    gc.collect()
    assert list(place.iterdir()) == []


def test_a_seed_that_is_given_is_the_seed() -> None:
    trial = FixedTrial({}, number=3)
    assert tuner.seed(trial) == tuner.seed(FixedTrial({}, number=3)) != tuner.seed(FixedTrial({}))
    trial.set_user_attr("seed", 11)
    assert tuner.seed(trial) == 11


@pytest.mark.parametrize(
    ("trial", "words"),
    [
        (None, "found None, which is no trial that runs"),
        (7, "found 7, which is no trial"),
        (create_trial(value=1.0), "does not run here, and has no folder"),
    ],
)
def test_there_is_no_folder_outside_of_a_trial(trial: Any, words: str) -> None:
    with pytest.raises(tuner.TunerError, match=words) as caught:
        tuner.checkpoint(trial)
    assert "within the objective" in caught.value.hint


def rule() -> ReportSegments:
    study = parse(
        "own",
        {
            "objective": "a:b",
            "direction": "minimize",
            "search": {
                "pruner": {"name": "promote", "max_resource": 30, "reduction_factor": 2},
                "enqueue": [{"x": 1.0}],
            },
        },
        Path(),
    )
    assert isinstance(study, ObjectiveStudy)
    found = promotion(*study.search.pruner, None, 1.0)
    assert found is not None
    return ReportSegments(study, found)


def trial(number: int, reports: dict[int, float], **system: Any) -> FrozenTrial:
    made = create_trial(
        state=TrialState.RUNNING,
        intermediate_values=reports,
        system_attrs=system,
        user_attrs={"seed": 5, "own": 1},
    )
    made.number = number
    return made


@pytest.mark.parametrize("first", [0, 1, 100])
def test_pauses_count_reports_whatever_the_steps_are_called(first: int) -> None:
    curve = {first * (k + 1) + k: 1.0 for k in range(12)}
    counts = [0, 1, 2, 3, 8, 9, 12]
    parts = [dict(list(curve.items())[:count]) for count in counts]
    targets = [rule().target(trial(0, part)) for part in parts]
    assert targets == [1, 3, 3, 9, 9, TO_ITS_END, TO_ITS_END]
    assert rule().pauses


def test_a_configuration_that_is_enqueued_trains_to_its_end() -> None:
    assert rule().target(trial(0, {}, fixed_params={"x": 1.0})) == TO_ITS_END
    assert rule().target(trial(0, {}, fixed_params={"x": 2.0})) == 1


def test_the_best_of_those_that_paused_goes_on() -> None:
    trials = [trial(number, {0: value}) for number, value in enumerate((3.0, 1.0, 2.0))]
    assert rule().choice(trials, {0, 1, 2}, new=True) == 1
    assert rule().choice(trials, {0, 2}, new=True) is None
    assert rule().choice(trials, {0, 2}, new=False) == 2


def test_a_trial_that_goes_on_keeps_its_seed_and_reports() -> None:
    ended = trial(4, {0: 1.0}, **{"tuner:grows": True})
    new = rule().continued(ended, 9)
    assert (new.number, new.state) == (9, TrialState.RUNNING)
    assert new.user_attrs == {"seed": 5, CONTINUES: 4}
    assert new.intermediate_values == {0: 1.0}
    assert new.system_attrs == {"tuner:grows": True}
