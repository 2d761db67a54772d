"""Chooses the trial to export, and writes its study file with every parameter fixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial
from torch import nn

from tuner.data import DataSet
from tuner.data.recipe import Recipe
from tuner.errors import DataError, UsageError
from tuner.output import toml_rows, toml_table
from tuner.results import confirm
from tuner.results.best import recommended
from tuner.results.confirm import Confirmation, Measured
from tuner.results.ensemble import Ensemble
from tuner.results.replicas import finished_replicas
from tuner.show.answers import beaten, unfinished
from tuner.show.best import snippet, with_leaves
from tuner.space import Config
from tuner.storage import Storage
from tuner.study import Study
from tuner.study.catalogue import DATA_LEAVES
from tuner.study.trials import LeftOut, Own, check_number, complete
from tuner.techniques import Shape
from tuner.worker.job import NetworkJob

# Which trial of a study is exported.


@dataclass(frozen=True)
class Chosen:
    """A complete trial.

    Attributes:
        why: the reason for this choice.
        confirmed: its numbers over seeds, where it was confirmed.
        unfinished: what `confirm` has left to train, and how; empty if nothing is left.
        beaten: what beats the winner of `confirm`, in words; else empty.
        left_out: trials that other programs added and that do not count.
    """

    trial: FrozenTrial
    why: str
    confirmed: Measured | None = None
    unfinished: str = ""
    beaten: str = ""
    left_out: tuple[LeftOut, ...] = ()


def chosen(storage: Storage, study: Study, study_id: int, number: int | None) -> Chosen:
    """The trial of a number; else the confirmed winner; else the best of the search.

    Raises:
        UsageError: no trial is complete yet, or that one is not.
        TrainingError: none is complete, and there will be none.
    """
    if number is not None:
        _check(Own(study), storage.get_all_trials(study_id, deepcopy=False), number)
        confirmation, why = confirm.read(storage, study), "the one given by --trial"
    else:
        recommendation = recommended(storage, study, study_id)
        confirmation, number = recommendation.confirmed, recommendation.number
        why = _why(confirmation)
    trials: list[FrozenTrial] = storage.get_all_trials(study_id, deepcopy=False)
    left = "" if confirmation is None else unfinished(confirmation)
    better = "" if confirmation is None else beaten(confirmation)
    rows = () if confirmation is None else confirmation.rows
    confirmed = {each.number: each for each in rows}.get(number)
    return Chosen(trials[number], why, confirmed, left, better, Own(study).left_out(trials))


def _why(confirmation: Confirmation | None) -> str:
    if confirmation is None:
        return "the best of the search, not confirmed"
    return f"the winner of {'' if confirmation.finished else 'an unfinished '}`tuner confirm`"


def _check(own: Own, trials: list[FrozenTrial], number: int) -> None:
    name = own.study.name
    check_number(name, number, len(trials))
    trial = trials[number]
    reason = own.reason(trial)
    if complete(trial) and not reason:
        return
    state = trial.state.name.lower()
    if state == "complete" and reason:
        message = f"trial {number} is another program's: {reason}"
        raise UsageError(
            message, where=name, hint=f"`tuner best --study {name}` names the best of its own"
        )
    best = f"`tuner best --study {name}` names one that is"
    raise UsageError(f"trial {number} is {state} and not complete", where=name, hint=best)


def chosen_members(
    storage: Storage, study: Study, confirmation: Confirmation, together: Ensemble, final: bool
) -> list[tuple[Chosen, FrozenTrial]]:
    """The configuration of each member of an ensemble, and the training of `confirm` to repeat.

    Args:
        final: that on all rows of the search, not that on the training rows.

    Raises:
        DataError: final, and there are no test rows.
    """
    study_id = storage.get_study_id_from_name(study.name)
    trials: list[FrozenTrial] = storage.get_all_trials(study_id, deepcopy=False)
    done = finished_replicas(storage, study, confirm.COMMAND)
    rows = {each.number: each for each in confirmation.rows}
    left_out, better, members = Own(study).left_out(trials), beaten(confirmation), []
    for each in together.members:
        key = (each.label, each.seed, final)
        if key not in done:
            hint = "the networks of the training rows need neither --final nor --all-rows"
            raise DataError("there are no test rows", where=study.name, hint=hint)
        why = "a member of the ensemble of `tuner confirm`"
        choice = Chosen(trials[each.number], why, rows[each.number], "", better, left_out)
        members.append((choice, done[key][1]))
    return members


# A trained configuration, and its study file with every parameter fixed.


@dataclass(frozen=True)
class Trained:
    """A configuration, trained.

    Attributes:
        network: of plain layers, with the weights that `value` was measured with.
        value: the metric on the validation rows, or on the test rows of a final training.
        probabilities: whether they are calibrated, in words; empty for values.
    """

    job: NetworkJob
    chosen: Chosen
    config: Config
    data: DataSet
    network: nn.Module
    seed: int
    epochs: int
    value: float
    final: bool
    probabilities: str = ""

    @property
    def recipe(self) -> Recipe:
        """From raw rows to the network's input."""
        assert self.data.recipe is not None
        return self.data.recipe


@dataclass(frozen=True)
class TrainedEnsemble:
    """The members of an ensemble, trained, as one network.

    Attributes:
        members: the heaviest first, with their weights.
        recipes: the preprocessings that they need, each once.
        network: of the numbers of all recipes to the average of the members.
        value: the metric on the validation rows, or on the test rows of a final training.
        slowdown: how many times longer it takes for a batch than its heaviest member does.
        line: what it is worth, in words.
        probabilities: whether they are calibrated, in words; empty for values.
    """

    members: tuple[Trained, ...]
    weights: tuple[float, ...]
    recipes: tuple[Recipe, ...]
    network: nn.Module
    value: float
    slowdown: float
    line: str
    probabilities: str = ""

    def input_of(self, member: Trained) -> int:
        """The number of a member's recipe."""
        return next(i for i, each in enumerate(self.recipes) if each is member.recipe)

    @property
    def shape(self) -> Shape:
        """Of a row with the numbers of all recipes."""
        first, *others = (tuple(each.shape) for each in self.recipes)
        return (first[0] + sum(each[0] for each in others), *first[1:])

    @property
    def configurations(self) -> dict[int, list[Trained]]:
        """The members with each configuration, by the number of its trial."""
        found: dict[int, list[Trained]] = {}
        for each in self.members:
            found.setdefault(each.chosen.trial.number, []).append(each)
        return found


def study_file(trained: Trained, seeds: Sequence[int] = ()) -> str:
    """The study with one configuration in place of its ranges.

    Args:
        seeds: with which it was trained, if there are several.
    """
    study, trial = trained.job.study, trained.chosen.trial.number
    several = len(seeds) > 1
    with_seeds = (
        f"the seeds {', '.join(map(str, seeds))}" if several else f"the seed {trained.seed}"
    )
    leaves = [leaf.name for leaf in DATA_LEAVES]
    named = {key: study.document[key] for key in ("metric", "direction") if key in study.document}
    lines = [
        f"# Trial {trial} of {study.name!r}, trained with {with_seeds}.",
        *toml_rows({"description": study.description, "metric": trained.job.metric.name, **named}),
        "",
        toml_table("data", _fixed_data(trained)),
        "",
        snippet({k: v for k, v in trained.config.items() if k not in leaves}),
        toml_table("search", {"trials": 1}),
    ]
    return "\n".join(lines) + "\n"


def _fixed_data(trained: Trained) -> dict[str, Any]:
    """``[data]`` with the configuration's values at its leaves."""
    config = trained.config
    leaves = {
        leaf.name: with_leaves(config, config[leaf.name]) if leaf.options else config[leaf.name]
        for leaf in DATA_LEAVES
    }
    return {**trained.job.study.document["data"], **leaves}
