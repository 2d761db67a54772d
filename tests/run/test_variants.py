from __future__ import annotations

import optuna
import pytest
import torch

import tuner
from tuner.run.prepare import load_job
from tuner.run.retrain import retrain

CHOICE = {"choices": ["standard", "quantile"]}


def study(preprocessing: object) -> tuner.Study:
    return tuner.define_study(
        "variants",
        data={"source": "sklearn.datasets:load_wine", "preprocessing": preprocessing},
        training={"epochs": 2, "batch_size": 32},
        search={"trials": 4, "sampler": "random", "pruner": "none"},
    )


def test_a_trial_has_the_data_of_its_preprocessing() -> None:
    job = load_job(study(CHOICE))
    for name in CHOICE["choices"]:
        alone = load_job(study(name)).data
        found = job.data_for({"preprocessing": name})
        assert torch.equal(found.train.x, alone.train.x)
        assert torch.equal(found.validation.x, alone.validation.x)
    assert job.data is job.data_for({"preprocessing": "standard"})
    assert not torch.equal(job.data.train.x, job.data_for({"preprocessing": "quantile"}).train.x)


@pytest.mark.parametrize("name", ["standard", "quantile"])
def test_an_objective_trains_on_the_data_of_its_preprocessing(name: str) -> None:
    trial = optuna.trial.FixedTrial({"preprocessing": name})
    alone = tuner.objective(study(name))(optuna.trial.FixedTrial({}))
    assert tuner.objective(study(CHOICE))(trial) == alone


def test_both_are_searched_and_trained_again(sqlite_url: str) -> None:
    options = tuner.RunOptions(storage=sqlite_url, workers=1, device="cpu")
    last = tuner.optimize(study(CHOICE), options)
    assert last.progress.met
    trials = optuna.load_study(study_name="variants", storage=sqlite_url).trials
    assert {t.params["preprocessing"] for t in trials} == {"standard", "quantile"}
    assert trials[0].params == {"preprocessing": "standard"}
    for name in CHOICE["choices"]:
        number = next(t.number for t in trials if t.params["preprocessing"] == name)
        assert retrain("variants", number, options).equal


def test_the_final_rows_have_the_preprocessing_too() -> None:
    job = load_job(study(CHOICE))
    assert set(job.finals) == {"standard", "quantile"}
    for name, final in job.finals.items():
        alone = load_job(study(name)).finals[name]
        assert torch.equal(final.train.x, alone.train.x)
        assert len(final.train) == len(job.data.train) + len(job.data.validation)
    assert job.to("cpu").finals["quantile"].train.x is job.finals["quantile"].train.x
