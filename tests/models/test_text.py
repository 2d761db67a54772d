"""Networks of text: against torch's own layers, blind to padding, stacked and plain."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from tuner.data.text import Vocabulary
from tuner.models import FAMILIES, Inside
from tuner.models.text import Embedding, Layer

VECTORS = torch.arange(27.0).view(9, 3) * (torch.arange(9) > 1)[:, None]
WORDS = Vocabulary(tuple("abcdefg"), 9)
GIVEN = Vocabulary(tuple("abcdefg"), 9, VECTORS)
TEXT = [name for name, family in FAMILIES.items() if family.text]
KINDS = [("text-cnn", {"window": 1}), ("text-cnn", {"windows": 1, "activation": "tanh"})] + [
    ("rnn", {"cell": cell, "bidirectional": both, "readout": readout, "depth": 2})
    for cell, both, readout in itertools.product(("gru", "lstm"), (True, False), ("max", "both"))
]
KINDS += [
    ("transformer", {"positions": positions, "summary": summary, "heads": 2})
    for positions in ("sinusoidal", "learned")
    for summary in ("mean", "max", "token")
]


def network(name: str, words: Vocabulary = WORDS, **leaves: Any) -> nn.Module:
    own = {leaf.name: leaf.default for leaf in FAMILIES[name].leaves} | leaves
    torch.manual_seed(3)
    built: nn.Module = FAMILIES[name].build((9,), 3, own, Inside(), words=words)
    return built.double()


def texts(rows: int = 7) -> Tensor:
    x = torch.randint(1, WORDS.size, (rows, 9), generator=torch.Generator().manual_seed(1))
    return (x * (torch.arange(9) <= torch.arange(rows)[:, None])).int()


def mapped(built: nn.Module) -> nn.Module:
    for module in built.modules():
        if hasattr(module, "mapped"):
            module.mapped = True
    return built


@pytest.mark.parametrize(("name", "leaves"), KINDS, ids=str)
def test_how_far_a_row_is_filled_up_does_not_matter(name: str, leaves: dict[str, Any]) -> None:
    built, x = network(name, **leaves), texts()
    expected = built(x)
    alone = torch.cat([built(row[row > 0][None]) for row in x])
    further = built(torch.cat((x, torch.zeros_like(x)), 1))
    uncut = mapped(built)(torch.cat((x, torch.zeros_like(x)), 1))
    for other in (alone, further, uncut):
        torch.testing.assert_close(other, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "leaves"), KINDS, ids=str)
def test_gradients_of_a_row_do_not_see_the_filling(name: str, leaves: dict[str, Any]) -> None:
    built, x = network(name, **leaves), texts()
    found = []
    for rows in (x, torch.cat((x, torch.zeros_like(x)), 1)):
        built.zero_grad()
        mapped(built)(rows).square().sum().backward()
        found.append([p.grad.clone() for p in built.parameters() if p.grad is not None])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert found[0][0][0].abs().sum() == 0  # the vector of padding stays 0


@pytest.mark.parametrize(("name", "leaves"), KINDS, ids=str)
def test_mapped_over_by_vmap(name: str, leaves: dict[str, Any]) -> None:
    built, x = network(name, **leaves), texts()
    expected = built(x)
    weights = {n: torch.stack((p, p * 0.5)).detach() for n, p in built.named_parameters()}
    both = vmap(lambda w, x: functional_call(mapped(built), w, x))(weights, torch.stack((x, x)))
    torch.testing.assert_close(both[0], expected, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(both[1], expected)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(("cell", "kind"), [("gru", nn.GRU), ("lstm", nn.LSTM)])
def test_a_layer_is_torchs_own_over_packed_texts(cell: str, kind: Any, both: bool) -> None:
    layer = Layer(cell, 4, 5, both).double()
    theirs = kind(4, 5, batch_first=True, bidirectional=both).double()
    for mine, other in zip(layer.parameters(), theirs.parameters(), strict=True):
        other.data.copy_(mine.data)
    x = torch.randn(3, 6, 4, dtype=torch.float64)
    lengths = torch.tensor([6, 1, 4])
    known = torch.arange(6) < lengths[:, None]
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected = nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)[0]
    for by_steps in (False, True):
        for module in layer.modules():
            if hasattr(module, "mapped"):
                module.mapped = by_steps
        found = layer(x, known) * known[..., None]
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_words_are_cut_to_the_longest_text() -> None:
    vectors, known = Embedding(WORDS, 4, frozen=False)(texts(3))
    assert vectors.shape == (3, 3, 4)
    assert known.tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert float(vectors[~known].detach().abs().sum()) == 0


@pytest.mark.parametrize("name", TEXT)
def test_frozen_vectors_are_no_parameters(name: str) -> None:
    tuned, frozen = (network(name, GIVEN, freeze_embeddings=on) for on in (False, True))
    assert next(n for n, _ in tuned.named_parameters()) == "0.weight"
    assert "0.weight" not in dict(frozen.named_parameters())
    for built in (tuned, frozen):
        assert torch.equal(built.state_dict()["0.weight"], VECTORS.double())
    tuned.state_dict()["0.weight"].fill_(7)
    assert float(VECTORS.max()) == 26  # the data's own are not touched


def test_freezing_needs_vectors() -> None:
    words = Embedding(WORDS, 4, frozen=True)
    assert isinstance(words.weight, nn.Parameter)
    assert words.size == 4
    assert Embedding(GIVEN, 4, frozen=True).size == 3
