"""Summarizes predictions on the measured rows, and how much a metric depends on those rows."""

from __future__ import annotations

import math
import statistics
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from tuner.devices import deterministic
from tuner.errors import TrainingError
from tuner.metrics import Metric
from tuner.training.evaluate import in_chunks
from tuner.training.trainer import Course, Trainer

# How much a metric depends on the rows in the split.


GROUPS = 20


def left_out(course: Course) -> list[float]:
    """The metric on the validation rows without each of 20 groups of them in turn.

    For the delete-a-group jackknife (Kott 2001). Row i is in group i modulo 20; empty where there
    are fewer rows than two a group, or a metric cannot be computed of some of them. Of folds the
    mean over them, each without that group of its own rows.
    """
    each = [_left_out(part) for part in course.parts]
    return [sum(values) / len(each) for values in zip(*each, strict=True)] if all(each) else []


def standard_error(course: Course, value: float) -> dict[str, float]:
    """``standard_error`` of a value over the validation rows; empty where it is not known.

    Of an accuracy binomial, at its value with two rows more, one of them right (Laplace's rule), so
    that it is never 0; of other metrics by the jackknife.
    """
    if course.parts[-1].metric.name == "accuracy":
        splits = [part.data.validation for part in course.parts]
        rows = sum(effective_rows(len(each), each.weight) for each in splits)
        share = (value * rows + 1) / (rows + 2)
        return {"standard_error": math.sqrt(share * (1 - share) / rows)}
    without = left_out(course)
    if not without:
        return {}
    return {"standard_error": math.sqrt((GROUPS - 1) * statistics.pvariance(without))}


def effective_rows(count: int, weights: Tensor | None) -> float:
    """So many rows without weights tell as much as these (Kish 1965)."""
    return count if weights is None else float(weights.sum() ** 2 / weights.square().sum())


@torch.inference_mode()
def _left_out(trainer: Trainer) -> list[float]:
    return without_groups(trainer.metric, *outputs_of(trainer), weights_of(trainer))


def without_groups(
    metric: Metric, outputs: Tensor, y: Tensor, weights: Tensor | None = None
) -> list[float]:
    """A metric of outputs and targets without each group of rows in turn, as ``left_out``."""
    if len(y) < 2 * GROUPS:
        return []
    groups = torch.arange(len(y)) % GROUPS
    remaining = [groups != group for group in range(GROUPS)]

    def value(rows: Tensor) -> float:
        own = None if weights is None else weights[rows]
        return float(metric.function(outputs[rows], y[rows], own))

    try:
        values = [value(rows) for rows in remaining]
    except TrainingError:  # a function of the user's may need every row
        return []
    return values if all(map(math.isfinite, values)) else []


@torch.inference_mode()
def outputs_of(trainer: Trainer) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs and targets of the validation rows as metrics take them: logits ``[N, C]`` and
    classes ``[N]``, or two ``[N]`` in the target's own unit; of labels and of several quantities
    both are ``[N, O]``. On the CPU, where asking about them makes nobody wait."""
    weights = trainer.weights()
    network = trainer.network.eval()

    def forward(x: torch.Tensor) -> torch.Tensor:
        return functional_call(network, weights, (x,))  # type: ignore[no-any-return]

    rows, target = trainer.data.validation, trainer.data.target
    with deterministic(trainer.plan.deterministic, trainer.device):
        outputs, y = in_chunks(forward, rows.x).cpu(), rows.y.cpu()
    return target.judged(outputs, y)


def weights_of(trainer: Trainer) -> Tensor | None:
    """The weights of the validation rows ``[N]``, on the CPU."""
    weight = trainer.data.validation.weight
    return None if weight is None else weight.cpu()


# A summary of the predictions on the measured rows, small enough to keep with a trial.


MOST_CLASSES, BINS, PAIRS = 40, 10, 500


@torch.inference_mode()
def outcome(trainer: Trainer) -> dict[str, Any]:
    """A summary of the predictions on the validation rows; of a final training, on the test rows.

    Of classes: ``confusion``, rows of actual by columns of predicted class (left out beyond 40
    classes), with ``classes``, and ``calibration``: for each tenth of the largest probability
    ``[rows, mean probability, observed accuracy]`` (Guo et al. 2017). Of a quantity, in its
    own unit: ``actual`` and ``predicted`` of at most 500 rows, evenly over all. Of up to 40 labels
    or quantities ``each``: its ``name``, the metric as its ``value``, None where it has none, and
    of a label ``calibration``: for each tenth of its probability ``[rows, mean probability,
    observed share]``.
    """
    target = trainer.data.target
    outputs, y = outputs_of(trainer)
    if target.names:
        return {"each": _of_each(trainer, outputs, y)}
    if target.task == "regression":
        sample = torch.linspace(0, len(y) - 1, min(PAIRS, len(y))).round().long()
        return {"actual": _rounded(y[sample]), "predicted": _rounded(outputs[sample])}
    sure, named = outputs.double().softmax(1).max(1)
    summary: dict[str, Any] = {"calibration": _calibration(sure, (named == y).double())}
    count = outputs.shape[1]
    if count <= MOST_CLASSES:
        cells = (y * count + outputs.argmax(1)).bincount(minlength=count * count)
        summary["confusion"] = cells.reshape(count, count).tolist()
        summary["classes"] = [str(name) for name in target.classes]
    return summary


def outcomes(course: Course) -> dict[str, Any]:
    """``confusion`` and ``classes``, or ``actual`` and ``predicted``, on the validation rows; of
    folds, over the rows of all folds."""
    summaries = [outcome(part) for part in course.parts]
    if all("actual" in each for each in summaries):
        return {
            key: [v for each in summaries for v in each[key]] for key in ("actual", "predicted")
        }
    if any(each.get("classes") != summaries[0].get("classes") for each in summaries):
        return {}
    if "confusion" not in summaries[0]:
        return {}
    tables = torch.tensor([each["confusion"] for each in summaries])
    return {"classes": summaries[0]["classes"], "confusion": tables.sum(0).tolist()}


def _of_each(trainer: Trainer, outputs: Tensor, y: Tensor) -> list[dict[str, Any]]:
    target, metric, weights = trainer.data.target, trainer.metric, weights_of(trainer)
    summaries = []
    for k, name in enumerate(target.names[:MOST_CLASSES]):
        own, actual = outputs[:, k : k + 1], y[:, k : k + 1]
        try:
            value = float(metric.function(own, actual, weights))
        except TrainingError:  # a function of the user's may need every target
            value = math.nan
        summary: dict[str, Any] = {"name": name, "value": value if math.isfinite(value) else None}
        if target.task == "multilabel":
            chances = own.double().sigmoid().squeeze(1)
            summary["calibration"] = _calibration(chances, actual.double().squeeze(1))
        summaries.append(summary)
    return summaries


def _calibration(sure: Tensor, right: Tensor) -> list[list[float]]:
    """Probabilities ``[N]`` and what came true, by tenths."""
    bins = (sure * BINS).long().clamp(max=BINS - 1)
    table = []
    for i in range(BINS):
        mine = bins == i
        count = int(mine.sum())
        means = (sure[mine].mean(), right[mine].mean()) if count else ()
        table.append([count, *(round(float(each), 6) for each in means or (0.0, 0.0))])
    return table


def _rounded(values: Tensor) -> list[float]:
    return [float(f"{value:.6g}") for value in values.tolist()]


# The predictions on the measured rows themselves, for averages over several networks.


ROWS, NUMBERS = 20_000, 2**19
"""The most rows, and the most numbers, that are kept of the predictions of a training."""


def most_rows(outputs: int) -> int:
    """The most rows that are kept, of so many outputs."""
    return min(ROWS, NUMBERS // outputs)


@torch.inference_mode()
def predictions(course: Course) -> dict[str, Tensor]:
    """The predictions on the validation rows; of folds, on the rows of each in their order.

    Of more than ROWS, or NUMBERS, those of as many rows as that allows, evenly over all.

    Returns:
        ``outputs``: float32 probabilities [N, C], or values [N] in the target's unit; ``targets``
        [N]; of labels and of several quantities both [N, O]; ``sizes``: the rows of each fold;
        ``weights`` [N], where rows have any.
    """
    rows = most_rows(course.parts[-1].data.outputs) // len(course.parts)
    parts = [_predictions(part, max(1, rows)) for part in course.parts]
    record = {
        "outputs": torch.cat([outputs for outputs, _, _ in parts]).float(),
        "targets": torch.cat([y for _, y, _ in parts]),
        "sizes": torch.tensor([len(y) for _, y, _ in parts]),
    }
    if any(part.data.validation.weight is not None for part in course.parts):
        record["weights"] = torch.cat([weights for _, _, weights in parts])
    return record


def _predictions(trainer: Trainer, most: int) -> tuple[Tensor, Tensor, Tensor]:
    weights = weights_of(trainer)
    outputs, y = outputs_of(trainer)
    sample = torch.linspace(0, len(y) - 1, min(most, len(y)), dtype=torch.float64).round().long()
    outputs, y = outputs[sample], y[sample]
    own = torch.ones(len(y)) if weights is None else weights[sample].float()
    return trainer.data.target.shares(outputs), y, own
