"""How good the best configurations really are: trained again over seeds, measured on test rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median_high
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial, TrialState

from tuner.answers.estimate import Estimate, Limits, over_seeds
from tuner.answers.replicas import Replica, Result, find, finished, results
from tuner.errors import UsageError
from tuner.metrics import limits
from tuner.space import Config
from tuner.storage import Storage, measured
from tuner.study import Study
from tuner.techniques import ENDING

if TYPE_CHECKING:
    import pandas as pd

WHAT = "confirm"
BASELINE = "baseline"
Key = tuple[str, int, bool]


@dataclass(frozen=True)
class Measured:
    """A configuration over seeds.

    Attributes:
        label: "baseline", or "trial N".
        number: of the trial in the search.
        config: the value of every leaf.
        validation: trained on the training rows, measured on the validation rows.
        test: trained on both, measured on the test rows; none where there are none.
    """

    label: str
    number: int
    config: Config
    validation: Estimate
    test: Estimate | None


@dataclass(frozen=True)
class Confirmation:
    """What was confirmed.

    Attributes:
        study, metric, direction: "maximize" or "minimize".
        rows: the configurations, the best by the mean on the validation rows first.
        winner: the first of them, which may be the baseline; never chosen by the test rows.
        baseline: none where it has no result.
        seeds: trainings of each.
        folds: over which a number on the validation rows is the mean, with a network of each; the
            test rows have one network, trained on all others.
    """

    study: str
    metric: str
    direction: str
    rows: tuple[Measured, ...]
    winner: Measured
    baseline: Measured | None
    seeds: int
    folds: int | None = None

    @property
    def best_but_baseline(self) -> Measured | None:
        """The first configuration that the search found."""
        return next((each for each in self.rows if each is not self.baseline), None)

    def to_frame(self) -> pd.DataFrame:
        """A row for each configuration."""
        import pandas as pd

        rows = []
        for each in self.rows:
            row: dict[str, Any] = {"label": each.label, "trial": each.number}
            for name, found in (("validation", each.validation), ("test", each.test)):
                for key in ("mean", "sd", "low", "high"):
                    row[f"{name} {key}"] = None if found is None else asdict(found)[key]
            rows.append(row)
        return pd.DataFrame(rows)


def candidates(
    study: Study, trials: Sequence[FrozenTrial], direction: str, top: int
) -> list[FrozenTrial]:
    """The best complete trials, of equal configurations one, without the baseline.

    Raises:
        UsageError: no trial is complete.
    """
    done = [t for t in trials if t.state == TrialState.COMPLETE and t.values]
    if not done:
        raise UsageError(
            f"no trial of {study.name!r} is complete yet",
            hint=f"tuner optimize --study {study.name} trains some",
        )
    sign = -1 if direction == "maximize" else 1
    found = [trial for trial in trials if trial.number == 0]  # others like it are the baseline too
    for trial in sorted(done, key=lambda t: (sign * t.values[0], t.number)):
        if all(trial.params != other.params for other in found):
            found.append(trial)
    return [trial for trial in found if trial.number > 0][:top]


def wanted(
    study: Study, trials: Sequence[FrozenTrial], direction: str, top: int, seeds: int
) -> list[Replica]:
    """The trainings to measure on the validation rows; the baseline's too."""
    chosen = {f"trial {t.number}": t for t in candidates(study, trials, direction, top)}
    first = next((t for t in trials if t.number == 0), None)
    if first is not None and first.state == TrialState.COMPLETE:
        chosen[BASELINE] = first
    return [
        Replica(label, trial.params, seed)
        for seed in range(seeds)
        for label, trial in chosen.items()
    ]


def on_test_rows(validated: Sequence[Replica], epochs: Mapping[str, int]) -> list[Replica]:
    """The same trainings on all rows of the search, each with the epochs that were found."""
    return [
        replace(
            each,
            final=True,
            stop_after=epochs.get(each.label),
            override={**each.override, **ENDING},
        )
        for each in validated
    ]


def epochs_found(storage: Storage, study: Study) -> dict[str, int]:
    """After how many epochs each configuration was at its best on the validation rows.

    The median over its seeds: one alone may have been lucky early.
    """
    found: dict[str, list[int]] = defaultdict(list)
    for (label, _, final), (_, trial) in finished(storage, study, WHAT).items():
        if not final and "best_epoch" in trial.user_attrs:
            found[label].append(int(trial.user_attrs["best_epoch"]))
    return {label: median_high(epochs) for label, epochs in found.items()}


def read(storage: Storage, study: Study) -> Confirmation | None:
    """What has been confirmed so far; none where nothing was."""
    study_id = find(storage, study.name)
    found = results(storage, study, WHAT)
    if study_id is None or not found:
        return None
    trials = storage.get_all_trials(study_id, deepcopy=False)
    metric, direction = measured(storage, study_id)
    rows = _measured(study, trials, found, limits(metric))
    if not rows:
        return None
    sign = -1 if direction == "maximize" else 1
    rows.sort(key=lambda each: sign * each.validation.mean)
    baseline = next((each for each in rows if each.label == BASELINE), None)
    seeds = max(len(each.validation.values) for each in rows)
    said = study.name, metric, direction
    return Confirmation(*said, tuple(rows), rows[0], baseline, seeds, study.folds)


def _measured(
    study: Study, trials: Sequence[FrozenTrial], found: dict[Key, Result], bounds: Limits
) -> list[Measured]:
    rows = []
    for label in dict.fromkeys(key[0] for key in found):
        number = 0 if label == BASELINE else int(label.removeprefix("trial "))
        validation, test = (_over_seeds(found, label, f, bounds) for f in (False, True))
        if validation is not None:
            config = study.config(trials[number].params)
            rows.append(Measured(label, number, config, validation, test))
    return rows


def _over_seeds(
    found: dict[Key, Result], label: str, final: bool, bounds: Limits
) -> Estimate | None:
    mine = sorted(
        (key[1], result.value)
        for key, result in found.items()
        if key[0] == label and key[2] == final
    )
    return over_seeds([value for _, value in mine], bounds) if mine else None
