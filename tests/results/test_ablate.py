"""Each technique changed alone, in pairs of the same seed."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tuner.errors import UsageError
from tuner.results import ablate as taking_apart
from tuner.results.ablate import REST, mixture
from tuner.results.replicas import Result, finished_replicas
from tuner.run.optimize import optimize
from tuner.run.options import RunOptions
from tuner.run.prepare import load_job, stored_study
from tuner.run.replicate import ablate, confirm
from tuner.storage import open_storage
from tuner.worker.job import data_of

from .conftest import table


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


CHOSEN = """\
metric = "accuracy"
[data]
path = "{table}"
target = "label"
split = "part"
preprocessing = {{ choices = ["standard", "robust"] }}
[model]
family = "mlp"
depth = 1
width = 8
activation = {{ choices = ["relu", "mish"] }}
[training]
epochs = 4
optimizer = {{ name = "adam", beta2 = {{ choices = [0.999, 0.95] }} }}
learning_rate = {{ low = 1e-6, high = 1e-1, log = true }}
[search]
trials = 2
pruner = "none"
baseline = {{ learning_rate = 1e-6 }}
enqueue = [
    {{ activation = "mish", preprocessing = "robust", "adam.beta2" = 0.95, learning_rate = 0.03 }},
]
"""


def test_choices_are_changed_alone_too(tmp_path: Path) -> None:
    file = tmp_path / "chosen.toml"
    file.write_text(CHOSEN.format(table=table(tmp_path)))
    options = RunOptions(f"sqlite:///{tmp_path}/tuner.db", workers=1, device="cpu")
    optimize(str(file), options)
    storage = open_storage(options.storage)
    study, study_id = stored_study(storage, "chosen")
    baseline, best = storage.get_all_trials(study_id)
    mixed = mixture(study, baseline, best)
    assert mixed.techniques == ("activation", "preprocessing", "adam.beta2")
    made = mixed.replica(mixed.everything - {"preprocessing"}, 0, False)
    config = {**study.config(made.params), **made.override}
    assert config == {**study.config(best.params), "preprocessing": "standard"}
    found = ablate("chosen", options, seeds=1, views=["off"])
    assert [e.technique for e in found.effects] == list(mixed.techniques)
    label = mixed.label(mixed.everything - {"preprocessing"})
    trained = finished_replicas(storage, study, taking_apart.COMMAND)[label, 0, True][1]
    job = load_job(study, study_id)
    assert data_of(job, trained) is job.finals["standard"]


# The path, from made-up results.


def results_of(mixed: taking_apart.Mixture, **worth: list[float]) -> dict[Any, Result]:
    """What trainings give where each item adds its worth, seed by seed."""
    states = itertools.chain.from_iterable(
        itertools.combinations(mixed.items, count) for count in range(len(mixed.items) + 1)
    )
    seeds = range(len(next(iter(worth.values()))))
    return {
        (mixed.label(frozenset(state)), seed, True): Result(
            0.5 + seed / 100 + sum(worth[name.replace(" ", "_")][seed] for name in state), ()
        )
        for state in states
        for seed in seeds
    }


def steps(searched: Any, full: bool = False) -> taking_apart.Variants:
    """The baseline and a trial with two techniques; the rest is the best step by far."""
    storage = open_storage(searched.url)
    study, study_id = stored_study(storage, "small")
    trials = storage.get_all_trials(study_id)
    both = next(t for t in trials if t.params.get("dropout.on") and t.params.get("weight_decay.on"))
    mixed = mixture(study, trials[0], both)
    worth = {
        "dropout": [0.01, 0.012, 0.011, 0.01],
        "weight_decay": [0.02, 0.019, 0.022, 0.021],
        "the_rest": [0.3, 0.32, 0.31, 0.3],
    }
    asked = taking_apart.AblateRequest(both.number, True, False, 4, full=full)
    return taking_apart.Variants(mixed, asked, results_of(mixed, **worth), frozenset(), 1)


def test_a_step_that_can_hardly_be_chosen_gets_no_further_seeds(searched: Any) -> None:
    known = steps(searched)
    assert [len(step.states) for step in known.path] == [3, 2, 1]
    first, *_ = known.path
    assert first.chosen == {REST}
    label = known.mixture.label(frozenset({"dropout"}))
    assert first.race.stopped[label].seeds == 2
    assert known.states[-1] == known.mixture.everything
    only = replace(known, request=replace(known.request, views=("path",)))
    assert (label, 1, True) in only.wanted
    assert (label, 2, True) not in only.wanted
    assert (label, 2, True) in known.wanted  # for what it is worth alone it has all
    assert only.complete
    full = steps(searched, full=True)
    assert full.states == known.states
    assert not any(step.race.stopped for step in full.path)
    assert full.request.options == "--full"


def test_what_comes_next_on_the_path(searched: Any) -> None:
    whole = steps(searched)
    path = replace(whole, request=replace(whole.request, views=("path",)))
    none = replace(path, results={})
    ends = {whole.mixture.label(frozenset()), whole.mixture.label(whole.mixture.everything)}
    batch = none.batch(1)
    assert {each.label for each in batch if each.seed > 1} == ends
    assert len(batch) == 2 * 4 + 3 * 2
    assert len({each.key for each in none.batch(100)}) == 2 * 4 + 3 * 4
    assert len(none.wanted) == 2 * 4 + 3 * 4 + 2 * 4  # and the step after that, whatever it is
    singles = {key: x for key, x in whole.results.items() if "+" not in key[0]}
    later = replace(
        path, results={**singles, **{k: whole.results[k] for k in whole.results if k[0] in ends}}
    )
    assert {each.label for each in later.batch(1)} == {
        whole.mixture.label(frozenset({REST, name})) for name in ("dropout", "weight_decay")
    }
    assert {each.seed for each in later.batch(1)} == {0, 1}


def test_a_step_whose_trainings_diverged_is_left_out(searched: Any) -> None:
    whole = steps(searched)
    label = whole.mixture.label(frozenset({REST}))
    results = {key: x for key, x in whole.results.items() if key[0] != label}
    lost = frozenset(key for key in whole.results if key[0] == label)
    known = replace(whole, results=results, diverged=lost)
    assert known.path[0].chosen == {"weight_decay"}
    assert not {each.label for each in known.batch(1)} & {label}
