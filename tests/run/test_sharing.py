from __future__ import annotations

import multiprocessing
import re
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from tuner.data import DataSet, Split, Target
from tuner.metrics import METRICS
from tuner.study.parse import parse
from tuner.training.trainer import Trainer

ROWS, COLUMNS = 200_000, 240
STUDY = {
    "data": {"source": "sklearn.datasets:load_iris"},
    "model": {"family": "linear"},
    "training": {"epochs": 1, "batch_size": 8192},
}


def _own() -> int:
    """Bytes of memory that this process shares with no other."""
    text = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8")
    return 1024 * sum(map(int, re.findall(r"Private_\w+:\s+(\d+) kB", text)))


def _train(data: DataSet, said: Connection) -> None:
    study = parse("shared", STUDY)
    config, before = study.config(study.baseline()), _own()
    trainer = Trainer(config, data, METRICS["accuracy"], 0)
    epochs = len(list(trainer.epochs()))
    said.send((epochs, _own() - before))


def test_a_forked_worker_trains_on_the_tensors_of_its_parent() -> None:
    x, y = torch.randn(ROWS, COLUMNS), torch.arange(ROWS) % 2
    few = Split(x[:100].clone(), y[:100].clone())
    data = DataSet(Split(x, y), few, (COLUMNS,), Target("classification", ("0", "1")))
    size = x.numel() * x.element_size()
    torch.set_num_threads(1)
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_train, args=(data, sender))
    child.start()
    assert receiver.poll(60)
    epochs, taken = receiver.recv()
    child.join()
    assert epochs == 1
    assert size == 192_000_000
    assert taken < size / 2
