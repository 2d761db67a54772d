"""Studies of any kind are shown; what optuna-dashboard would do to ours is done to it first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from sqlalchemy import update

from tuner.storage import Storage, studies

X = {"x": FloatDistribution(0, 1)}
LISTS = {"layers": CategoricalDistribution([[32], [64, 32], {"wide": 128}, "none", None])}
FOREIGN: dict[str, list[dict[str, Any]]] = {
    "no trial": [],
    "no parameter": [{"value": 1.0}] * 3,
    "lists": [
        {"value": float(i), "params": {"layers": each}, "distributions": LISTS}
        for i, each in enumerate(LISTS["layers"].choices)
    ],
    "one trial": [{"value": 1.0, "params": {"x": 0.5}, "distributions": X}],
    "failed": [{"state": TrialState.FAIL, "params": {"x": 0.5}, "distributions": X}] * 3,
    "not finite": [
        {
            "value": float(value),
            "params": {"x": 0.5},
            "distributions": X,
            "intermediate_values": {1: float("nan"), 2: float(value)},
            "user_attrs": {"odd": float(value)},
        }
        for value in ("inf", "-inf", "1")
    ],
    "one value": [{"value": 1.0, "params": {"x": 0.1 * i}, "distributions": X} for i in range(4)],
    "parameters that come and go": [
        {"value": 1.0, "params": {"x": 0.5}, "distributions": X},
        {"value": 2.0, "params": {"layers": [32]}, "distributions": LISTS},
    ],
    "two objectives": [
        {"values": [float(i), 1.0], "params": {"x": 0.5}, "distributions": X} for i in range(3)
    ],
    "two objectives, no parameter": [{"values": [float(i), 1.0]} for i in range(3)],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FOREIGN)
def test_any_study_is_shown(storage: Storage, guard: Callable[..., Any], kind: str) -> None:
    toward = ["minimize"] * (2 if kind.startswith("two") else 1)
    study = optuna.create_study(storage=storage, study_name=kind, directions=toward)
    study.add_trials([create_trial(**each) for each in FOREIGN[kind]])
    served, page = guard(), f"/api/studies/{study._study_id}"
    found = served.ask(f"{page}?after=0")
    assert (found.status, len(found.json["trials"])) == (200, len(FOREIGN[kind]))
    importances = served.ask(f"{page}/param_importances")
    assert (importances.status, len(importances.json["param_importances"])) == (200, len(toward))
    for plot in ("contour", "slice", "parallel_coordinate", "rank", "edf", "timeline"):
        assert served.ask(f"{page}/plot/{plot}").status == 200, plot
    assert served.ask(f"{page}/plot/pareto_front").status == (200 if len(toward) == 2 else 400)
    assert served.ask(f"/csv/{study._study_id}").status == 200
    assert served.ask("/api/studies/99/plot/slice").status == 404


def test_a_list_is_shown_as_text(storage: Storage, guard: Callable[..., Any]) -> None:
    study = optuna.create_study(storage=storage, study_name="lists")
    study.add_trials([create_trial(**each) for each in FOREIGN["lists"]])
    found = guard().ask(f"/api/studies/{study._study_id}?after=0").json
    shown = [each["params"][0]["param_external_value"] for each in found["trials"]]
    assert shown == ["[32]", "[64, 32]", "{'wide': 128}", "none", "None"]
    assert study.trials[0].params == {"layers": [32]}  # as it was


ARGUMENTS = {"direction": "maximize", "metric": "accuracy", "spec": "", "fingerprint": ""}
FILE = {"file": "data:text/plain;base64,aGVsbG8=", "filename": "hello.txt"}


def test_a_study_of_ours_is_not_renamed(
    storage: Storage, bare: Any, guard: Callable[..., Any]
) -> None:
    ours = storage.join("ours", budget=5, **ARGUMENTS)
    assert bare.ask(f"/api/studies/{ours}/rename", "POST", {"study_name": "new"}).status == 201
    assert storage.get_all_studies()[-1].study_name == "new"
    renamed = storage.get_study_id_from_name("new")
    assert storage.progress(renamed).budget == 0  # what this is about

    ours, served = storage.join("ours", budget=5, **ARGUMENTS), guard()
    file = served.ask(f"/api/artifacts/{ours}", "POST", FILE).json["artifact_id"]
    ways = ("", "/", "%0A", "%FF")  # all of which optuna-dashboard takes
    for path in [f"/api/studies/0{ours}/rename{way}" for way in ways]:
        refused = served.ask(path, "POST", {"study_name": "newer"})
        assert (refused.status, b"keep their names" in refused.body) == (409, True), path
    assert storage.progress(ours).budget == 5
    assert storage.get_study_name_from_id(ours) == "ours"
    assert served.ask(f"/artifacts/{ours}/{file}").status == 200


def test_a_plain_study_is_renamed_and_what_is_none_is_not_found(
    storage: Storage, guard: Callable[..., Any]
) -> None:
    served = guard()
    assert served.ask("/api/studies/1/rename", "POST", {"study_name": "new"}).status == 201
    assert [study.study_name for study in storage.get_all_studies()] == ["new"]
    for number in (99, 2**31, 2**70):
        asked = served.ask(f"/api/studies/{number}/rename", "POST", {"study_name": "newer"})
        assert asked.status in (404, 500), number
        assert served.ask(f"/csv/{number}").status in (404, 500), number


@pytest.mark.parametrize("name", ["two\nlines", "a\rb"])
def test_a_table_of_a_study_whose_name_no_header_has(
    storage: Storage, bare: Any, guard: Callable[..., Any], name: str
) -> None:
    odd = storage.create_new_study([StudyDirection.MAXIMIZE], "odd")
    with storage.database.write() as connection:  # as other programs name theirs
        mine = studies.STUDIES.c.study_id == odd
        connection.execute(update(studies.STUDIES).where(mine).values(study_name=name))
    assert bare.ask(f"/csv/{odd}").status == 500
    served = guard()
    assert served.ask(f"/csv/{odd}").status == 400
    assert served.ask("/csv/1").status == 200
