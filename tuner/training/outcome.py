"""What predictions on the rows that are measured look like, small enough to keep with a trial."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tuner.training.folds import Folds
from tuner.training.groups import outputs_of
from tuner.training.plain import Trainer

MOST_CLASSES, BINS, PAIRS = 40, 10, 500


@torch.inference_mode()
def outcome(trainer: Trainer) -> dict[str, Any]:
    """How the predictions on the validation rows (of a final training: the test rows) fall out.

    Of classes: ``confusion``, rows of actual by columns of predicted class (left out beyond 40
    classes), with ``classes``, and ``calibration``: for each tenth of the largest probability
    ``[rows, mean probability, observed accuracy]`` (Guo et al. 2017). Of a quantity, in its
    own unit: ``actual`` and ``predicted`` of at most 500 rows, evenly over all.
    """
    outputs, y = outputs_of(trainer)
    target = trainer.data.target
    if target.task == "regression":
        kept = torch.linspace(0, len(y) - 1, min(PAIRS, len(y))).round().long()
        return {"actual": _rounded(y[kept]), "predicted": _rounded(outputs[kept])}
    found: dict[str, Any] = {"calibration": _calibration(outputs, y)}
    count = outputs.shape[1]
    if count <= MOST_CLASSES:
        cells = (y * count + outputs.argmax(1)).bincount(minlength=count * count)
        found["confusion"] = cells.reshape(count, count).tolist()
        found["classes"] = [str(name) for name in target.classes]
    return found


def outcomes(trainer: Trainer | Folds) -> dict[str, Any]:
    """``confusion`` and ``classes``, or ``actual`` and ``predicted``, on the validation rows; of
    folds, those of all of them together."""
    if isinstance(trainer, Trainer):
        return outcome(trainer)
    found = [outcome(part) for part in trainer.parts]
    if all("actual" in each for each in found):
        return {key: [v for each in found for v in each[key]] for key in ("actual", "predicted")}
    if any(each.get("classes") != found[0].get("classes") for each in found):
        return {}
    if "confusion" not in found[0]:
        return {}
    tables = torch.tensor([each["confusion"] for each in found])
    return {"classes": found[0]["classes"], "confusion": tables.sum(0).tolist()}


def _calibration(outputs: Tensor, y: Tensor) -> list[list[float]]:
    sure, named = outputs.double().softmax(1).max(1)
    right = (named == y).double()
    bins = (sure * BINS).long().clamp(max=BINS - 1)
    found = []
    for i in range(BINS):
        mine = bins == i
        count = int(mine.sum())
        means = (sure[mine].mean(), right[mine].mean()) if count else ()
        found.append([count, *(round(float(each), 6) for each in means or (0.0, 0.0))])
    return found


def _rounded(values: Tensor) -> list[float]:
    return [float(f"{value:.6g}") for value in values.tolist()]
