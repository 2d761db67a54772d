"""From a study's name to a job: its file or its row in the database, and its data."""

from __future__ import annotations

import json
from dataclasses import replace

from tuner.allowed import allowing, of_person
from tuner.data import load as load_data
from tuner.errors import StudyFileError, UsageError, nearest
from tuner.storage import Storage, open_existing, open_storage, studies
from tuner.study import Study, parse
from tuner.study import load as load_study
from tuner.study.files import find, local, shipped
from tuner.study.fingerprint import canonical, changed_keys, fingerprint
from tuner.study.objective import ObjectiveStudy
from tuner.study.private import resolved
from tuner.training.own import check_batches, check_factories
from tuner.worker.job import AnyJob, Job, ObjectiveJob

SPEC, FINGERPRINT = studies.SPEC, studies.FINGERPRINT


def stored_studies(storage: Storage) -> dict[str, int]:
    """Ids of the studies in the database that tuner made, by name."""
    return {name: study_id for name, (study_id, _) in storage.having(SPEC).items()}


def stored_study(storage: Storage, name: str) -> tuple[Study, int]:
    """A study as the database holds it, and its id.

    Raises:
        StudyFileError: it holds none of that name.
    """
    found = storage.having(SPEC, name)
    if name not in found:
        hint = nearest(name, stored_studies(storage))
        foreign = any(each.study_name == name for each in storage.get_all_studies())
        what = f"the database holds no study {name!r}{' that tuner made' if foreign else ''}"
        raise StudyFileError(what, where=storage.url, hint=hint)
    study_id, spec = found[name]
    return parse(name, json.loads(spec)), study_id


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


def load_job(study: Study, study_id: int = -1) -> Job:
    """Reads the data and checks that it is what the study needs.

    Raises:
        DataError, StudyFileError: it is not.
        UsageError: an objective of somebody's own brings all of it.
    """
    if study.data is None:
        raise UsageError(
            "the study has an objective of its own, and no network of tuner's to train",
            where=study.name,
            hint="this is for studies with [data]",
        )
    study = resolved(study)
    variants = {
        name: load_data(spec, folder=study.folder) for name, spec in study.data_variants().items()
    }
    assert study.data is not None
    data = variants[study.data.preprocessing]
    study.check_fit(data)
    metric = study.metric_for(data.target.task)
    check_factories(study, data, metric)
    return Job(study, study_id, data, metric, variants)


def prepared(study: Study, study_id: int = -1) -> AnyJob:
    """The job of any study; of an objective's once the function is there.

    Raises:
        TunerError: as ``load_job``, or the function cannot be imported here.
    """
    if not isinstance(study, ObjectiveStudy):
        job = load_job(study, study_id)
        check_batches(job.study, job.data, job.metric)
        return job
    study.function()
    return ObjectiveJob(study, study_id)


def join(storage: Storage, job: AnyJob, trials: int | None) -> AnyJob:
    """Puts the study into the database, or joins it there; the job with its id.

    Raises:
        StudyFileError: the database holds another study of that name.
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
    )
    _refuse_closed(storage, study, study_id)
    attrs = storage.get_study_user_attrs(study_id)
    before = json.loads(attrs[SPEC])
    if attrs[FINGERPRINT] != fingerprint(document) and studies.REPLICATES in attrs:
        raise StudyFileError(
            f"`confirm` and `ablate` keep trainings of {attrs[studies.REPLICATES]} under this name",
            where=study.name,
            hint="rename the study file, or use another database",
        )
    if attrs[FINGERPRINT] != fingerprint(document):
        differ = ", ".join(changed_keys(before, document))
        raise StudyFileError(
            f"the study has changed since it began: {differ}",
            where=study.name,
            hint="give the changed study a name of its own, or undo the change",
        )
    wanted = trials or study.search.trials
    if trials or before.get("search", {}).get("trials", 60) != wanted:
        storage.set_budget(study_id, wanted)
    if canonical(before) != canonical(document):
        storage.set_study_user_attr(study_id, SPEC, canonical(document))
    return replace(job, study_id=study_id)


def _refuse_foreign(storage: Storage, study: Study) -> None:
    """A study of that name that something else made has no specification to compare with."""
    names = {frozen.study_name for frozen in storage.get_all_studies()}
    if study.name in names and study.name not in stored_studies(storage):
        raise StudyFileError(
            "the database holds a study of this name that tuner did not make",
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
        return join(open_storage(url), prepared(study), trials).study_id
