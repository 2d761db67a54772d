from __future__ import annotations

import pytest
import torch

from tuner.techniques import Draw


@pytest.fixture
def draw() -> Draw:
    """Four thousand steps of eight 1x6x6 images."""
    return Draw(4000, 8, (1, 6, 6), torch.Generator().manual_seed(3))
