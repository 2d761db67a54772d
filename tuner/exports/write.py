"""Retrains a configuration and writes its export."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import save

from tuner.errors import UsageError
from tuner.exports import folder
from tuner.exports.card import card
from tuner.exports.choose import Chosen, Trained, chosen, study_file
from tuner.exports.folder import Exported
from tuner.exports.network import check_installed, example, network_of, onnx_file, program, traced
from tuner.imports import allowing, of_person, versions
from tuner.run.options import RunOptions, devices
from tuner.run.prepare import load_job, stored_study
from tuner.storage import opened
from tuner.techniques import ENDING
from tuner.training.trainer import Trainer, one_thread
from tuner.worker.job import NetworkJob, seed_of
from tuner.worker.run import amount


def export(
    study: str,
    out: str | Path,
    options: RunOptions,
    *,
    trial: int | None = None,
    final: bool = False,
    force: bool = False,
    onnx: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Retrains a configuration of a study and writes it as a folder, whole or not at all.

    Args:
        study: the name of one that the database holds.
        out: the folder to make.
        trial: the number of a complete one; by default the winner of `confirm`, else the best.
        final: train on the validation rows too, for as many epochs as the trial found best.
        force: replace a folder that an export made.
        onnx: write model.onnx too; needs the extra `onnx`.
        say: called before anything is trained or written with what beats the winner of `confirm`.

    Raises:
        UsageError: no such study or trial, the trial is not complete, there is such a folder.
        DataError: for a final training there are no test rows.
    """
    out = Path(out)
    folder.check(out, force)
    if onnx:
        check_installed()
    storage = opened(options.storage)
    stored, study_id = stored_study(storage, study)
    choice = chosen(storage, stored, study_id, trial)
    if choice.beaten:
        say(choice.beaten)
    with allowing(of_person(options.allow)), one_thread():
        trained = train(load_job(stored, study_id), choice, devices(options.device)[0], final)
        files = contents(trained, onnx)
    folder.write(out, files, force)
    return Exported(
        out,
        stored.name,
        choice.trial.number,
        trained.job.metric.name,
        trained.value,
        choice.trial.values[0],
        final,
        tuple(files),
        choice.left_out,
        choice.beaten,
    )


def train(job: NetworkJob, choice: Chosen, device: str, final: bool) -> Trained:
    """Trains the configuration with its trial's seed, for as many epochs as the trial."""
    trial, known = choice.trial, choice.trial.user_attrs
    seed = seed_of(job, trial)
    config = job.study.config(trial.params)
    last = amount(known, "epochs") or config["epochs"]
    if final:
        config, last = {**config, **ENDING}, amount(known, "best_epoch") or last
    data = job.finals[config["preprocessing"]] if final else job.data_for(config)
    if data.rest:
        raise UsageError(
            f"a trial of {len(data.folds)} folds has as many networks, and an export holds one",
            where=job.study.name,
            hint="--final trains one on all rows but the test rows",
        )
    trainer = Trainer(config, data, job.metric, seed, device)
    for epoch in trainer.epochs():
        if epoch.number >= last:
            break
    value = trainer.result.value if trainer.done else trainer.history[-1]
    inputs = data.vocabulary, data.categories, data.numbers
    network = network_of(config, data.shape, data.outputs, *inputs)
    weights = {name: tensor.cpu() for name, tensor in trainer.weights().items()}
    network.load_state_dict({**network.state_dict(), **weights})
    return Trained(job, choice, config, data, network, seed, trainer.epoch, value, final)


def contents(trained: Trained, onnx: bool = False) -> dict[str, bytes]:
    """The files by their names."""
    weights = {name: t.contiguous().clone() for name, t in trained.network.state_dict().items()}
    rows = example(trained.data.shape, trained.data.vocabulary is not None)
    network = traced(trained.network, rows)
    more = {folder.ONNX: onnx_file(network, rows)} if onnx else {}
    return {
        folder.WEIGHTS: save(weights),
        folder.PROGRAM: program(network),
        **more,
        folder.PREPROCESSING: _json(_preprocessing(trained)),
        folder.STUDY: study_file(trained).encode(),
        folder.VERSIONS: _json(_versions(trained)),
        folder.CARD: card(trained, onnx).encode(),
    }


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _preprocessing(trained: Trained) -> dict[str, Any]:
    data = trained.data
    assert data.recipe is not None
    words = data.vocabulary
    vectors = None if words is None or words.vectors is None else words.vectors.shape[1]
    target = {
        "column": trained.job.spec.target,
        "task": data.target.task,
        "classes": list(data.target.classes),
        "mean": data.target.mean,
        "scale": data.target.scale,
        "form": data.target.form,
        "limits": data.target.limits,
    }
    return {
        "input": data.recipe.to_json(),
        "features": trained.job.spec.features,
        "word_vectors": vectors,
        "target": target,
    }


def _versions(trained: Trained) -> dict[str, Any]:
    study = {
        "study": trained.job.study.name,
        "trial": trained.chosen.trial.number,
        "seed": trained.seed,
    }
    return {folder.MARK: folder.FORMAT, **study, "versions": versions()}
