"""Prepares a job: finds a study by its name, checks it against the database, loads its data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from tuner.data import load as load_data
from tuner.data.spec import DIVISIONS
from tuner.errors import StudyFileError, UsageError, nearest
from tuner.imports import allowing, of_person
from tuner.storage import Storage, open_existing, open_storage, studies
from tuner.study import NetworkStudy, Study, parse
from tuner.study import load as load_study
from tuner.study.factories import resolved
from tuner.study.files import find, local, shipped
from tuner.study.objective import ObjectiveStudy
from tuner.study.record import canonical, changed_keys, fingerprint
from tuner.training.trainer import check_batches, check_factories
from tuner.worker.job import DIVISION, Job, NetworkJob, ObjectiveJob, check_rows, has_begun

J = TypeVar("J", bound=Job)

SPEC, FINGERPRINT, DATA = studies.SPEC, studies.FINGERPRINT, studies.DATA


def stored_studies(storage: Storage) -> dict[str, int]:
    """Ids of the studies in the database that tuner made, by name."""
    return {name: study_id for name, (study_id, _) in storage.having(SPEC).items()}


def stored_study(storage: Storage, name: str) -> tuple[Study, int]:
    """A study as the database holds it, and its id.

    Raises:
        StudyFileError: it holds none of that name.
    """
    study_id, attrs = storage.named(name) or (0, {})
    if SPEC not in attrs:
        hint = nearest(name, stored_studies(storage))
        foreign = any(each.study_name == name for each in storage.get_all_studies())
        what = f"the database holds no study {name!r}{' that tuner made' if foreign else ''}"
        raise StudyFileError(what, where=storage.url, hint=hint)
    study = parse(name, document_of(name, attrs[SPEC]))
    return _remembered(study, attrs, storage, study_id), study_id


def document_of(name: str, spec: Any) -> dict[str, Any]:
    """What a database holds of a study's file.

    Raises:
        StudyFileError: it is none; another program wrote it.
    """
    try:
        found = json.loads(spec)
    except (ValueError, TypeError):
        found = None
    if not isinstance(found, dict):
        what = f"what the database holds as its study file ({SPEC}) is none"
        raise StudyFileError(what, where=name, hint="tuner delete removes the study")
    return found


def remembered(study: Study, url: str) -> Study:
    """A study with what the database keeps of its rows, where it holds this one."""
    storage = open_existing(url)
    if storage is None:
        return study
    study_id, attrs = storage.named(study.name) or (0, {})
    if attrs.get(FINGERPRINT) != fingerprint(study.document):
        return study  # it is new, or another one: whoever joins says so
    return _remembered(study, attrs, storage, study_id)


def _remembered(study: Study, attrs: Mapping[str, Any], storage: Storage, study_id: int) -> Study:
    """The rows of a study that began before anything was kept of them are divided as they were."""
    if not isinstance(study, NetworkStudy):
        return study
    kept, division = attrs.get(DATA), DIVISIONS[-1]
    if kept is not None:
        division = kept[DIVISION]
    elif has_begun(storage, study_id):
        division = DIVISIONS[0]
    return replace(study, kept=kept, data=replace(study.data, division=division))


def find_study(name: str | Study, url: str, seed: int | None = None) -> Study:
    """A study by name, path, or from the database; with another seed if one is given.

    Raises:
        StudyFileError: there is none; the known ones are listed.
    """
    if isinstance(name, Study):
        study = name
    elif find(name) is None:
        storage = open_existing(url)
        known = {} if storage is None else stored_studies(storage)
        if storage is None or name not in known:
            everything = {**shipped(), **local(), **known}
            raise StudyFileError(f"no study is called {name!r}", hint=nearest(name, everything))
        study = stored_study(storage, name)[0]
    else:
        study = load_study(name)
    if seed is None or seed == study.search.seed:
        return study
    search = {**study.document.get("search", {}), "seed": seed}
    return parse(study.name, {**study.document, "search": search}, study.folder)


def with_network(study: Study) -> NetworkStudy:
    """The study, where it is of tuner's networks.

    Raises:
        UsageError: it has its own objective, which brings data and network.
    """
    if isinstance(study, NetworkStudy):
        return study
    raise UsageError(
        "the study has its own objective and no network for tuner to train",
        where=study.name,
        hint="use a study with [data]",
    )


def load_job(study: Study, study_id: int = -1) -> NetworkJob:
    """Reads the data and checks that it is what the study needs.

    Raises:
        DataError, StudyFileError: it is not, or its rows are not those that the study began with.
        UsageError: as ``with_network``.
    """
    study = resolved(with_network(study))
    variants = {
        name: load_data(spec, folder=study.folder) for name, spec in study.data_variants().items()
    }
    data = variants[study.data.preprocessing]
    check_rows(study, data, study.kept)
    study.check_fit(data)
    metric = study.metric_for(data.target.task)
    check_factories(study, data, metric)
    return NetworkJob(study, study_id, data, variants)


def prepared(study: Study, study_id: int = -1) -> Job:
    """The job of any study; of an objective's once the function is there.

    Raises:
        TunerError: as ``load_job``, or the function cannot be imported here.
    """
    if isinstance(study, ObjectiveStudy):
        study.function()
        return ObjectiveJob(study, study_id)
    job = load_job(study, study_id)
    check_batches(job.study, job.data, job.metric)
    return job


def join(storage: Storage, job: J, trials: int | None) -> J:
    """Puts the study into the database, or joins it there; the job with its id.

    Raises:
        StudyFileError: the database holds another study of that name.
        DataError: it has this one, with other rows.
        UsageError: the study hands out no trials; nothing is written.
    """
    study, document = job.study, job.study.document
    _refuse_foreign(storage, study)
    study_id = storage.join(
        study.name,
        direction=job.metric.direction,
        metric=job.metric.name,
        spec=canonical(document),
        fingerprint=fingerprint(document),
        budget=trials or study.search.trials,
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
    wanted = trials or study.search.trials
    if trials or before.get("search", {}).get("trials", 60) != wanted:
        storage.set_budget(study_id, wanted)
    if canonical(before) != canonical(document):
        storage.set_study_user_attr(study_id, SPEC, canonical(document))
    return job


def _refuse_foreign(storage: Storage, study: Study) -> None:
    """A study of that name that something else made has no specification to compare with."""
    names = {frozen.study_name for frozen in storage.get_all_studies()}
    if study.name in names and study.name not in stored_studies(storage):
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
    name: str | Study, url: str, trials: int | None = None, allow: tuple[str, ...] = ()
) -> int:
    """Puts a study into the database for workers to find; its id."""
    study = find_study(name, url)
    with allowing(of_person(allow, study.folder)):
        return join(open_storage(url), prepared(remembered(study, url)), trials).study_id
