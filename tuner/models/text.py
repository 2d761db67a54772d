"""Families for text: word embeddings, recurrent networks and convolutions over words.

The recurrent ones also take sequences of numbers, of which each step is a vector already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tuner.lazy_torch import Tensor, functional, nn, torch
from tuner.models.base import ACTIVATION, Family, Inside, WordTable, activated, depth
from tuner.models.mlp import WIDTH
from tuner.space import Leaf
from tuner.techniques import Shape

# Words as vectors: the first layer of every network for text.


def known_steps(x: Tensor) -> Tensor:
    """Where ``[B, L]`` rows have not ended: a text at 0, ``[B, L]``; a sequence of numbers at NaN,
    ``[B, L]`` or ``[B, L, C]``."""
    if not x.is_floating_point():
        return x != 0
    return ~(x if x.dim() == 2 else x[..., 0]).isnan()


class Padded(nn.Module):
    """A first layer for rows that are filled up at the end.

    A batch is cut to its longest row, so that the others of the data set cost nothing; not on a
    GPU, which the host would wait for to know that: there the trainer gives batches that are cut
    already. Where many networks are mapped over (``torch.func.vmap``) shapes cannot depend on
    values: the driver sets ``mapped``, and no batch is cut. No row's output depends on how far it
    is filled up.
    """

    def __init__(self) -> None:
        super().__init__()
        self.mapped = False

    def cut(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The rows, and which of their steps are known ``[B, l]``."""
        known = known_steps(x)
        if self.mapped or x.device.type != "cpu":
            return x, known
        longest = max(1, int(known.any(0).sum()))
        return x[:, :longest], known[:, :longest]


class Embedding(Padded):
    """A vector for each word; that of padding stays 0 (Bengio et al. 2003).

    Args:
        words: how many there are, and their pretrained vectors, if any.
        size: of a vector; the pretrained ones have their own.
        frozen: the pretrained vectors are a buffer, and are not trained.

    Shape:
        whole numbers ``[B, L]`` to ``[B, l, E]``, and which of these are words: ``[B, l]``.
    """

    weight: Tensor

    def __init__(self, words: WordTable, size: int, frozen: bool) -> None:
        super().__init__()
        vectors = words.vectors
        if vectors is None:
            start = torch.randn(words.size, size) * 0.1
            start[0] = 0.0
        else:
            start = vectors.clone()
        self.size = start.shape[1]
        if frozen and vectors is not None:
            self.register_buffer("weight", start)
        else:
            self.weight = nn.Parameter(start)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x, known = self.cut(x)
        return functional.embedding(x, self.weight, padding_idx=0), known


class Steps(Padded):
    """A sequence of numbers in the place of words; after its end, where it is NaN, it is 0.

    Args:
        shape: of a sequence: ``[L]``, or ``[L, C]``.

    Shape:
        numbers ``[B, *shape]`` to ``[B, l, C]``, and which steps are known: ``[B, l]``.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.size = shape[1] if len(shape) > 1 else 1

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x, known = self.cut(x)
        x = x if x.dim() > 2 else x.unsqueeze(2)
        return x.masked_fill(~known[..., None], 0.0), known


def embedding(words: WordTable, leaves: Mapping[str, Any]) -> Embedding:
    """The embedding that the leaves describe."""
    return Embedding(words, leaves["embedding_size"], leaves["freeze_embeddings"])


EMBEDDING_SIZE = Leaf(
    name="embedding_size",
    kind=int,
    default=64,
    minimum=1,
    maximum=4096,
    search=(32, 64, 128),
    static=True,
    doc="numbers of a word's vector; pretrained vectors have their own size",
    unit="numbers",
    source="Bengio et al. 2003",
)
FREEZE_EMBEDDINGS = Leaf(
    name="freeze_embeddings",
    kind=bool,
    default=False,
    search=(True, False),
    static=True,
    doc="keeps pretrained word vectors as they are; without such a file it changes nothing",
    unit="on or off",
    source="Kim 2014",
)


# Layers of recurrent networks.


class Direction(nn.Module):
    """One layer of a GRU or LSTM, from the first word to the last.

    torch's own layers have no rule for ``torch.func.vmap``: where a driver maps over networks, it
    sets ``mapped``, and the same weights go through the equations step by step.

    Shape:
        ``[B, L, E]`` to ``[B, L, H]``.
    """

    def __init__(self, cell: str, entering: int, width: int) -> None:
        super().__init__()
        self.cell = {"gru": nn.GRU, "lstm": nn.LSTM}[cell](entering, width, batch_first=True)
        self.steps = STEPS[cell]
        self.mapped = False

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self._by_steps(x) if self.mapped else self.cell(x)[0]
        return out

    def _by_steps(self, x: Tensor) -> Tensor:
        cell = self.cell
        weights = cell.weight_ih_l0, cell.weight_hh_l0, cell.bias_ih_l0, cell.bias_hh_l0
        return self.steps(x, *weights)


def gru_steps(x: Tensor, w_in: Tensor, w: Tensor, b_in: Tensor, b: Tensor) -> Tensor:
    """Cho et al. 2014, with the reset gate after the product, as in ``torch.nn.GRU``."""
    entering = functional.linear(x, w_in, b_in)
    state = x.new_zeros(len(x), w.shape[1])
    out = []
    for t in range(x.shape[1]):
        reset, update, new = entering[:, t].chunk(3, 1)
        of_reset, of_update, of_new = functional.linear(state, w, b).chunk(3, 1)
        new = torch.tanh(new + torch.sigmoid(reset + of_reset) * of_new)
        state = torch.lerp(new, state, torch.sigmoid(update + of_update))
        out.append(state)
    return torch.stack(out, 1)


def lstm_steps(x: Tensor, w_in: Tensor, w: Tensor, b_in: Tensor, b: Tensor) -> Tensor:
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000."""
    entering = functional.linear(x, w_in, b_in + b)
    state = memory = x.new_zeros(len(x), w.shape[1])
    out = []
    for t in range(x.shape[1]):
        gates = entering[:, t] + state @ w.T
        enter, forget, new, leave = gates.chunk(4, 1)
        memory = torch.sigmoid(forget) * memory + torch.sigmoid(enter) * torch.tanh(new)
        state = torch.sigmoid(leave) * torch.tanh(memory)
        out.append(state)
    return torch.stack(out, 1)


STEPS: dict[str, Callable[..., Tensor]] = {"gru": gru_steps, "lstm": lstm_steps}


class Layer(nn.Module):
    """One direction, or both beside each other; the second reads each text from its own end.

    Shape:
        ``[B, L, E]`` and which are words ``[B, L]`` to ``[B, L, H]``, or ``[B, L, 2H]``.
    """

    def __init__(self, cell: str, entering: int, width: int, both: bool) -> None:
        super().__init__()
        self.ahead = Direction(cell, entering, width)
        self.back = Direction(cell, entering, width) if both else None

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        out: Tensor = self.ahead(x)
        if self.back is None:
            return out
        # Position t of n words goes to n - 1 - t; padding stays where it is.
        t = torch.arange(x.shape[1], device=x.device)
        turned = torch.where(known, known.sum(1, keepdim=True) - 1 - t, t)[..., None]
        from_end = self.back(x.gather(1, turned.expand_as(x)))
        return torch.cat((out, from_end.gather(1, turned.expand_as(from_end))), 2)


# Recurrent networks for texts and sequences of numbers.


class Recurrent(nn.Module):
    """Layers over word vectors, and one vector of a text from them.

    Args:
        layers: each reads what the one before gives.
        between: a module before each layer, for ``[B, C, L]``.
        readout: over the words: a name of READOUTS.

    Shape:
        ``[B, L, E]`` and which are words ``[B, L]`` to ``[B, C]``, or for both ``[B, 2C]``.
    """

    def __init__(
        self, layers: Sequence[nn.Module], between: Sequence[nn.Module], readout: str
    ) -> None:
        super().__init__()
        self.layers, self.between = nn.ModuleList(layers), nn.ModuleList(between)
        self.readout = READOUTS[readout]

    def forward(self, embedded: tuple[Tensor, Tensor]) -> Tensor:
        x, known = embedded
        for between, layer in zip(self.between, self.layers, strict=True):
            x = layer(between(x.transpose(1, 2)).transpose(1, 2), known)
        return self.readout(x, known)


def _max(x: Tensor, known: Tensor) -> Tensor:
    return x.masked_fill(~known[..., None], -torch.inf).amax(1)


def _mean(x: Tensor, known: Tensor) -> Tensor:
    share = known.to(x.dtype) / known.sum(1, keepdim=True)
    return (x * share[..., None]).sum(1)


def _both(x: Tensor, known: Tensor) -> Tensor:
    return torch.cat((_max(x, known), _mean(x, known)), 1)


READOUTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "max": _max,
    "mean": _mean,
    "both": _both,
}


def build_rnn(
    shape: Shape,
    outputs: int,
    leaves: Mapping[str, Any],
    inside: Inside,
    words: WordTable | None = None,
) -> nn.Module:
    """Embedding of words, ``depth`` recurrent layers, one vector of the text, linear output.

    The layers that techniques place after a block (dropout) stand before each recurrent layer, the
    same for every word of a text (Gal and Ghahramani 2016), and before the output; those before an
    activation (batch normalization) before the output alone.

    Shape:
        whole numbers ``[B, L]``, 0 at the end; or numbers ``[B, L]`` or ``[B, L, C]``; to
        ``[B, outputs]``.
    """
    first = Steps(shape) if words is None else embedding(words, leaves)
    width = leaves["width"] * (2 if leaves["bidirectional"] else 1)
    entering = [first.size] + [width] * (leaves["depth"] - 1)
    between = [nn.Sequential(*(layer((n, shape[0])) for layer in inside.after)) for n in entering]
    layers = [Layer(leaves["cell"], n, leaves["width"], leaves["bidirectional"]) for n in entering]
    features = width * (2 if leaves["readout"] == "both" else 1)
    ending = [layer((features,)) for layer in (*inside.before, *inside.after)]
    text = Recurrent(layers, between, leaves["readout"])
    return nn.Sequential(first, text, *ending, nn.Linear(features, outputs))


CELL = Leaf(
    name="cell",
    kind=str,
    default="gru",
    options=dict.fromkeys(STEPS, ()),
    search=("gru", "lstm"),
    static=True,
    doc="kind of recurrent unit",
    unit="name",
    source="Cho et al. 2014; Hochreiter and Schmidhuber 1997",
)
BIDIRECTIONAL = Leaf(
    name="bidirectional",
    kind=bool,
    default=True,
    search=(True, False),
    static=True,
    doc="reads a text from both ends",
    unit="on or off",
    source="Schuster and Paliwal 1997",
)
READOUT = Leaf(
    name="readout",
    kind=str,
    default="max",
    options=dict.fromkeys(READOUTS, ()),
    search=("max", "mean", "both"),
    static=True,
    doc="how the states at a text's words become one vector: the largest, the mean, both",
    unit="name",
    source="Collobert and Weston 2008; Conneau et al. 2017",
)

RNN = Family(
    name="rnn",
    build=build_rnn,
    leaves=(
        *(CELL, depth(2, 4), WIDTH, BIDIRECTIONAL),
        *(READOUT, EMBEDDING_SIZE, FREEZE_EMBEDDINGS),
    ),
    doc="GRU or LSTM layers over words, or over the steps of a sequence of numbers",
    source="Elman 1990; Cho et al. 2014",
    text=True,
    sequences=True,
)


# Convolutions over the words of a text.


class Windows(nn.Module):
    """Windows of several widths slide over a text; each filter's largest answer counts.

    A window begins at a word and may reach over the end, where there are zeros.

    Shape:
        vectors ``[B, L, E]`` and which are words ``[B, L]`` to ``[B, filters * len(widths)]``.
    """

    def __init__(self, size: int, filters: int, widths: range, bias: bool) -> None:
        super().__init__()
        self.widths = widths
        self.windows = nn.ModuleList(nn.Conv1d(size, filters, w, bias=bias) for w in widths)

    def forward(self, embedded: tuple[Tensor, Tensor]) -> Tensor:
        vectors, known = embedded
        x, nothing = vectors.transpose(1, 2), ~known[:, None]
        largest = []
        for width, window in zip(self.widths, self.windows, strict=True):
            answers = window(functional.pad(x, (0, width - 1)))
            largest.append(answers.masked_fill(nothing, -torch.inf).amax(2))
        return torch.cat(largest, 1)


def build_text_cnn(
    shape: Shape, outputs: int, leaves: Mapping[str, Any], inside: Inside, words: WordTable
) -> nn.Module:
    """Embedding, windows, the largest answer over time, activation, linear output.

    The activation comes after the largest is taken, which is the same for one that never falls
    (Kim 2014 has it before) and costs a fraction. Techniques are as in a block of an mlp.

    Shape:
        whole numbers ``[B, L]``, 0 at the end, to ``[B, outputs]``.
    """
    first = embedding(words, leaves)
    widths = range(leaves["window"], leaves["window"] + leaves["windows"])
    windows = Windows(first.size, leaves["filters"], widths, inside.bias)
    features = leaves["filters"] * len(widths)
    block = activated(windows, (features,), leaves["activation"], inside)
    return nn.Sequential(first, *block, nn.Linear(features, outputs))


WINDOW = Leaf(
    name="window",
    kind=int,
    default=3,
    minimum=1,
    maximum=32,
    search=(1, 2, 3),
    static=True,
    doc="width of the narrowest window over a text",
    unit="words",
    source="Kim 2014",
)
WINDOWS = Leaf(
    name="windows",
    kind=int,
    default=3,
    minimum=1,
    maximum=16,
    search=(1, 2, 3),
    static=True,
    doc="how many widths of windows there are, each one word wider",
    unit="widths",
    source="Kim 2014; Zhang and Wallace 2017",
)
FILTERS = Leaf(
    name="filters",
    kind=int,
    default=100,
    minimum=1,
    maximum=4096,
    search=(50, 100, 200),
    static=True,
    doc="filters of each width of window",
    unit="filters",
    source="Kim 2014",
)

TEXT_CNN = Family(
    name="text-cnn",
    build=build_text_cnn,
    leaves=(WINDOW, WINDOWS, FILTERS, ACTIVATION, EMBEDDING_SIZE, FREEZE_EMBEDDINGS),
    doc="convolutions over word vectors, and the largest answer of each over the text",
    source="Kim 2014",
    text=True,
)
