"""Retrains a configuration and writes its export."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from optuna.trial import FrozenTrial
from safetensors.torch import save
from torch import Tensor, nn

from tuner.data import DataSet
from tuner.data.rows import RowSource
from tuner.errors import UsageError
from tuner.exports import folder
from tuner.exports.card import card, size_of
from tuner.exports.choose import (
    Chosen,
    Trained,
    TrainedEnsemble,
    chosen,
    chosen_members,
    study_file,
)
from tuner.exports.folder import Exported
from tuner.exports.network import (
    Average,
    Calibrated,
    averaged,
    check_installed,
    example,
    network_of,
    onnx_file,
    parts,
    program,
    traced,
    with_temperature,
)
from tuner.imports import allowing, of_person, versions
from tuner.metrics import Metric
from tuner.models.mlp import average_as
from tuner.results import confirm
from tuner.results.calibration import Calibration
from tuner.results.confirm import Confirmation
from tuner.run.options import RunOptions, device_again
from tuner.run.prepare import load_job, stored_study
from tuner.show.answers import ensemble_line, temperature
from tuner.storage import opened
from tuner.techniques import ENDING
from tuner.training.evaluate import predict
from tuner.training.trainer import Trainer, one_thread
from tuner.worker.job import NetworkJob, course_of, data_of, last_epoch, seed_of
from tuner.worker.run import amount


def export(
    study: str,
    out: str | Path,
    options: RunOptions,
    *,
    trial: int | None = None,
    final: bool | None = None,
    all_rows: bool = False,
    force: bool = False,
    onnx: bool = False,
    single: bool = False,
    uncalibrated: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Retrains a configuration of a study, or the ensemble that `confirm` chose, and writes it as a
    folder, whole or not at all.

    Args:
        study: the name of one that the database holds.
        out: the folder to make.
        trial: the number of a complete one; by default the ensemble of `confirm` where it helps,
            else its winner, else the best.
        final: train on the validation rows too, for as many epochs as were the best; always so
            where trials have folds and there are test rows. False: as in the search.
        all_rows: measure a final training, and then train the same on the test rows too. Without
            `final` and `trial` this is the default once `confirm` has measured on test rows that
            were set aside of the study's own data; on others, `final` is.
        force: replace a folder that an export made.
        onnx: write model.onnx too; needs the extra `onnx`.
        single: one configuration, even where an ensemble helps.
        uncalibrated: probabilities as the network gives them, also where `confirm` found a
            temperature that makes them better.
        say: called before anything is trained or written with what beats the winner of `confirm`.

    Raises:
        UsageError: no such study or trial, the trial is not complete, there is such a folder;
            `all_rows` where `final` is False.
        DataError: for a final training, or one on all rows, there are no test rows.
    """
    out = Path(out)
    if all_rows and final is False:
        hint = "leave out one of the two"
        raise UsageError("--all-rows measures a final training", where="--no-final", hint=hint)
    folder.check(out, force)
    if onnx:
        check_installed()
    storage = opened(options.storage)
    stored, study_id = stored_study(storage, study)
    confirmation = confirm.read(storage, stored) if trial is None else None
    made: Trained | TrainedEnsemble
    make: Callable[[NetworkJob], Trained | TrainedEnsemble]
    with allowing(of_person(options.allow)), one_thread():
        job = load_job(stored, study_id)
        measured = final is None and _has_measured(confirmation)
        all_rows = all_rows or (measured and _set_aside(job))
        final = final or measured or all_rows or _needs_final(job)
        together = None if single or confirmation is None else confirmation.answer
        if confirmation is not None and together is not None:
            members = chosen_members(storage, stored, confirmation, together, final)
            choice, first = members[0]
            device = device_again(options.device, first.user_attrs)
            make = partial(train_together, members, confirmation, device, final, uncalibrated)
        else:
            choice = chosen(storage, stored, study_id, trial)
            device = device_again(options.device, choice.trial.user_attrs)
            make = partial(train, choice, device, final, uncalibrated)
        if choice.beaten:
            say(choice.beaten)
        made = make(job)
        if all_rows:  # none of them can measure it
            made = replace(make(replace(job, everything=True)), value=made.value)
        several = made if isinstance(made, TrainedEnsemble) else None
        trained = made if isinstance(made, Trained) else made.members[0]
        files = contents(trained, onnx) if several is None else contents_together(several, onnx)
    folder.write(out, files, force)
    return Exported(
        out,
        stored.name,
        trained.chosen.trial.number,
        trained.job.metric.name,
        made.value,
        trained.chosen.trial.values[0],
        final,
        tuple(files),
        trained.chosen.left_out,
        1 if several is None else len(several.members),
        size_of(made.network),
        1.0 if several is None else several.slowdown,
        trained.chosen.beaten,
        made.probabilities,
        all_rows,
    )


def _has_measured(confirmation: Confirmation | None) -> bool:
    """Whether `confirm` has measured on test rows what is exported."""
    if confirmation is None:
        return False
    return confirmation.finished and confirmation.winner.test is not None


def _set_aside(job: NetworkJob) -> bool:
    """Whether the test rows are some of the study's own data, and not given as such."""
    return bool(job.data.test) and job.spec.split is None


def _needs_final(job: NetworkJob) -> bool:
    """Whether a trial has several networks, one for each fold, and test rows measure another."""
    return job.study.folds is not None and job.data.test != 0


def train(choice: Chosen, device: str, final: bool, uncalibrated: bool, job: NetworkJob) -> Trained:
    """Trains the configuration with its trial's seed, for as many epochs as the trial."""
    trial, attributes = choice.trial, choice.trial.user_attrs
    seed = seed_of(job, trial)
    config = job.study.config(trial.params)
    last = amount(attributes, "epochs") or config["epochs"]
    if final:
        config, last = {**config, **ENDING}, amount(attributes, "best_epoch") or last
    data = job.finals[config["preprocessing"]] if final else job.data_for(config)
    _check_one_network(job, data)
    trainer = Trainer(config, data, job.metric, seed, device)
    made = _trained(job, choice, trainer, last, data, final)
    known = None if choice.confirmed is None else choice.confirmed.calibration
    number, words = _probabilities(job, known, uncalibrated)
    network, value = with_temperature(made.network, number), made.value
    if network is not made.network:
        value = _value(network, data.validation.x, data, job.metric)
    return replace(made, network=network, value=value, probabilities=words)


def _probabilities(
    job: NetworkJob, known: Calibration | None, uncalibrated: bool
) -> tuple[float, str]:
    """The temperature of an export, 1 for none, and what is said of it."""
    if job.metric.task == "multilabel":
        return (
            1.0,
            "probabilities are as the network gives them: only those of classes are calibrated",
        )
    if job.metric.task != "classification":
        return 1.0, ""
    if uncalibrated:
        return 1.0, "probabilities are as the network gives them (--uncalibrated)"
    if known is None:
        command = f"`tuner confirm --study {job.study.name}`"
        return 1.0, f"probabilities are not calibrated: {command} finds a temperature for them"
    return known.temperature if known.helps else 1.0, f"probabilities {temperature(known)}"


def _check_one_network(job: NetworkJob, data: DataSet) -> None:
    if data.rest:
        raise UsageError(
            f"a trial of {len(data.folds)} folds has as many networks, and an export holds one",
            where=job.study.name,
            hint="--final trains one on all rows but the test rows",
        )


def _trained(
    job: NetworkJob, choice: Chosen, trainer: Trainer, last: float, data: DataSet, final: bool
) -> Trained:
    for epoch in trainer.epochs():
        if epoch.number >= last:
            break
    value = trainer.result.value if trainer.done else trainer.history[-1]
    inputs = data.vocabulary, data.categories, data.numbers
    network = network_of(trainer.config, data.shape, data.outputs, *inputs)
    average_as(network, data.target.task)
    weights = {name: tensor.cpu() for name, tensor in trainer.weights().items()}
    network.load_state_dict({**network.state_dict(), **weights})
    config, seed = trainer.config, trainer.seed
    return Trained(job, choice, config, data, network, seed, trainer.epoch, value, final)


def train_together(
    chosen: Sequence[tuple[Chosen, FrozenTrial]],
    confirmation: Confirmation,
    device: str,
    final: bool,
    uncalibrated: bool,
    job: NetworkJob,
) -> TrainedEnsemble:
    """Trains the members of an ensemble as `confirm` did, and makes one network of them."""
    members = []
    for choice, trial in chosen:
        data = data_of(job, trial)
        _check_one_network(job, data)
        [trainer] = course_of(job, trial, device).parts
        members.append(_trained(job, choice, trainer, last_epoch(trial), data, final))
    answer = confirmation.answer
    assert answer is not None
    weights = tuple(each.weight for each in answer.members)
    by_recipe = {id(each.recipe): each.data for each in members}
    places = dict(zip(by_recipe, parts([data.shape for data in by_recipe.values()]), strict=True))
    inputs = [places[id(each.recipe)] for each in members]
    target = members[0].data.target
    number, words = _probabilities(job, answer.calibration, uncalibrated)
    average = Average([each.network for each in members], weights, inputs, target).eval()
    network = with_temperature(average, number)
    every = [data.validation.x for data in by_recipe.values()]
    x = every[0].to("cpu") if len(every) == 1 else torch.cat([each[:].cpu() for each in every], 1)
    some = torch.cat([each[:BATCH].cpu() for each in every], 1)
    alone = members[0].data.validation.x[:BATCH].cpu()
    return TrainedEnsemble(
        members=tuple(members),
        weights=weights,
        recipes=tuple(each.recipe for each in by_recipe.values() if each.recipe is not None),
        network=network,
        value=_value(network, x, members[0].data, job.metric),
        slowdown=_seconds(network, some) / _seconds(members[0].network, alone),
        line=ensemble_line(confirmation),
        probabilities=words,
    )


def _value(network: nn.Module, x: RowSource, data: DataSet, metric: Metric) -> float:
    """The metric of a network with a temperature, or of an average of networks, of these data."""
    outputs, y, target = predict(network, x), data.validation.y.cpu(), data.target
    values, own = averaged(target).judged(outputs, y)[0], target.judged(outputs, y)[1]
    weights = None if data.validation.weight is None else data.validation.weight.cpu()
    return float(metric.function(values, own, weights))


BATCH, TIMES = 1024, 5
"""Rows of a batch that is timed, and how often."""


@torch.inference_mode()
def _seconds(network: nn.Module, x: Tensor) -> float:
    """The shortest time that a network takes for a batch of rows."""
    batch = x.repeat(1 + BATCH // len(x), *[1] * (x.dim() - 1))[:BATCH]
    times = []
    for _ in range(TIMES):
        before = time.perf_counter()
        network(batch)
        times.append(time.perf_counter() - before)
    return min(times)


def contents(trained: Trained, onnx: bool = False) -> dict[str, bytes]:
    """The files by their names."""
    shape, words = trained.data.shape, trained.data.vocabulary is not None
    return {
        **_network_files(trained.network, example(shape, words), onnx),
        folder.PREPROCESSING: _json({**_preprocessing(trained), **_temperature(trained.network)}),
        folder.STUDY: study_file(trained).encode(),
        folder.VERSIONS: _json(_versions(trained)),
        folder.CARD: card(trained, onnx).encode(),
    }


def contents_together(together: TrainedEnsemble, onnx: bool = False) -> dict[str, bytes]:
    """The files of an ensemble by their names."""
    first, configurations = together.members[0], together.configurations
    names = {number: folder.study_name(i) for i, number in enumerate(configurations)}
    shape, words = together.shape, first.data.vocabulary is not None
    target = first.data.target
    more = [each.to_json() for each in together.recipes[1:]]
    studies = {
        names[number]: study_file(each[0], [member.seed for member in each]).encode()
        for number, each in configurations.items()
    }
    members = [
        {
            "study": names[each.chosen.trial.number],
            "trial": each.chosen.trial.number,
            "seed": each.seed,
            "input": together.input_of(each),
            "weight": weight,
        }
        for each, weight in zip(together.members, together.weights, strict=True)
    ]
    return {
        **_network_files(together.network, example(shape, words), onnx),
        folder.ENSEMBLE: _json({"members": members, "target": target.to_json()}),
        folder.PREPROCESSING: _json(
            {
                **_preprocessing(first),
                "target": {"column": first.job.spec.target, **averaged(target).to_json()},
                **({"more_inputs": more} if more else {}),
                **_temperature(together.network),
            }
        ),
        **studies,
        folder.VERSIONS: _json({**_versions(first), folder.MARK: folder.OF_ENSEMBLE}),
        folder.CARD: card(first, onnx, together).encode(),
    }


def _network_files(network: nn.Module, rows: Tensor, onnx: bool) -> dict[str, bytes]:
    weights = {name: t.contiguous().clone() for name, t in network.state_dict().items()}
    exported = traced(network, rows)
    more = {folder.ONNX: onnx_file(exported, rows)} if onnx else {}
    return {folder.WEIGHTS: save(weights), folder.PROGRAM: program(exported), **more}


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _preprocessing(trained: Trained) -> dict[str, Any]:
    data = trained.data
    assert data.recipe is not None
    words = data.vocabulary
    vectors = None if words is None or words.vectors is None else words.vectors.shape[1]
    return {
        "input": data.recipe.to_json(),
        "features": trained.job.spec.features,
        "word_vectors": vectors,
        "target": {"column": trained.job.spec.target, **data.target.to_json()},
    }


def _temperature(network: nn.Module) -> dict[str, float]:
    return {"temperature": network.temperature} if isinstance(network, Calibrated) else {}


def _versions(trained: Trained) -> dict[str, Any]:
    study = {
        "study": trained.job.study.name,
        "trial": trained.chosen.trial.number,
        "seed": trained.seed,
    }
    return {folder.MARK: folder.FORMAT, **study, "versions": versions()}
