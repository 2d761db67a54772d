"""Each technique changed alone, in pairs of the same seed."""

from __future__ import annotations

from typing import Any

import pytest

from tuner.errors import UsageError
from tuner.results import ablate as taking_apart
from tuner.results.ablate import REST, mixture
from tuner.run.prepare import stored_study
from tuner.run.replicate import ablate, confirm
from tuner.storage import open_storage


def test_every_view_of_every_technique(searched: Any) -> None:
    confirm(searched.name, searched.options, top=1, seeds=2)
    found = ablate(searched.name, searched.options, seeds=2)
    assert found.confirmed
    assert found.rows == "test"
    assert found.seeds == 2
    assert found.pooled.trials == 8
    storage = open_storage(searched.url)
    study, study_id = stored_study(storage, "small")
    trials = storage.get_all_trials(study_id)
    mixed = mixture(study, trials[0], trials[found.number])
    by_view = {
        view: [e.technique for e in found.effects if e.view == view] for view in taking_apart.VIEWS
    }
    assert by_view["off"] == by_view["on"] == list(mixed.techniques)
    assert sorted(by_view["path"]) == sorted(mixed.items)
    assert all(len(e.difference.values) == 2 for e in found.effects)
    assert list(found.to_frame()["words"]) == [e.words for e in found.effects]
    assert taking_apart.read(storage, study) == found
    path = sum(e.difference.mean for e in found.effects if e.view == "path")
    whole = [mixed.label(frozenset()), mixed.label(mixed.everything)]
    results = taking_apart.read_results(storage, study, "ablate")
    low, high = (sum(results[label, s, True].value for s in range(2)) / 2 for label in whole)
    assert path == pytest.approx(high - low)


def test_what_is_switched_off_is_off_and_all_else_stays(searched: Any) -> None:
    storage = open_storage(searched.url)
    study, study_id = stored_study(storage, "small")
    trials = storage.get_all_trials(study_id)
    both = next(t for t in trials if t.params.get("dropout.on") and t.params.get("weight_decay.on"))
    mixed = mixture(study, trials[0], both)
    assert mixed.techniques == ("dropout", "weight_decay")
    assert mixed.items == ("dropout", "weight_decay", REST)

    def config(*names: str) -> dict[str, object]:
        made = mixed.replica(frozenset(names), 0, False)
        return {**study.config(made.params), **made.override}

    best, baseline = study.config(both.params), study.config(trials[0].params)
    assert config(*mixed.items) == best
    assert config() == baseline
    assert config("weight_decay", REST) == {**best, "dropout": 0.0}
    assert config("dropout") == {**baseline, "dropout": best["dropout"]}


def test_without_confirm_it_takes_the_best_of_the_search(searched: Any) -> None:
    found = ablate(searched.name, searched.options, seeds=1, views=["off"])
    assert not found.confirmed
    assert {e.view for e in found.effects} == {"off"}
    assert set(found.to_frame()["view"]) == {"off"}
    assert all("one seed" in e.words for e in found.effects)


def test_an_unknown_view(searched: Any) -> None:
    with pytest.raises(UsageError, match="no view 'of'"):
        ablate(searched.name, searched.options, views=["of"])
