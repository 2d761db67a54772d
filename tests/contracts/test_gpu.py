"""The law of devices: on a GPU a training gives what it gives on the CPU, and no step waits for it.

On a pretend GPU, which computes on the CPU, the numbers are the same bit by bit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tuner.data.dataset import DataSet
from tuner.data.rows import Gathered, SharedRows
from tuner.devices import upload
from tuner.imports import allowing, of_person
from tuner.losses import LOSSES
from tuner.metrics import METRICS
from tuner.models import FAMILIES
from tuner.models.cnn import Convolution
from tuner.models.text import Direction
from tuner.models.transformer import Attention
from tuner.optimizers import OPTIMIZERS
from tuner.schedules import SCHEDULES
from tuner.space import Config
from tuner.techniques import TECHNIQUES, Technique
from tuner.training import noise
from tuner.training.checkpoint import restore, to_bytes
from tuner.training.folds import Folds
from tuner.training.outcome import left_out, outcomes, predictions
from tuner.training.trainer import Course, Trainer

READS = 1
"""Waits of an epoch: its value and losses are read at once."""
READS_AT_THE_END = 6
"""Waits of what is kept of a trial: outputs and targets, thrice, and weights where there are."""


@pytest.fixture(autouse=True)
def _without_fused_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build for the CPU has no layers of cuDNN, and a GPU neither the attention of a CPU nor its
    order of pixels; the same weights go through the equations on both."""
    monkeypatch.setattr(Direction, "forward", Direction._by_steps)
    monkeypatch.setattr(Attention, "_fused", Attention._by_equations)
    monkeypatch.setattr(Convolution, "_by_pixels", nn.Conv2d.forward)


@pytest.fixture
def gpu(pretend: ModuleType) -> Iterator[Any]:
    with pretend.pretend_gpu() as gpu:
        yield gpu


@pytest.fixture
def watched(pretend: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A function that trains on the pretend GPU; the record says what happened in which phase."""

    def run(make: Callable[[torch.device], Course], look: Callable[[Course], Any]) -> Any:
        with pretend.pretend_gpu() as gpu:
            step = Trainer._step

            def one(*given: Any) -> Tensor:
                before, gpu.phase = gpu.phase, "step"
                try:
                    return step(*given)
                finally:
                    gpu.phase = before

            monkeypatch.setattr(Trainer, "_step", one)
            course = make(pretend.DEVICE)
            gpu.phase = "epoch"
            for _ in course.epochs():
                pass
            gpu.phase = "end"
            seen = look(course)
            monkeypatch.setattr(Trainer, "_step", step)
        return course, seen, gpu

    return run


def kept(course: Course) -> tuple[Any, ...]:
    """What a worker keeps of a trial, beside its weights."""
    tensors = {name: tensor.tolist() for name, tensor in predictions(course).items()}
    return left_out(course), outcomes(course), tensors


@pytest.fixture
def same(
    trainer: Callable[..., Trainer], watched: Callable[..., Any], pretend: ModuleType
) -> Callable[..., Any]:
    """Trains on both devices: the numbers are equal; the record of the GPU."""

    def check(of: Config, data: DataSet, **more: Any) -> Any:
        more = {"dtype": torch.float32, **more}
        alone = trainer(of, data, **more)
        for _ in alone.epochs():
            pass

        def make(device: torch.device) -> Trainer:
            return trainer(of, data, device=device, **more)

        there, seen, gpu = watched(make, kept)
        assert seen == kept(alone)
        assert there.past == alone.past
        weights = there.weights()
        for name, tensor in {"params": alone.params, **alone.weights()}.items():
            other = there.params if name == "params" else weights[name]
            assert isinstance(other, pretend.OnGpu)
            assert torch.equal(other.inner, tensor)
        return gpu

    return check


@pytest.fixture
def check(same: Callable[..., Any]) -> Callable[..., None]:
    """Trains on both devices: the numbers are equal, and nothing waits but one read an epoch."""

    def run(of: Config, data: DataSet, **more: Any) -> None:
        gpu = same(of, data, **more)
        assert gpu.waits_of("step") == {}
        assert gpu.uploads["step"] == 0
        read = gpu.waits_of("epoch")
        assert sum(read.values()) <= READS * of["epochs"], f"an epoch waits: {read}"
        read = gpu.waits_of("end")
        most = READS_AT_THE_END + 3 * (data.validation.weight is not None)
        assert sum(read.values()) <= most, f"the end of a trial waits: {read}"

    return run


# The whole catalogue.


def fitting(family: str) -> list[Technique]:
    kind = FAMILIES[family]
    return [t for t in TECHNIQUES if kind.images or not (t.images or (kind.text and t.numbers))]


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(
    check: Any, config: Any, data_for: Any, family: str, batch_norm: bool
) -> None:
    check(config(family=family, epochs=2, batch_norm=batch_norm), data_for(family))


@pytest.mark.parametrize("normalization", ["batch", "layer", "group"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_normalization(
    check: Any, config: Any, data_for: Any, family: str, normalization: str
) -> None:
    check(config(family=family, epochs=2, normalization=normalization), data_for(family))


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_residual_branches(check: Any, config: Any, data_for: Any, family: str) -> None:
    on = {"residual": True, "stochastic_depth": 0.4, "dropout": 0.1}
    check(config(family=family, epochs=2, **on), data_for(family))


def nearly(trainer: Any, device: torch.device, of: Config, data: DataSet) -> None:
    """Trains on both devices; the parameters are equal but for rounding."""
    alone, there = trainer(of, data), trainer(of, data, device=device)
    for one in (alone, there):
        assert len(list(one.epochs())) == of["epochs"]
    torch.testing.assert_close(there.params.inner, alone.params)


LEAVES = sorted({leaf.name for kind in FAMILIES.values() for leaf in kind.leaves if leaf.options})


@pytest.mark.parametrize("leaf", LEAVES)
def test_every_option_of_a_family(
    same: Any, trainer: Any, pretend: ModuleType, config: Any, data_for: Any, leaf: str
) -> None:
    for family, kind in FAMILIES.items():
        options = next((each.options for each in kind.leaves if each.name == leaf), None) or {}
        for value in options:
            of = config(family=family, epochs=1, **{leaf: value})
            if value in ("silu", "mish"):  # whose gradient torch writes otherwise for the CPU
                with pretend.pretend_gpu():
                    nearly(trainer, pretend.DEVICE, of, data_for(family))
            else:
                same(of, data_for(family))


@pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda t: t.name)
def test_every_technique(
    check: Any, config: Any, values: Any, images: DataSet, technique: Technique
) -> None:
    check(config(family="cnn", epochs=2, **{technique.name: values(technique.leaf)[-1]}), images)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer(check: Any, config: Any, rows: DataSet, optimizer: str) -> None:
    check(config(optimizer=optimizer), rows)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule(check: Any, config: Any, rows: DataSet, schedule: str) -> None:
    check(config(lr_scheduler=schedule, warmup=0.2), rows)


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric(
    watched: Any, config: Any, data_of: Callable[[str], DataSet], metric: str
) -> None:
    """Its value too is read with the losses, and waits for nothing."""
    data = data_of(METRICS[metric].task)
    if METRICS[metric].binary:
        halves = [replace(each, y=each.y.clamp(max=1)) for each in (data.train, data.validation)]
        target = replace(data.target, classes=data.target.classes[:2])
        data = replace(data, train=halves[0], validation=halves[1], target=target)
    options = {"k": 2} if metric == "top_k_accuracy" else {}
    of, measure = config(epochs=2), METRICS[metric].bound(options)
    alone = Trainer(of, data, measure, 1)
    assert len(list(alone.epochs())) == 2
    there, _, gpu = watched(lambda device: Trainer(of, data, measure, 1, device), kept)
    assert there.past == alone.past
    assert sum(gpu.waits_of("epoch").values()) == 2 * READS


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss(check: Any, config: Any, data_of: Any, loss: str) -> None:
    check(config(loss=loss, epochs=2), data_of(LOSSES[loss].task))


def test_weights_of_rows(check: Any, config: Any, weighted: DataSet) -> None:
    check(config(mixup=0.4, epochs=2), weighted)


@pytest.mark.parametrize("family", FAMILIES)
def test_all_techniques_at_once(
    same: Any, config: Any, values: Any, data_for: Any, family: str
) -> None:
    on = {t.name: values(t.leaf)[0] for t in fitting(family)}
    same(config(family=family, epochs=2, **on), data_for(family))


def test_embedded_quantities_and_categories(
    check: Any, config: Any, table: DataSet, embedded: dict[str, Any]
) -> None:
    check(config(categories="embedding", embedding__size=2, **embedded), table)


def test_members(check: Any, config: Any, rows: DataSet) -> None:
    check(config(members=3), rows)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("family", [f.name for f in FAMILIES.values() if f.text])
def test_pretrained_vectors(
    same: Any, config: Any, data_for: Any, family: str, frozen: bool
) -> None:
    data = data_for(family)
    vectors = torch.randn(data.vocabulary.size, 3, generator=torch.Generator().manual_seed(1))
    data = replace(data, vocabulary=replace(data.vocabulary, vectors=vectors))
    same(config(family=family, epochs=1, freeze_embeddings=frozen), data)


def test_a_quantity(check: Any, config: Any, numbers: DataSet) -> None:
    check(config(), numbers)


def in_folds(rows: DataSet) -> DataSet:
    """Two folds that share their rows, each with a scale of its own."""
    pool = SharedRows(torch.cat((rows.train.x, rows.validation.x)).float())
    places, n = torch.arange(len(pool.rows), dtype=torch.int32), len(rows.train)
    shift, scale = torch.full((5,), 0.5), torch.full((5,), 2.0)
    first, last = (Gathered(pool, each, shift, scale) for each in (places[:n], places[n:]))
    train, validation = replace(rows.train, x=first), replace(rows.validation, x=last)
    fold = replace(rows, train=train, validation=validation)
    return replace(fold, rest=(fold,))


def test_folds_are_read_at_once(watched: Any, config: Any, rows: DataSet) -> None:
    of, data = config(dropout=0.2), in_folds(rows)
    alone = Folds(of, data, METRICS["accuracy"], 3)
    assert len(list(alone.epochs())) == 3
    there, stored, gpu = watched(
        lambda device: Folds(of, data, METRICS["accuracy"], 3, device), to_bytes
    )
    assert there.past == alone.past
    assert sum(gpu.waits_of("epoch").values()) == 3 * READS
    again = Folds(of, data, METRICS["accuracy"], 3)
    restore(again, stored)
    assert to_bytes(again) == to_bytes(alone)


# A trial that moves from one device to another.


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("way", [("gpu", "gpu"), ("gpu", "cpu"), ("cpu", "gpu")], ids=" ".join)
def test_a_trial_moves(
    pretend: ModuleType, trainer: Any, config: Any, data_for: Any, family: str, way: tuple[str, str]
) -> None:
    on = {"dropout": 0.2, "ema": 0.9, "batch_norm": True, "early_stopping": 5}
    of, data = config(family=family, epochs=2, **on), data_for(family)
    whole = trainer(of, data, dtype=torch.float32)
    assert len(list(whole.epochs())) == 2
    first, second = (pretend.DEVICE if place == "gpu" else "cpu" for place in way)
    with pretend.pretend_gpu():
        one = trainer(of, data, dtype=torch.float32, device=first)
        next(one.epochs())
        two = trainer(of, data, dtype=torch.float32, device=second)
        assert restore(two, to_bytes(one)) == str(first)
        assert len(list(two.epochs())) == 1
    assert two.past == whole.past


# A user's own network, and trials that are stepped together.


class Own(nn.Module):
    """Somebody's own network, as many would write it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, 8), nn.Linear(8, 3)
        self.register_buffer("scale", torch.ones(5))

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.first(x * self.scale))
        return self.last(nn.functional.dropout(hidden, 0.2, self.training))


def own(shape: Any, outputs: int) -> nn.Module:
    return Own()


def test_an_own_network(
    check: Any, config: Any, rows: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("own_network")
    vars(module)["own"] = own
    monkeypatch.setitem(sys.modules, "own_network", module)
    with allowing(of_person(("own_network",))):
        check(config(family="own_network:own"), rows)


@pytest.mark.parametrize("family", FAMILIES)
def test_stacked(pretend: ModuleType, stack: Any, config: Any, data_for: Any, family: str) -> None:
    of = [config(family=family, epochs=1, dropout=0.1 * (k + 1)) for k in range(3)]
    expected = stack(of, data_for(family), [1, 2, 3]).train()
    with pretend.pretend_gpu():
        losses = stack(of, data_for(family), [1, 2, 3], pretend.DEVICE).train()
    assert all(torch.equal(a.inner, b) for a, b in zip(losses, expected, strict=True))


# The pretend GPU itself: it finds the faults that are planted.


def test_a_step_with_tensors_of_two_devices_is_refused(
    same: Any, config: Any, rows: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights of classes that were never uploaded."""
    monkeypatch.setattr(noise, "upload", lambda tensor, device: tensor)
    with pytest.raises(RuntimeError, match="tensors on two devices"):
        same(config(class_weights="balanced"), rows)


def test_a_foreign_generator_is_refused(gpu: Any, pretend: ModuleType) -> None:
    foreign = torch.Generator().manual_seed(1)
    with pytest.raises(pretend.DeviceError, match="a generator of the CPU"):
        torch.rand(3, generator=foreign, device=pretend.DEVICE)
    with pytest.raises(pretend.DeviceError, match="a generator of the CPU"):
        torch.zeros(3, device=pretend.DEVICE).normal_(generator=foreign)


@pytest.mark.parametrize(
    ("wait", "reason"),
    [
        (lambda loss: loss.item(), "_local_scalar_dense"),
        (lambda loss: loss.isnan() and None, "_local_scalar_dense"),
        (lambda loss: loss[None][loss[None] > 0], "index by a mask"),
        (lambda loss: torch.tensor(1.0, device=loss.device), r"copy to the GPU \[\]"),
        (lambda loss: torch.ones(2).to(loss.device, non_blocking=True), r"copy to the GPU \[2\]"),
        (lambda loss: loss.cpu(), r"copy from the GPU \[\]"),
        (lambda loss: loss[None][torch.tensor([0])], "an index of the CPU"),
        (lambda loss: (loss[None] > 0).nonzero(), "nonzero"),
    ],
)
def test_a_wait_within_a_step_is_found(
    check: Any,
    config: Any,
    rows: DataSet,
    monkeypatch: pytest.MonkeyPatch,
    wait: Callable[[Tensor], Any],
    reason: str,
) -> None:
    plain = nn.functional.cross_entropy

    def slow(outputs: Tensor, targets: Tensor) -> Tensor:
        loss = plain(outputs, targets)
        wait(loss.detach())
        return loss

    monkeypatch.setattr("tuner.losses.functional.cross_entropy", slow)
    with pytest.raises(AssertionError, match=reason):
        check(config(), rows)


def test_pinned_rows_are_uploaded_without_a_wait(gpu: Any, pretend: ModuleType) -> None:
    there = torch.ones(3).pin_memory().to(pretend.DEVICE, non_blocking=True)
    assert there.inner.tolist() == [1, 1, 1]
    assert gpu.waits == []
    assert gpu.uploads["outside"] == 1


def test_pinned_rows_with_gaps_are_waited_for(gpu: Any, pretend: ModuleType) -> None:
    there = torch.arange(6).view(3, 2)[:, 0].pin_memory().to(pretend.DEVICE, non_blocking=True)
    assert there.inner.tolist() == [0, 2, 4]
    assert len(gpu.waits) == 1


def test_repeated_numbers_cannot_be_pinned(gpu: Any, pretend: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="refers to a single memory location"):
        torch.ones(3).expand(2, 3).pin_memory()
    assert upload(torch.ones(3).expand(2, 3), pretend.DEVICE).inner.tolist() == [[1.0] * 3] * 2
    assert gpu.waits == []
