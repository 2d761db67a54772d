"""What Python calls: a study by its name or as an object, in the database of the options."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote
from typing import TYPE_CHECKING

from tuner.errors import UsageError, nearest
from tuner.reports.compare import Comparison, compare_studies
from tuner.reports.report import Report, build

if TYPE_CHECKING:
    from tuner.run import RunOptions
    from tuner.storage import Storage
    from tuner.study import Study
    from tuner.views.recommended import Recommendation

DEFAULT_STORAGE = "sqlite:///tuner.db"


def report(study: str | Study, options: RunOptions) -> Report:
    """Reads a study from the database; nothing is trained and no test row is read.

    Args:
        study: its name, or itself.
        options: of which only ``storage`` is used.

    Raises:
        StorageError: there is no such database.
        UsageError: it holds no such study, or one without a trial.
    """
    from tuner.storage import opened, redact

    storage = opened(options.storage)
    url = options.storage
    option = "" if url == DEFAULT_STORAGE else f"--storage {quote(redact(url))}"
    return build(storage, *stored(storage, study), option)


def compare(studies: Sequence[str | Study], options: RunOptions) -> Comparison:
    """Studies of one database side by side.

    Raises:
        StorageError, UsageError: as ``report`` does; also for fewer than two studies.
    """
    from tuner.storage import opened

    storage = opened(options.storage)
    return compare_studies(storage, [stored(storage, study) for study in studies])


def best(study: str | Study, options: RunOptions) -> Recommendation:
    """The configuration to take: the winner of ``confirm``, else the best of the search.

    Raises:
        StorageError, UsageError: as ``report`` does; also where no trial is complete.
    """
    from tuner.storage import opened
    from tuner.study.trials import nothing_complete
    from tuner.views.recommended import recommended

    storage = opened(options.storage)
    known, study_id = stored(storage, study)
    found = recommended(storage, known, study_id)
    if found is None:
        trials = storage.get_all_trials(study_id, deepcopy=False)
        raise nothing_complete(known, trials, storage.progress(study_id).budget)
    return found


def stored(storage: Storage, study: str | Study) -> tuple[Study, int]:
    """A study as the database has it, and its id; UsageError with the known ones."""
    from tuner.run.prepare import stored_studies, stored_study

    name = study if isinstance(study, str) else study.name
    known = stored_studies(storage)
    if name not in known:
        hint = nearest(name, known) if known else "it holds none: tuner.optimize(…)"
        raise UsageError(f"the database holds no study {name!r}", hint=hint)
    return stored_study(storage, name)
