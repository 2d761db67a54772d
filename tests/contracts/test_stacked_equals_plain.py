"""K trials stepped together give the numbers of K trials stepped alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tuner.data.dataset import DataSet
from tuner.losses import LOSSES, Loss
from tuner.models import FAMILIES
from tuner.optimizers import OPTIMIZERS
from tuner.schedules import SCHEDULES
from tuner.space import Config
from tuner.techniques import TECHNIQUES, Technique
from tuner.training.trainer import Trainer

Many = dict[str, list[Any]]
TRIALS = 4
STEPPED = [t for t in TECHNIQUES if not t.leaf.static and not t.stop]
"""What may differ between trials of one step; what ends a trial is no part of a step."""
NETWORKS = [
    (name, on)
    for name, family in FAMILIES.items()
    for on in ([False, True] if family.leaves else [False])
]
TABLES = [(n, on) for n, on in NETWORKS if not (FAMILIES[n].images or FAMILIES[n].text)]
CASES = [
    (t, name, on)
    for t in STEPPED
    for name, on in NETWORKS
    if (FAMILIES[name].images or not t.images) and not (FAMILIES[name].text and t.numbers)
]


def _fits(technique: Technique, task: str) -> bool:
    labels = task == "multilabel" and technique.of_labels is not None
    return task == "classification" or labels or not technique.classes


def _id(part: Any) -> str:
    return part.name if isinstance(part, Technique) else str(part)


@pytest.fixture
def check(
    stack: Any, config: Callable[..., Config], train: Callable[..., Trainer]
) -> Callable[..., None]:
    def run(data: DataSet, many: Many, **same: Any) -> None:
        """Trials that differ in ``many``, in schedule, rate, warm-up and seed."""
        configs = []
        for k in range(TRIALS):
            schedule = list(SCHEDULES)[(k + len(many)) % len(SCHEDULES)]
            own = {name: values[k % len(values)] for name, values in many.items()}
            rate = {"learning_rate": 0.002 * (k + 1), "lr_scheduler": schedule, "warmup": 0.1 * k}
            configs.append(config(**({"epochs": 2} | rate | same | own)))
        seeds = [11 * k + 3 for k in range(TRIALS)]
        together = stack(configs, data, seeds)
        losses = torch.stack(together.train())
        for k, (own_config, seed) in enumerate(zip(configs, seeds, strict=True)):
            _compare(together, losses[:, k], k, train(own_config, data, seed))

    return run


def _compare(together: Any, losses: torch.Tensor, k: int, alone: Trainer) -> None:
    def close(a: torch.Tensor, b: torch.Tensor, what: str) -> None:
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9, msg=lambda m: f"{what}: {m}")

    assert alone.epoch == alone.plan.epochs
    close(together.state.params[k], alone.params, "params")
    expected = torch.tensor([epoch.train_loss for epoch in alone.past], dtype=torch.float64)
    close(losses, expected, "losses")
    pairs = zip(together.buffers.values(), alone.buffers().values(), strict=True)
    for stacked, own in pairs:
        close(stacked[k], own, "buffers")
    for stacked, own in zip(together.state.optimizer, alone.state.optimizer, strict=True):
        close(stacked[k], own, "optimizer")
    for name, state in alone.state.techniques.items():
        for stacked, own in zip(together.state.techniques[name], state, strict=True):
            close(stacked[k], own, name)


@pytest.mark.parametrize(("technique", "family", "batch_norm"), CASES, ids=_id)
def test_every_technique(
    technique: Technique, family: str, batch_norm: bool, check: Any, data_for: Any, values: Any
) -> None:
    """Off in the first trial, everywhere else within its range in the others."""
    many = {technique.name: [technique.leaf.off, *values(technique.leaf)]}
    check(data_for(family), many, family=family, batch_norm=batch_norm)


@pytest.mark.parametrize(("family", "batch_norm"), NETWORKS)
def test_all_techniques_at_once(
    family: str, batch_norm: bool, check: Any, data_for: Any, values: Any
) -> None:
    many = {
        t.name: [*values(t.leaf), t.leaf.off][i % 2 :]
        for i, t in enumerate(t for t, name, on in CASES if (name, on) == (family, batch_norm))
    }
    check(data_for(family), many, family=family, batch_norm=batch_norm)


@pytest.mark.parametrize("normalization", ["batch", "layer", "group"])
@pytest.mark.parametrize("family", [f.name for f in FAMILIES.values() if f.leaves])
def test_every_normalization(family: str, normalization: str, check: Any, data_for: Any) -> None:
    many = {"dropout": [0.0, 0.3]}
    check(data_for(family), many, family=family, normalization=normalization, width=16, channels=8)


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_residual_branches(family: str, check: Any, data_for: Any) -> None:
    many = {"stochastic_depth": [0.0, 0.2, 0.5], "dropout": [0.1, 0.0]}
    check(data_for(family), many, family=family, residual=True, depth=3)


@pytest.mark.parametrize(("family", "batch_norm"), TABLES)
def test_vectors_of_categories(
    family: str, batch_norm: bool, check: Any, table: DataSet, values: Any
) -> None:
    """With every technique on, in some trial, as columns of a table allow it."""
    many = {
        t.name: [*values(t.leaf), t.leaf.off][i % 2 :]
        for i, t in enumerate(t for t, name, on in CASES if (name, on) == (family, batch_norm))
    }
    size = {"categories": "embedding", "embedding__size": 2}
    check(table, many, family=family, batch_norm=batch_norm, **size)


@pytest.mark.parametrize(("family", "batch_norm"), TABLES)
def test_embeddings_of_numbers_and_a_scale(
    family: str, batch_norm: bool, embedded: Config, check: Any, table: DataSet, values: Any
) -> None:
    many = {t.name: [*values(t.leaf), t.leaf.off] for t in STEPPED if not t.images}
    own = {"categories": "embedding", "embedding.size": 2, **embedded}
    check(table, many, family=family, batch_norm=batch_norm, **own)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_members(
    batch_norm: bool, check: Any, table: DataSet, numbers: DataSet, values: Any
) -> None:
    fitting = [t for t in STEPPED if not t.images]
    many = {t.name: [*values(t.leaf), t.leaf.off] for t in fitting}
    check(table, many, members=3, batch_norm=batch_norm, residual=True)
    many = {t.name: [*values(t.leaf), t.leaf.off] for t in fitting if not t.classes}
    check(numbers, many, members=3, batch_norm=batch_norm)


@pytest.mark.parametrize("sampling", ["shuffled", "balanced"])
@pytest.mark.parametrize("class_weights", ["none", "sqrt", "balanced"])
def test_rare_classes(class_weights: str, sampling: str, check: Any, rows: DataSet) -> None:
    """What is the same in all trials of a step, beside targets that are mixed and smoothed."""
    many = {"mixup": [0.0, 0.4], "label_smoothing": [0.1, 0.0, 0.2]}
    check(rows, many, class_weights=class_weights, sampling=sampling)


@pytest.mark.parametrize("family", [f.name for f in FAMILIES.values() if not (f.images or f.text)])
def test_regression(family: str, check: Any, numbers: DataSet, values: Any) -> None:
    fitting = [t for t in STEPPED if not (t.images or t.classes)]
    check(numbers, {t.name: values(t.leaf) for t in fitting}, family=family)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss(loss: str, check: Any, data_of: Any, values: Any) -> None:
    task = LOSSES[loss].task
    fitting = [t for t in STEPPED if not t.images and _fits(t, task)]
    many = {t.name: [t.leaf.off, *values(t.leaf)] for t in fitting}
    check(data_of(task), many, loss=loss, pinball__quantile=0.8)


@pytest.mark.parametrize("loss", [loss for loss in LOSSES.values() if loss.task == "regression"])
def test_several_quantities(loss: Loss, check: Any, quantities: DataSet, values: Any) -> None:
    fitting = [t for t in STEPPED if not (t.images or t.classes)]
    many = {t.name: [t.leaf.off, *values(t.leaf)] for t in fitting}
    check(quantities, many, loss=loss.name, pinball__quantile=0.8)


@pytest.mark.parametrize("members", [1, 3])
def test_weights_of_rows(members: int, check: Any, weighted: DataSet, values: Any) -> None:
    fitting = [t for t in STEPPED if not t.images and _fits(t, weighted.target.task)]
    many = {t.name: [t.leaf.off, *values(t.leaf)] for t in fitting}
    check(weighted, many, members=members)


def test_a_loss_of_ones_own(
    check: Any, rows: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "focused.py").write_text(
        "def rows(outputs, targets, gamma=2.0):\n"
        "    logarithms = outputs.log_softmax(1)\n"
        "    return -(targets * (1 - logarithms.exp()) ** gamma * logarithms).sum(1)\n\n"
        "def mean(outputs, targets, gamma=2.0):\n"
        "    return rows(outputs, targets, gamma).mean()\n"
    )
    monkeypatch.chdir(tmp_path)
    many = {"mixup": [0.0, 0.4], "label_smoothing": [0.1, 0.0], "l1_lambda": [0.0, 1e-3]}
    for name in ("rows", "mean"):  # of each row, and their mean
        check(rows, many, loss=f"focused:{name}", **{f"focused:{name}__gamma": 1.5})


def _static_values(name: str) -> list[dict[str, Any]]:
    """Every combination of an optimizer's static leaves."""
    leaves = [leaf for leaf in OPTIMIZERS[name].leaves if leaf.static]
    choices = [leaf.search if isinstance(leaf.search, tuple) else () for leaf in leaves]
    names = [f"{name}.{leaf.name}" for leaf in leaves]
    return [dict(zip(names, chosen, strict=True)) for chosen in itertools.product(*choices)]


OPTIMIZER_CASES = [(name, static) for name in OPTIMIZERS for static in _static_values(name)]


@pytest.mark.parametrize(("name", "static"), OPTIMIZER_CASES, ids=str)
@pytest.mark.parametrize(("family", "batch_norm"), NETWORKS)
def test_every_optimizer(
    name: str, static: Config, family: str, batch_norm: bool, check: Any, data_for: Any, values: Any
) -> None:
    leaves = [leaf for leaf in OPTIMIZERS[name].leaves if not leaf.static]
    many = {f"{name}.{leaf.name}": [leaf.default, *values(leaf)] for leaf in leaves}
    rate = OPTIMIZERS[name].learning_rate
    many |= {
        "learning_rate": [rate, rate / 3, rate * 2, rate / 5],
        "l1_lambda": [1e-3, 0.0],
        "weight_decay": [0.0, 0.01, 0.1],
    }
    check(data_for(family), many, optimizer=name, family=family, batch_norm=batch_norm, **static)
