"""``check``, ``studies``, ``techniques``: what there is and what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuner.cli.options import DEFAULT_STORAGE, Allow, Json, StorageUrl
from tuner.cli.output import show, show_json

if TYPE_CHECKING:
    from tuner.study import Study

Schema = Annotated[
    bool, typer.Option("--schema", help="Print the JSON schema of a study file for your editor.")
]
OptionalStudy = Annotated[
    str | None,
    typer.Option(
        "--study",
        envvar="TUNER_STUDY",
        metavar="NAME",
        help="A file in studies/, a path, a study that ships, or one in the database.",
    ),
]


def check(
    study: OptionalStudy = None,
    storage: StorageUrl = DEFAULT_STORAGE,
    schema: Schema = False,
    allow: Allow = None,
    as_json: Json = False,
) -> None:
    """Check a study and its data; print its space, the size of the search and what it may cost."""
    if schema:
        from tuner.study.schema import schema as study_schema

        return show_json(study_schema())
    if study is None:
        raise typer.BadParameter("give --study NAME, or --schema")
    from tuner.allowed import allowing, of_person, read_packages
    from tuner.cli.lookup import any_study
    from tuner.views import tables

    found = any_study(study, storage)
    with allowing(of_person(read_packages(allow or ()), found.folder)):
        checked = _checked(found)
    for warning in checked["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
    return show_json(checked) if as_json else show(tables.check(checked))


def _checked(study: Study) -> dict[str, Any]:
    """Loads the data and builds what trials need; TunerError for what cannot be."""
    from tuner.run.prepare import prepared
    from tuner.study import describe
    from tuner.worker import ObjectiveJob

    job = prepared(study)
    study = job.study
    study.pruner()
    found: dict[str, Any] = {
        "name": study.name,
        "description": study.description,
        "metric": job.metric.name,
    }
    found["warnings"] = list(study.warnings())
    if isinstance(job, ObjectiveJob):
        return {**found, **describe.objective(job.study)}
    return {
        **found,
        "data": describe.data_set(job.data),
        "extent": describe.extent(study),
        "leaves": describe.leaves(study),
    }


def studies(storage: StorageUrl = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """List the studies: those that ship, those in studies/, and those in the database."""
    from tuner.storage import open_existing
    from tuner.study.describe import files
    from tuner.views.studies import view, with_stored

    found = open_existing(storage)
    records = files() if found is None else with_stored(files(), found)
    return show_json({"studies": records}) if as_json else show(view(records))


def techniques(as_json: Json = False) -> None:
    """List techniques, optimizers, schedules and families, with ranges and sources."""
    from tuner.study import describe
    from tuner.views import tables

    found = describe.catalogue()
    return show_json(found) if as_json else show(tables.catalogue(found))
