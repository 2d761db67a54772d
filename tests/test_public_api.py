"""What `import tuner` gives: its names, studies built in Python, and a plain Optuna objective."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

import tuner

EPOCHS = 3


@pytest.fixture(scope="module")
def wine() -> tuner.Study:
    """A small study with a nested choice and a switch."""
    return tuner.define_study(
        "wine",
        data={"source": "sklearn.datasets:load_wine"},
        model={"family": "linear"},
        regularization={"l2_lambda": tuner.Range(1e-4, 1e-1, log=True, off=0.0)},
        training={
            "epochs": EPOCHS,
            "learning_rate": tuner.Range(1e-3, 1e-1, log=True),
            "optimizer": tuner.Choice(("adam", {"name": "sgd", "momentum": tuner.Range(0.0, 0.9)})),
        },
        search={"trials": 4, "sampler": "random", "pruner": "none"},
    )


@pytest.fixture(scope="module")
def finished(wine: tuner.Study, tmp_path_factory: pytest.TempPathFactory) -> tuner.RunOptions:
    """A run of the study, in a database of its own."""
    folder = tmp_path_factory.mktemp("finished")
    options = tuner.RunOptions(f"sqlite:///{folder}/tuner.db", workers=1, device="cpu")
    last = tuner.optimize(wine, options)
    assert last.progress.finished == 4
    return options


def test_every_public_name_resolves_and_is_documented() -> None:
    assert tuner.__all__ == sorted(tuner.__all__)
    for name in tuner.__all__:
        found = getattr(tuner, name)
        assert inspect.isclass(found) or inspect.isfunction(found)
        assert found.__doc__, name
        assert not found.__doc__.startswith(f"{name}("), f"{name} has no words of its own"
        assert found.__module__.startswith("tuner.")
    with pytest.raises(AttributeError, match="no attribute 'optimise'"):
        _ = tuner.optimise


def test_what_there_is_can_be_listed() -> None:
    assert dir(tuner) == sorted([*tuner.__all__, "__version__"])
    assert tuner.__version__ == version("tuner")
    assert hasattr(tuner, "__version__")


def test_names_are_imported_when_they_are_used() -> None:
    code = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "import tuner\n"
        "heavy = {'torch', 'optuna', 'sqlalchemy', 'pandas', 'sklearn', 'numpy'}\n"
        "assert 'optimize' in dir(tuner)\n"
        "assert not {*heavy, 'importlib.metadata'} & (set(sys.modules) - before)\n"
        "assert tuner.__version__\n"
        "assert not heavy & set(sys.modules)\n"
        "tuner.Range, tuner.TunerError\n"
        "assert not heavy & set(sys.modules)\n"
        "from tuner import *\n"
        "assert all(name in globals() for name in tuner.__all__)\n"
        "assert 'torch' in sys.modules and optimize is tuner.optimize"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_study_of_python_equals_one_of_a_file(wine: tuner.Study, tmp_path: Path) -> None:
    path = tmp_path / "wine.toml"
    path.write_text(
        '[data]\nsource = "sklearn.datasets:load_wine"\n[model]\nfamily = "linear"\n'
        "[regularization]\nl2_lambda = { off = 0.0, low = 1e-4, high = 1e-1, log = true }\n"
        f"[training]\nepochs = {EPOCHS}\n"
        "learning_rate = { low = 1e-3, high = 1e-1, log = true }\n"
        'optimizer = { choices = ["adam", { name = "sgd", '
        "momentum = { low = 0.0, high = 0.9 } }] }\n"
        '[search]\ntrials = 4\nsampler = "random"\npruner = "none"\n'
    )
    loaded = tuner.load_study(str(path))
    assert replace(loaded, folder=wine.folder) == wine


def test_a_mistake_in_python_is_a_tuner_error() -> None:
    with pytest.raises(tuner.TunerError, match="did you mean 'epochs'") as caught:
        tuner.define_study(
            "wine", data={"source": "sklearn.datasets:load_wine"}, training={"epoch": 3}
        )
    assert caught.value.where == "training.epoch"
    assert caught.value.exit_code == 2


def test_optimize_gives_how_far_it_is(wine: tuner.Study, finished: tuner.RunOptions) -> None:
    seen = []
    again = tuner.optimize(wine, finished, seen.append)
    assert seen == [again]
    assert again.progress.met
    assert again.best is not None
    assert again.baseline is not None
    assert again.best.value >= again.baseline.value
    assert set(wine.config(wine.baseline())) <= {*again.best.config}


def test_optuna_reads_the_database(wine: tuner.Study, finished: tuner.RunOptions) -> None:
    plain = optuna.load_study(study_name="wine", storage=finished.storage)
    ours = optuna.load_study(study_name="wine", storage=tuner.open_storage(finished.storage))
    assert plain.trials == ours.trials
    assert [trial.number for trial in plain.trials] == [0, 1, 2, 3]
    assert plain.best_value == tuner.optimize(wine, finished).best.value


def test_retrain_reproduces_each_trial(finished: tuner.RunOptions) -> None:
    for number in range(4):
        again = tuner.retrain("wine", number, finished)
        assert again.equal
        assert again.epochs == EPOCHS


def test_the_objective_equals_the_workers(wine: tuner.Study, finished: tuner.RunOptions) -> None:
    """A trial's result is a function of its configuration and seed, whoever trains it."""
    trained = optuna.load_study(study_name="wine", storage=finished.storage).trials
    study = optuna.create_study(direction="maximize")
    for trial in trained:
        study.enqueue_trial(trial.params)
    study.optimize(tuner.objective(wine), n_trials=len(trained))
    for mine, theirs in zip(study.trials, trained, strict=True):
        assert mine.state == TrialState.COMPLETE
        assert mine.value == theirs.value
        assert mine.params == theirs.params
        assert mine.distributions == theirs.distributions
        assert mine.intermediate_values == theirs.intermediate_values
        assert mine.user_attrs["seed"] == theirs.user_attrs["seed"]
        assert sorted(mine.intermediate_values) == [1, 2, 3]


def test_the_objective_prunes(wine: tuner.Study) -> None:
    pruner = optuna.pruners.ThresholdPruner(lower=2.0)  # no accuracy is that high
    study = optuna.create_study(direction="maximize", pruner=pruner)
    study.optimize(tuner.objective(wine), n_trials=2)
    assert [trial.state for trial in study.trials] == [TrialState.PRUNED] * 2
    assert [list(trial.intermediate_values) for trial in study.trials] == [[1], [1]]


def test_the_objective_refuses_a_study_of_the_other_direction(wine: tuner.Study) -> None:
    study = optuna.create_study()  # Optuna minimizes unless told otherwise
    with pytest.raises(tuner.TunerError, match='direction="maximize"'):
        study.optimize(tuner.objective(wine), n_trials=1)


def test_the_objective_takes_a_fixed_trial(wine: tuner.Study) -> None:
    train = tuner.objective(wine)
    fixed = optuna.trial.FixedTrial(wine.baseline())
    assert train(fixed) == train(optuna.trial.FixedTrial(wine.baseline()))


def test_the_objective_samples_what_the_study_searches(wine: tuner.Study) -> None:
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(tuner.objective(wine), n_trials=8)
    named = {name for trial in study.trials for name in trial.params}
    assert named == {"l2_lambda", "l2_lambda.on", "learning_rate", "optimizer", "sgd.momentum"}
    assert all(
        ("sgd.momentum" in trial.params) == (trial.params["optimizer"] == "sgd")
        for trial in study.trials
    )


def test_the_objective_of_a_study_that_ships_takes_its_name() -> None:
    assert callable(tuner.objective("breast-cancer"))
    with pytest.raises(tuner.TunerError, match="did you mean 'digits'"):
        tuner.objective("digit")
