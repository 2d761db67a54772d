"""An optimizer, a schedule and a sampler of rows of the user's beside an own loss and metric, from
`optimize` to `export`."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import tuner
from tuner.errors import StudyFileError
from tuner.run.prepare import load_job

MODULE = "my_training"
TEXT = """
import math
import torch

def hits(predictions, targets):
    return (predictions.argmax(1) == targets).double().mean()

def focal(outputs, targets, gamma=2.0):
    logarithms = outputs.log_softmax(1)
    return -(targets * (1 - logarithms.exp()) ** gamma * logarithms).sum(1)

def signs(gradient, state, step, beta=0.9):
    mean = torch.lerp(state[0] if state else torch.zeros_like(gradient), gradient, 1 - beta)
    return mean.sign(), (mean,)

def rare(targets, generator, power=0.5):
    shares = torch.bincount(targets).double()[targets] ** -power
    return torch.multinomial(shares, len(targets) // 2, replacement=True, generator=generator)

def large(targets, generator):
    return torch.multinomial(targets.exp(), 150, generator=generator)

def waves(progress, count=2):
    return abs(math.cos(math.pi * count * progress))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the user's module."""
    (tmp_path / f"{MODULE}.py").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUNER_ALLOW", raising=False)
    sys.modules.pop(MODULE, None)  # another test's
    return tmp_path


def own(name: str, **options: Any) -> Any:
    return {"name": f"{MODULE}:{name}", **options}


def defined(**training: Any) -> tuner.Study:
    rate = {"low": 0.001, "high": 0.01, "log": True}
    signs = own("signs", beta={"low": 0.5, "high": 0.95}, learning_rate=rate)
    waves = own("waves", count={"low": 1, "high": 3})
    first = {
        "optimizer": f"{MODULE}:signs",
        f"{MODULE}:signs.beta": 0.8,
        "lr_scheduler": f"{MODULE}:waves",
        "loss": f"{MODULE}:focal",
        "sampling": f"{MODULE}:rare",
    }
    return tuner.define_study(
        "s",
        metric=f"{MODULE}:hits",
        direction="maximize",
        data={"source": "sklearn.datasets:load_wine"},
        model={"family": "mlp", "depth": 1, "width": 8},
        training={
            "epochs": 3,
            "loss": {"choices": ["auto", own("focal", gamma=1.5)]},
            "optimizer": {"choices": ["adam", signs]},
            "lr_scheduler": {"choices": ["constant", waves]},
            "sampling": {"choices": ["shuffled", "balanced", own("rare", power=1.0)]},
            **training,
        },
        search={"trials": 4, "sampler": "random", "pruner": "none", "enqueue": [first]},
    )


def test_every_command_knows_them(sqlite_url: str, folder: Path) -> None:
    options = tuner.RunOptions(sqlite_url, workers=1, device="cpu")
    study = defined()
    assert tuner.optimize(study, options).progress.met
    assert tuner.retrain("s", 1, options).equal
    confirmed = tuner.confirm("s", options, top=2, seeds=2)
    assert confirmed.finished
    ablation = tuner.ablate("s", options, seeds=2, views=["on"])
    assert ablation.effects is not None
    exported = tuner.export("s", folder / "model", options, trial=1)
    assert exported.number == 1
    document = tomllib.loads((folder / "model" / "study.toml").read_text())
    training = document["training"]
    assert training["optimizer"]["name"] == f"{MODULE}:signs"
    assert training["optimizer"]["beta"] == 0.8
    assert 0.001 <= training["optimizer"]["learning_rate"] <= 0.01
    assert training["lr_scheduler"]["name"] == f"{MODULE}:waves"
    assert training["sampling"] == own("rare", power=1.0)
    assert training["loss"] == own("focal", gamma=1.5)
    (folder / f"{MODULE}.py").unlink()  # a network needs none of them
    sys.modules.pop(MODULE)
    assert tuner.load(folder / "model")


@pytest.mark.parametrize(("key", "name"), [("optimizer", "signs"), ("lr_scheduler", "waves")])
def test_another_option_is_another_study(sqlite_url: str, key: str, name: str) -> None:
    options = tuner.RunOptions(sqlite_url, workers=1, device="cpu")
    tuner.optimize(defined(), options)
    whole = own(name, **{"signs": {"beta": 0.8}, "waves": {}}[name])
    with pytest.raises(tuner.TunerError, match=f"has changed since it began: training.{key}"):
        tuner.optimize(defined(**{key: whole}), options)


def test_rows_of_a_regression_and_of_folds(sqlite_url: str) -> None:
    study = tuner.define_study(
        "s",
        data={"source": "sklearn.datasets:load_diabetes", "validation": {"folds": 3}},
        model={"family": "linear"},
        training={"epochs": 2, "sampling": {"choices": ["shuffled", f"{MODULE}:large"]}},
        search={"trials": 2, "sampler": "grid", "pruner": "none"},
    )
    options = tuner.RunOptions(sqlite_url, workers=1, device="cpu")
    assert tuner.optimize(study, options).progress.met
    assert tuner.best("s", options).value > 0


def test_balanced_rows_need_classes() -> None:
    study = tuner.define_study(
        "s",
        data={"source": "sklearn.datasets:load_diabetes"},
        training={"sampling": {"choices": ["balanced", f"{MODULE}:large"]}},
    )
    with pytest.raises(StudyFileError, match=r"training\.sampling: needs classes"):
        load_job(study)
