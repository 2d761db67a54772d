"""Prepares a job: finds a study by its name, checks it against the database, loads its data."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from tuner.data.spec import DIVISIONS
from tuner.errors import StudyFileError, UsageError, nearest
from tuner.imports import allowing, of_person
from tuner.show.snapshot import shown_url
from tuner.storage import Storage, open_existing, open_storage, studies
from tuner.study import NetworkStudy, Study, load_study
from tuner.study.factories import resolved
from tuner.study.files import find, local, shipped
from tuner.study.objective import ObjectiveStudy
from tuner.study.parse import parse
from tuner.study.record import UNLIMITED, canonical, changed_keys, fingerprint
from tuner.worker.job import DIVISION, Job, NetworkJob, ObjectiveJob, check_rows, has_begun

J = TypeVar("J", bound=Job)

SPEC, FINGERPRINT, DATA = studies.SPEC, studies.FINGERPRINT, studies.DATA


def stored_studies(storage: Storage) -> dict[str, int]:
    """Ids of the studies in the database that tuner made, by name."""
    return {name: study_id for name, (study_id, _) in storage.having(SPEC).items()}


def stored_ids(storage: Storage) -> dict[str, int]:
    """Ids of all studies in the database, by name."""
    return {stored.study_name: stored._study_id for stored in storage.get_all_studies()}


def stored_name(name: str, known: Container[str]) -> str:
    """The name of a study that is given by its name or by the path of its file.

    Args:
        known: the names in the database.
    """
    return Path(name).stem if name.endswith(".toml") and name not in known else name


def stored_id(storage: Storage, name: str) -> tuple[str, int]:
    """Name and id of a study in the database.

    Args:
        name: the study's name, or the path of its file.

    Raises:
        UsageError: there is none; the message lists the known ones.
    """
    known = stored_ids(storage)
    name = stored_name(name, known)
    if name not in known:
        what = f"no study in this database is called {name!r}"
        none = "the database holds no study; tuner optimize --study NAME makes one"
        hint = nearest(name, known) if known else none
        raise UsageError(what, where=shown_url(storage.url), hint=hint)
    return name, known[name]


def stored_study(storage: Storage, study: str | Study) -> tuple[Study, int]:
    """A study as the database holds it, and its id.

    Args:
        study: its name, the path of its file, or the study itself.

    Raises:
        UsageError: the database has no study of that name.
        StudyFileError: it has one that tuner did not make.
    """
    name = study if isinstance(study, str) else study.name
    stored = storage.named(name)
    if stored is None:
        name, study_id = stored_id(storage, name)
        stored = storage.named(name) or (study_id, {})
    study_id, attrs = stored
    if SPEC not in attrs:
        what = f"the database holds no study {name!r} that tuner made"
        hint = nearest(name, stored_studies(storage))
        raise StudyFileError(what, where=storage.url, hint=hint)
    study = parse(name, document_of(name, attrs[SPEC]))
    return _with_known_rows(study, attrs, storage, study_id), study_id


def document_of(name: str, spec: Any) -> dict[str, Any]:
    """The study file in a database.

    Raises:
        StudyFileError: it is not one; another program wrote it.
    """
    try:
        document = json.loads(spec)
    except (ValueError, TypeError):
        document = None
    if not isinstance(document, dict):
        what = f"what the database holds as its study file ({SPEC}) is none"
        raise StudyFileError(what, where=name, hint="tuner delete removes the study")
    return document


def with_known_rows(study: Study, url: str) -> Study:
    """A study with the record of its rows in the database, if that has this study."""
    storage = open_existing(url)
    if storage is None:
        return study
    study_id, attrs = storage.named(study.name) or (0, {})
    if attrs.get(FINGERPRINT) != fingerprint(study.document):
        return study  # it is new, or another study of that name, which `join` refuses
    return _with_known_rows(study, attrs, storage, study_id)


def _with_known_rows(
    study: Study, attrs: Mapping[str, Any], storage: Storage, study_id: int
) -> Study:
    """A study with its record of rows; one that began without any keeps the first rule to divide
    them."""
    if not isinstance(study, NetworkStudy):
        return study
    record, division = attrs.get(DATA), DIVISIONS[-1]
    if record is not None:
        division = record[DIVISION]
    elif has_begun(storage, study_id):
        division = DIVISIONS[0]
    return replace(study, row_record=record, data=replace(study.data, division=division))


def find_study(name: str, url: str) -> Study:
    """A study from its file, by name or path, else from the database.

    Raises:
        StudyFileError: there is none; the message lists the known ones.
    """
    if find(name) is not None:
        return load_study(name)
    storage = open_existing(url)
    stored = {} if storage is None else stored_ids(storage)
    if storage is not None and name in stored:
        return stored_study(storage, name)[0]
    known = {**shipped(), **local(), **stored}
    raise StudyFileError(f"no study is called {name!r}", hint=nearest(name, known))


def reading_ahead(study: Study) -> AbstractContextManager[None]:
    """Lets another process read the data of a study meanwhile, where it is small."""
    from tuner.data import sources

    if not isinstance(study, NetworkStudy):
        return nullcontext()
    return sources.reading_ahead(study.data, study.folder)


def with_seed(study: Study, seed: int | None) -> Study:
    """The study with another seed, if one is given."""
    if seed is None or seed == study.search.seed:
        return study
    search = {**study.document.get("search", {}), "seed": seed}
    return parse(study.name, {**study.document, "search": search}, study.folder)


def with_network(study: Study) -> NetworkStudy:
    """The study, if it is of tuner's networks.

    Raises:
        UsageError: it has its own objective, with its own data and network.
    """
    if isinstance(study, NetworkStudy):
        return study
    raise UsageError(
        "the study has its own objective and no network for tuner to train",
        where=study.name,
        hint="use a study with [data]",
    )


def load_job(study: Study, study_id: int = -1) -> NetworkJob:
    """Reads the data and checks that it fits the study.

    Raises:
        DataError, StudyFileError: it does not, or the study began with other rows.
        UsageError: as ``with_network``.
    """
    from tuner.data import load
    from tuner.training.evaluate import check_metric
    from tuner.training.trainer import check_factories, check_functions, check_losses

    study = resolved(with_network(study))
    variants = {
        name: load(spec, folder=study.folder) for name, spec in study.data_variants().items()
    }
    data = variants[study.data.preprocessing]
    check_rows(study, data, study.row_record)
    study.check_fit(data)
    metric = study.metric_for(data.target)
    check_factories(study, data, metric)
    check_metric(metric, data)
    check_losses(study, data, metric)
    check_functions(study, data)
    return NetworkJob(study, study_id, data, variants)


def prepared(study: Study, study_id: int = -1) -> Job:
    """The job of any study; the function of an objective is imported first.

    Raises:
        TunerError: as ``load_job``, or the function cannot be imported here.
    """
    from tuner.training.trainer import check_batches

    if isinstance(study, ObjectiveStudy):
        study.function()
        return ObjectiveJob(study, study_id)
    job = load_job(study, study_id)
    check_batches(job.study, job.data, job.metric)
    return job


def join(storage: Storage, job: J, trials: int | None, epochs: int | None = None) -> J:
    """Puts the study into the database, or joins it there; the job with its id.

    Args:
        trials, epochs: a budget in place of the study's; None for both takes the study's.

    Raises:
        StudyFileError: the database holds another study of that name.
        DataError: it has this one, with other rows.
        UsageError: the study hands out no trials; nothing is written.
    """
    study, document = job.study, job.study.document
    _refuse_foreign(storage, study)
    budget = _budget(study, trials, epochs)
    study_id = storage.join(
        study.name,
        direction=job.metric.direction,
        metric=job.metric.name,
        spec=canonical(document),
        fingerprint=fingerprint(document),
        budget=budget[0],
        epochs=budget[1],
        data=job.new_record,
    )
    _refuse_closed(storage, study, study_id)
    attrs = storage.get_study_user_attrs(study_id)
    before = document_of(study.name, attrs[SPEC])
    if attrs[FINGERPRINT] != fingerprint(document) and studies.REPLICATES in attrs:
        raise StudyFileError(
            f"`confirm` or `ablate` keeps trainings of {attrs[studies.REPLICATES]} under this name",
            where=study.name,
            hint="rename the study file, or use another database",
        )
    if attrs[FINGERPRINT] != fingerprint(document):
        differ = ", ".join(changed_keys(before, document))
        raise StudyFileError(
            f"the study has changed since it began: {differ}",
            where=study.name,
            hint="give the changed study another name, or undo the change",
        )
    job = replace(job, study_id=study_id).keep_rows(storage)
    if trials or epochs or budget != _budget(parse(study.name, before, study.folder), None, None):
        storage.set_budget(study_id, *budget)
    if canonical(before) != canonical(document):
        storage.set_study_user_attr(study_id, SPEC, canonical(document))
    return job


def _budget(study: Study, trials: int | None, epochs: int | None) -> tuple[int, int | None]:
    """The trials and epochs of a budget: those that are given, else the study's.

    Raises:
        UsageError: epochs are given, and the study does not train in epochs.
    """
    if epochs is not None and not isinstance(study, NetworkStudy):
        raise UsageError(
            "tuner does not know the epochs of an objective of your own",
            where="--epochs",
            hint="give --trials or --timeout",
        )
    if trials is None and epochs is None:
        return study.search.trials, study.search.epochs
    return trials or UNLIMITED, epochs


def _refuse_foreign(storage: Storage, study: Study) -> None:
    """Raises StudyFileError if another program made the study of that name."""
    if study.name in stored_ids(storage).keys() - stored_studies(storage).keys():
        raise StudyFileError(
            "the database already holds a study of this name, which tuner did not make",
            where=study.name,
            hint="rename the study file, or use another database",
        )


def _refuse_closed(storage: Storage, study: Study, study_id: int) -> None:
    progress = storage.progress(study_id)
    if not progress.hands_out:
        raise UsageError(
            f"the study is {progress.state}",
            where=study.name,
            hint=f"tuner resume --study {study.name} opens it again",
        )


def submit(
    name: str | Study,
    url: str,
    trials: int | None = None,
    allow: tuple[str, ...] = (),
    epochs: int | None = None,
) -> int:
    """Puts a study into the database, where workers find it; returns its id."""
    study = name if isinstance(name, Study) else find_study(name, url)
    with allowing(of_person(allow, study.folder)):
        job = prepared(with_known_rows(study, url))
        return join(open_storage(url), job, trials, epochs).study_id
