from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tuner.data.dataset import DataSet
from tuner.metrics import METRICS
from tuner.training import recorded
from tuner.training.recorded import PAYS, VARIABLE, Recorder, Replay, compiled, hooked
from tuner.training.trainer import Trainer


@pytest.fixture(autouse=True)
def _afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No functions of other tests."""
    monkeypatch.setattr(recorded, "_FUNCTIONS", type(recorded._FUNCTIONS)())


def replay_of(call: Callable[[], Sequence[Tensor]], given: Sequence[Tensor]) -> Replay:
    recording = recorded.recorded(call, given)
    assert recording.reason == ""
    return Replay(compiled(recording.source, ()), recording.fixed)


# What is recorded.


def test_a_step_is_taken_and_replayed_with_other_tensors() -> None:
    x, weight = torch.arange(6.0).view(2, 3), torch.ones(3, requires_grad=True)

    def call() -> list[Tensor]:
        loss = (x * weight).square().sum() / 0.7
        return [loss, *torch.autograd.grad(loss, [weight])]

    recording = recorded.recorded(call, [x])
    assert [each.tolist() for each in recording.outputs] == [each.tolist() for each in call()]
    again = Replay(compiled(recording.source, ()), recording.fixed)
    x = torch.tensor([[0.3, -2.0, 7.0], [1.0, 1.0, 0.1]])
    for output, expected in zip(again([x]), call(), strict=True):
        assert torch.equal(output, expected)
        assert not output.requires_grad


def test_what_is_written_in_place_stays_written() -> None:
    total, x = torch.zeros(2), torch.ones(2)
    again = replay_of(lambda: [total.add_(x)], [x])
    assert total.tolist() == [1, 1]
    (output,) = again([torch.tensor([2.0, 3.0])])
    assert total.tolist() == output.tolist() == [3, 4]


def test_numbers_are_inputs_and_no_part_of_the_source() -> None:
    x = torch.ones(2)
    sources = {recorded.recorded(lambda n=n: [x * n + n], [x]).source for n in (0.1, 0.25)}
    assert len(sources) == 1
    assert "0.1" not in sources.pop()
    assert recorded.recorded(lambda: [x * 0.1 + 0.25], [x]).fixed == [0.1, 0.25]


def test_all_kinds_of_arguments() -> None:
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    index = torch.tensor([1, 0, 1])

    def call() -> list[Tensor]:
        y = x.sum(dim=[]) + x[:, None, index].amax((0, 2)).sum(0)
        halves = x.to(torch.float64).split(2, 2)
        rounded = torch.div(halves[0], 0.3, rounding_mode="floor")
        padded = functional.pad(torch.cat(halves, 2), (1, 0), value=-torch.inf)
        return [y, rounded, padded, torch.var_mean(x, 0)[1].to(torch.bfloat16)]

    again = replay_of(call, [x])
    x = x.flip(1)
    assert all(torch.equal(a, b) for a, b in zip(again([x]), call(), strict=True))


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda x: [x * x.sum().item()], "_local_scalar_dense looks at the values of a tensor"),
        (lambda x: [x.clone() if x[0] > 0 else x], "looks at the values of a tensor"),
        (lambda x: [x[x > 0].sum()], "index takes a mask, so that its shape depends on values"),
        (lambda x: [x.nonzero()], "nonzero looks at the values of a tensor"),
        (lambda x: [functional.dropout(x, 0.5)], "draws random numbers within the network"),
        (lambda x: [x * (1 + 2j)], "an operation takes (1+2j)"),
    ],
)
def test_what_cannot_be_replayed(call: Any, reason: str) -> None:
    """The step is taken all the same."""
    x = torch.tensor([0.5, 2.0, 1.0])
    torch.manual_seed(0)
    recording = recorded.recorded(lambda: call(x), [x])
    assert reason in recording.reason
    assert recording.source == ""
    torch.manual_seed(0)
    assert torch.equal(recording.outputs[0], call(x)[0])


def test_inputs_that_share_their_memory_could_be_mistaken_for_each_other() -> None:
    x = torch.ones(2)
    assert "share their memory" in recorded.recorded(lambda: [x + 1], [x, x.view(2)]).reason


# When a step is recorded.


def steps(recorder: Recorder, sizes: Sequence[int], left: int) -> list[int]:
    """How many functions there are after each step; all give the right numbers."""
    functions = []
    for size in sizes:
        x = torch.full((size,), float(len(functions)))
        (output,) = recorder.take(lambda x=x: [x * 3.5 + 1], [x], left)
        assert torch.equal(output, x * 3.5 + 1)
        left -= 1
        functions.append(recorder.functions)
    return functions


def test_a_step_is_recorded_where_it_pays() -> None:
    assert steps(Recorder(), [4] * 3, PAYS - 1) == [0, 0, 0]
    assert steps(Recorder(), [4] * 3, PAYS) == [1, 1, 1]


def test_a_known_step_is_recorded_sooner() -> None:
    assert steps(Recorder(), [4], 20) == [0]
    assert steps(Recorder(), [4], PAYS) == [1]
    assert steps(Recorder(), [4], 20) == [1]
    assert steps(Recorder(), [4], 5) == [0]


def test_another_step_of_a_known_shape_is_not_compiled_for_few() -> None:
    assert steps(Recorder(), [4], PAYS) == [1]
    recorder, x = Recorder(), torch.ones(4)
    for _ in range(3):
        assert torch.equal(recorder.take(lambda: [x - 2], [x], 20)[0], x - 2)
    assert recorder.functions == 0
    assert len(recorded._FUNCTIONS) == 1


def test_a_rare_shape_is_left_as_it_is() -> None:
    sizes = [4, 4, 4, 4, 4, 4, 4, 4, 4, 3] * 2
    assert steps(Recorder(), sizes, 300)[-1] == 1
    assert steps(Recorder(), sizes, 900)[-1] == 2


def test_after_a_reason_nothing_is_recorded() -> None:
    recorder, x = Recorder(), torch.ones(2)
    for _ in range(2):
        (output,) = recorder.take(lambda: [x * x.sum().item()], [x], 1000)
        assert output.tolist() == [2, 2]
    assert "_local_scalar_dense" in recorder.reason
    assert steps(recorder, [2, 3], 1000) == [0, 0]


def test_what_torch_cannot_compile_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded.Tape, "source", lambda *given: "def step(: no function")
    recorder = Recorder()
    assert steps(recorder, [2, 2], 1000) == [0, 0]
    assert recorder.reason.startswith("torch cannot compile a step: ")


def test_the_last_functions_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "FUNCTIONS", 2)
    first, _, third = (compiled(f"def step(x):\n  return [x + {n}]\n", n) for n in (1, 2, 3))
    assert [function.kind for function in recorded._FUNCTIONS.values()] == [2, 3]
    assert compiled("def step(x):\n  return [x + 3]\n", 3) is third
    assert compiled("def step(x):\n  return [x + 1]\n", 1) is not first


# Which trainings record.


def test_a_variable_switches_it_off(
    config: Any, blobs: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "0")
    trainer = Trainer(config(), blobs, METRICS["accuracy"], 0)
    assert trainer.recorder is None
    assert trainer.try_recording() == "TUNER_RECORDED is 0"


def test_hooks_are_called_at_every_step(config: Any, blobs: DataSet) -> None:
    network = Trainer(config(), blobs, METRICS["accuracy"], 0).network
    assert not hooked(network)
    next(m for m in network.modules() if isinstance(m, nn.Linear)).register_forward_hook(print)
    assert hooked(network)


def test_a_training_says_whether_it_records(config: Any, blobs: DataSet) -> None:
    def words(**changes: Any) -> str:
        return Trainer(config(**changes), blobs, METRICS["accuracy"], 0).try_recording()

    assert words(epochs=30) == ""
    assert words(epochs=30, members=2, dropout=0.2, mixup=0.1) == ""
    assert words(epochs=1) == "a training has too few of them to pay"


def test_a_long_training_replays_its_steps(
    config: Any, blobs: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    plain = Trainer._by_autograd
    monkeypatch.setattr(Trainer, "_by_autograd", lambda *given: (steps.append(1), plain(*given))[1])
    trainer = Trainer(config(epochs=30), blobs, METRICS["accuracy"], 0)
    assert len(list(trainer.epochs())) == 30
    assert trainer.state.count == 30 * 4
    assert len(steps) == 1
