"""Layers of recurrent networks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


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
    state = kept = x.new_zeros(len(x), w.shape[1])
    out = []
    for t in range(x.shape[1]):
        gates = entering[:, t] + state @ w.T
        enter, forget, new, leave = gates.chunk(4, 1)
        kept = torch.sigmoid(forget) * kept + torch.sigmoid(enter) * torch.tanh(new)
        state = torch.sigmoid(leave) * torch.tanh(kept)
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
        # position t of n words stands where n - 1 - t did; what is filled up stays where it is
        t = torch.arange(x.shape[1], device=x.device)
        turned = torch.where(known, known.sum(1, keepdim=True) - 1 - t, t)[..., None]
        from_end = self.back(x.gather(1, turned.expand_as(x)))
        return torch.cat((out, from_end.gather(1, turned.expand_as(from_end))), 2)
