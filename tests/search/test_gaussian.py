"""The Gaussian process: its gradients, its predictions, and what it makes of noise."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from tuner.search import gaussian
from tuner.search.gaussian import Features, Process, warped
from tuner.search.joint import Dimension, Joint

JOINT = Joint(
    (
        Dimension("a", FloatDistribution(0, 1)),
        Dimension("b", FloatDistribution(0, 1)),
        Dimension("kind", CategoricalDistribution(("x", "y", "z"))),
        Dimension("c", FloatDistribution(0, 1), parent=2, when=frozenset({1})),
    )
)


def value(rows: np.ndarray) -> np.ndarray:
    return np.asarray(3 * (rows[:, 0] - 0.3) ** 2 + 0.5 * (rows[:, 2] != 1))


def process(count: int = 40, noise: float = 0.0) -> tuple[Process, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    rows = JOINT.draw(count, rng)
    y = value(rows) + noise * rng.standard_normal(count)
    z = (y - y.mean()) / y.std()
    return Process(Features.of(JOINT), rows, z, np.zeros(count), rng), rows, z


def test_the_gradient_is_that_of_the_loss() -> None:
    import scipy.optimize

    seen: list[float] = []

    def check(loss, start, **_):  # in place of the minimizer
        t = start + 0.1 * np.arange(len(start))
        gradient = loss(t)[1]
        for j in range(len(t)):
            step = np.eye(len(t))[j] * 1e-5
            slope = (loss(t + step)[0] - loss(t - step)[0]) / 2e-5
            seen.append(abs(slope - gradient[j]) / (1 + abs(slope)))
        return scipy.optimize.OptimizeResult(x=start)

    with patch("scipy.optimize.minimize", check):
        process()
    assert len(seen) == 6
    assert max(seen) < 1e-5


def test_it_expects_what_it_has_seen_and_is_less_sure_elsewhere() -> None:
    model, rows, z = process()
    mean, sd = model.predict(rows)
    np.testing.assert_allclose(mean.mean(0), z, atol=0.15)
    fresh = JOINT.draw(200, np.random.default_rng(1))
    expected, unsure = model.predict(fresh)
    truth = (value(fresh) - value(rows).mean()) / value(rows).std()
    assert np.corrcoef(expected.mean(0), truth)[0, 1] > 0.98
    assert unsure.mean() > 2 * sd.mean()


def test_known_noise_keeps_it_from_following_single_values() -> None:
    rng = np.random.default_rng(0)
    rows = JOINT.draw(8, rng)
    z = rng.standard_normal(8)
    follows, doubts = (
        Process(Features.of(JOINT), rows, z, np.full(8, noise), np.random.default_rng(0))
        for noise in (0.0, 1.0)
    )
    assert np.abs(doubts.expected).max() < 0.7 * np.abs(follows.expected).max()


def test_a_running_trial_is_not_proposed_again() -> None:
    model, _, _ = process()
    fresh = JOINT.draw(300, np.random.default_rng(2))
    best = fresh[[int(model.gain(fresh).argmax())]]
    before = float(model.gain(best)[0])
    model.pretend(best, np.random.default_rng(3))
    assert float(model.gain(best)[0]) < before - 1


def test_bad_values_are_drawn_together_and_good_ones_are_not() -> None:
    z, unit = warped(np.array([0.0, 1.0, 2.0, 3.0, 4.0, 1e6]))
    assert z.mean() == pytest.approx(0)
    assert z.std() == pytest.approx(1)
    assert (np.diff(z) > 0).all()
    assert z[5] - z[4] < 50 * (z[1] - z[0])
    assert unit == pytest.approx(z[1] - z[0])
    assert warped(np.ones(4))[0].tolist() == [0.0] * 4


def test_the_draws_differ() -> None:
    model, _, _ = process()
    assert model.expected.shape == (gaussian.DRAWS, 40)
    assert len(np.unique(model.expected[:, 0])) > 1
