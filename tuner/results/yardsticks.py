"""Measures models that need no search beside the winner of `confirm`, on the same rows."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from tuner.data.encoders import Number, OneHot
from tuner.data.recipe import Feature, OfColumns, Recipe
from tuner.lazy_torch import Tensor, torch
from tuner.metrics import Metric, limits, sign_of
from tuner.results.estimate import (
    Estimate,
    OfRows,
    jackknife_variance,
    of_differences,
    over_rows,
    over_seeds_and_rows,
)
from tuner.results.replicas import Result
from tuner.storage import Storage
from tuner.worker.job import NetworkJob, check_rows

if TYPE_CHECKING:
    from tuner.data import DataSet

# The models: scikit-learn's, with its defaults but for what the metric asks for.


BOOSTING = "HistGradientBoosting"
LINEAR = {
    "classification": "logistic regression",
    "multilabel": "logistic regression",
    "regression": "ridge regression",
}

MOST_INPUTS = 2000
"""With more inputs than that, only the majority class or the mean is measured."""
LINEAR_CELLS = 20_000_000
"""The most training rows times inputs times outputs of a linear model."""
FEWEST_ROWS = 500
"""A linear model is not trained on a sample of fewer rows."""
BOOSTING_CELLS = 3_000_000
"""The same of boosting: these bound its time by the rows."""
SPLITS = 20_000
"""Trees times inputs, which bound its time by the candidates for splits; with a quarter of the bins
there may be four times as many."""
ROUNDS, FEWEST_ROUNDS, BINS, FEW_BINS = 100, 25, 255, 63
ITERATIONS = 300
"""Steps of logistic regression."""
CHUNK = 2**22
"""Numbers of rows that are predicted at a time."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Yardstick:
    """A model without a search, trained and measured on the same rows as the configurations.

    Attributes:
        name: for people.
        value: the metric; None where it could not be measured.
        left_out: the metric without each of some groups of rows; empty where it is not known.
        note: what is special about it, or why there is no value; else empty.
    """

    name: str
    value: float | None
    left_out: tuple[float, ...] = ()
    note: str = ""


class Model(Protocol):
    """As scikit-learn's estimators."""

    classes_: Array

    def fit(self, x: Array, y: Array, sample_weight: Array | None = None) -> Any: ...

    def predict(self, x: Array) -> Array: ...

    def predict_proba(self, x: Array) -> Array: ...


@dataclass(frozen=True)
class Plan:
    """How to train a yardstick.

    Attributes:
        model: not fitted yet; None where there is none.
        rows: the most rows to train on; None for all.
        categories: the most of a column that it tells apart, rarer ones are missing values; None
            where it takes a number for each category.
        note: as in a ``Yardstick``.
    """

    name: str
    model: Model | None
    rows: int | None = None
    categories: int | None = None
    note: str = ""


class _EachTarget:
    """A model of scikit-learn for each of several targets [N, O]."""

    def __init__(self, model: Any) -> None:
        self._model, self.classes_ = model, np.empty(0)

    def fit(self, x: Array, y: Array, sample_weight: Array | None = None) -> None:
        from sklearn.base import clone

        self._fitted = []
        for target in y.T:
            if (target == target[0]).all():  # some models need two classes
                self._fitted.append(float(target[0]))
                continue
            self._fitted.append(clone(self._model).fit(x, target, sample_weight=sample_weight))

    def predict(self, x: Array) -> Array:
        return self._stacked(x, lambda model: model.predict(x))

    def predict_proba(self, x: Array) -> Array:
        """Of 1 [N, O]."""
        return self._stacked(x, lambda model: model.predict_proba(x)[:, 1])

    def _stacked(self, x: Array, of: Callable[[Any], Array]) -> Array:
        columns = [
            np.full(len(x), each) if isinstance(each, float) else of(each) for each in self._fitted
        ]
        return np.column_stack(columns)


class _Centred:
    """A model of scikit-learn for numbers, less their mean: in the precision of the inputs, which
    scikit-learn takes for them too, those far from 0 would lose their digits."""

    def __init__(self, model: Any) -> None:
        self._model, self.classes_ = model, np.empty(0)

    def fit(self, x: Array, y: Array, sample_weight: Array | None = None) -> None:
        self._mean = np.average(y.astype(np.float64), 0, sample_weight)
        self._model.fit(x, y - self._mean, sample_weight=sample_weight)

    def predict(self, x: Array) -> Array:
        return np.asarray(self._model.predict(x), np.float64) + self._mean

    def predict_proba(self, x: Array) -> Array:
        raise NotImplementedError


def _constant(metric: Metric) -> Plan:
    """The class with the most training rows and the shares of all, the share of each label, or the
    number that the metric asks for."""
    from sklearn.dummy import DummyClassifier, DummyRegressor

    if metric.task == "classification":
        return Plan("majority class", DummyClassifier(strategy="prior"))
    if metric.task == "multilabel":
        return Plan("share of each label", _EachTarget(DummyClassifier(strategy="prior")))
    kind = _kind(metric)
    if kind == "pinball":
        quantile = metric.options["quantile"]
        return Plan(f"quantile {quantile}", DummyRegressor(strategy="quantile", quantile=quantile))
    best = "median" if kind in ("mae", "mape") else "mean"
    return Plan(best, DummyRegressor(strategy=best))


def _linear(metric: Metric, data: DataSet) -> Plan:
    """Of numbers with mean 0 and deviation 1, and of a number for each category."""
    from sklearn.linear_model import LogisticRegression, Ridge

    name = LINEAR[metric.task]
    rows = LINEAR_CELLS // (math.prod(data.shape) * data.outputs)
    if rows < min(FEWEST_ROWS, len(data.train)):
        return Plan(name, None, note=_too_slow(math.prod(data.shape), data))
    if metric.task == "multilabel":
        return Plan(name, _EachTarget(LogisticRegression(max_iter=ITERATIONS)), rows)
    if metric.task == "classification":
        weight = _class_weight(metric)
        return Plan(name, LogisticRegression(max_iter=ITERATIONS, class_weight=weight), rows)
    if _kind(metric) == "pinball":
        return Plan(name, None, note="it fits means, not quantiles")
    return Plan(name, _Centred(Ridge()), rows)


def _boosting(metric: Metric, data: DataSet) -> Plan:
    """Trees, of columns as they are."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    categorical = _categorical(data)
    several = data.outputs > 2 or bool(data.target.names)
    width = len(categorical) * (data.outputs if several else 1)
    bins, splits = (FEW_BINS, 4 * SPLITS) if width * ROUNDS > SPLITS else (BINS, SPLITS)
    rounds = min(ROUNDS, splits // width)
    if rounds < FEWEST_ROUNDS:
        return Plan(BOOSTING, None, note=_too_slow(len(categorical), data))
    known: dict[str, Any] = {
        "max_iter": rounds,
        "max_bins": bins,
        "categorical_features": categorical if any(categorical) else None,
        "random_state": 0,
    }
    model: Any
    if metric.task == "multilabel":
        model = HistGradientBoostingClassifier(**known)
    elif metric.task == "classification":
        model = HistGradientBoostingClassifier(class_weight=_class_weight(metric), **known)
    else:
        loss = {"pinball": "quantile", "mae": "absolute_error", "mape": "absolute_error"}
        loss_name = loss.get(_kind(metric), "squared_error")
        quantile = metric.options.get("quantile") if loss_name == "quantile" else None
        model = HistGradientBoostingRegressor(loss=loss_name, quantile=quantile, **known)
    model = _EachTarget(model) if data.target.names else model
    note = "" if rounds == ROUNDS else f"{rounds} rounds in place of {ROUNDS}"
    return Plan(BOOSTING, model, BOOSTING_CELLS // width, bins, note)


def _too_slow(columns: int, data: DataSet) -> str:
    classes = f" and {data.outputs:,} classes" if data.target.classes else ""
    return f"too slow with {columns:,} columns{classes}"


def _kind(metric: Metric) -> str:
    """The metric's name without its options."""
    return metric.name.partition("(")[0]


def _class_weight(metric: Metric) -> str | None:
    """ "balanced" for a metric in which every class counts the same."""
    return "balanced" if metric.name == "balanced_accuracy" else None


def _plans(metric: Metric, data: DataSet) -> tuple[Plan, ...]:
    """The yardsticks of a data set."""
    first, names = _constant(metric), (LINEAR[metric.task], BOOSTING)
    why = ""
    if data.vocabulary is not None:
        why = "none for text"
    elif math.prod(data.shape) > MOST_INPUTS:
        why = f"none for more than {MOST_INPUTS:,} inputs"
    elif metric.task == "classification" and len(set(data.train.y.tolist())) < 2:
        why = "the training rows have one class"
    if why:
        return (first, *(Plan(name, None, note=why) for name in names))
    return first, _linear(metric, data), _boosting(metric, data)


# What the models get: the rows of a data set with standardized numbers.


def _categorical(data: DataSet) -> list[bool]:
    """Of each column for trees, whether it is one of categories."""
    if not _has_columns(data.recipe):
        return [False] * math.prod(data.shape)
    return [
        isinstance(feature.encoder, OneHot)
        for feature in data.recipe.features
        for _ in range(_width(feature))
    ]


def _has_columns(recipe: Recipe | None) -> TypeGuard[OfColumns]:
    return isinstance(recipe, OfColumns)


def _is_flagged(feature: Feature) -> bool:
    """Whether its second number marks the missing ones."""
    return isinstance(feature.encoder, Number) and feature.encoder.flag


def _width(feature: Feature) -> int:
    """So many columns trees get of a feature."""
    one = isinstance(feature.encoder, OneHot) or _is_flagged(feature)
    return 1 if one else len(feature.names)


def columns(x: Array, recipe: Recipe | None) -> Array:
    """Rows [n, F] of a network's inputs as columns for trees: a number for each category, and NaN
    for a missing number or an unknown category."""
    if not _has_columns(recipe):
        return x
    parts, at = [], 0
    for feature in recipe.features:
        block = x[:, at : at + len(feature.names)]
        at += len(feature.names)
        if isinstance(feature.encoder, OneHot):
            block = np.where(block.any(1), block.argmax(1), np.nan)[:, None]
        elif _is_flagged(feature):
            block = np.where(block[:, 1:] > 0, np.nan, block[:, :1])
        parts.append(block)
    return np.concatenate(parts, axis=1)


class _Columns:
    """Rows as a plan takes them; it learns from the training rows which categories are frequent."""

    def __init__(self, plan: Plan, data: DataSet, train: Array) -> None:
        self._recipe, self._linear = data.recipe, plan.categories is None
        self._ranks: dict[int, Array] = {}
        if self._linear:
            return
        made = columns(train, data.recipe)
        for at in np.flatnonzero(_categorical(data)):
            counts = np.bincount(made[~np.isnan(made[:, at]), at].astype(int), minlength=1)
            order = np.argsort(-counts, kind="stable")
            ranks = np.full(len(counts) + 1, np.nan)  # the last is for others
            kept = order[: plan.categories][counts[order[: plan.categories]] > 0]
            ranks[kept] = np.arange(len(kept))
            self._ranks[int(at)] = ranks

    def __call__(self, x: Array) -> Array:
        if self._linear:
            return np.nan_to_num(x)  # after the end of a sequence is the mean
        made = columns(x, self._recipe)
        for at, ranks in self._ranks.items():
            code = np.nan_to_num(made[:, at], nan=len(ranks)).astype(int)
            made[:, at] = ranks[np.minimum(code, len(ranks) - 1)]
        return made


def _rows(data: DataSet, rows: Any, *, train: bool) -> Array:
    """Some rows of a split [n, F]."""
    x = (data.train if train else data.validation).x[rows]
    return np.asarray(x.reshape(len(x), -1).numpy())


# Training and measuring.


def yardsticks(job: NetworkJob, *, tests: bool) -> tuple[Yardstick, ...]:
    """Trains and measures every yardstick.

    Args:
        tests: train on all rows of the search and measure on the test rows; else as a trial of the
            search, with folds on each of them.
    """
    from tuner.data import load

    spec = replace(job.study.data, preprocessing=PREPROCESSING)
    data = load(spec, folder=job.study.folder, final=tests)
    check_rows(job.study, data, job.record)
    return measure(data, job.metric)


PREPROCESSING = "standard"
"""Linear models need numbers of one size; to trees it makes no difference."""


def measure(data: DataSet, metric: Metric) -> tuple[Yardstick, ...]:
    """The yardsticks on the validation rows of a data set; of folds the means over them."""
    from threadpoolctl import threadpool_limits

    from tuner.training.trainer import one_thread

    # one thread: workers may be forked later, and another pool of threads would hang in them
    with one_thread(), threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        by_fold = [
            [_measured(plan, fold, metric) for plan in _plans(metric, fold)] for fold in data.folds
        ]
    return tuple(map(_mean, zip(*by_fold, strict=True)))


def _mean(folds: Sequence[Yardstick]) -> Yardstick:
    """One of several folds; without a value where a fold has none."""
    notes = "; ".join(dict.fromkeys(each.note for each in folds if each.note))
    name, values = folds[0].name, [each.value for each in folds if each.value is not None]
    if len(values) < len(folds):
        return Yardstick(name, None, (), notes)
    groups = [each.left_out for each in folds]
    left_out = tuple(fmean(each) for each in zip(*groups, strict=True)) if all(groups) else ()
    return Yardstick(name, fmean(values), left_out, notes)


def _measured(plan: Plan, data: DataSet, metric: Metric) -> Yardstick:
    """A yardstick on one division; it never fails a command."""
    from tuner.training.outcome import without_groups

    if plan.model is None:
        return Yardstick(plan.name, None, (), plan.note)
    try:
        outputs, notes = _trained(plan, data)
        y = _targets(data, train=False)
        weights = data.validation.weight
        value = float(metric.function(outputs, y, weights))
    except Exception as error:  # a model or a metric of others may fail on odd data
        return Yardstick(plan.name, None, (), f"{type(error).__name__}: {error}")
    if not math.isfinite(value):
        return Yardstick(plan.name, None, (), f"{metric.name} is {value} on these rows")
    left_out = tuple(without_groups(metric, outputs, y, weights))
    return Yardstick(plan.name, value, left_out, "; ".join(notes))


def _trained(plan: Plan, data: DataSet) -> tuple[Tensor, list[str]]:
    """The outputs of a trained model for the validation rows, and what is special about it."""
    count, notes = len(data.train), [plan.note] if plan.note else []
    rows = np.arange(count)
    if plan.rows is not None and plan.rows < count:
        rows = np.sort(np.random.default_rng(0).permutation(count)[: plan.rows])
        notes.append(f"trained on {plan.rows:,} of {count:,} rows")
    places = torch.from_numpy(rows)
    y, train = _targets(data, train=True)[places].numpy(), _rows(data, places, train=True)
    view = _Columns(plan, data, train)
    model = plan.model
    assert model is not None
    weight = data.train.weight
    if weight is None:
        model.fit(view(train), y)
    else:
        model.fit(view(train), y, sample_weight=weight[places].numpy())
    del train
    return _outputs(model, data, view), notes


def _outputs(model: Model, data: DataSet, view: _Columns) -> Tensor:
    """As a network's: logarithms of probabilities [N, C], logits of labels [N, O], or values [N] or
    [N, O] in the target's unit."""
    step = max(1, CHUNK // math.prod(data.shape))
    parts, least = [], np.finfo(np.float64).eps
    for start in range(0, len(data.validation), step):
        x = view(_rows(data, slice(start, start + step), train=False))
        if data.target.task == "regression":
            parts.append(np.asarray(model.predict(x), dtype=np.float64))
            continue
        if data.target.task == "multilabel":
            chances = model.predict_proba(x).clip(least, 1 - least)
            parts.append(np.log(chances) - np.log1p(-chances))
            continue
        shares = np.zeros((len(x), data.outputs))
        shares[:, model.classes_] = model.predict_proba(x)
        parts.append(np.log(np.maximum(shares, least)))
    return torch.from_numpy(np.concatenate(parts))


def _targets(data: DataSet, *, train: bool) -> Tensor:
    """Classes, or values in the target's unit."""
    y = (data.train if train else data.validation).y
    return data.target.in_units(y.double()) if data.target.task == "regression" else y


# With the study of the trainings, so that nobody has to train them again.


MEASURED = "tuner:yardsticks"
"""The attribute of a study of replicas that holds the yardsticks."""
VERSION = 1
"""Of how they are trained; those of another version are trained again."""


def store(storage: Storage, study_id: int, rows: str, measured: Sequence[Yardstick]) -> None:
    """Stores yardsticks with a study of replicas.

    Args:
        rows: "test" or "validation", on which they are measured.
    """
    record = {"version": VERSION, "rows": rows, "yardsticks": [asdict(each) for each in measured]}
    storage.set_study_user_attr(study_id, MEASURED, record)


def stored(storage: Storage, study_id: int, rows: str) -> tuple[Yardstick, ...]:
    """The yardsticks that are stored with a study of replicas; empty if none are, on these rows."""
    record = storage.get_study_user_attrs(study_id).get(MEASURED)
    if record is None or (record["version"], record["rows"]) != (VERSION, rows):
        return ()
    return tuple(
        Yardstick(each["name"], each["value"], tuple(each["left_out"]), each["note"])
        for each in record["yardsticks"]
    )


# Against the answer of `confirm`.


@dataclass(frozen=True)
class Rival:
    """The baseline or a yardstick against the answer, the winner or the ensemble, on the same rows.

    Attributes:
        value: the metric; of the baseline the mean over seeds; None where it was not measured.
        gain: how much better than the answer it is, above zero whatever the direction, in the mean
            over the winner's seeds.
        low, high: of the 95% interval of the gain, over seeds and over rows, of a yardstick against
            an ensemble over rows alone; None with a single seed of the winner, and with fewer than
            two rows for each of the groups that are left out in turn.
        wins: whether the whole interval is above zero.
        note: as in a ``Yardstick``.
    """

    name: str
    value: float | None
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    wins: bool = False
    note: str = ""


def rival(
    name: str,
    results: Sequence[Result],
    answer: Sequence[Result],
    metric: str,
    direction: str,
    *,
    fixed: bool = False,
) -> Rival:
    """The results of another model against those of the answer, in pairs.

    Args:
        fixed: neither has seeds, so that the interval is over rows alone.
    """
    sign, pairs = sign_of(direction), list(zip(results, answer, strict=True))
    gains = [sign * (a.value - b.value) for a, b in pairs]
    without = [
        [sign * (x - y) for x, y in zip(a.left_out, b.left_out, strict=True)]
        for a, b in pairs
        if a.left_out and len(a.left_out) == len(b.left_out)
    ]
    value, gain = fmean(each.value for each in results), fmean(gains)
    if len(gains) < 2 - fixed or len(without) < len(gains):
        return Rival(name, value, gain)
    bounds = of_differences(limits(metric))
    spread: OfRows | Estimate = over_seeds_and_rows(gains, without, bounds)
    if fixed:
        spread = over_rows(gain, jackknife_variance(without[0]), len(without[0]), bounds)
    return Rival(name, value, gain, spread.low, spread.high, spread.low > 0)


def rivals(
    measured: Sequence[Yardstick],
    baseline: Mapping[int, Result],
    winner: Mapping[int, Result],
    metric: str,
    direction: str,
    together: Result | None = None,
) -> tuple[Rival, ...]:
    """The baseline and the yardsticks against the answer.

    Args:
        baseline, winner: results by seed; no baseline where it is the answer, or has none.
        together: of the ensemble, where that is the answer.
    """
    if not winner:
        return ()
    seeds = sorted(baseline if together else baseline.keys() & winner.keys())
    against: list[Rival] = []
    if seeds:
        own = [together or winner[seed] for seed in seeds]
        against.append(rival("baseline", [baseline[s] for s in seeds], own, metric, direction))
    own = [together] if together else list(winner.values())
    for each in measured:
        if each.value is None:
            against.append(Rival(each.name, None, note=each.note))
            continue
        results = [Result(each.value, each.left_out)] * len(own)
        fixed = together is not None
        compared = rival(each.name, results, own, metric, direction, fixed=fixed)
        against.append(replace(compared, note=each.note))
    return tuple(against)
