"""A family of somebody's own: read without importing, settled by its factory, trained as others."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tuner.errors import StudyFileError
from tuner.run.plain import objective
from tuner.run.prepare import load_job, prepared
from tuner.show.best import snippet
from tuner.space import config_of, walk
from tuner.study import Study
from tuner.study.parse import parse
from tuner.training.checkpoint import restore, to_bytes
from tuner.training.trainer import Trainer
from tuner.worker.job import NetworkJob
from tuner.worker.run import explain

CODE = """
import torch
from torch import nn
from tuner.models.base import activated

def net(shape, outputs, hidden: int = 16, rate=0.25, act="relu", deep=False):
    return nn.Sequential(nn.Linear(shape[0], hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
                         nn.Dropout(rate), nn.Linear(hidden, outputs))

def inside(shape, outputs, inside, hidden=16):
    first = nn.Linear(shape[0], hidden, bias=inside.bias)
    return nn.Sequential(*activated(first, (hidden,), "relu", inside), nn.Linear(hidden, outputs))

def anything(shape, outputs, **leaves):
    assert leaves == {"hidden": 8, "act": "tanh"}, leaves
    return nn.Linear(shape[0], outputs)

def lazy(shape, outputs):
    return nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(outputs))

class Tied(nn.Module):
    def __init__(self, shape, outputs):
        super().__init__()
        self.a = nn.Linear(shape[0], shape[0])
        self.b = nn.Linear(shape[0], shape[0])
        self.b.weight = self.a.weight
        self.out = nn.Linear(shape[0], outputs)
        self.frozen = nn.Parameter(torch.ones(shape[0]), requires_grad=False)
    def forward(self, x):
        return self.out(torch.tanh(self.b(torch.tanh(self.a(x * self.frozen)))))

def number(shape, outputs): return 5
def wide(shape, outputs): return nn.Linear(shape[0], outputs + 2)
def empty(shape, outputs): return nn.ReLU()
def breaks(shape, outputs): raise OSError("disk on fire")
def needs(shape, outputs, size): return nn.Linear(shape[0], outputs)
def alone(shape): return nn.Linear(shape[0], 3)
class Pair(nn.Linear):
    def forward(self, x): return (super().forward(x), x) if self.training else super().forward(x)
def pair(shape, outputs): return Pair(shape[0], outputs)
"""
_number = itertools.count()
Own = Callable[..., Study]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Own:
    """A study whose family is a function of a module beside it."""
    monkeypatch.chdir(tmp_path)
    name = f"tuner_test_networks_{next(_number)}"
    (tmp_path / f"{name}.py").write_text(CODE)

    def made(model: dict[str, Any], **sections: Any) -> Study:
        text = json.dumps(model).replace("mine:", f"{name}:")
        data = {"source": "sklearn.datasets:load_wine"}
        training = {"epochs": 3, **sections.pop("training", {})}
        document = {"data": data, "model": json.loads(text), "training": training, **sections}
        return parse("own", document, tmp_path)

    return made


def trained(study: Study, params: dict[str, Any] | None = None, epochs: int = 3) -> Trainer:
    job = load_job(study)
    config = job.study.config(job.study.baseline() if params is None else params)
    trainer = Trainer(config, job.data, job.metric, 7)
    for _ in zip(range(epochs), trainer.epochs(), strict=False):
        pass
    return trainer


def test_a_file_is_read_where_the_module_is_not() -> None:
    model = {"family": "nowhere.at_all:net", "hidden": {"low": 4, "high": 64, "log": True}}
    study = parse("x", {"data": {"source": "a:b"}, "model": model})
    assert [node.name for node in walk(study.nodes) if node.searched] == ["hidden"]
    assert config_of(study.nodes, {"hidden": 9})["hidden"] == 9
    assert '"nowhere.at_all:net"\nhidden = 9' in snippet(config_of(study.nodes, {"hidden": 9}))


def test_defaults_are_those_of_the_factory(own: Own) -> None:
    study = own({"family": "mine:net", "hidden": {"low": 4, "high": 64}, "rate": 0})
    job = load_job(study)
    config = job.study.config(job.study.baseline())
    assert config["hidden"] == 16
    family = config["family"]
    assert (config[f"{family}.act"], config[f"{family}.deep"]) == ("relu", False)
    trainer = trained(study, {"hidden": 5})
    assert trainer.network[0].out_features == 5  # type: ignore[index, union-attr]
    assert trainer.network[3].p == 0.0  # type: ignore[index, union-attr]


def test_one_of_several_choices(own: Own) -> None:
    choices = ["mlp", {"name": "mine:inside", "hidden": {"low": 2, "high": 9}}, "mine:net"]
    study = own({"family": {"choices": choices}, "rate": {"low": 0.0, "high": 0.5}, "width": 8})
    names = [node.name for node in walk(study.nodes) if node.searched]
    assert [name.rpartition(":")[2] for name in names] == ["family", "rate", "inside.hidden"]
    with pytest.raises(StudyFileError, match="has no such parameter"):  # rate is for both
        load_job(study)


def test_a_factory_that_takes_any_name_is_given_what_the_file_says(own: Own) -> None:
    trainer = trained(own({"family": "mine:anything", "hidden": 8, "act": "tanh"}))
    assert trainer.epoch == 3


def test_techniques_outside_work_and_those_inside_where_their_layers_are_placed(own: Own) -> None:
    everything = {
        "dropout": 0.3,
        "batch_norm": True,
        "l1_lambda": 1e-4,
        "weight_decay": 1e-3,
        "label_smoothing": 0.1,
        "mixup": 0.4,
        "gradient_clipping": 1.0,
        "ema": 0.9,
    }
    trainer = trained(own({"family": "mine:inside"}, regularization=everything))
    names = [type(layer).__name__ for layer in trainer.network.children()]
    assert names == ["Linear", "BatchNorm", "ReLU", "Dropout", "Linear"]
    assert trainer.past[-1].finite
    with pytest.raises(StudyFileError, match="takes no `inside`") as caught:
        load_job(own({"family": "mine:net"}, regularization={"dropout": 0.3}))
    assert "regularization.dropout" in caught.value.where


def test_a_training_is_a_function_of_the_seed_and_goes_on_from_a_checkpoint(own: Own) -> None:
    study = own({"family": "mine:net", "rate": 0.5})
    whole = trained(study)
    torch.rand(17)  # its nn.Dropout draws from torch's own generator
    half, again = trained(study, epochs=1), trained(study, epochs=0)
    restore(again, to_bytes(half))
    for _ in again.epochs():
        torch.rand(3)
    assert again.past == whole.past
    assert torch.equal(again.params, whole.params)


def test_tied_frozen_and_lazy_parameters(own: Own) -> None:
    trainer = trained(own({"family": "mine:Tied"}, regularization={"weight_decay": 0.1}))
    assert sum(p.numel() for p in trainer.network.parameters() if p.requires_grad) == len(
        trainer.params
    )
    network: Any = trainer.network
    assert network.a.weight is network.b.weight
    assert network.frozen.eq(1).all()
    assert "frozen" in trainer.weights()
    assert len(trained(own({"family": "mine:lazy"})).params) == 13 * 8 + 8 + 8 * 3 + 3


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ({"family": "mine:number"}, "the factory returned 5 of type int"),
        ({"family": "mine:wide"}, r"outputs of shape \[2, 5\], but the data needs \[2, 3\]"),
        ({"family": "mine:empty"}, "the network has no parameters to train"),
        ({"family": "mine:breaks"}, "the factory raised OSError: disk on fire"),
        ({"family": "mine:needs"}, "the factory needs 'size'"),
        ({"family": "mine:alone"}, "cannot be called with a shape and a number of outputs"),
        ({"family": "mine:pair"}, "the network returned something of type tuple"),
        ({"family": "mine:net", "hiden": 4}, "no such parameter"),
        ({"family": "mine:net", "hidden": {"low": 0.5, "high": 3.0}}, "parameter is of type int"),
        ({"family": "mine:net", "rate": {"low": 0, "high": 1}}, "parameter is of type float"),
        ({"family": "mine:nett"}, "did you mean 'net'"),
        ({"family": "mine:"}, "is not module:function"),
        ({"family": "mine:net", "hidden": [4, 5]}, "found"),
        ({"family": "mine:net", "shape": 4}, "is an argument that tuner passes to the function"),
        ({"family": "mine:net", "dropout": 0.1}, "is a parameter of .regularization."),
    ],
)
def test_what_cannot_be_is_refused_before_any_trial(
    own: Own, model: dict[str, Any], says: str
) -> None:
    with pytest.raises(StudyFileError) as caught:
        load_job(own(model))
    assert caught.value.exit_code == 2
    assert re.search(says, str(caught.value)), str(caught.value)


ONE, NORM = {"batch_size": 1}, {"batch_norm": True}
EITHER: dict[str, Any] = {"batch_norm": {"choices": [True, False]}}


@pytest.mark.parametrize(
    ("family", "training", "regularization", "says"),
    [
        ("mlp", ONE, NORM, "is 1, and mlp with regularization.batch_norm"),
        ("mlp", ONE, EITHER, "may be 1, and mlp with regularization.batch_norm"),
        ("mlp", {"batch_size": {"low": 1, "high": 9}}, NORM, "may be 1, and mlp"),
        ("mlp", {"batch_size": {"choices": [8, 1]}}, EITHER, "may be 1, and mlp"),
        ({"choices": ["linear", "mlp"]}, ONE, NORM, "is 1, and mlp"),
        ("mlp", ONE, {"normalization": "batch"}, "is 1, and mlp with regularization.normalization"),
        ("mlp", ONE, {"normalization": {"choices": ["none", "batch"]}}, "may be 1, and mlp with"),
        ("mine:inside", ONE, NORM, "net.*:inside with regularization.batch_norm"),
        ("mine:net", ONE, {}, "net.*:net with its own layers"),
    ],
)
def test_batches_of_one_row_and_batch_normalization(
    own: Own, family: Any, training: dict[str, Any], regularization: dict[str, Any], says: str
) -> None:
    study = own({"family": family}, training=training, regularization=regularization)
    for attempt in (prepared, objective):
        with pytest.raises(StudyFileError, match=says) as caught:
            attempt(study)
        assert caught.value.where == "own: training.batch_size"
        assert "at least 2" in caught.value.hint
    assert load_job(study)  # so that what was trained before can be read


@pytest.mark.parametrize(
    ("family", "training", "regularization"),
    [
        ("mlp", ONE, {}),
        ("mlp", ONE, {"normalization": "layer"}),
        ("linear", ONE, NORM),
        ("mlp", {"batch_size": {"low": 2, "high": 9}}, NORM),
        ("mine:net", {"batch_size": 2}, {}),
    ],
)
def test_batches_that_can_be_trained_on(
    own: Own, family: str, training: dict[str, Any], regularization: dict[str, Any]
) -> None:
    study = own({"family": family}, training=training, regularization=regularization)
    job = prepared(study)
    assert isinstance(job, NetworkJob)
    trainer = Trainer(study.config(study.baseline()), job.data, job.metric, 7)
    assert next(trainer.epochs()).finite


def test_maps_of_one_image_are_enough_for_batch_normalization() -> None:
    data = {"source": "sklearn.datasets:load_digits", "shape": [1, 8, 8]}
    document = {"data": data, "model": {"family": "cnn"}, "training": ONE, "regularization": NORM}
    assert isinstance(prepared(parse("own", document)), NetworkJob)


@pytest.mark.parametrize("rows", [105, 35])
def test_a_last_batch_of_one_row_is_left_out(own: Own, rows: int) -> None:
    """Of 106 rows to train on."""
    trainer = trained(own({"family": "mine:net"}, training={"batch_size": rows, "epochs": 1}))
    assert len(trainer.data.train) % rows == 1
    assert trainer.steps == 105 // rows
    assert trainer.past[-1].finite


def test_a_trial_that_was_given_one_row_says_what_to_change(own: Own) -> None:
    study = own({"family": "mine:net"}, training=ONE)
    with pytest.raises(ValueError, match="more than 1 value") as caught:
        trained(study)
    assert explain(caught.value).startswith("batch normalization learns nothing of one row: a ")
