"""Models without a search, on the rows of `confirm`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from typer.testing import CliRunner

import tuner
from tuner.cli import app
from tuner.data import DataSet, load
from tuner.data.spec import DataSpec
from tuner.metrics import METRICS, Metric, better
from tuner.results import confirm as confirming
from tuner.results import yardsticks
from tuner.results.confirm import ENSEMBLE
from tuner.results.ensemble import Ensemble, Member
from tuner.results.estimate import OfRows, of_differences, over_seeds_and_rows
from tuner.results.replicas import ASKED, Result, find_holder
from tuner.results.yardsticks import BOOSTING, Yardstick, measure, rival, rivals
from tuner.run.prepare import stored_study
from tuner.run.replicate import confirm
from tuner.storage import open_storage

NUMBERS = ["size", "share"]


def frame(count: int = 400) -> pd.DataFrame:
    """Numbers with gaps, categories with gaps, a class and a value."""
    random = np.random.default_rng(0)
    kind, size = random.integers(0, 4, count), random.normal(1e6, 5, count)
    value = np.array([3.0, -1.0, 0.0, 1.0])[kind] + (size - 1e6) / 3 + random.normal(size=count)
    share = np.where(random.random(count) < 0.2, np.nan, random.random(count))
    texts = np.array(list("abcd"), dtype=object)[kind]
    return pd.DataFrame(
        {
            "size": size,
            "share": share,
            "kind": np.where(random.random(count) < 0.1, None, texts),
            "label": np.where(value > 1, "high", "low"),
            "value": 100 + 10 * value,
            "words": ["good film" if each > 1 else "bad film" for each in value],
        }
    )


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., DataSet]:
    """The rows of a table for the final training, or for that of a trial."""

    def of(table: pd.DataFrame, target: Any = "label", final: bool = True, **more: Any) -> DataSet:
        table.to_csv(tmp_path / "table.csv", index=False)
        others = tuple(name for name in ("label", "value", "words") if name in table)
        used = target if isinstance(target, tuple) else (target,)
        drop = tuple(name for name in others if name not in (*used, more.get("text")))
        spec = DataSpec(path=str(tmp_path / "table.csv"), target=target, **{"drop": drop, **more})
        return load(spec, final=final)

    return of


def by_name(measured: tuple[Yardstick, ...]) -> dict[str, Yardstick]:
    return {each.name: each for each in measured}


def test_classes_are_those_of_scikit_learn_by_hand(read: Any) -> None:
    table = frame()
    data = read(table)
    train, test = (table.iloc[rows] for rows in data.positions)
    measured = by_name(measure(data, METRICS["log_loss"]))
    assert list(measured) == ["majority class", "logistic regression", BOOSTING]

    shares = train["label"].value_counts(normalize=True)
    constant = -np.log(shares[test["label"]].to_numpy()).mean()
    assert measured["majority class"].value == pytest.approx(constant)

    codes = {"a": 0, "b": 1, "c": 2, "d": 3}
    raw = [each[NUMBERS].assign(kind=each["kind"].map(codes)).to_numpy() for each in (train, test)]
    model = HistGradientBoostingClassifier(categorical_features=[2], random_state=0)
    shares = model.fit(raw[0], train["label"]).predict_proba(raw[1])
    assert measured[BOOSTING].value == pytest.approx(log_loss(test["label"], shares), rel=0.05)

    x = [each.x.numpy() for each in (data.train, data.validation)]
    shares = LogisticRegression(max_iter=1000).fit(x[0], train["label"]).predict_proba(x[1])
    assert measured["logistic regression"].value == pytest.approx(
        log_loss(test["label"], shares), rel=1e-3
    )
    for each in measured.values():
        assert len(each.left_out) == 20
        assert each.note == ""


def test_values_are_those_of_scikit_learn_by_hand(read: Any) -> None:
    table = frame()
    data = read(table, "value")
    y, actual = (table["value"].to_numpy()[rows] for rows in data.positions)
    x, rows = data.train.x.numpy(), data.validation.x.numpy()

    def rmse(predicted: Any) -> float:
        return float(np.sqrt(np.mean((predicted - actual) ** 2)))

    measured = by_name(measure(data, METRICS["rmse"]))
    assert measured["mean"].value == pytest.approx(rmse(y.mean()), rel=1e-4)
    ridge = rmse(Ridge().fit(x, y).predict(rows))
    assert measured["ridge regression"].value == pytest.approx(ridge, rel=1e-4)
    boosting = rmse(HistGradientBoostingRegressor(random_state=0).fit(x, y).predict(rows))
    assert measured[BOOSTING].value == pytest.approx(boosting, rel=0.1)
    assert measured[BOOSTING].value < measured["mean"].value


@pytest.mark.parametrize(
    ("metric", "constant"),
    [
        (METRICS["mae"], "median"),
        (METRICS["mape"], "median"),
        (METRICS["r2"], "mean"),
        (METRICS["pinball"].bound({"quantile": 0.9}), "quantile 0.9"),
    ],
)
def test_the_constant_is_what_the_metric_asks_for(read: Any, metric: Metric, constant: str) -> None:
    data = read(frame(), "value")
    measured = by_name(measure(data, metric))
    assert next(iter(measured)) == constant
    assert better(measured[BOOSTING].value, measured[constant].value, metric.direction)
    note = measured["ridge regression"].note
    assert note == ("it fits means, not quantiles" if constant.startswith("quantile") else "")


def test_in_balanced_accuracy_every_class_counts_the_same(read: Any) -> None:
    table = frame()
    rare = table["value"] > table["value"].quantile(0.9)
    data = read(table.assign(label=np.where(rare, "high", "low")))
    measured = by_name(measure(data, METRICS["balanced_accuracy"]))
    assert measured["majority class"].value == 0.5
    model = LogisticRegression(class_weight="balanced", max_iter=1000)
    x, y = data.train.x.numpy(), data.train.y.numpy()
    named = model.fit(x, y).predict(data.validation.x.numpy())
    actual = data.validation.y.numpy()
    recalls = [(named[actual == k] == k).mean() for k in (0, 1)]
    assert measured["logistic regression"].value == pytest.approx(np.mean(recalls))


def test_of_folds_it_is_the_mean_over_them(read: Any) -> None:
    data = read(frame(), final=False, folds=3, test=0.0)
    metric = METRICS["accuracy"]
    measured = measure(data, metric)
    alone = [measure(replace(fold, rest=()), metric) for fold in data.folds]
    for i, each in enumerate(measured):
        assert each.value == pytest.approx(np.mean([fold[i].value for fold in alone]))
        groups = np.mean([fold[i].left_out for fold in alone], axis=0)
        assert each.left_out == pytest.approx(tuple(groups))


def test_trees_get_categories_and_gaps_as_they_are(read: Any) -> None:
    table = frame()
    data = read(table)
    made = yardsticks.columns(data.train.x.numpy(), data.recipe)
    train = table.iloc[data.positions[0]]
    assert made.shape == (len(train), 3)
    assert (np.isnan(made[:, 1]) == train["share"].isna()).all()
    pairs = set(zip(made[:, 2], train["kind"].fillna("none"), strict=True))
    assert len(pairs) == 5
    assert len({code for code, _ in pairs}) == 5


def test_rare_categories_are_missing_values(read: Any) -> None:
    random = np.random.default_rng(0)
    kind = np.concatenate((np.arange(100), random.integers(0, 50, 500)))
    table = pd.DataFrame({"kind": [f"k{each}" for each in kind], "label": kind % 2})
    data = read(table)
    plan = yardsticks.Plan("", None, categories=30)
    view = yardsticks._Columns(plan, data, data.train.x.numpy())
    codes = view(data.train.x.numpy())[:, 0]
    assert set(codes[~np.isnan(codes)]) == set(range(30))
    counts = np.bincount(codes[~np.isnan(codes)].astype(int))
    assert (np.diff(counts) <= 0).all()
    assert np.isnan(codes).any()
    assert by_name(measure(data, METRICS["accuracy"]))[BOOSTING].value > 0.6


def test_nothing_but_the_constant_for_text(read: Any) -> None:
    measured = by_name(measure(read(frame(), text="words"), METRICS["accuracy"]))
    assert measured["majority class"].value > 0.5
    for name in ("logistic regression", BOOSTING):
        assert (measured[name].value, measured[name].note) == (None, "none for text")


def test_images_are_rows_of_numbers() -> None:
    spec = DataSpec(source="sklearn.datasets:load_digits", shape=(1, 8, 8))
    data = load(spec, final=True)
    few = replace(data, train=replace(data.train, x=data.train.x[:300], y=data.train.y[:300]))
    measured = by_name(measure(few, METRICS["accuracy"]))
    assert measured["logistic regression"].value > 0.85
    assert measured[BOOSTING].value > 0.7


def test_sequences_of_different_lengths(tmp_path: Path) -> None:
    y = np.arange(200) % 2
    x = np.random.default_rng(0).normal(size=(200, 6)) + y[:, None]
    x[np.arange(6) >= 1 + np.arange(200)[:, None] % 6] = np.nan
    np.savez(tmp_path / "rows.npz", x=x, y=y)
    data = load(DataSpec(path=str(tmp_path / "rows.npz")), final=True)
    assert data.padded
    measured = by_name(measure(data, METRICS["accuracy"]))
    assert measured["logistic regression"].value > 0.7
    assert measured[BOOSTING].value > 0.7


def test_ridge_keeps_the_digits_of_targets_far_from_zero(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(300, 2))
    found = []
    for mean in (0.0, 1e9):
        np.savez(tmp_path / "rows.npz", x=x, y=x.sum(1) + mean)
        data = load(DataSpec(path=str(tmp_path / "rows.npz"), target_scale="linear"), final=True)
        found.append(by_name(measure(data, METRICS["rmse"]))["ridge regression"].value)
    assert found[1] == pytest.approx(found[0], rel=1e-2)


def test_too_many_inputs(read: Any) -> None:
    x = torch.zeros(50, 3, 32, 32)
    data = read(frame())
    wide = replace(data, shape=(3, 32, 32), train=replace(data.train, x=x, y=torch.arange(50) % 2))
    wide = replace(wide, validation=wide.train, recipe=None)
    measured = by_name(measure(wide, METRICS["accuracy"]))
    assert measured[BOOSTING] == Yardstick(BOOSTING, None, (), "none for more than 2,000 inputs")
    assert measured["majority class"].value == 0.5


@pytest.mark.parametrize("target", ["label", "value"])
def test_twenty_rows(read: Any, target: str) -> None:
    data = read(frame(20), target)
    metric = METRICS["accuracy" if target == "label" else "rmse"]
    for each in measure(data, metric):
        assert each.value is not None, each.note
        assert each.left_out == ()


def test_one_class_in_training(read: Any) -> None:
    data = read(frame())
    train = replace(data.train, y=torch.zeros_like(data.train.y))
    measured = by_name(measure(replace(data, train=train), METRICS["log_loss"]))
    assert math.isfinite(measured["majority class"].value)
    for name in ("logistic regression", BOOSTING):
        assert measured[name].note == "the training rows have one class"


def test_a_class_that_training_lacks(read: Any) -> None:
    data = read(frame())
    target = replace(data.target, classes=(*data.target.classes, "other"))
    lacking = replace(data, target=target)
    for each in measure(lacking, METRICS["cross_entropy"]):
        assert math.isfinite(each.value), each
    rows = torch.arange(len(data.validation)) % 3
    for each in measure(
        replace(lacking, validation=replace(data.validation, y=rows)), METRICS["log_loss"]
    ):
        assert each.value > 5


def test_a_metric_without_a_value_is_said(read: Any) -> None:
    data = read(frame())
    one = replace(data.validation, y=torch.zeros_like(data.validation.y))
    for each in measure(replace(data, validation=one), METRICS["roc_auc"]):
        assert (each.value, each.note) == (None, "roc_auc is nan on these rows")


def test_a_metric_that_raises_is_said(read: Any) -> None:
    def refuse(outputs: Any, targets: Any, weights: Any) -> Any:
        raise ValueError("no")

    for each in measure(read(frame()), replace(METRICS["accuracy"], function=refuse)):
        assert (each.value, each.note) == (None, "ValueError: no")


def test_large_data_is_sampled_and_says_so(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data = read(frame())
    monkeypatch.setattr(yardsticks, "BOOSTING_CELLS", 3 * 150)
    monkeypatch.setattr(yardsticks, "FEWEST_ROWS", 100)
    monkeypatch.setattr(yardsticks, "LINEAR_CELLS", 8 * 2 * 100)
    measured = by_name(measure(data, METRICS["accuracy"]))
    rows = len(data.train)
    assert measured["majority class"].note == ""
    assert measured["logistic regression"].note == f"trained on 100 of {rows} rows"
    assert measured[BOOSTING].note == f"trained on 150 of {rows} rows"
    assert measured[BOOSTING].value > measured["majority class"].value
    monkeypatch.setattr(yardsticks, "FEWEST_ROWS", 101)
    linear = by_name(measure(data, METRICS["accuracy"]))["logistic regression"]
    assert linear.note == "too slow with 8 columns and 2 classes"


def test_wide_data_has_fewer_bins_then_fewer_rounds_then_none(
    read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, metric = read(frame()), METRICS["accuracy"]
    models = []
    for splits in (300, 75, 40, 10):
        monkeypatch.setattr(yardsticks, "SPLITS", splits)
        models.append(yardsticks._plans(metric, data)[2])
    plain, narrow, short, none = models
    assert (plain.model.max_iter, plain.model.max_bins, plain.note) == (100, 255, "")
    assert (narrow.model.max_iter, narrow.model.max_bins, narrow.note) == (100, 63, "")
    assert (short.model.max_iter, short.note) == (53, "53 rounds in place of 100")
    assert (none.model, none.note) == (None, "too slow with 3 columns and 2 classes")


# Against the winner.


def results(*values: float, rows: int = 20) -> list[Result]:
    """Of several seeds, the values without a group around each of them."""
    around = np.linspace(-0.001, 0.001, rows)
    return [Result(v, tuple(v + around * (i + 1))) for i, v in enumerate(values)]


def test_a_rival_wins_where_its_interval_is_above_zero() -> None:
    own, other = results(0.80, 0.81, 0.82), results(0.90, 0.90, 0.90)
    found = rival("x", other, own, "accuracy", "maximize")
    gains = [0.10, 0.09, 0.08]
    left_out = [np.subtract(a.left_out, b.left_out) for a, b in zip(other, own, strict=True)]
    wanted = over_seeds_and_rows(gains, left_out, of_differences((0.0, 1.0)))
    assert (found.gain, found.low, found.high) == pytest.approx((0.09, wanted.low, wanted.high))
    assert found.wins
    lower = rival("x", own, other, "accuracy", "maximize")
    assert (lower.gain, lower.wins) == (pytest.approx(-0.09), False)
    assert rival("x", own, other, "rmse", "minimize").wins


def test_no_rival_wins_within_its_interval() -> None:
    found = rival("x", results(0.82, 0.82), results(0.78, 0.85), "accuracy", "maximize")
    assert found.low < 0 < found.high
    assert not found.wins


@pytest.mark.parametrize(
    ("own", "other"),
    [
        (results(0.1), results(0.9)),
        ([Result(0.1, ()), Result(0.1, ())], [Result(0.9, ()), Result(0.9, ())]),
        (results(0.1, 0.1), [Result(0.9, ()), Result(0.9, ())]),
    ],
    ids=["one seed", "few rows", "unknown rows"],
)
def test_nothing_wins_without_an_interval(own: list[Result], other: list[Result]) -> None:
    found = rival("x", other, own, "accuracy", "maximize")
    assert found.gain == pytest.approx(0.8)
    assert (found.low, found.high, found.wins) == (None, None, False)


def test_the_baseline_is_compared_over_the_seeds_that_both_have() -> None:
    own = dict(enumerate(results(0.80, 0.81, 0.82)))
    baseline = dict(enumerate(results(0.70, 0.71)))
    known = [Yardstick("mean", 0.5, own[0].left_out), Yardstick("none", None, (), "for text")]
    first, second, third = rivals(known, baseline, own, "accuracy", "maximize")
    assert (first.name, first.gain) == ("baseline", pytest.approx(-0.1))
    assert (second.name, second.gain) == ("mean", pytest.approx(0.5 - 0.81))
    assert (third.value, third.gain, third.note) == (None, None, "for text")
    assert rivals(known, baseline, {}, "accuracy", "maximize") == ()


def test_an_ensemble_is_compared_in_place_of_the_winner() -> None:
    own, together = dict(enumerate(results(0.80, 0.81))), results(0.85)[0]
    baseline = dict(enumerate(results(0.70, 0.71, 0.72)))
    shifted = tuple(x + 0.05 for x in together.left_out)
    known = [Yardstick("better", 0.90, shifted), Yardstick("short", 0.9, ())]
    first, second, third = rivals(known, baseline, own, "accuracy", "maximize", together)
    assert first.gain == pytest.approx(0.71 - 0.85)
    assert second.gain == pytest.approx(0.05)
    assert second.low == pytest.approx(0.05)  # no row makes a difference
    assert second.wins
    assert (third.gain, third.low, third.wins) == (pytest.approx(0.05), None, False)


# In `confirm`.


def test_confirm_stores_them_for_all_who_read(searched: Any) -> None:
    found = confirm(searched.name, searched.options, top=1, seeds=2)
    names = [each.name for each in found.rivals if each.name != "baseline"]
    assert names == ["majority class", "logistic regression", BOOSTING]
    storage = open_storage(searched.url)
    study, _ = stored_study(storage, "small")
    assert confirming.read(storage, study) == found
    assert tuner.best("small", searched.options).confirmed == found
    assert tuner.report("small", searched.options).document()["confirmation"]["rivals"] == [
        vars(each) for each in found.rivals
    ]
    data = load(study.data, final=True)
    known = by_name(measure(data, study.metric_for(data.target)))
    assert {each.name: each.value for each in found.rivals if each.name in known} == {
        name: each.value for name, each in known.items()
    }


def test_stored_ones_are_not_trained_again(searched: Any) -> None:
    confirm(searched.name, searched.options, top=1, seeds=1)
    storage = open_storage(searched.url)
    _, holder = find_holder(storage, "small", "confirm")
    yardsticks.store(storage, holder, "test", [Yardstick("mine", 0.25)])
    assert yardsticks.stored(storage, holder, "validation") == ()
    found = confirm(searched.name, searched.options, top=1, seeds=1)
    assert [each.name for each in found.rivals if each.name != "baseline"] == ["mine"]


def test_they_can_be_left_out(searched: Any) -> None:
    found = confirm(searched.name, searched.options, top=1, seeds=1, yardsticks=False)
    assert {each.name for each in found.rivals} <= {"baseline"}
    assert found.asked.command.endswith("--top 1 --no-yardsticks --seeds 1")
    storage = open_storage(searched.url)
    _, holder = find_holder(storage, "small", "confirm")
    assert yardsticks.stored(storage, holder, "test") == ()
    after = confirm(searched.name, searched.options, top=1, seeds=1)
    assert BOOSTING in [each.name for each in after.rivals]
    again = confirm(searched.name, searched.options, top=1, seeds=1, yardsticks=False)
    assert BOOSTING not in [each.name for each in again.rivals]


def test_an_export_says_before_it_writes_that_one_wins(searched: Any, tmp_path: Path) -> None:
    confirm(searched.name, searched.options, top=1, seeds=2)
    storage, out = open_storage(searched.url), tmp_path / "model"
    holder = find_holder(storage, "small", "confirm")
    assert holder is not None
    yardsticks.store(storage, holder[1], "test", [Yardstick("an oracle", 1.0, (1.0,) * 20)])
    said: list[tuple[str, bool]] = []
    made = tuner.export(
        "small", out, searched.options, say=lambda line: said.append((line, out.exists()))
    )
    [(line, existed)] = said
    assert line.startswith("an oracle beats ")
    assert " on the test rows: accuracy 1.0000 against " in line
    assert not existed
    assert made.beaten == line
    assert f"**An oracle beats {line[16:].split(':')[0]}" in (out / "README.md").read_text()


def test_it_says_so_of_an_ensemble_too(searched: Any, tmp_path: Path) -> None:
    confirmation = confirm(searched.name, searched.options, top=1, seeds=2)
    storage, out = open_storage(searched.url), tmp_path / "model"
    holder = find_holder(storage, "small", "confirm")
    assert holder is not None
    yardsticks.store(storage, holder[1], "test", [Yardstick("an oracle", 1.0, (1.0,) * 20)])
    keys = [(row.label, row.number, seed) for row in confirmation.rows for seed in (0, 1)]
    members = tuple(Member(*key, 1 / len(keys)) for key in keys)
    better = Ensemble(16, members, len(keys), 0.5, 0.1, 72)
    asked = storage.get_study_user_attrs(holder[1])[ASKED]
    storage.set_study_user_attr(holder[1], ENSEMBLE, {"request": asked, **asdict(better)})
    said: list[str] = []
    made = tuner.export("small", out, searched.options, say=said.append)
    assert made.members == len(keys) > 1
    assert said == [made.beaten]
    assert made.beaten.startswith("an oracle beats ")
    assert f"**An oracle beats {made.beaten[16:].split(':')[0]}" in (out / "README.md").read_text()


def test_the_ensemble_is_judged_where_it_is_exported(searched: Any, tmp_path: Path) -> None:
    confirmation = confirm(searched.name, searched.options, top=1, seeds=2)
    storage = open_storage(searched.url)
    holder = find_holder(storage, "small", "confirm")
    assert holder is not None
    known = [Yardstick("near", 0.9, (0.9,) * 20), Yardstick("far", 0.97, (0.97,) * 20)]
    yardsticks.store(storage, holder[1], "test", known)
    keys = [(row.label, row.number, seed) for row in confirmation.rows for seed in (0, 1)]
    members = tuple(Member(*key, 1 / len(keys)) for key in keys)
    spreads = OfRows(0.95, 0.9, 1.0), OfRows(0.1, 0.0, 0.2)
    together = Ensemble(16, members, 4, 0.5, 0.1, 60, *spreads, left_out=(0.95,) * 20)
    asked = storage.get_study_user_attrs(holder[1])[ASKED]
    storage.set_study_user_attr(holder[1], ENSEMBLE, {"request": asked, **asdict(together)})
    found = confirming.read(storage, stored_study(storage, "small")[0])
    assert found is not None
    assert found.judged == found.answer == together
    gains = {each.name: each.gain for each in found.rivals}
    assert gains == {
        "baseline": pytest.approx(found.baseline.test.mean - 0.95),  # type: ignore[union-attr]
        "near": pytest.approx(-0.05),
        "far": pytest.approx(0.02),
    }
    shown = CliRunner().invoke(app, ["best", "--study", "small", "--storage", searched.url])
    words = "far beats the ensemble on the test rows: accuracy 0.9700 against 0.9500, +2.0 points"
    assert words in " ".join(shown.stdout.replace("#", " ").split())
    assert found.to_frame().set_index("label").loc["near", "gain"] == pytest.approx(-0.05)
    without = replace(together, left_out=())
    storage.set_study_user_attr(holder[1], ENSEMBLE, {"request": asked, **asdict(without)})
    again = confirming.read(storage, stored_study(storage, "small")[0])
    assert again is not None
    assert again.judged is again.winner


def test_weights_of_rows_are_those_of_scikit_learn_by_hand(read: Any) -> None:
    table = frame().assign(often=lambda t: 0.2 + 3 * (t["kind"] == "a"))
    data = read(table, weight="often")
    train, test = (table.iloc[rows] for rows in data.positions)
    measured = by_name(measure(data, METRICS["log_loss"]))
    shares = train.groupby("label")["often"].sum() / train["often"].sum()
    constant = np.tile(shares.to_numpy(), (len(test), 1))
    expected = log_loss(test["label"], constant, sample_weight=test["often"])
    assert measured["majority class"].value == pytest.approx(expected, rel=1e-6)
    model = LogisticRegression(max_iter=300)
    weights = data.train.weight.numpy()
    model.fit(data.train.x.numpy(), data.train.y.numpy(), sample_weight=weights)
    probabilities = model.predict_proba(data.validation.x.numpy())
    own = log_loss(data.validation.y, probabilities, sample_weight=test["often"])
    assert measured["logistic regression"].value == pytest.approx(own, rel=1e-6)
    for each in measured.values():
        assert each.value is not None, each


@pytest.mark.parametrize("weight", [None, "often"])
def test_labels_have_a_model_each(weight: str | None, read: Any) -> None:
    table = frame().assign(wet=lambda t: np.where(t["kind"] == "a", "yes", "no"))
    table["often"] = 0.5 + (table["size"] > 1e6)
    drop = ("label", "value", "words") + (() if weight else ("often",))
    table["high"] = (table["value"] > 105).astype(int)
    data = read(table, ("wet", "high"), weight=weight, drop=drop)
    measured = by_name(measure(data, METRICS["label_log_loss"]))
    x, y = data.train.x.numpy(), data.train.y.numpy()
    known = {"sample_weight": None if weight is None else data.train.weight.numpy()}
    expected = []
    for k in range(2):
        model = LogisticRegression(max_iter=300).fit(x, y[:, k], **known)
        shares = model.predict_proba(data.validation.x.numpy())
        of_test = None if weight is None else data.validation.weight.numpy()
        expected.append(log_loss(data.validation.y[:, k], shares, sample_weight=of_test))
    assert measured["logistic regression"].value == pytest.approx(np.mean(expected), rel=1e-6)
    names = ("share of each label", "logistic regression", BOOSTING)
    assert [each.name for each in measured.values()] == list(names)
    assert measured[BOOSTING].value < measured["share of each label"].value


def test_a_label_that_does_not_vary_in_training(read: Any) -> None:
    table = frame().assign(wet=lambda t: t["kind"] == "a", high=lambda t: t["value"] > 105)
    data = read(table, ("wet", "high"), drop=("label", "value", "words"))
    y = data.train.y.clone()
    y[:, 0] = 0
    for each in measure(replace(data, train=replace(data.train, y=y)), METRICS["label_f1_micro"]):
        assert each.value is not None, each


def test_several_quantities_are_those_of_scikit_learn_by_hand(read: Any) -> None:
    table = frame().assign(other=lambda t: 1e6 - t["size"] + t["share"].fillna(9))
    data = read(table, ("value", "other"), drop=("label", "words"))
    train, test = (table.iloc[rows] for rows in data.positions)
    measured = by_name(measure(data, METRICS["mae"]))
    columns = ["value", "other"]
    error = (test[columns] - train[columns].median()).abs().mean().mean()
    assert measured["median"].value == pytest.approx(error, rel=1e-4)
    model = Ridge().fit(data.train.x.numpy(), train[columns])
    error = np.abs(test[columns] - model.predict(data.validation.x.numpy())).mean().mean()
    assert measured["ridge regression"].value == pytest.approx(error, rel=1e-3)
    assert measured[BOOSTING].value is not None
