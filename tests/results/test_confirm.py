"""The best configurations over seeds, on rows that nothing has read before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from optuna.trial import TrialState

import tuner
from tuner.data import load
from tuner.errors import StudyFileError, UsageError
from tuner.results import confirm as confirming
from tuner.results.estimate import over_seeds_and_rows
from tuner.results.replicas import read_results
from tuner.run.optimize import optimize
from tuner.run.options import RunOptions
from tuner.run.prepare import stored_study, submit
from tuner.run.replicate import confirm
from tuner.show.best import record, view
from tuner.storage import open_storage
from tuner.study import load_study
from tuner.study.parse import parse
from tuner.training.trainer import Trainer
from tuner.worker.job import REPLICA


def test_the_best_few_and_the_baseline_over_seeds(searched: Any) -> None:
    found = confirm(searched.name, searched.options, top=2, seeds=3, full=True)
    assert {each.label for each in found.rows} >= {"baseline"}
    assert len(found.rows) == 3
    assert found.seeds == 3
    means = [each.validation.mean for each in found.rows]
    assert means == sorted(means, reverse=True)
    assert found.winner is found.rows[0]
    for each in found.rows:
        assert len(each.validation.values) == len(each.test.values) == 3
        assert each.test.low <= each.test.mean <= each.test.high
    frame = found.to_frame().set_index("label")
    others = [each.name for each in found.rivals if each.name != "baseline"]
    assert list(frame.index) == [*(each.label for each in found.rows), "ensemble", *others]
    for each in found.rivals:
        assert frame.loc[each.name, "test mean"] == pytest.approx(each.value)
        assert frame.loc[each.name, "gain"] == each.gain
    assert frame.loc["ensemble", "test low"] == found.ensemble.test.low
    assert frame.loc["baseline", "trial"] == 0
    storage = open_storage(searched.url)
    study = stored_study(storage, "small")[0]
    assert confirming.read(storage, study) == found
    results = read_results(storage, study, "confirm")
    pairs = [
        [results[label, seed, True] for label in (found.winner.label, "baseline")]
        for seed in range(3)
    ]
    values = [a.value - b.value for a, b in pairs]
    without = [np.subtract(a.left_out, b.left_out).tolist() for a, b in pairs]
    assert found.gain == over_seeds_and_rows(values, without, (-1.0, 1.0))
    assert found.gain.mean == pytest.approx(found.winner.test.mean - found.baseline.test.mean)


def test_a_trial_like_the_baseline_is_no_candidate(searched: Any) -> None:
    storage = open_storage(searched.url)
    study, study_id = stored_study(storage, "small")
    trials = storage.get_all_trials(study_id)
    best = confirming.candidates(study, trials, "maximize", 1)[0]
    best.params = trials[0].params
    best.values = [2.0]
    found = confirming.candidates(study, trials, "maximize", 10)
    assert best.number not in [trial.number for trial in found]
    assert all(trial.params != trials[0].params for trial in found)


def test_what_was_trained_is_kept_and_more_seeds_add_to_it(searched: Any) -> None:
    first = confirm(searched.name, searched.options, top=1, seeds=1)
    storage = open_storage(searched.url)
    held = stored_study(storage, "small:confirm")[1]
    count = len(storage.get_all_trials(held))
    assert repr(confirm(searched.name, searched.options, top=1, seeds=1)) == repr(first)
    assert len(open_storage(searched.url).get_all_trials(held)) == count == 4
    more = confirm(searched.name, searched.options, top=1, seeds=2)
    assert len(open_storage(searched.url).get_all_trials(held)) == 8
    for before, after in zip(
        sorted(first.rows, key=lambda r: r.label),
        sorted(more.rows, key=lambda r: r.label),
        strict=True,
    ):
        assert after.validation.values[0] == before.validation.values[0]
        assert after.test.values[0] == before.test.values[0]


def test_a_final_number_is_that_of_a_training_by_hand(searched: Any) -> None:
    confirm(searched.name, searched.options, top=1, seeds=1)
    storage = open_storage(searched.url)
    study, _ = stored_study(storage, "small")
    held, held_id = stored_study(storage, "small:confirm")
    trials = storage.get_all_trials(held_id)
    trial = next(t for t in trials if t.user_attrs[REPLICA]["final"])
    data = load(study.data, final=True)
    metric = study.metric_for(data.target)
    trainer = Trainer(held.config(trial.params), data, metric, trial.user_attrs["seed"])
    torch.set_num_threads(1)
    epochs = [epoch.value for epoch in trainer.epochs()]
    assert trial.value == epochs[trial.user_attrs[REPLICA]["stop_after"] - 1]
    assert len(trial.intermediate_values) == trial.user_attrs[REPLICA]["stop_after"]


def test_the_best_is_then_the_winner_by_the_validation_rows(searched: Any) -> None:
    first = tuner.best("small", searched.options)
    assert first.confirmed is None
    assert first.number == first.first
    found = confirm(searched.name, searched.options, top=2, seeds=2)
    best = tuner.best("small", searched.options)
    assert best.confirmed == found
    assert best.number == found.winner.number == max(found.rows, key=_validated).number
    assert best.first == first.number
    assert best.configuration == found.winner.config
    frame = best.to_frame()
    assert dict(frame["value"]) == best.configuration
    storage = open_storage(searched.url)
    stored = record(storage, *stored_study(storage, "small"))
    assert stored is not None
    assert (stored["number"], stored["chosen_by"]) == (best.number, "confirm")
    assert f"# trial            {best.number}, chosen by confirm" in view(stored)


def _validated(row: Any) -> float:
    return float(row.validation.mean)


def test_a_training_that_failed_is_tried_again(searched: Any) -> None:
    from tuner.results.replicas import enqueue
    from tuner.run.prepare import load_job

    storage = open_storage(searched.url)
    study, study_id = stored_study(storage, "small")
    job = load_job(study, study_id)
    trials = storage.get_all_trials(study_id)
    wanted = confirming.validation_replicas(study, trials, "maximize", 1, 1)
    _, held = enqueue(storage, study, job.metric, "confirm", wanted)
    first = storage.get_all_trials(held)[0]
    storage.set_trial_state_values(first._trial_id, TrialState.RUNNING)
    storage.set_trial_state_values(first._trial_id, TrialState.FAIL)
    found = confirm(searched.name, searched.options, top=1, seeds=1)
    assert {len(each.validation.values) for each in found.rows} == {1}
    after = open_storage(searched.url).get_all_trials(held)
    assert after[0].state == TrialState.FAIL
    again = [t for t in after[1:] if t.user_attrs[REPLICA] == first.user_attrs[REPLICA]]
    assert [t.state for t in again] == [TrialState.COMPLETE]
    assert again[0].user_attrs["seed"] == first.user_attrs["seed"]


def test_a_study_of_somebodys_that_is_called_like_replicas_is_left_alone(searched: Any) -> None:
    from tuner.results import replicas
    from tuner.run.prepare import join, load_job
    from tuner.run.publish import bring_up_to_date

    storage = open_storage(searched.url)
    study, study_id = stored_study(storage, "small")
    job = load_job(study, study_id)
    own = join(storage, replace(job, study=parse("small:confirm", study.document)), None)
    assert replicas.find_holder(storage, "small", "confirm") is None
    wanted = confirming.validation_replicas(
        study, storage.get_all_trials(study_id), "maximize", 1, 1
    )
    for _ in range(2):
        made, held = replicas.enqueue(storage, study, job.metric, "confirm", wanted)
        assert made.name == "small:confirm:2"
    assert replicas.find_holder(storage, "small", "confirm") == (made.name, held)
    assert len(storage.get_all_trials(held)) == len(wanted)
    assert storage.get_all_trials(own.study_id) == []
    assert "tuner:replicates" not in storage.get_study_user_attrs(own.study_id)
    bring_up_to_date(storage, made, held)
    note = storage.get_study_system_attrs(held)["dashboard:note_str:0"]
    assert "Trainings of known configurations of small, for `tuner confirm`" in note
    with pytest.raises(StudyFileError, match="keeps trainings of small under this name"):
        join(storage, replace(job, study=parse(made.name, study.document)), None)


def test_noise_in_the_test_rows_changes_nothing_but_the_final_numbers(
    once: Any, searched: Any, noisy: Any
) -> None:
    trials = [
        open_storage(each.url).get_all_trials(stored_study(open_storage(each.url), "small")[1])
        for each in (once, noisy)
    ]
    assert [t.params for t in trials[0]] == [t.params for t in trials[1]]
    assert [t.intermediate_values for t in trials[0]] == [t.intermediate_values for t in trials[1]]
    clean, other = (confirm("small", each.options, top=1, seeds=2) for each in (searched, noisy))
    assert [e.validation for e in clean.rows] == [e.validation for e in other.rows]
    assert clean.winner.label == other.winner.label
    assert [e.test for e in clean.rows] != [e.test for e in other.rows]


def test_a_study_without_a_finished_trial(tmp_path: Path, once: Any) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    submit(str(once.folder / "small.toml"), url)
    options = RunOptions(url)
    with pytest.raises(UsageError, match=r"no trial of 'small' is complete yet"):
        confirm("small", options)
    assert len(open_storage(url).get_all_studies()) == 1


@pytest.mark.parametrize("counts", [{"top": 0}, {"seeds": 0}])
def test_counts_below_one(searched: Any, counts: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="found 0"):
        confirm(searched.name, searched.options, **counts)


def test_two_commands_at_once_leave_nothing_untrained(searched: Any) -> None:
    """Both may have put the same trainings there; none of the others is lost for it."""
    from tuner.results import replicas
    from tuner.run.prepare import load_job

    storage = open_storage(searched.url)
    study, study_id = stored_study(storage, "small")
    metric = load_job(study, study_id).metric
    wanted = confirming.validation_replicas(
        study, storage.get_all_trials(study_id), "maximize", 1, 1
    )
    _, held = replicas.enqueue(storage, study, metric, "confirm", wanted)
    twice = storage.get_all_trials(held)[0]
    storage.create_new_trial(held, template_trial=twice)
    found = confirm(searched.name, searched.options, top=1, seeds=1)
    assert {len(each.test.values) for each in found.rows} == {1}
    states = {trial.state for trial in open_storage(searched.url).get_all_trials(held)}
    assert states == {TrialState.COMPLETE}


def test_a_study_of_trainings_that_was_stopped_says_so(searched: Any) -> None:
    confirm(searched.name, searched.options, top=1, seeds=1)
    storage = open_storage(searched.url)
    storage.set_study_state(stored_study(storage, "small:confirm")[1], "stopped")
    with pytest.raises(UsageError, match="the study is stopped"):
        confirm(searched.name, searched.options, top=1, seeds=2)


CATEGORIES = """
[data]
path = "{table}"
target = "label"
split = "part"
[model]
family = "mlp"
depth = 1
width = 8
categories = {{ choices = ["one-hot", {{ name = "embedding", size = 2 }}] }}
[training]
epochs = 1
[search]
trials = 2
pruner = "none"
enqueue = [{{ categories = "embedding" }}]
"""


def test_a_category_that_only_the_final_rows_have(tmp_path: Path) -> None:
    """What is learned about columns is learned anew: of one among the validation rows the final
    network has a vector, and one among the test rows is unknown."""
    towns = ["Ghent", "Lima", "Oslo"] * 20 + ["Quito"] * 15 + ["Riga"] * 15
    part = ["train"] * 60 + ["validation"] * 15 + ["test"] * 15
    frame = pd.DataFrame({"town": towns, "part": part, "x": range(90)})
    frame.assign(label=frame["x"] % 2).to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "towns.toml").write_text(CATEGORIES.format(table=tmp_path / "table.csv"))
    options = RunOptions(f"sqlite:///{tmp_path}/tuner.db", workers=1, device="cpu")
    tuner.optimize(tuner.load_study(str(tmp_path / "towns.toml")), options)
    found = confirm("towns", options, top=1, seeds=1)
    assert {row.config["categories"] for row in found.rows} == {"one-hot", "embedding"}
    assert all(row.test is not None and len(row.test.values) == 1 for row in found.rows)
    spec = stored_study(open_storage(options.storage), "towns")[0].data
    assert len(load(spec).features) + 1 == len(load(spec, final=True).features)


def test_functions_beside_the_study_file_are_its_readers(
    once: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the process works: a study that was read from a file brings its folder."""
    code = "def right(shares, y): return float((shares.argmax(1) == y).double().mean())\n"
    code += "def lost(outputs, targets): return (outputs.softmax(1) - targets).square().sum(1)\n"
    (tmp_path / "functions_beside_a_study.py").write_text(code)
    text = (once.folder / "small.toml").read_text().replace("trials = 8", "trials = 2")
    text = text.replace('metric = "accuracy"', 'metric = "functions_beside_a_study:right"')
    text = text.replace("epochs = 4", 'epochs = 1\nloss = "functions_beside_a_study:lost"')
    (tmp_path / "own.toml").write_text('direction = "maximize"\n' + text)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    study = load_study(str(tmp_path / "own.toml"))
    options = RunOptions(f"sqlite:///{tmp_path}/tuner.db", workers=1, device="cpu")
    optimize(study, options)
    found = confirm(study, options, top=1, seeds=2)
    assert found.finished
    assert found.winner.test is not None
    with pytest.raises(StudyFileError, match="--allow functions_beside_a_study"):
        confirm("own", options, top=1, seeds=2)
