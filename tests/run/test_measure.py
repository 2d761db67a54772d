from __future__ import annotations

import os
import pickle
import signal
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tuner.run import measure
from tuner.run.measure import Speed, choice, chosen_devices, held, speed
from tuner.run.prepare import load_job, stored_study, submit
from tuner.storage import open_storage
from tuner.study import load_study
from tuner.worker.job import NetworkJob

STUDY = """\
[data]
source = "sklearn.datasets:load_iris"
validation = {validation}
[search]
trials = 3
"""


def job(folder: Path, validation: str = "0.2") -> NetworkJob:
    path, url = folder / "flowers.toml", f"sqlite:///{folder}/tuner.db"
    path.write_text(STUDY.format(validation=validation))
    submit(str(path), url)
    return load_job(*stored_study(open_storage(url), "flowers"))


@pytest.mark.parametrize(
    ("speed", "cores", "workers", "devices"),
    [
        (Speed(core=100, gpu=400), 16, None, ["cpu"] * 16),  # small networks: the cores win
        (Speed(core=100, gpu=400), 2, None, ["cuda:0"]),
        (Speed(core=100, gpu=400, busy=0.25), 8, None, ["cuda:0"] * 3),  # it has time for others
        (Speed(core=1, gpu=400, busy=0.01), 16, None, ["cuda:0"] * 8),
        (Speed(core=1, gpu=400, busy=0.01), 4, None, ["cuda:0"] * 4),  # each needs a core
        (Speed(core=1, gpu=400, busy=0.01, room=2), 16, None, ["cuda:0"] * 2),  # and memory
        (Speed(core=100, gpu=400), 16, 1, ["cuda:0"]),
        (Speed(core=100, gpu=400), 16, 8, ["cpu"] * 8),
        (Speed(core=1, gpu=400), 16, 3, ["cuda:0"] * 3),
    ],
)
def test_the_faster_one_is_chosen(
    speed: Speed, cores: int, workers: int | None, devices: list[str]
) -> None:
    chosen, why = choice(speed, ["cuda:0"], cores, workers)
    assert chosen == devices
    assert why.startswith("training on the CPU: " if devices[0] == "cpu" else "training on cuda:0")


def test_workers_take_the_gpus_in_turn() -> None:
    chosen, why = choice(Speed(1, 400, 0.5), ["cuda:0", "cuda:1"], 16, None)
    assert chosen == ["cuda:0", "cuda:1"]
    assert "800 steps a second with 2 workers on cuda:0, cuda:1" in why
    assert "16 with 16 workers on the cores" in why


@pytest.mark.parametrize("validation", ["0.2", "{ folds = 3 }"])
def test_the_baseline_is_measured_on_both(
    pretend: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, validation: str
) -> None:
    monkeypatch.setattr(measure, "SECONDS", 0.01)
    made = job(tmp_path, validation)
    with pretend.pretend_gpu():
        found = speed(made, str(pretend.DEVICE))
    assert found.core > 0
    assert found.gpu > 0
    assert found.busy == 1


def test_what_cannot_be_measured_is_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU that is there, and does not work."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    said: list[str] = []
    assert chosen_devices(job(tmp_path), None, ["cuda:0"], said.append) == ["cuda:0"]
    assert said == ["training on cuda:0, for its speed could not be measured"]


def test_nothing_is_measured_without_a_gpu(tmp_path: Path) -> None:
    said: list[str] = []
    assert chosen_devices(job(tmp_path), None, ["cpu"] * 2, said.append) == ["cpu"] * 2
    assert said == []


def test_ctrl_c_ends_a_measurement_by_its_parent_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The terminal sends it to both; in the child it would print an error."""

    def interrupted(job: NetworkJob, gpu: str) -> Speed:
        os.kill(os.getpid(), signal.SIGINT)
        return Speed(1, 2)

    monkeypatch.setattr(measure, "speed", interrupted)
    assert measure._in_a_process(job(tmp_path), "cuda:0") == Speed(1, 2)


def test_rows_that_are_read_as_needed_are_held_while_they_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noisy_of_a_test.py").write_text(
        "import random\n"
        "class Noisy:\n"
        "    own = lambda self: 0  # which no process could be given\n"
        "    def __len__(self): return 40\n"
        "    def __getitem__(self, index): return [index + random.random()], index % 2\n"
        "def load():\n"
        "    made = Noisy()\n"
        "    made.own = lambda: 0\n"
        "    return made\n"
    )
    path = tmp_path / "noisy.toml"
    path.write_text('[data]\nsource = "noisy_of_a_test:load"\n')
    read = load_job(load_study(str(path)))
    measured = held(read)
    assert torch.equal(measured.data.train.x, read.data.train.x[:])
    assert len(pickle.dumps(measured.data)) > 0
    assert held(measured) is measured
