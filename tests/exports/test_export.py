"""An export gives what the study's own network gives, and the same bytes each time."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from torch import nn

import tuner
from tuner.data.rows import Padded
from tuner.errors import DataError
from tuner.exports.folder import CARD, ONNX, PROGRAM, STUDY
from tuner.exports.predict import predict_file
from tuner.models import FAMILIES
from tuner.results.confirm import ConfirmRequest, remember
from tuner.run.prepare import load_job, stored_study
from tuner.training.evaluate import predict as outputs_of
from tuner.training.trainer import Trainer
from tuner.worker.job import seed_of

ALONE = """\
import os, sys, numpy
sys.modules["tuner"] = None  # its import fails
import torch
for place in sys.stdin:
    os.chdir(place.rstrip())
    rows = torch.from_numpy(numpy.load("rows.npy"))
    network = torch.export.load("program.pt2").module()
    numpy.save("outputs.npy", torch.cat((network(rows[:1]), network(rows[1:]))).detach().numpy())
    assert not any(name.startswith("tuner.") for name in sys.modules)
    print("done", flush=True)
"""
TECHNIQUES = {"batch_norm": True, "dropout": 0.3, "ema": 0.9}


Alone = Callable[[Path, torch.Tensor, Path], "np.ndarray[Any, Any]"]


@pytest.fixture(scope="module")
def alone() -> Iterator[Alone]:
    """Outputs of a program, from a process in which there is no tuner; one for all programs."""
    command = [sys.executable, "-I", "-c", ALONE]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def outputs(folder: Path, rows: torch.Tensor, work: Path) -> np.ndarray[Any, Any]:
            np.save(work / "rows.npy", rows.numpy())
            (work / PROGRAM).write_bytes((folder / PROGRAM).read_bytes())
            print(work, file=process.stdin, flush=True)
            assert process.stdout.readline() == "done\n"
            return np.load(work / "outputs.npy")

        yield outputs


def others(family: str) -> dict[str, Any]:
    """The last value to search of each leaf with a few: the other cell, pooling, a shortcut, …"""
    leaves = {leaf.name: leaf.search for leaf in FAMILIES[family].leaves}
    found = {name: few[-1] for name, few in leaves.items() if isinstance(few, tuple)}
    table = not FAMILIES[family].images and not FAMILIES[family].text
    return found | ({"categories": {"name": "embedding", "size": 2}} if table else {})


@pytest.mark.parametrize("leaves", ["defaults", "others"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_says_the_same_without_tuner(
    family: str, leaves: str, data: Any, trained: Any, again: Any, alone: Alone, tmp_path: Path
) -> None:
    within = TECHNIQUES if family != "linear" else {"ema": 0.9}
    model = {"family": family, **(others(family) if leaves == "others" else {})}
    training = {"epochs": 2, "batch_size": 32}
    name = f"of-{family}-{leaves}"
    options = trained(
        name, data=data(family), model=model, regularization=within, training=training
    )
    threads = torch.get_num_threads()
    made = tuner.export(name, tmp_path / "model", options, onnx=True)
    assert torch.get_num_threads() == threads
    trainer = again(options, name)
    assert made.value == made.recorded == trainer.result.value
    rows = trainer.data.validation.x
    rows = rows.rows if isinstance(rows, Padded) else rows
    expected = outputs_of(trainer.network, rows).numpy()
    network = tuner.load(tmp_path / "model")
    assert not network.training
    np.testing.assert_allclose(network(rows).detach().numpy(), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(
        alone(tmp_path / "model", rows, tmp_path), expected, rtol=1e-6, atol=1e-6
    )
    session = onnxruntime.InferenceSession(tmp_path / "model" / ONNX)
    for some in (slice(1), slice(None)):
        (found,) = session.run(["outputs"], {"rows": rows[some].numpy()})
        np.testing.assert_allclose(found, expected[some], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("family", [name for name, each in FAMILIES.items() if each.sequences])
def test_sequences_of_numbers_say_the_same_without_tuner(
    family: str, trained: Any, again: Any, alone: Alone, tmp_path: Path
) -> None:
    x = np.random.default_rng(0).normal(size=(60, 5, 2)).cumsum(1)
    np.savez(tmp_path / "waves.npz", x=x, y=np.arange(60) % 2)
    name, data = f"sequences-{family}", {"path": str(tmp_path / "waves.npz")}
    options = trained(
        name, data=data, model={"family": family}, regularization=TECHNIQUES, training={"epochs": 2}
    )
    tuner.export(name, tmp_path / "model", options, onnx=True)
    trainer = again(options, name)
    rows = trainer.data.validation.x
    expected = outputs_of(trainer.network, rows).numpy()
    found = alone(tmp_path / "model", rows, tmp_path)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    session = onnxruntime.InferenceSession(tmp_path / "model" / ONNX)
    (found,) = session.run(["outputs"], {"rows": rows[:3].numpy()})
    np.testing.assert_allclose(found, expected[:3], rtol=1e-6, atol=1e-6)
    assert len(tuner.predict(tmp_path / "model", x[:7])) == 7


@pytest.mark.parametrize("channels", [(2,), ()], ids=str)
@pytest.mark.parametrize("family", [name for name, each in FAMILIES.items() if each.sequences])
def test_sequences_of_other_lengths(
    family: str,
    channels: tuple[int, ...],
    trained: Any,
    again: Any,
    alone: Alone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = f"lengths_{family}_{len(channels)}"
    source = f"""
        import torch
        def sequence(i): return torch.randn(1 + i % 7, *{channels}, generator=seeded(i)) * 9 + 50
        def seeded(i): return torch.Generator().manual_seed(i)
        class Set:
            def __init__(self, rows): self.rows = rows
            def __len__(self): return len(self.rows)
            def __getitem__(self, i): return sequence(self.rows[i]), self.rows[i] % 2
        def load(): return Set(range(60))
        def short(): return Set([0, 3, 2])
        def listed(): return [sequence(i) for i in (0, 3, 2)], [0, 1, 0]
        def whole(): return [torch.arange(3), torch.arange(2)]
        def long(): return torch.full((4, 9, *{channels}), 50.0)
    """
    (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
    monkeypatch.chdir(tmp_path)
    name, data = f"lengths-{family}-{len(channels)}", {"source": f"{module}:load"}
    options = trained(
        name, data=data, model={"family": family}, regularization=TECHNIQUES, training={"epochs": 2}
    )
    made = tuner.export(name, tmp_path / "model", options, onnx=True)
    trainer = again(options, name)
    assert made.value == trainer.result.value
    rows = trainer.data.validation.x.rows
    assert rows.isnan().any()
    expected = outputs_of(trainer.network, rows).numpy()
    found = alone(tmp_path / "model", rows, tmp_path)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    session = onnxruntime.InferenceSession(tmp_path / "model" / ONNX)
    (found,) = session.run(["outputs"], {"rows": rows[:3].numpy()})
    np.testing.assert_allclose(found, expected[:3], rtol=1e-6, atol=1e-6)
    assert "NaN after the end of a row" in (tmp_path / "model" / CARD).read_text()
    sequence = sys.modules[module].sequence
    some = [sequence(i).numpy() for i in (0, 3, 2)]
    predicted = tuner.predict(tmp_path / "model", some)
    alone_each = [tuner.predict(tmp_path / "model", one[None]) for one in some]
    pd.testing.assert_frame_equal(predicted, pd.concat(alone_each, ignore_index=True), rtol=1e-5)
    for name in ("short", "listed"):
        pieces = predict_file(tmp_path / "model", Path(f"{module}:{name}"))
        pd.testing.assert_frame_equal(predicted, pd.concat(pieces), rtol=1e-6)
    with pytest.raises(DataError, match=r"row 1 .* is int64 of shape \[2\], and row 0 .* \[3\]\n"):
        list(predict_file(tmp_path / "model", Path(f"{module}:whole")))
    padded = np.full((3, 12, *channels), np.nan)
    for row, one in zip(padded, some, strict=True):
        row[: len(one)] = one
    pd.testing.assert_frame_equal(predicted, tuner.predict(tmp_path / "model", padded), rtol=1e-6)
    padded[1, 2] = np.inf
    with pytest.raises(DataError, match=r"NaN, infinite .* the first is row 1"):
        tuner.predict(tmp_path / "model", padded)
    padded[2, :8] = 1.0
    with pytest.raises(DataError, match=r"row 2 .* has 8 steps, and the longest of the study 7"):
        tuner.predict(tmp_path / "model", padded)
    with pytest.raises(DataError, match=r"row 0 .* has 9 steps, and the longest of the study 7"):
        list(predict_file(tmp_path / "model", Path(f"{module}:long")))


def test_the_same_bytes_from_another_process(data: Any, trained: Any, tmp_path: Path) -> None:
    model = {"family": "rnn", "depth": 1}
    options = trained("twice", data=data("rnn"), model=model, training={"epochs": 1})
    made = tuner.export("twice", tmp_path / "first", options, onnx=True)
    assert made.files == tuple(path.name for path in map(Path, made.files))
    threads = 3 - min(torch.get_num_threads(), 2)  # others than here, as is the seed of hashes
    command = ["export", "--study", "twice", "--out", "second", "--onnx"]
    code = f"import sys\nsys.argv[1:] = {command!r}\nimport tuner.cli\ntuner.cli.main()"
    environment = {**os.environ, "PYTHONHASHSEED": "1", "TUNER_STORAGE": options.storage}
    environment |= {"OMP_NUM_THREADS": str(threads), "MKL_DYNAMIC": "FALSE"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    for file in made.files:
        first, other = (tmp_path / place / file for place in ("first", "second"))
        assert first.read_bytes() == other.read_bytes(), file
    assert (
        str(Path(torch.__file__).parent).encode() not in (tmp_path / "first" / PROGRAM).read_bytes()
    )


def test_a_final_training_has_all_rows_and_the_epochs_of_the_trial(
    data: Any, trained: Any, tmp_path: Path
) -> None:
    training = {"epochs": 6, "learning_rate": 0.03}
    ending = {"early_stopping": 2}
    options = trained("last", data=data("mlp"), training=training, regularization=ending)
    storage = tuner.open_storage(options.storage)
    (trial,) = storage.get_all_trials(storage.get_study_id_from_name("last"))
    made = tuner.export("last", tmp_path / "model", options, trial=0, final=True)
    assert made.recorded == trial.values[0]
    card = (tmp_path / "model" / CARD).read_text()
    assert f"for {trial.user_attrs['best_epoch']} epochs on 70 rows for training and valid" in card
    assert "on 20 test rows, this training" in card
    assert "the one given by --trial" in card
    fixed = tuner.load_study(str(tmp_path / "model" / STUDY))
    assert not any(node.searched for node in fixed.nodes)
    assert fixed.config({})["early_stopping"] == 0


def test_all_rows_are_trained_on_and_the_number_is_of_a_training_without_the_test_rows(
    data: Any, trained: Any, tmp_path: Path
) -> None:
    training = {"epochs": 6, "learning_rate": 0.03}
    options = trained("whole", data=data("mlp"), training=training)
    final = tuner.export("whole", tmp_path / "final", options, final=True)
    made = tuner.export("whole", tmp_path / "model", options, all_rows=True)
    assert (made.value, made.final, made.all_rows) == (final.value, True, True)
    card = (tmp_path / "model" / CARD).read_text()
    assert "for 6 epochs on all 90 rows, those for the test too" in card
    assert "on 20 test rows, the same, trained without these rows" in card
    storage = tuner.open_storage(options.storage)
    study, study_id = stored_study(storage, "whole")
    job = replace(load_job(study, study_id), everything=True)
    (trial,) = storage.get_all_trials(study_id)
    trainer = Trainer(
        study.config(trial.params), job.finals["standard"], job.metric, seed_of(job, trial)
    )
    for _ in trainer.epochs():
        pass
    weights = trainer.weights()
    for name, tensor in tuner.load(tmp_path / "model").state_dict().items():
        assert torch.equal(tensor, weights[name]), name


def test_test_rows_of_ones_own_are_never_trained_on_by_default(
    trained: Any, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for name, count in (("known", 60), ("kept", 20)):
        x = rng.normal(size=(count, 2))
        rows = np.column_stack([x, x.sum(1)])
        lines = ["a,b,y", *(",".join(map(str, row)) for row in rows.tolist())]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
    data = {"path": str(tmp_path / "known.csv"), "target": "y"}
    data["test_path"] = str(tmp_path / "kept.csv")
    options = trained("kept", data=data, training={"epochs": 2, "batch_size": 16})
    before = tuner.export("kept", tmp_path / "before", options)
    assert (before.final, before.all_rows) == (False, False)
    confirmed = tuner.confirm("kept", options, top=1, seeds=2, ensemble=0)
    made = tuner.export("kept", tmp_path / "after", options)
    assert (made.final, made.all_rows) == (True, False)
    assert confirmed.winner.test is not None
    assert "on 20 test rows, this training" in (tmp_path / "after" / CARD).read_text()


def test_what_was_confirmed_is_exported(data: Any, trained: Any, tmp_path: Path) -> None:
    training = {"epochs": 2, "learning_rate": tuner.Range(1e-4, 1e-1, log=True)}
    search = {"trials": 4, "pruner": "none", "sampler": "random"}
    about = "<b>Sure</b> | `x`\n# no heading"
    options = trained("sure", data=data("mlp"), training=training, search=search, description=about)
    tuner.export("sure", tmp_path / "before", options)
    assert "the best of the search, not confirmed" in (tmp_path / "before" / CARD).read_text()
    found = tuner.confirm("sure", options, top=3, seeds=2, full=True)
    winner = found.winner
    made = tuner.export("sure", tmp_path / "after", options)
    card = (tmp_path / "after" / CARD).read_text()
    assert made.number == winner.number
    assert "the winner of `tuner confirm`" in card
    assert "over 2 trainings of the configuration on the test rows" in card
    assert "\\<b\\>Sure\\</b\\> \\| \\`x\\` \\# no heading\n" in card
    storage = tuner.open_storage(options.storage)
    asked = ConfirmRequest(tuple(row.label for row in found.rows), 5, 3, True, full=True)
    remember(storage, storage.get_study_id_from_name("sure:confirm"), asked)
    tuner.export("sure", tmp_path / "unfinished", options, trial=winner.number)
    card = (tmp_path / "unfinished" / CARD).read_text()
    command = "tuner confirm --study sure --top 3 --full --seeds 5"
    done = f"{4 * len(found.rows)} of {10 * len(found.rows)} trainings are done"
    assert "over 2 trainings of the configuration on the test rows" in card
    assert f"{done}; `{command}` trains the rest." in card


def test_the_module_is_of_plain_layers_and_takes_a_gradient(
    data: Any, trained: Any, tmp_path: Path
) -> None:
    within = {"batch_norm": True, "dropout": 0.3}
    options = trained(
        "plain",
        data=data("cnn"),
        model={"family": "cnn"},
        regularization=within,
        training={"epochs": 1},
    )
    tuner.export("plain", tmp_path / "model", options)
    network = tuner.load(tmp_path / "model")
    kinds = {type(layer) for layer in network.modules()}
    assert {nn.Dropout2d, nn.BatchNorm2d, nn.Conv2d, nn.Linear} <= kinds
    assert all(kind.__module__.startswith("torch.nn.") for kind in kinds)
    network.train()(torch.randn(4, 1, 8, 8)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


TESTED = """\
import torch
from torch.utils.data import TensorDataset

x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
every = TensorDataset(x, (x[:, 0] > 0).long())

def load(): return {"train": TensorDataset(*every[:40]), "test": TensorDataset(*every[40:])}
"""


def test_of_folds_one_network_where_a_dataset_has_test_rows_of_its_own(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tested_by_a_dataset.py").write_text(TESTED)
    monkeypatch.chdir(tmp_path)
    rows = {"source": "tested_by_a_dataset:load", "test": 0.0, "validation": {"folds": 2}}
    options = trained("tested", data=rows | {"in_memory": 0}, training={"epochs": 1})
    given = tuner.export("tested", tmp_path / "model", options)
    assert "on 40 rows for training and validation" in (given.folder / CARD).read_text()
