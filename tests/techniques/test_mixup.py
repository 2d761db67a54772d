from __future__ import annotations

import pytest
import torch
from scipy import stats

from tuner.techniques import Draw
from tuner.techniques.mixup import MIXUP


@pytest.mark.parametrize("alpha", [0.2, 0.4, 1.0, 4.0, 10.0])
def test_shares_are_beta_distributed(alpha: float, draw: Draw) -> None:
    assert MIXUP.draw
    (shares,) = MIXUP.draw(alpha, draw)
    assert shares.shape == (4000,)
    assert stats.kstest(shares.numpy(), stats.beta(alpha, alpha).cdf).pvalue > 0.01


def test_with_a_small_alpha_one_of_the_two_rows_prevails(draw: Draw) -> None:
    assert MIXUP.draw
    (shares,) = MIXUP.draw(0.01, draw)
    assert bool(shares.isfinite().all())
    assert float(((shares < 0.01) | (shares > 0.99)).double().mean()) > 0.9
    assert abs(float(shares.mean()) - 0.5) < 0.03


def test_steps_do_not_depend_on_how_many_are_drawn_at_once() -> None:
    assert MIXUP.draw
    one, two = (torch.Generator().manual_seed(6) for _ in range(2))
    together = MIXUP.draw(0.3, Draw(7, 2, (3,), one))[0]
    parts = [MIXUP.draw(0.3, Draw(n, 2, (3,), two))[0] for n in (1, 2, 4)]
    assert torch.equal(together, torch.cat(parts))


def test_each_row_is_mixed_with_the_one_before() -> None:
    x = torch.tensor([[0.0, 0], [1, 10], [4, 40]])
    y = torch.eye(3)
    assert MIXUP.batch
    mixed_x, mixed_y = MIXUP.batch(x, y, 0.4, torch.tensor(0.75))
    assert torch.equal(mixed_x, torch.tensor([[1.0, 10], [0.75, 7.5], [3.25, 32.5]]))
    expected = torch.tensor([[0.75, 0, 0.25], [0.25, 0.75, 0], [0, 0.25, 0.75]])
    assert torch.equal(mixed_y, expected)


def test_images_and_numbers() -> None:
    x = torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([[1.0], [2], [3], [4]])
    assert MIXUP.batch
    mixed_x, mixed_y = MIXUP.batch(x, y, 0.4, torch.tensor(0.25, dtype=torch.float64))
    assert mixed_x.dtype == mixed_y.dtype == torch.float32
    assert torch.allclose(mixed_x[1], 0.25 * x[1] + 0.75 * x[0])
    assert torch.equal(mixed_y, torch.tensor([[3.25], [1.25], [2.25], [3.25]]))
