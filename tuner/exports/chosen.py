"""Which trial of a study is exported."""

from __future__ import annotations

from dataclasses import dataclass

from optuna.trial import FrozenTrial

from tuner.answers import confirm
from tuner.answers.confirm import Measured
from tuner.errors import UsageError
from tuner.storage import Storage, measured
from tuner.study import Study
from tuner.views.answers import unfinished
from tuner.views.trials import best_trial, complete


@dataclass(frozen=True)
class Chosen:
    """A complete trial.

    Attributes:
        why: it and not another.
        confirmed: its numbers over seeds, where it was confirmed.
        unfinished: what `confirm` has left to train, and how; empty if nothing is left.
    """

    trial: FrozenTrial
    why: str
    confirmed: Measured | None = None
    unfinished: str = ""


def chosen(storage: Storage, study: Study, study_id: int, number: int | None) -> Chosen:
    """The trial of a number; else the confirmed winner; else the best of the search.

    Raises:
        UsageError: no trial is complete, or that one is not.
    """
    trials: list[FrozenTrial] = storage.get_all_trials(study_id, deepcopy=False)
    done = [trial for trial in trials if complete(trial)]
    if number is not None:
        _check(study.name, trials, done, number)
    if not done:
        raise UsageError(
            f"no trial of {study.name!r} is complete yet",
            hint=f"tuner optimize --study {study.name} trains some",
        )
    found = confirm.read(storage, study)
    confirmed = {each.number: each for each in found.rows} if found else {}
    left = "" if found is None else unfinished(found)
    if number is not None:
        return Chosen(trials[number], "the one that was asked for", confirmed.get(number), left)
    if found is not None:
        winner = found.winner.number
        why = f"the winner of {'an unfinished ' if left else ''}`tuner confirm`"
        return Chosen(trials[winner], why, confirmed[winner], left)
    best = best_trial(done, measured(storage, study_id)[1])
    assert best is not None
    return Chosen(best, "the best of the search, not confirmed")


def _check(name: str, trials: list[FrozenTrial], done: list[FrozenTrial], number: int) -> None:
    if not 0 <= number < len(trials):
        hint = f"0 to {len(trials) - 1}" if trials else f"tuner optimize --study {name} makes some"
        raise UsageError(f"the study has no trial {number}", where=name, hint=hint)
    if trials[number] in done:
        return
    state = trials[number].state.name.lower()
    best = f"`tuner best --study {name}` names one that is"
    raise UsageError(f"trial {number} is {state} and not complete", where=name, hint=best)
