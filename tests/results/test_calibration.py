"""The temperature of probabilities: what it is, whether it helps, and what `confirm` says of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from typer.testing import CliRunner

from tuner.cli import app
from tuner.metrics import METRICS
from tuner.results import confirm as confirming
from tuner.results.calibration import Calibration, calibrated, fitted, losses
from tuner.results.ensemble import ensemble
from tuner.results.predictions import Predictions, Table
from tuner.run.prepare import stored_study
from tuner.run.replicate import confirm
from tuner.show.answers import calibration_line, temperature
from tuner.storage import artifact_store, open_storage


def drawn(rows: int, sharper: float, seed: int = 0, networks: int = 1) -> Predictions:
    """Networks that know the probabilities of three classes, and say them sharper."""
    rng = np.random.default_rng(seed)
    logits = torch.tensor(rng.normal(size=(rows, 3)) * 1.5)
    shares = logits.softmax(1).numpy()
    y = torch.tensor([int(rng.choice(3, p=share)) for share in shares])
    said = (logits * sharper).softmax(1).float().expand(networks, rows, 3)
    return Predictions(said, y, torch.zeros(rows, dtype=torch.int64))


@pytest.mark.parametrize("sharper", [0.5, 1.0, 3.0])
def test_many_rows_give_the_true_temperature(sharper: float) -> None:
    known = drawn(20_000, sharper)
    assert fitted(known) == pytest.approx(sharper, rel=0.05)


def test_it_has_the_least_log_loss_but_for_what_is_likely_before() -> None:
    known = drawn(50, 2.5, networks=2)
    found = fitted(known)

    def lost(temperature: float) -> float:
        logits = known.outputs.double().log() / temperature
        each = [functional.cross_entropy(one, known.targets, reduction="sum") for one in logits]
        return float(sum(each)) / 2 + math.log(temperature) ** 2 / (2 * 0.5**2)

    assert all(lost(found) < lost(found * factor) for factor in (0.9, 0.99, 1.01, 1.1))
    assert torch.allclose(
        losses(known, found).sum(),
        torch.tensor(lost(found) - 2 * math.log(found) ** 2).double(),
    )


def test_a_row_of_weight_two_counts_as_two_rows() -> None:
    known, times = drawn(300, 2.0, networks=2), torch.arange(300) % 3 + 1
    rows = torch.arange(300).repeat_interleave(times)
    twice, weighted = known.only(rows), replace(known, weights=times.double())
    assert fitted(weighted) == pytest.approx(fitted(twice), rel=1e-6)
    one, other = calibrated(weighted, weighted), calibrated(weighted, twice)
    assert one.after == pytest.approx(other.after, rel=1e-6)
    assert one.gain > 0
    assert one.error > calibrated(twice, None).error  # as many rows as there are


def test_few_rows_that_are_all_right_stay_below_certainty() -> None:
    y = torch.zeros(30, dtype=torch.int64)
    known = Predictions(torch.tensor([0.98, 0.02]).expand(1, 30, 2), y, y)
    assert 0.6 < fitted(known) < 0.95
    assert fitted(known.only(torch.arange(0))) == pytest.approx(1)


def test_a_class_without_any_probability_is_no_infinite_loss() -> None:
    outputs = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]])
    known = Predictions(outputs, torch.tensor([0, 0, 0]), torch.zeros(3, dtype=torch.int64))
    found = calibrated(known, known)
    assert found.temperature > 2
    assert math.isfinite(found.gain)
    assert found.before is not None
    assert found.after is not None
    assert found.after < found.before


@pytest.mark.parametrize("folds", [1, 3])
def test_the_guard_expects_what_rows_that_nobody_saw_say(folds: int) -> None:
    """The gain is that on new rows: of networks that are too sure, and of calibrated ones, where
    most temperatures are refused."""
    for sharper in (2.5, 1.0):
        expected, real, used = [], [], []
        for seed in range(12):
            known, new = drawn(120, sharper, seed), drawn(2000, sharper, 99 + seed)
            found = calibrated(replace(known, folds=torch.arange(120) * folds // 120), new)
            assert found.before is not None
            assert found.after is not None
            expected.append(found.gain)
            real.append(found.before - found.after)
            used.append(found.helps)
        error = np.std(np.subtract(expected, real), ddof=1) / math.sqrt(12)
        assert abs(np.mean(expected) - np.mean(real)) < 3 * error
        assert np.mean(used) == 1 if sharper > 1 else np.mean(used) <= 0.5


# Of a study, after ``confirm``.


def test_confirm_finds_the_temperature_of_every_answer(searched: Any) -> None:
    found = confirm(searched.name, searched.options, top=2, seeds=2, ensemble=6, full=True)
    storage = open_storage(searched.url)
    study, _ = stored_study(storage, "small")
    assert confirming.read(storage, study) == found
    assert found.ensemble is not None
    known = [*(row.calibration for row in found.rows), found.ensemble.calibration]
    for each in known:
        assert each is not None
        assert each.rows == 60
        assert each.before is not None
    assert found.calibration == (found.answer or found.winner).calibration
    alone = confirm(searched.name, searched.options, top=2, seeds=2, ensemble=0, full=True)
    assert alone.calibration == found.winner.calibration


def test_the_test_rows_do_not_choose(searched: Any, noisy: Any) -> None:
    before, after = (
        confirm(x.name, x.options, top=2, seeds=2, full=True) for x in (searched, noisy)
    )
    for one, other in zip(before.rows, after.rows, strict=True):
        assert one.calibration is not None
        assert other.calibration is not None
        assert one.calibration.before != other.calibration.before
        blind = [replace(x.calibration, before=None, after=None) for x in (one, other)]  # type: ignore[type-var]
        assert blind[0] == blind[1]


def test_an_option_that_decides_nothing_keeps_what_was_chosen(searched: Any) -> None:
    """Also where the predictions are gone by then."""
    before = confirm(searched.name, searched.options, top=2, seeds=2)
    assert before.ensemble is not None
    store = artifact_store(open_storage(searched.url))
    for artifact_id in store.ages():
        store.remove(artifact_id)
    after = confirm(searched.name, searched.options, top=2, seeds=2, yardsticks=False)
    assert after.ensemble == before.ensemble
    assert after.rows == before.rows
    assert before.rivals
    assert not [each for each in after.rivals if each.name != "baseline"]
    fewer = confirm(searched.name, searched.options, top=2, seeds=2, ensemble=4)
    assert fewer.ensemble is None


def test_what_confirm_says(searched: Any) -> None:
    line = ["confirm", "--study", "small", "--storage", searched.url, "--top", "1", "--seeds", "2"]
    shown = CliRunner().invoke(app, [*line, "--workers", "1", "--ensemble", "0"])
    assert shown.exit_code == 0, shown.output
    storage = open_storage(searched.url)
    found = confirming.read(storage, stored_study(storage, "small")[0])
    assert found is not None
    words = calibration_line(found)
    assert words.startswith(f"probabilities of {found.winner.label} ")
    assert words in " ".join(shown.stdout.split())
    again = CliRunner().invoke(app, [*line, "--ensemble", "0", "--json"])
    document = json.loads(again.stdout)
    assert document["probabilities"] == words
    assert document["winner"]["calibration"]["temperature"] > 0


def test_a_temperature_in_words() -> None:
    known = Calibration(1.5, 0.02, 0.01, 100, 0.5, 0.4)
    assert temperature(known) == (
        "have the temperature 1.5, which on rows of the search that its fit has not seen takes "
        "0.0200 (standard error 0.0100) off the log loss; on the test rows it is 0.4000 in place "
        "of 0.5000"
    )
    assert temperature(replace(known, before=None, after=None)).endswith("off the log loss")
    assert temperature(replace(known, gain=0.004)).startswith("stay as they are: on rows of")


def test_values_have_none() -> None:

    y = torch.randn(60, generator=torch.Generator().manual_seed(0))
    known = Predictions(y + torch.zeros(2, 2, 60), y, torch.zeros(60, dtype=torch.int64))
    table = Table(("trial 1", "trial 2"), (1, 2), (0, 1), known)
    assert ensemble(METRICS["mse"], table, 4).calibration is None
