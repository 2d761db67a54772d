"""The commands that evaluate studies: ``confirm``, ``ablate``, ``report``, ``compare``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuner.cli.options import (
    Allow,
    Device,
    Json,
    StorageUrl,
    StudyName,
    Timeout,
    Workers,
    console,
    show,
    show_json,
)
from tuner.cli.running import run_options
from tuner.hidden import DEFAULT_STORAGE, storage_option

if TYPE_CHECKING:
    from tuner.results.ablate import Ablation
    from tuner.results.confirm import Confirmation


# ``confirm`` and ``ablate``: which configuration to use, its value, and the effect of techniques.


Top = Annotated[
    int,
    typer.Option("--top", envvar="TUNER_TOP", min=1, help="Number of best trials to retrain."),
]
Seeds = Annotated[
    int,
    typer.Option(
        "--seeds", envvar="TUNER_SEEDS", min=1, help="Number of seeds for each configuration."
    ),
]
Ensemble = Annotated[
    int,
    typer.Option(
        "--ensemble",
        envvar="TUNER_ENSEMBLE",
        metavar="N",
        min=0,
        help="Average at most N of these trainings, where that helps on the rows of the search; "
        "0 for none.",
    ),
]
NoYardsticks = Annotated[
    bool,
    typer.Option(
        "--no-yardsticks",
        envvar="TUNER_NO_YARDSTICKS",
        help="Leave out the majority class or the mean, a linear model and gradient boosting.",
    ),
]
Full = Annotated[
    bool,
    typer.Option(
        "--full",
        envvar="TUNER_FULL",
        help="Also make the trainings that can hardly change the answer.",
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        envvar="TUNER_CONFIRM_BUDGET",
        metavar="DURATION",
        help="The time for all trainings, such as 2m: those of the best trial and the baseline "
        "first, then of the others; the answer says what is left out.  [default: as long as it "
        "takes]",
    ),
]
View = Annotated[
    list[str] | None,
    typer.Option(
        "--view",
        envvar="TUNER_VIEW",
        metavar="off|on|path",
        help="off: each technique switched off alone; on: each switched on alone; path: from the "
        "baseline to the best, one at a time. Repeatable.  [default: all]",
    ),
]


def confirm(
    study: StudyName,
    storage: StorageUrl = DEFAULT_STORAGE,
    top: Top = 5,
    seeds: Seeds = 5,
    ensemble: Ensemble = 16,
    no_yardsticks: NoYardsticks = False,
    full: Full = False,
    budget: Budget = None,
    timeout: Timeout = None,
    workers: Workers = "auto",
    device: Device = "auto",
    allow: Allow = None,
    as_json: Json = False,
) -> None:
    """Retrain the best configurations over several seeds and measure the winner on the test rows.

    An objective of your own is called again with other seeds, and measures itself.
    """
    from tuner.cli.lookup import needed_url
    from tuner.run.replicate import confirm as confirm_study
    from tuner.show.answers import confirmed, document
    from tuner.show.terminal import watching_trainings
    from tuner.study.settings import seconds as seconds_in

    options = run_options(storage, None, timeout, workers, device, None, allow)
    limit = None if budget is None else seconds_in("--budget", budget)
    with watching_trainings(console(stderr=True)) as watch:
        answer = confirm_study(
            study,
            options,
            top=top,
            seeds=seeds,
            ensemble=ensemble,
            yardsticks=not no_yardsticks,
            full=full,
            budget=limit,
            watch=watch,
        )
    _say_unfinished(answer)
    if ensemble and answer.finished and answer.ensemble is None and not answer.own_objective:
        message = "no ensemble: there is one training alone, or their predictions are not kept"
        typer.echo(message, err=True)
    if as_json:
        return show_json(document(answer))
    show(confirmed(answer))
    if answer.finished and answer.winner.test is not None:
        where = f"--study {shlex.quote(answer.study)} {storage_option(needed_url(storage))}".strip()
        typer.echo(f"next      tuner export {where} --out model  # the network for use")
    return None


def ablate(
    study: StudyName,
    storage: StorageUrl = DEFAULT_STORAGE,
    seeds: Seeds = 5,
    view: View = None,
    full: Full = False,
    timeout: Timeout = None,
    workers: Workers = "auto",
    device: Device = "auto",
    allow: Allow = None,
    as_json: Json = False,
) -> None:
    """Measure the effect of each technique over several seeds, with confidence intervals."""
    from tuner.results.ablate import VIEWS
    from tuner.run.replicate import ablate as ablate_study
    from tuner.show.answers import ablated, document
    from tuner.show.terminal import watching_trainings

    options = run_options(storage, None, timeout, workers, device, None, allow)
    views = tuple(view or VIEWS)
    with watching_trainings(console(stderr=True)) as watch:
        answer = ablate_study(study, options, seeds=seeds, views=views, full=full, watch=watch)
    _say_unfinished(answer)
    return show_json(document(answer)) if as_json else show(ablated(answer))


def _say_unfinished(answer: Confirmation | Ablation) -> None:
    """Says if trainings are left, as after a time limit."""
    if not answer.finished:
        message = "unfinished: these are the results so far"
        typer.echo(f"{message}; the same command continues", err=True)


# ``report`` and ``compare``: the results of a study, and studies side by side.


Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        envvar="TUNER_REPORT_OUT",
        metavar="FILE",
        help="The output file, replaced if it exists; - is stdout.  [default: report.html]",
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        envvar="TUNER_FORMAT",
        metavar="html|md|json",
        help="The output format.  [default: by the file's suffix, else html]",
    ),
]
Names = Annotated[
    list[str],
    typer.Argument(
        envvar="TUNER_STUDIES", metavar="STUDY…", help="Two or more studies of the database."
    ),
]


def report(
    study: StudyName,
    out: Out = None,
    format: Format = None,
    storage: StorageUrl = DEFAULT_STORAGE,
) -> None:
    """Write a report of a study as one self-contained file."""
    from tuner.cli.lookup import needed_url
    from tuner.reports.render import check_place, write
    from tuner.reports.report import build, check_format, format_of
    from tuner.run.prepare import stored_study
    from tuner.storage import opened

    kind = format or format_of(out or "")
    check_format(kind)
    path = Path(out or f"report.{kind}")
    if out != "-":
        check_place(path)
    database = opened(storage)
    option = storage_option(needed_url(storage))
    page = build(database, *stored_study(database, study), option)
    if out == "-":
        return typer.echo(page.text(kind), nl=False)
    file = write(path, page.text(kind))
    for line in page.verdict:
        typer.echo(line.replace("`", ""))
    return typer.echo(f"\n{file}: {file.stat().st_size / 1e6:.1f} MB")


def compare(studies: Names, storage: StorageUrl = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """Compare studies: best trials, baselines, seconds and numbers of trials."""
    from tuner.reports.compare import compare_studies, view
    from tuner.run.prepare import stored_study
    from tuner.storage import opened

    database = opened(storage)
    comparison = compare_studies(database, [stored_study(database, name) for name in studies])
    return show_json(comparison.document()) if as_json else show(view(comparison))
