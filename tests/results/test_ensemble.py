"""Which trainings make an ensemble, whether it helps, and what the test rows say of it."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import tuner
from tuner.cli import app
from tuner.errors import UsageError
from tuner.imports import allowing, of_person
from tuner.metrics import METRICS, own_metric
from tuner.results import confirm as confirming
from tuner.results.ensemble import Ensemble, Member, choose, ensemble, gain, measured
from tuner.results.estimate import OfRows
from tuner.results.predictions import (
    Judge,
    Predictions,
    Table,
    mixed,
    read_predictions,
    stacked,
)
from tuner.results.replicas import finished_replicas
from tuner.run.prepare import load_job, stored_study
from tuner.run.replicate import confirm
from tuner.show.answers import ensemble_line
from tuner.show.best import record, view
from tuner.show.text import plain
from tuner.storage import artifact_store, open_storage
from tuner.storage.notes import TEXT
from tuner.training.outcome import outputs_of
from tuner.worker.job import course_of

ACCURACY, AUC, MSE = METRICS["accuracy"], METRICS["roc_auc"], METRICS["mse"]


def drawn(
    rows: int, of_configuration: list[float], of_seed: float, seeds: int = 3, seed: int = 0
) -> Predictions:
    """Networks that know the truth but for errors: one of each configuration, one of each seed."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, rows)
    truth = np.where(y, 1.2, -1.2) + rng.normal(size=rows)
    logits = [
        [truth + own + rng.normal(0, of_seed, rows) for _ in range(seeds)]
        for own in (rng.normal(0, sd, rows) for sd in of_configuration)
    ]
    outputs = torch.sigmoid(torch.tensor(np.array(logits)))
    pairs = torch.stack([1 - outputs, outputs], -1).float()
    return Predictions(pairs, torch.tensor(y), torch.zeros(rows, dtype=torch.int64))


def flat(known: Predictions) -> Predictions:
    return replace(known, outputs=known.outputs.flatten(0, 1))


def test_the_weights_are_counts_of_picks_and_no_single_network_is_better_on_these_rows() -> None:
    known = flat(drawn(400, [0.5, 0.7, 3.0], 1.0))
    weights = choose(AUC, known, known.index, 8)
    assert float(weights.sum()) == pytest.approx(1)
    assert torch.equal(weights * 8, (weights * 8).round())
    judge = Judge(AUC, known, known.index)
    alone = max(judge.value(each) for each in known.outputs)
    assert judge.value(mixed(known.outputs, weights)) > alone
    assert torch.equal(weights, choose(AUC, known, known.index, 8))


def test_a_row_of_weight_two_counts_as_two_rows() -> None:
    known, times = flat(drawn(200, [0.5, 0.7, 3.0], 1.0)), torch.arange(200) % 3 + 1
    twice = known.only(torch.arange(200).repeat_interleave(times))
    weighted = replace(known, weights=times.float())
    for metric in (AUC, ACCURACY):
        one, other = (Judge(metric, each, each.index) for each in (weighted, twice))
        torch.testing.assert_close(one.values(weighted.outputs), other.values(twice.outputs))
    assert torch.equal(choose(AUC, weighted, weighted.index, 8), choose(AUC, twice, twice.index, 8))


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_several_targets(task: str) -> None:
    rng = np.random.default_rng(0)
    y = torch.tensor(rng.normal(size=(200, 3)))
    noisy = y + torch.tensor(rng.normal(size=(2, 3, 200, 3)))
    if task == "multilabel":
        y, noisy = (y > 0).float(), (3 * noisy).sigmoid().float()
    known = Predictions(noisy, y, torch.zeros(200, dtype=torch.int64))
    metric = METRICS["label_log_loss" if task == "multilabel" else "r2"]
    judge = Judge(metric, known.flat, known.index)
    logits = torch.logit(noisy[0, 0]) if task == "multilabel" else noisy[0, 0]
    assert judge.value(noisy[0, 0]) == pytest.approx(float(metric.function(logits, y)), rel=1e-5)
    right = known.flat.outputs.clone()
    right[4] = y
    orders = judge.orders(right)
    assert max(range(6), key=orders.__getitem__) == 4
    weights = choose(metric, known.flat, known.index, 6)
    together = judge.value(mixed(known.flat.outputs, weights))
    alone = [judge.value(each) for each in known.flat.outputs]
    assert judge.sign * together > max(judge.sign * each for each in alone)


def test_one_pick_is_the_best_network() -> None:
    known = flat(drawn(300, [1.0, 1.0], 1.0))
    judge = Judge(ACCURACY, known, known.index)
    orders = judge.orders(known.outputs)
    best = max(range(6), key=orders.__getitem__)
    assert choose(ACCURACY, known, known.index, 1).argmax() == best


def test_a_regression_averages_values() -> None:
    rng = np.random.default_rng(0)
    y = torch.tensor(rng.normal(size=200))
    outputs = y + torch.tensor(rng.normal(size=(2, 3, 200)))
    known = Predictions(outputs, y, torch.zeros(200, dtype=torch.int64))
    added, error = gain(MSE, known, 6)
    assert added > 0.3 > error > 0  # less error is a gain
    weights = choose(MSE, flat(known), known.index, 6)
    assert torch.allclose(mixed(outputs.flatten(0, 1), weights), weights @ outputs.flatten(0, 1))


def test_the_metric_is_the_mean_over_folds() -> None:
    known = drawn(100, [1.0], 1.0, seeds=1)
    folds = torch.repeat_interleave(torch.arange(2), torch.tensor([60, 40]))
    outputs, y = known.outputs[0, 0], known.targets
    value = Judge(AUC, replace(known, folds=folds), known.index).value(outputs)
    each = [float(AUC.function(outputs[r].log(), y[r])) for r in (slice(60), slice(60, None))]
    assert value == pytest.approx(sum(each) / 2)


def test_a_metric_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "measures_of_ensembles"
    code = "def right(shares, y): return (shares.argmax(1) == y).double().mean()"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    known = drawn(100, [0.5, 0.6], 1.0, 2)
    table = tabled(known, known)
    with allowing(of_person(())):
        own = own_metric(f"{name}:right", "maximize", {}, "classification", tmp_path)
        found = ensemble(own, table, 4)
    expected = ensemble(replace(ACCURACY, name="unknown"), table, 4)
    assert found.members == expected.members
    assert found.gain == pytest.approx(expected.gain)
    assert found.error == pytest.approx(expected.error)


def test_the_guard_expects_what_rows_that_nobody_saw_say() -> None:
    """Over many tables the gain is unbiased: where errors differ, and where all networks of the
    best configuration are the same and the others only distract."""
    for own, of_seed in (([0.6, 0.7, 0.8], 0.8), ([0.2, 2.0, 2.0], 1e-3)):
        expected, real, used = [], [], []
        for seed in range(6):
            known, new = (drawn(n, own, of_seed, 2, s) for n, s in ((120, seed), (1000, 99 + seed)))
            found = ensemble(ACCURACY, tabled(known, new), 4)
            expected.append(found.gain)
            assert found.test_gain is not None
            real.append(found.test_gain.mean)
            used.append(found.helps)
        error = np.std(expected, ddof=1) / math.sqrt(6)
        assert abs(np.mean(expected) - np.mean(real)) < 3 * error
        assert np.mean(used) >= 0.5 if of_seed > 0.1 else np.mean(used) <= 0.5


def tabled(known: Predictions, new: Predictions | None = None) -> Table:
    """The table of some configurations with some seeds, all of them measured on new rows too."""
    configurations, seeds = known.outputs.shape[:2]
    labels = tuple(f"trial {i + 1}" for i in range(configurations))
    tested = {}
    if new is not None:
        places = itertools.product(range(configurations), range(seeds))
        tested = {(labels[i], j): replace(new, outputs=new.outputs[i, j]) for i, j in places}
    return Table(labels, tuple(range(1, configurations + 1)), tuple(range(seeds)), known, tested)


@pytest.mark.parametrize("folds", [1, 3])
def test_networks_of_one_order_gain_nothing_in_ranks(folds: int) -> None:
    """However much their probabilities differ: those of several networks are not ranked at once."""
    rng = np.random.default_rng(0)
    y = torch.tensor(rng.integers(0, 2, 120))
    logit = torch.tensor(rng.normal(size=120)) + y
    first = torch.stack([torch.sigmoid(logit * k - k) for k in (0.2, 1.0, 5.0)]).unsqueeze(1)
    outputs = torch.stack([1 - first, first], -1)
    known = Predictions(outputs, y, torch.arange(120) * folds // 120)
    added, error = gain(AUC, known, 4)
    assert added == pytest.approx(0, abs=1e-12)
    assert error == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("metric", [ACCURACY, AUC])
def test_the_interval_on_the_test_rows_covers(metric: Any) -> None:
    many = drawn(40_000, [0.5], 0.5, 1, 1000)
    truth = Judge(metric, many, many.index).value(many.outputs[0, 0])
    tables = [drawn(150, [0.5], 0.5, 1, seed) for seed in range(30)]
    spreads = [measured(metric, x, x.outputs[0, 0], x.outputs[0])[0] for x in tables]
    covered = sum(each.low <= truth <= each.high for each in spreads)
    assert covered >= 26  # of 28 or 29 that are expected


def test_too_few_rows_and_rows_without_a_class_make_no_ensemble() -> None:
    few = ensemble(ACCURACY, tabled(drawn(30, [0.5, 0.5], 1.0, 2)), 4)
    assert math.isnan(few.error)
    assert not few.helps
    assert few.test is few.test_gain is None
    known = drawn(200, [0.5, 0.5], 1.0, 2)
    one = replace(known, targets=torch.zeros_like(known.targets))
    assert not ensemble(AUC, tabled(one), 4).helps


def test_a_record_and_back() -> None:
    known = drawn(100, [0.5, 0.5], 1.0, 2)
    found = ensemble(ACCURACY, tabled(known, known), 4)
    assert Ensemble.from_json(asdict(found)) == found
    alone = replace(found, test=None, test_gain=None)
    assert Ensemble.from_json(asdict(alone)) == alone
    assert [each.weight for each in found.members] == sorted(
        (each.weight for each in found.members), reverse=True
    )


def test_predictions_of_other_rows_are_not_mixed() -> None:
    known = replace(drawn(50, [1.0], 1.0, 1), outputs=torch.rand(50, 2))
    other = replace(known, targets=1 - known.targets)
    assert stacked([[known, known]]) is not None
    assert stacked([[known, other]]) is None
    assert stacked([[known, None]]) is None
    assert stacked([]) is None


# Of a study, after ``confirm``.


def test_confirm_chooses_an_ensemble_of_its_trainings(searched: Any) -> None:
    found = confirm(searched.name, searched.options, top=2, seeds=2, ensemble=6, full=True)
    together = found.ensemble
    assert together is not None
    assert together.candidates == 6
    assert sum(each.weight for each in together.members) == pytest.approx(1)
    assert {each.label for each in together.members} <= {row.label for row in found.rows}
    assert together.test is not None
    assert together.test.low <= together.test.mean <= together.test.high
    storage = open_storage(searched.url)
    study, study_id = stored_study(storage, "small")
    assert confirming.read(storage, study) == found
    # by hand: the same mean of the predictions of the final trainings, on the test rows
    job, done = load_job(study, study_id), finished_replicas(storage, study, "confirm")
    total: Any = 0
    for each in together.members:
        trial = done[each.label, each.seed, True][1]
        known = read_predictions(artifact_store(storage), trial)
        assert known is not None
        value = Judge(job.metric, known, known.index).value(known.outputs)
        assert value == pytest.approx(trial.value)
        total = total + each.weight * known.outputs
    assert together.test.mean == pytest.approx(float(ACCURACY.function(total, known.targets)))


def test_the_kept_predictions_are_those_of_the_training(searched: Any) -> None:
    confirm(searched.name, searched.options, top=1, seeds=1)
    storage = open_storage(searched.url)
    study, study_id = stored_study(storage, "small")
    torch.set_num_threads(1)
    for final in (False, True):
        trial = finished_replicas(storage, study, "confirm")["baseline", 0, final][1]
        course = course_of(load_job(study, study_id), trial, "cpu")
        for epoch in course.epochs():
            if epoch.number >= trial.user_attrs["epochs"]:
                break
        outputs, y = outputs_of(course.parts[0])
        known = read_predictions(artifact_store(storage), trial)
        assert known is not None
        assert torch.equal(known.outputs, outputs.softmax(1))
        assert torch.equal(known.targets, y)


def test_the_test_rows_do_not_choose(searched: Any, noisy: Any) -> None:
    before, after = (
        confirm(x.name, x.options, top=2, seeds=2, full=True) for x in (searched, noisy)
    )
    assert before.ensemble is not None
    assert after.ensemble is not None
    assert before.ensemble.test != after.ensemble.test
    blind = [
        replace(
            x.ensemble,
            test=None,
            test_gain=None,
            left_out=(),
            calibration=replace(x.ensemble.calibration, before=None, after=None),
        )
        for x in (before, after)
    ]
    assert blind[0] == blind[1]


def test_without_an_ensemble(searched: Any) -> None:
    found = confirm(searched.name, searched.options, top=1, seeds=2, ensemble=0)
    assert found.ensemble is None
    assert ensemble_line(found) == ""
    assert confirm(searched.name, searched.options, top=1, seeds=2).ensemble is not None
    storage = open_storage(searched.url)
    study = stored_study(storage, "small")[0]
    assert confirming.read(storage, study).ensemble is not None  # type: ignore[union-attr]
    confirm(searched.name, searched.options, top=1, seeds=2, ensemble=0)
    assert tuner.best("small", searched.options).confirmed.ensemble is None  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="found -1"):
        confirm(searched.name, searched.options, ensemble=-1)


def test_every_answer_says_what_it_is_worth(searched: Any) -> None:
    line = ["--study", "small", "--storage", searched.url]
    options = ["--workers", "1", "--top", "1", "--seeds", "2", "--ensemble", "4"]
    shown = CliRunner().invoke(app, ["confirm", *line, *options])
    assert shown.exit_code == 0, shown.output
    storage = open_storage(searched.url)
    study, study_id = stored_study(storage, "small")
    confirmation = confirming.read(storage, study)
    assert confirmation is not None
    words = ensemble_line(confirmation)
    assert words.startswith("an ensemble of ")
    assert words in " ".join(shown.stdout.split())
    assert f"# ensemble         {words}" in view(record(storage, study, study_id))
    sentence = f"{words[0].upper()}{words[1:]}."
    assert sentence in tuner.report("small", searched.options).verdict
    attrs = storage.get_study_system_attrs(study_id)
    note = "".join(attrs[key] for key in sorted(attrs) if key.startswith(TEXT))
    assert plain(sentence) in note
    stored = json.loads(CliRunner().invoke(app, ["best", *line, "--json"]).stdout)["confirmed"]
    assert stored["ensemble"]["line"] == words
    assert stored["ensemble"]["helps"] == (confirmation.answer is not None)


def test_the_command_says_that_there_is_none(searched: Any) -> None:
    confirm(searched.name, searched.options, top=1, seeds=2, ensemble=0)
    store = artifact_store(open_storage(searched.url))
    for artifact_id in store.ages():  # as after a version that kept no predictions
        store.remove(artifact_id)
    line = ["confirm", "--study", "small", "--storage", searched.url, "--top", "1", "--seeds", "2"]
    shown = CliRunner().invoke(app, [*line, "--workers", "1"])
    assert shown.exit_code == 0, shown.output
    assert "no ensemble: there is one training alone, or their predictions" in shown.stderr
    assert "ensemble" not in shown.stdout


@pytest.mark.parametrize(
    ("gain", "tests", "words"),
    [
        (
            0.02,
            True,
            "has accuracy 0.9000 (0.8000 to 0.9500) on the test rows, +0.0300 (-0.0100 to",
        ),
        (0.02, False, "gains +0.0200 (standard error 0.0100) in accuracy over one network"),
        (0.001, True, "of 2 networks is not used: on rows of the search that its choice has not"),
    ],
)
def test_the_line(searched: Any, gain: float, tests: bool, words: str) -> None:
    found = confirm(searched.name, searched.options, top=1, seeds=1, ensemble=0)
    members = Member("baseline", 0, 0, 0.75), Member(found.rows[-1].label, 1, 0, 0.25)
    spreads = (OfRows(0.9, 0.8, 0.95), OfRows(0.03, -0.01, 0.07)) if tests else (None, None)
    together = Ensemble(4, members, 2, gain, 0.01, 60, *spreads)
    assert words in ensemble_line(replace(found, ensemble=together))
