"""Own networks, metrics, losses and optimizers that cannot be used, through the command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]
OPTIMIZE = ("optimize", "--study", "mine")


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("text", "return 'network'", ("str", "torch.nn.Module")),
        ("kind", "return nn.Linear", ("torch.nn.Module")),
        ("wide", "return nn.Linear(shape[0], 5)", ("[2, 5]", "[2, 2]")),
        ("rows", "return nn.Sequential(nn.Linear(shape[0], 1), nn.Flatten(0))", ("[2]", "[2, 2]")),
        ("many", "return nn.LSTM(shape[0], 2)", ("tuple")),
        ("deep", "return nn.Linear(9, outputs)", ("RuntimeError")),
        ("raising", "1 / 0", ("ZeroDivisionError: division by zero")),
        ("missing", "import nowhere_at_all", ("nowhere_at_all",)),
    ],
)
@pytest.mark.parametrize("folds", [False, True])
def test_a_factory_that_makes_something_else(
    folder: Path,
    edit: Callable[..., None],
    refused: Run,
    name: str,
    body: str,
    words: tuple[str, ...],
    folds: bool,
) -> None:
    text = f"from torch import nn\n\n\ndef net(shape, outputs):\n    {body}\n"
    module = f"own_{name}_{folds}".lower()  # a module is imported once in a process
    (folder / f"{module}.py").write_text(text)
    edit('"linear"', f'"{module}:net"')
    if folds:
        edit('"kind"', '"kind"\nvalidation = { folds = 2 }')
    refused(*OPTIMIZE, words=(f"{module}:net", *words))


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("raising", "1 / 0", ("the metric raised ZeroDivisionError", "it was given probabilities")),
        ("rows", "return predictions", ("the metric returned tensor", "return one number")),
        ("absent", "return float('nan')", ("the metric returned nan", "return one number")),
        ("options", "return 0.5\n\ndef score():\n    pass", ("raised TypeError: score()",)),
    ],
)
def test_a_metric_of_ones_own_that_measures_nothing(
    folder: Path, edit: Callable[..., None], refused: Run, name: str, body: str, words: tuple[str]
) -> None:
    module = f"own_metric_{name}"
    text = f"def score(predictions, targets):\n    {body}\n"
    (folder / f"{module}.py").write_text(text)
    edit('metric = "accuracy"', f'metric = "{module}:score"\ndirection = "maximize"')
    refused(*OPTIMIZE, words=(f"{module}:score: ", *words))


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("raising", "1 / 0", ("the loss raised ZeroDivisionError", "shape [8, 2]")),
        ("number", "return 0.5", ("the loss returned 0.5 of type float", "return a tensor")),
        ("wide", "return outputs", ("returned a tensor of shape [8, 2]", "each of 8 rows")),
        ("fixed", "return targets.sum()", ("the loss has no gradient", "from the outputs")),
        ("cut", "return outputs.detach().sum()", ("the loss has no gradient",)),
        ("endless", "return (outputs / 0).sum()", ("the loss of random outputs is", "not finite")),
    ],
)
def test_a_loss_of_ones_own_that_cannot_be_minimized(
    folder: Path, edit: Callable[..., None], refused: Run, name: str, body: str, words: tuple[str]
) -> None:
    module = f"own_loss_{name}"
    (folder / f"{module}.py").write_text(f"def loss(outputs, targets):\n    {body}\n")
    edit("epochs = 2", f'loss = {{ choices = ["auto", "{module}:loss"] }}')
    refused(*OPTIMIZE, words=(f"{module}:loss: ", *words))


def test_a_loss_of_ones_own_that_gives_a_mean_of_rows_with_weights(
    folder: Path, edit: Callable[..., None], refused: Run
) -> None:
    text = "def loss(outputs, targets):\n    return (outputs - targets).square().mean()\n"
    (folder / "own_loss_mean.py").write_text(text)
    edit("epochs = 2", 'loss = "own_loss_mean:loss"')
    edit('"kind"', '"kind"\nweight = "a"\ndrop = []')
    (folder / "table.csv").write_text((folder / "table.csv").read_text().replace("\n0,", "\n9,"))
    words = ("own_loss_mean:loss: ", "the rows have weights", "one number for each of 8 rows")
    refused(*OPTIMIZE, words=words)


@pytest.mark.parametrize(
    ("key", "arguments", "body", "words"),
    [
        (
            "optimizer",
            "gradient, state, step",
            "1 / 0",
            ("raised ZeroDivisionError", "of 0 tensors"),
        ),
        ("optimizer", "gradient, state, step", "return gradient", ("return direction, state",)),
        ("optimizer", "params, lr", "return params", ("raised TypeError", "shape [16]")),
        ("lr_scheduler", "progress", "return None", ("returned None at progress 0", "one number")),
        ("lr_scheduler", "progress", "return -1.0", ("returned -1.0 at progress 0", "at least 0")),
        ("lr_scheduler", "step, total", "return 1.0", ("raised TypeError", "given progress 0")),
        ("sampling", "targets, generator", "return targets > 0", ("type torch.bool", "nonzero()")),
        ("sampling", "targets, generator", "return targets + 99", ("position 99", "to 23")),
        ("sampling", "targets", "return targets", ("raised TypeError", "torch.int64 targets")),
    ],
)
def test_a_part_of_the_training_of_ones_own_that_is_none(
    folder: Path,
    edit: Callable[..., None],
    refused: Run,
    key: str,
    arguments: str,
    body: str,
    words: tuple[str, ...],
) -> None:
    module = f"own_{key}_{abs(hash(body))}"
    (folder / f"{module}.py").write_text(f"def mine({arguments}):\n    {body}\n")
    edit("epochs = 2", f'epochs = 2\n{key} = {{ choices = ["{module}:mine"] }}')
    refused(*OPTIMIZE, words=(f"{module}:mine: ", *words))


def test_a_class_of_torch_as_an_optimizer(edit: Callable[..., None], refused: Run) -> None:
    edit("epochs = 2", 'epochs = 2\noptimizer = "torch.optim:Adam"')
    refused(*OPTIMIZE, words=("torch.optim:Adam: is a class", 'optimizer = "adam" is it'))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("epochs = 2", 'optimizer = "nowhere_at_all:step"'),
        ("epochs = 2", 'lr_scheduler = "nowhere_at_all:waves"'),
        ('"accuracy"', '"nowhere_at_all:score"\ndirection = "minimize"'),
        ("epochs = 2", 'loss = "nowhere_at_all:loss"'),
    ],
)
def test_a_function_whose_module_is_missing(
    edit: Callable[..., None], refused: Run, old: str, new: str
) -> None:
    edit(old, new)
    refused(*OPTIMIZE, words=("no module 'nowhere_at_all'", "pip install nowhere-at-all"))


def test_a_module_that_is_missing_is_named_with_what_to_install(
    folder: Path, edit: Callable[..., None], refused: Run
) -> None:
    edit('"linear"', '"nowhere_at_all:net"')
    refused(*OPTIMIZE, words=("no module 'nowhere_at_all'", "pip install nowhere-at-all"))
    (folder / "needy.py").write_text("import yaml_of_nobody\n")
    edit("nowhere_at_all:net", "needy:net")
    words = ("needy needs the module 'yaml_of_nobody'", "pip install yaml-of-nobody")
    refused(*OPTIMIZE, words=words)
    edit("needy:net", "table:net")
    (folder / "table.py").write_text("net = 3\n")
    refused(*OPTIMIZE, words=("table:net", "not a function"))
