"""What tuner relies on of Optuna's private side: if a new Optuna differs, it fails here."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.pruners import PercentilePruner
from optuna.samplers import CmaEsSampler, TPESampler
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, create_trial

from tuner.optuna_private import (
    DEFAULT_STUDY_NAME_PREFIX,
    FrozenStudy,
    ParzenEstimator,
    models,
    percentile,
    truncnorm,
)
from tuner.search.overlay import Overlay

SOURCES = sorted((Path(__file__).parents[1] / "tuner").rglob("*.py"))
ATTRIBUTES = "key value_json"
TABLES = {
    "Study": "study_id study_name",
    "StudyDirection": "study_direction_id direction study_id objective",
    "StudyUserAttribute": f"study_user_attribute_id study_id {ATTRIBUTES}",
    "StudySystemAttribute": f"study_system_attribute_id study_id {ATTRIBUTES}",
    "Trial": "trial_id number study_id state datetime_start datetime_complete",
    "TrialHeartbeat": "trial_heartbeat_id trial_id heartbeat",
    "TrialParam": "param_id trial_id param_name param_value distribution_json",
    "TrialValue": "trial_value_id trial_id objective value value_type",
    "TrialIntermediateValue": (
        "trial_intermediate_value_id trial_id step intermediate_value intermediate_value_type"
    ),
    "TrialUserAttribute": f"trial_user_attribute_id trial_id {ATTRIBUTES}",
    "TrialSystemAttribute": f"trial_system_attribute_id trial_id {ATTRIBUTES}",
}
CALLS: dict[Callable[..., Any], str] = {
    percentile._is_first_in_interval_step: "step intermediate_steps n_warmup_steps interval_steps",
    percentile._get_best_intermediate_result_over_steps: "trial direction",
    percentile._get_percentile_intermediate_result_over_trials: (
        "completed_trials direction step percentile n_min_trials"
    ),
    truncnorm._log_ndtr: "a",
    FrozenStudy: "study_name direction user_attrs system_attrs study_id directions",
    Study: "study_name storage sampler pruner",
    Study._get_trials: "self deepcopy states use_cache",
    Trial: "study trial_id",
    TPESampler._compute_acquisition_func: "self samples mpe_below mpe_above",
    ParzenEstimator: "observations search_space parameters predetermined_weights",
    ParzenEstimator._calculate_distributions: (
        "self observations param_name search_space parameters"
    ),
    ParzenEstimator.sample: "self rng size",
    TPESampler._sample_relative: "self study trial search_space",
    TPESampler._get_internal_repr: "self trials search_space study",
    TPESampler._get_params: "self trial study",
    TPESampler._is_multivariate: "self study",
    CmaEsSampler._init_optimizer: "self trans direction",
    CmaEsSampler._restore_optimizer: "self completed_trials",
    CmaEsSampler._split_optimizer_str: "self optimizer_str",
    CmaEsSampler._concat_optimizer_attrs: "self optimizer_attrs",
}


def _private(node: ast.AST) -> list[str]:
    """The private names of Optuna that a statement imports."""
    if isinstance(node, ast.ImportFrom):
        names = [f"{node.module}.{each.name}" for each in node.names]
    elif isinstance(node, ast.Import):
        names = [each.name for each in node.names]
    else:
        return []
    return [name for name in names if name.startswith("optuna.") and "._" in name]


def test_one_module_imports_what_is_private() -> None:
    found = {
        path.name
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if _private(node)
    }
    assert found == {"optuna_private.py"}


def test_an_overlay_has_what_is_asked_of_a_storage() -> None:
    own = {name for name in vars(Overlay) if not name.startswith("_")}
    assert own == BaseStorage.__abstractmethods__ | {"everything"}
    for name in BaseStorage.__abstractmethods__:
        theirs, ours = (inspect.signature(getattr(each, name)) for each in (BaseStorage, Overlay))
        assert list(ours.parameters) == list(theirs.parameters), name


@pytest.mark.parametrize("name", TABLES)
def test_columns(name: str) -> None:
    table = getattr(models, f"{name}Model").__table__
    assert [column.name for column in table.c] == TABLES[name].split()


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__qualname__)
def test_signatures(call: Callable[..., Any]) -> None:
    assert list(inspect.signature(call).parameters) == CALLS[call].split()


def test_how_numbers_are_stored() -> None:
    value = models.TrialValueModel.value_to_stored_repr
    assert [(kept, kind.name) for kept, kind in map(value, (0.5, math.inf, -math.inf))] == [
        (0.5, "FINITE"),
        (None, "INF_POS"),
        (None, "INF_NEG"),
    ]
    report = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr
    assert [(kept, kind.name) for kept, kind in map(report, (0.5, math.nan))] == [
        (0.5, "FINITE"),
        (None, "NAN"),
    ]
    assert models.MAX_INDEXED_STRING_LENGTH == 512
    assert DEFAULT_STUDY_NAME_PREFIX == "no-name-"


def test_attributes_of_objects() -> None:
    pruner = PercentilePruner(25.0, 1, 2, 3, n_min_trials=4)
    assert vars(pruner) == {
        "_percentile": 25.0,
        "_n_startup_trials": 1,
        "_n_warmup_steps": 2,
        "_interval_steps": 3,
        "_n_min_trials": 4,
    }
    sampler = TPESampler()
    assert (sampler._group, sampler._multivariate, sampler._n_ei_candidates) == (False, None, 24)
    assert sampler._parzen_estimator_cls is ParzenEstimator
    assert hasattr(sampler._rng, "rng")
    assert isinstance(CmaEsSampler._attr_key_optimizer, property)
    trial: FrozenTrial = create_trial(value=1.0)
    assert (trial._trial_id, trial._number) == (-1, -1)
    assert {"state", "_values", "intermediate_values"} <= vars(trial).keys()  # a clone has these
    study = FrozenStudy("a", None, {}, {}, 3, directions=[StudyDirection.MINIMIZE])
    assert (study._study_id, study.study_name) == (3, "a")


def test_the_logarithm_that_is_replaced_is_of_arrays() -> None:
    found = truncnorm._log_ndtr(np.array([0.0]))
    assert found == pytest.approx([math.log(0.5)])
