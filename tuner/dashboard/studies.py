"""Adapts studies to optuna-dashboard, and refuses requests that would damage them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from copy import copy
from http import HTTPStatus
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import func, select

from tuner.dashboard.security import Application, Environ, Refusal, answer, path_of, refuse
from tuner.errors import StorageError
from tuner.search.overlay import Overlay
from tuner.storage import rows, schema, studies
from tuner.storage.database import Database

_RENAME = re.compile(r"/api/studies/(\d+)/rename$")
_IMPORTANCES = re.compile(r"/api/studies/(\d+)/param_importances$")
_PLOT = re.compile(r"/api/studies/(\d+)/plot/(\w+)$")
_TABLE = re.compile(r"/csv/(\d+)$")
_IDS = 2**31
_JSON = (("Content-Type", "application/json"),)
_OURS = Refusal(
    HTTPStatus.CONFLICT,
    "tuner's studies keep their names: renaming one would lose its budget, leases and files",
)
_ODD = Refusal(
    HTTPStatus.BAD_REQUEST, "this study's name is not one line of text, so no file can have it"
)
_NONE = Refusal(HTTPStatus.NOT_FOUND, "there is no such study")
_NO_FRONT = Refusal(HTTPStatus.BAD_REQUEST, "a Pareto front is of two or three objectives")
_FAILED = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "the database did not answer")


def shown(storage: BaseStorage) -> Overlay:
    """A storage whose trials optuna-dashboard and Optuna's importances can work with.

    Both put distributions into sets, and a choice may be a list or a table, which has no hash: it
    becomes text, as which it is shown anyway.
    """
    return Overlay(storage, select=lambda trials: list(map(_shown, trials)), writable=True)


def _shown(trial: FrozenTrial) -> FrozenTrial:
    odd = {name: kind for name, kind in trial.distributions.items() if not _has_hash(kind)}
    if not odd:
        return trial
    kinds = {name: _as_text(kind) for name, kind in odd.items()}
    copied = copy(trial)
    copied.params = trial.params | {
        name: kind.choices[int(odd[name].to_internal_repr(trial.params[name]))]
        for name, kind in kinds.items()
    }
    copied.distributions = trial.distributions | kinds
    return copied


def _has_hash(kind: BaseDistribution) -> bool:
    try:
        hash(kind)
    except TypeError:
        return False
    return True


def _as_text(kind: Any) -> CategoricalDistribution:
    plain = (type(None), bool, int, float, str)
    choices = [each if isinstance(each, plain) else str(each) for each in kind.choices]
    return CategoricalDistribution(choices)


def protecting_studies(database: Database, application: Application) -> Application:
    """An application without the requests that damage a study or fail.

    It does not rename a study of tuner: optuna-dashboard copies the trials and deletes the study,
    with all that only tuner knows of it. It offers no file of a study whose name is not one line
    of text. It answers a request for importances itself if the study has no parameters.
    """

    def handle(environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        try:
            refusal = _refusal(database, _path(environ))
            objectives = _without_parameters(database, _path(environ))
        except StorageError:
            refusal, objectives = _FAILED, 0
        if refusal is not None:
            return refuse(environ, start, refusal)
        if objectives:
            empty: dict[str, Any] = {"param_importances": [[]] * objectives}
            return answer(environ, start, HTTPStatus.OK, json.dumps(empty), _JSON)
        return application(environ, start)

    return handle


def _without_parameters(database: Database, path: str) -> int:
    """The number of objectives, if importances of a study without parameters are requested; else
    0."""
    study_id = _number(_IMPORTANCES.match(path))
    if study_id is None:
        return 0
    trials = rows.TRIALS
    joined = rows.PARAMS.join(trials, trials.c.trial_id == rows.PARAMS.c.trial_id)
    mine = trials.c.study_id == study_id, trials.c.state != TrialState.FAIL
    drawn = select(rows.PARAMS.c.param_id).select_from(joined).where(*mine).limit(1)
    with database.read() as connection:
        if connection.execute(drawn).scalar() is not None:
            return 0
    return _objectives(database, study_id)


def _objectives(database: Database, study_id: int) -> int:
    """The number of objectives of a study; 0 if there is no such study."""
    query = select(func.count()).where(studies.DIRECTIONS.c.study_id == study_id)
    with database.read() as connection:
        return int(connection.execute(query).scalar_one())


def _path(environ: Environ) -> str:
    # As bottle and optuna-dashboard read it: no path that they accept may evade the patterns.
    return path_of(environ).encode("latin1").decode("utf-8", "ignore").rstrip("/")


def _refusal(database: Database, path: str) -> Refusal | None:
    plot = _PLOT.match(path)
    if plot is not None:
        objectives = _objectives(database, _number(plot) or 0)
        front = plot[2] == "pareto_front"
        return (
            _NONE if not objectives else _NO_FRONT if front and objectives not in (2, 3) else None
        )
    renamed, table = _RENAME.match(path), _TABLE.match(path)
    study_id = _number(renamed or table)
    if study_id is None:
        return None
    wanted = schema.studies.c.study_id if renamed else studies.STUDIES.c.study_name
    of = wanted.table.c.study_id == study_id
    with database.read() as connection:
        value = connection.execute(select(wanted).where(of)).scalar()
    if renamed:
        return None if value is None else _OURS
    return _ODD if re.search(r"[\0\r\n]", value or "") else None


def _number(match: re.Match[str] | None) -> int | None:
    """The study's number; None if no study has it."""
    try:
        number = int(match[1]) if match else _IDS
    except ValueError:  # thousands of digits
        return None
    return number if number < _IDS else None
