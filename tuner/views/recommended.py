"""The configuration that a user would take: the confirmed winner, else the best of the search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tuner.answers import confirm
from tuner.answers.confirm import Confirmation
from tuner.space import Config
from tuner.study.trials import LeftOut, Own
from tuner.views.trials import Best, baseline_of, best_trial

if TYPE_CHECKING:
    import pandas as pd

    from tuner.storage import Storage
    from tuner.study import Study


@dataclass(frozen=True)
class Recommendation:
    """A configuration and its numbers.

    Attributes:
        study, metric, direction: what was searched for, and whether more or less is better.
        number, value: of its trial, one training of the search.
        measured_on: what the value was measured on, in words.
        configuration: the value of every parameter.
        baseline: where it is complete.
        first: the best of the search; another one where `confirm` chose otherwise.
        confirmed: what `confirm` measured, and whether it is finished; none where it has not run,
            and the trial was then chosen by the very value that is shown.
        facts: the trial's attributes: epochs, seconds, seed, device, …
        left_out: trials that other programs told, and that are none of the study's.
    """

    study: str
    metric: str
    direction: str
    number: int
    value: float
    measured_on: str
    configuration: Config
    baseline: Best | None
    first: int
    confirmed: Confirmation | None = field(repr=False)
    facts: Mapping[str, Any] = field(repr=False)
    left_out: tuple[LeftOut, ...] = field(default=(), repr=False)

    def to_frame(self) -> pd.DataFrame:
        """A row for each parameter: its value, the baseline's, and whether they differ."""
        import pandas as pd

        before = {} if self.baseline is None else self.baseline.config
        rows = [
            {
                "leaf": name,
                "value": value,
                "baseline": before.get(name),
                "differs": before.get(name) != value,
            }
            for name, value in self.configuration.items()
        ]
        return pd.DataFrame(rows).set_index("leaf")


def recommended(storage: Storage, study: Study, study_id: int) -> Recommendation | None:
    """Reads it; none if no trial is complete."""
    from tuner.storage import measured

    trials = storage.get_all_trials(study_id, deepcopy=False)
    metric, direction = measured(storage, study_id)
    own = Own(study)
    mine = own(trials)
    best = best_trial(mine, direction)
    if best is None:
        return None
    confirmed = confirm.read(storage, study)
    trial = best if confirmed is None else trials[confirmed.winner.number]
    assert trial.values is not None
    return Recommendation(
        study=study.name,
        metric=metric,
        direction=direction,
        number=trial.number,
        value=trial.values[0],
        measured_on=study.measured_on,
        configuration=study.config(trial.params),
        baseline=baseline_of(study, mine),
        first=best.number,
        confirmed=confirmed,
        facts=trial.user_attrs,
        left_out=own.left_out(trials),
    )
