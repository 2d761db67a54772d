"""Steps that are recorded and replayed give the numbers of steps taken one by one, bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tuner.data.dataset import DataSet
from tuner.data.rows import Gathered, SharedRows
from tuner.losses import LOSSES
from tuner.metrics import METRICS
from tuner.models import FAMILIES
from tuner.optimizers import OPTIMIZERS
from tuner.schedules import SCHEDULES
from tuner.space import Config
from tuner.techniques import TECHNIQUES, Technique
from tuner.training import recorded
from tuner.training.checkpoint import restore, to_bytes
from tuner.training.folds import training
from tuner.training.recorded import VARIABLE
from tuner.training.trainer import Course, Trainer

Make = Callable[[], Course]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records every shape at its first step, and compiles anew."""
    monkeypatch.setattr(recorded, "PAYS", 0)
    monkeypatch.setattr(recorded, "PAYS_IF_KNOWN", 0)
    monkeypatch.setattr(recorded, "_FUNCTIONS", type(recorded._FUNCTIONS)())


@pytest.fixture
def as_it_is(monkeypatch: pytest.MonkeyPatch) -> Callable[[Make], Course]:
    """Trains to the end without recording."""

    def run(make: Make) -> Course:
        with monkeypatch.context() as patch:
            patch.setenv(VARIABLE, "0")
            course = make()
            assert all(part.recorder is None for part in course.parts)
            return trained(course)

    return run


@pytest.fixture
def check(as_it_is: Callable[[Make], Course]) -> Callable[[Make], None]:
    """Trains with and without recording: every step but the first of each shape is replayed."""

    def run(make: Make) -> None:
        plain, other = as_it_is(make), trained(make())
        for part in other.parts:
            assert part.recorder is not None
            assert part.recorder.reason == ""
            assert part.recorder.functions > 0
        same(plain, other)

    return run


@pytest.fixture
def both(check: Any, trainer: Any) -> Callable[..., None]:
    """Trains a configuration in single and in double precision."""

    def run(of: Config, data: DataSet, dtypes: Any = (torch.float32, torch.float64)) -> None:
        for dtype in dtypes:
            check(lambda dtype=dtype: trainer(of, data, dtype=dtype))

    return run


def trained(course: Course) -> Course:
    for _ in course.epochs():
        pass
    return course


def tensors(trainer: Trainer) -> dict[str, Tensor]:
    """All that a training has made."""
    made = {f"made {i}": tensor for i, tensor in enumerate(trainer.state.made)}
    return {"params": trainer.params, **made, **trainer.buffers(), **trainer.weights()}


def same(a: Course, b: Course) -> None:
    assert a.past == b.past
    for one, other in zip(a.parts, b.parts, strict=True):
        assert one.state.count == other.state.count
        of_one, of_other = tensors(one), tensors(other)
        assert of_one.keys() == of_other.keys()
        assert [name for name in of_one if not torch.equal(of_one[name], of_other[name])] == []


def fitting(family: str) -> list[Technique]:
    kind = FAMILIES[family]
    return [t for t in TECHNIQUES if kind.images or not (t.images or (kind.text and t.numbers))]


# The whole catalogue.


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(both: Any, config: Any, data_for: Any, family: str, batch_norm: bool) -> None:
    both(config(family=family, batch_norm=batch_norm), data_for(family))


OPTIONS = [
    (family, leaf.name, value)
    for family, kind in FAMILIES.items()
    for leaf in kind.leaves
    for value in leaf.options or (True, False) * (leaf.kind is bool)
    if value != leaf.default
]


@pytest.mark.parametrize(("family", "leaf", "value"), OPTIONS)
def test_every_option_of_a_family(
    both: Any, config: Any, data_for: Any, family: str, leaf: str, value: Any
) -> None:
    of = config(family=family, epochs=2, **{leaf: value})
    both(of, data_for(family), [torch.float32])


@pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda t: t.name)
def test_every_technique(
    both: Any, config: Any, values: Any, images: DataSet, technique: Technique
) -> None:
    value = values(technique.leaf)[-1]
    both(config(family="cnn", residual=True, **{technique.name: value}), images)


@pytest.mark.parametrize("family", FAMILIES)
def test_all_techniques_at_once(
    both: Any, config: Any, values: Any, data_for: Any, family: str
) -> None:
    on = {t.name: values(t.leaf)[0] for t in fitting(family)}
    both(config(family=family, **on), data_for(family))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(both: Any, config: Any, values: Any, rows: DataSet, name: str) -> None:
    """With the values of its options that are suggested first, and with those suggested last."""
    for which in (0, -1):
        leaves = OPTIMIZERS[name].leaves
        own = {f"{name}__{leaf.name}": values(leaf)[which] for leaf in leaves}
        clipped = {"gradient_clipping": 0.5, "l1_lambda": 1e-3, "weight_decay": 0.1}
        both(config(optimizer=name, epochs=6, **own, **clipped), rows)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule(both: Any, config: Any, rows: DataSet, schedule: str) -> None:
    both(config(lr_scheduler=schedule, warmup=0.2), rows)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss(both: Any, config: Any, data_of: Any, loss: str) -> None:
    both(config(loss=loss), data_of(LOSSES[loss].task))


def test_weights_of_rows(both: Any, config: Any, weighted: DataSet) -> None:
    both(config(mixup=0.4), weighted)


def test_labels(both: Any, config: Any, labels: DataSet) -> None:
    both(config(mixup=0.4, label_smoothing=0.1, batch_norm=True), labels)


def test_several_quantities(both: Any, config: Any, quantities: DataSet) -> None:
    both(config(dropout=0.3, ema=0.9), quantities)


def test_embedded_quantities_and_categories(
    both: Any, config: Any, table: DataSet, embedded: dict[str, Any]
) -> None:
    rates = {"scale_rate": 3.0, "bias_rate": 0.1, "first_layer_rate": 0.5}
    both(config(categories="embedding", embedding__size=2, **embedded, **rates), table)


@pytest.mark.parametrize("normalization", ["batch", "layer", "group"])
def test_members(both: Any, config: Any, rows: DataSet, normalization: str) -> None:
    both(config(members=3, normalization=normalization, dropout=0.2), rows)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("family", [f.name for f in FAMILIES.values() if f.text])
def test_pretrained_vectors(
    both: Any, config: Any, data_for: Any, family: str, frozen: bool
) -> None:
    data = data_for(family)
    vectors = torch.randn(data.vocabulary.size, 3, generator=torch.Generator().manual_seed(1))
    data = replace(data, vocabulary=replace(data.vocabulary, vectors=vectors))
    both(config(family=family, freeze_embeddings=frozen), data, [torch.float32])


# Other ways of a training: folds, an interruption, steps of which only some are recorded.


def in_folds(rows: DataSet) -> DataSet:
    """Two folds that share their rows, each with a scale of its own."""
    pool = SharedRows(torch.cat((rows.train.x, rows.validation.x)).float())
    places, n = torch.arange(len(pool.rows), dtype=torch.int32), len(rows.train)
    shift, scale = torch.full((5,), 0.5), torch.full((5,), 2.0)
    first, last = (Gathered(pool, each, shift, scale) for each in (places[:n], places[n:]))
    train, validation = replace(rows.train, x=first), replace(rows.validation, x=last)
    fold = replace(rows, train=train, validation=validation)
    return replace(fold, rest=(fold,))


def test_folds_share_their_functions(check: Any, config: Any, rows: DataSet) -> None:
    data = in_folds(rows)
    check(lambda: training(config(dropout=0.2), data, METRICS["accuracy"], 3))
    assert len(recorded._FUNCTIONS) == 2  # of a whole batch and of the last


@pytest.mark.parametrize("family", FAMILIES)
def test_an_interrupted_training_goes_on(
    as_it_is: Any, trainer: Any, config: Any, data_for: Any, family: str
) -> None:
    on = {"dropout": 0.2, "ema": 0.9, "batch_norm": True, "early_stopping": 5}
    of, data = config(family=family, epochs=4, **on), data_for(family)
    whole = as_it_is(lambda: trainer(of, data, dtype=torch.float32))
    current = trainer(of, data, dtype=torch.float32)
    while not current.done:
        next(current.epochs())
        stored = to_bytes(current)
        current = trainer(of, data, dtype=torch.float32)
        restore(current, stored)
    same(whole, current)


def test_recording_begins_in_the_middle(
    as_it_is: Any, trainer: Any, config: Any, rows: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make() -> Trainer:
        made: Trainer = trainer(config(epochs=6, dropout=0.2, ema=0.9), rows)
        return made

    plain, other = as_it_is(make), make()
    monkeypatch.setattr(recorded, "PAYS", 10**6)
    for epoch in other.epochs():
        assert other.recorder is not None
        assert other.recorder.functions == 2 * (epoch.number > 2)
        if epoch.number == 2:
            monkeypatch.setattr(recorded, "PAYS", 0)
    same(plain, other)


def test_trials_that_differ_in_numbers_share_their_functions(
    check: Any, trainer: Any, config: Any, rows: DataSet
) -> None:
    names = "learning_rate", "dropout", "weight_decay", "label_smoothing", "mixup", "adam__beta1"
    for k in (1, 2, 3):
        of = config(lr_scheduler=list(SCHEDULES)[k], **dict.fromkeys(names, 0.1 * k))
        check(lambda of=of, k=k: trainer(of, rows, k))
        assert len(recorded._FUNCTIONS) == 2
