"""The commands that train: ``optimize``, ``retrain``, ``worker``, ``submit``."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import replace
from shlex import quote
from typing import TYPE_CHECKING

import typer

from tuner.cli.lookup import needed_url
from tuner.cli.options import (
    Allow,
    Artifacts,
    Device,
    Epochs,
    GpusPerWorker,
    IdleExit,
    Json,
    LogFormat,
    On,
    ProgressFormat,
    Seed,
    StorageUrl,
    Studies,
    StudyName,
    Timeout,
    Trial,
    Trials,
    Workers,
    console,
    count_of,
    show,
    show_json,
)
from tuner.hidden import DEFAULT_STORAGE, storage_option

if TYPE_CHECKING:
    from tuner.run.options import RunOptions
    from tuner.show.snapshot import Snapshot


def optimize(
    study: StudyName,
    storage: StorageUrl = DEFAULT_STORAGE,
    trials: Trials = None,
    epochs: Epochs = None,
    timeout: Timeout = None,
    workers: Workers = "auto",
    device: Device = "auto",
    seed: Seed = None,
    on: On = "here",
    gpus_per_worker: GpusPerWorker = 0.0,
    allow: Allow = None,
    artifacts: Artifacts = None,
    log_format: ProgressFormat = "text",
    as_json: Json = False,
) -> None:
    """Create or continue a study until its budget is complete."""

    def options() -> RunOptions:
        given = run_options(storage, trials, timeout, workers, device, seed, allow, artifacts)
        return replace(given, epochs=epochs, on=on, gpus_per_worker=gpus_per_worker)

    last = _run(study, storage, options)
    from tuner.show.terminal import as_document, summary, what_next

    if as_json:
        show_json(as_document(last))
    else:
        show(summary(last))
        typer.echo("\n".join(what_next(last, needed_url(storage))))
    if last.hopeless is not None:
        raise last.hopeless


def _run(study: str, storage: str, options: Callable[[], RunOptions]) -> Snapshot:
    """Runs a study and shows its progress."""
    from tuner.show.terminal import watching

    terminal = console(stderr=True)
    with watching(terminal) as watch:
        begun = time.monotonic()
        from tuner.data.memory import uncollected
        from tuner.logs import as_json, note

        with uncollected():  # imports make no garbage
            from tuner.run.prepare import find_study, reading_ahead

            definition = find_study(study, storage)  # or an unknown name would make a database
        with reading_ahead(definition):
            with uncollected():
                from tuner.run.optimize import optimize as optimize_study

            gc.freeze()  # neither this process nor its workers look through what was imported
            imports = round(time.monotonic() - begun, 3)
            try:
                say = note if as_json() else terminal.print
                last = optimize_study(definition, options(), watch, say)
            except KeyboardInterrupt:
                raise _Interrupted(study, storage) from None
        return replace(last, spent={"imports": imports, **last.spent})


class _Interrupted(KeyboardInterrupt):
    """Turns Ctrl-C into an error that names the command to continue with."""

    def __init__(self, study: str, storage: str) -> None:
        where = storage_option(needed_url(storage))
        command = f"tuner optimize --study {quote(study)} {where}".strip()
        super().__init__(f"interrupted; no result is lost; to continue: {command}")


def retrain(
    study: StudyName,
    trial: Trial,
    storage: StorageUrl = DEFAULT_STORAGE,
    device: Device = "auto",
    allow: Allow = None,
    as_json: Json = False,
) -> None:
    """Retrain a finished trial from the database alone and compare its value."""
    from dataclasses import asdict

    from tuner.run.retrain import retrain as retrain_trial
    from tuner.show.text import several

    options = run_options(storage, None, None, "auto", device, None, allow)
    outcome = retrain_trial(study, trial, options)
    if as_json:
        show_json({**asdict(outcome), "equal": outcome.equal})
    else:
        same = "the same" if outcome.equal else "not the same"
        epochs = several(outcome.epochs, outcome.step)
        if outcome.differing and outcome.value == outcome.recorded:
            step = f"{outcome.step} {outcome.differing[0][0]}"
            same = f"the value is the same, but not that of {step}"
        typer.echo(
            f"trial {trial}: recorded {outcome.recorded!r}, now {outcome.value!r} "
            f"after {epochs}: {same}"
        )
    if not outcome.equal:
        raise typer.Exit(1)


def worker(
    storage: StorageUrl = DEFAULT_STORAGE,
    study: Studies = None,
    workers: Workers = "1",
    device: Device = "auto",
    allow: Allow = None,
    artifacts: Artifacts = None,
    log_format: LogFormat = "text",
    idle_exit: IdleExit = False,
) -> None:
    """Train trials of every open study in the database until stopped."""
    from tuner.cli.lookup import served
    from tuner.logs import note
    from tuner.run.options import worker_devices
    from tuner.run.serve import serve_with

    say, packages = note, tuple(allow or ())
    names = served(storage, study or (), idle_exit, say)
    devices = worker_devices(run_options(storage, None, None, workers, device, None, allow))
    serve_with(
        storage,
        devices,
        names,
        allow=packages,
        idle_exit=idle_exit,
        say=say,
        artifacts=artifacts,
    )


def submit(
    study: StudyName,
    storage: StorageUrl = DEFAULT_STORAGE,
    trials: Trials = None,
    epochs: Epochs = None,
    allow: Allow = None,
    as_json: Json = False,
) -> None:
    """Submit a study to the database for workers to train."""
    from tuner.run.prepare import find_study
    from tuner.run.prepare import submit as submit_study
    from tuner.show.text import budget_text
    from tuner.storage import opened

    definition = find_study(study, storage)  # first: an unknown name must not make a database
    study_id = submit_study(definition, storage, trials, tuple(allow or ()), epochs)
    progress = opened(storage).progress(study_id)
    if as_json:
        budget = {"budget": progress.limit, "epochs_budget": progress.epochs}
        return show_json({"study": definition.name, **budget})
    return typer.echo(f"{definition.name} waits for workers: {budget_text(progress)}")


def run_options(
    storage: str,
    trials: int | None,
    timeout: str | None,
    workers: str,
    device: str,
    seed: int | None,
    allow: list[str] | None,
    artifacts: str | None = None,
) -> RunOptions:
    from tuner.run.options import RunOptions
    from tuner.study.settings import seconds

    packages = tuple(allow or ())
    limit = None if timeout is None else seconds("--timeout", timeout)
    return RunOptions(storage, trials, limit, count_of(workers), device, seed, packages, artifacts)
