"""Stores the weights of the best trials with a plot of their predictions, and the predictions of
trainings that are averaged."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from tuner.errors import MissingError
from tuner.pictures import confusion, residuals
from tuner.storage import Artifacts, OutageError
from tuner.storage.attached import metadata
from tuner.worker.job import keeps_predictions

if TYPE_CHECKING:
    from tuner.training.trainer import Course

KEEP = 3
"""The number of trials whose weights are kept."""
WEIGHTS, CONFUSION, RESIDUALS = "weights.safetensors", "confusion.svg", "residuals.svg"
PREDICTIONS = "predictions.safetensors"


@dataclass(frozen=True)
class Attachments:
    """Files of a trial, as the keywords of the ``Update`` that attaches them."""

    user_attrs: dict[str, Any] = field(default_factory=dict)
    system_attrs: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)


class Keeper:
    """Attaches the weights and a picture to those trials that are among the best when they end.

    Pictures stay; ``tuner.storage.artifacts`` removes weights when there are better trials.

    Args:
        store: the store of artifacts.
        view: where to read the other trials.
        study_id: the study's.
        maximize: whether a larger value is better.
    """

    def __init__(self, store: Artifacts, view: BaseStorage, study_id: int, maximize: bool) -> None:
        self._store, self._view = store, view
        self._study_id, self._sign = study_id, 1 if maximize else -1

    def attachments(self, course: Course, trial: FrozenTrial, value: float) -> Attachments:
        """The files to attach to a complete trial; none if it is not among the best.

        A file that cannot be stored does not fail the trial: the attribute ``not_kept`` says why.
        """
        if not self._among_best(value):
            return Attachments()
        return _attached(self._store, lambda: _files(course, trial, value))

    def _among_best(self, value: float) -> bool:
        try:
            complete = self._view.get_all_trials(
                self._study_id, deepcopy=False, states=(TrialState.COMPLETE,)
            )
        except OutageError:  # it may be
            return True
        except MissingError:  # the study was deleted
            return False
        better = (t for t in complete if t.values and self._sign * (t.values[0] - value) >= 0)
        return len(list(islice(better, KEEP))) < KEEP


class PredictionKeeper:
    """Attaches its predictions to each training that is to keep them; they stay."""

    def __init__(self, store: Artifacts) -> None:
        self._store = store

    def attachments(self, course: Course, trial: FrozenTrial, _: float) -> Attachments:
        """The file to attach to a complete trial; errors as for a ``Keeper``."""
        from safetensors.torch import save

        from tuner.training.outcome import predictions

        if not keeps_predictions(trial):
            return Attachments()
        return _attached(self._store, lambda: [(PREDICTIONS, save(predictions(course)))])


def _attached(store: Artifacts, make: Callable[[], list[tuple[str, bytes]]]) -> Attachments:
    """Stores files; what cannot be made or stored is named in the attribute ``not_kept``."""
    attachments, limit = Attachments(), store.limit
    try:
        for name, data in make():
            if limit is not None and len(data) > limit:
                attachments.user_attrs["not_kept"] = _too_large(name, len(data), limit)
                continue
            artifact_id = str(uuid.uuid4())
            attachments.artifacts.update(store.stage(artifact_id, data))
            attachments.system_attrs.update(metadata(artifact_id, name))
    except Exception as error:  # a bucket that is away, memory, a class without a name
        attachments.user_attrs["not_kept"] = f"{type(error).__name__}: {error}"
    return attachments


def _too_large(name: str, size: int, limit: int) -> str:
    return (
        f"{name} has {size / 2**20:.1f} MiB, and the database takes {limit / 2**20:.0f} MiB; "
        "TUNER_ARTIFACTS names a place for larger ones"
    )


def _files(course: Course, trial: FrozenTrial, value: float) -> list[tuple[str, bytes]]:
    """Names and contents."""
    from safetensors.torch import save

    from tuner.training.outcome import outcomes

    facts = {"trial": trial.number, "seed": course.seed, course.metric.name: value}
    description = json.dumps({**facts, "configuration": course.config}, sort_keys=True)
    weights = {name: tensor.cpu().contiguous() for name, tensor in course.weights().items()}
    files = [(WEIGHTS, save(weights, {"tuner": description}))]
    summary = outcomes(course)
    title = f"trial {trial.number}, validation rows"
    if "confusion" in summary:
        drawn = confusion(summary["classes"], summary["confusion"], title)
        files.append((CONFUSION, drawn.encode()))
    elif "actual" in summary:
        drawn = residuals(summary["actual"], summary["predicted"], title)
        files.append((RESIDUALS, drawn.encode()))
    return files
