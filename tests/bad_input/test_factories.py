"""Own networks that cannot be trained, through the command."""

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
