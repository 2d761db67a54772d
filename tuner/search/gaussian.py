"""A Gaussian process over the joint space: what values configurations may have, and how sure it is.

Matérn 5/2 with a length scale for each parameter (Rasmussen & Williams 2006, chapters 2, 4, 5). A
parameter that is not asked for stands at the middle of its range, and the one above it tells the
two apart. The kernel's parameters are draws from their posterior (Snoek et al. 2012), so that a
few trials do not decide them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuner.search.joint import OFF, Joint

Array = NDArray[np.float64]

LENGTH_MEAN, LENGTH_SD, SCALE_SD, NOISE_MEAN, NOISE_SD = np.log(0.5), 1.0, 0.7, -4.0, 2.0
"""Normal priors of the logarithms of length scales, variance and noise."""
CHAINS, SWEEPS, DRAWS, STEPS = 8, 2, 4, 25
"""Markov chains, their sweeps, the draws that are kept; steps to the most probable parameters."""
TINY = 1e-6
"""Added to the diagonal, so that equal rows are no problem."""


def warped(values: Array) -> Array:
    """Values [n], smaller is better, with mean 0 and deviation 1.

    Below the median as they are, above it by the logarithm: how bad a bad trial is counts little.
    """
    median = np.median(values)
    scale = median - values.min()
    if scale <= 0:
        scale = np.ptp(values) or 1.0
    unit = (values - median) / scale
    bent = np.where(unit > 0, np.log1p(np.maximum(unit, 0)), unit)
    return np.asarray((bent - bent.mean()) / (bent.std() or 1.0))


@dataclass(frozen=True)
class Features:
    """How rows become points whose squared distances are sums over parameters.

    Attributes:
        joint: the space.
        group: the parameter [f] of each coordinate.
    """

    joint: Joint
    group: NDArray[np.int64]

    @classmethod
    def of(cls, joint: Joint) -> Features:
        widths = [max(1, d.choices) for d in joint.dimensions]
        return cls(joint, np.repeat(np.arange(len(joint)), widths))

    def __call__(self, rows: Array) -> Array:
        """Points [n, f]: two different choices are at a distance of 1."""
        columns = []
        for j, d in enumerate(self.joint.dimensions):
            column = rows[:, j]
            if d.choices:
                hot = column[:, None] == np.arange(d.choices)
                hot[:, 0] |= column == OFF
                columns.append(hot * np.sqrt(0.5))
            else:
                columns.append(np.where(column == OFF, 0.5, column)[:, None])
        return np.concatenate(columns, axis=1)


def _matern(squared: Array) -> tuple[Array, Array]:
    """The kernel, and its derivative to the squared distance times -2."""
    a = np.sqrt(5 * squared + 1e-12)
    e = np.exp(-a)
    return (1 + a + a * a / 3) * e, (5 / 3) * (1 + a) * e


def _squared(a: Array, b: Array, weights: Array) -> Array:
    """Weighted squared distances [c, n, m] for each of weights [c, f]."""
    root = np.sqrt(weights)[:, None, :]
    left, right = a * root, b * root
    cross = left @ np.swapaxes(right, 1, 2)
    distances = (left**2).sum(2)[:, :, None] + (right**2).sum(2)[:, None, :] - 2 * cross
    return np.asarray(np.maximum(distances, 0.0))


class Process:
    """A process for values at points, with several draws of its kernel's parameters.

    Args:
        features: of the joint space.
        rows: [n, d], those measured.
        z: [n], warped values.
        noise: [n], the known variance of each, in units of z.
        rng: for the draws.
    """

    def __init__(
        self, features: Features, rows: Array, z: Array, noise: Array, rng: np.random.Generator
    ) -> None:
        self.features, self.z, self.noise = features, z, noise
        self.points = features(rows)
        width = len(features.joint)
        self._mean = np.r_[np.full(width, LENGTH_MEAN + 0.25 * np.log(width)), 0.0, NOISE_MEAN]
        self._sd = np.r_[np.full(width, LENGTH_SD), SCALE_SD, NOISE_SD]
        draws = self._draws(self._likely(), rng)
        self._weights = np.exp(-2 * draws[:, :width])[:, features.group]
        self._scale = np.exp(draws[:, width])[:, None, None]
        self._noise = np.exp(draws[:, width + 1])
        self._solve(z)

    def _likely(self) -> Array:
        """The most probable kernel parameters: log length scales, log variance, log noise."""
        from scipy.optimize import minimize

        width, group, x = len(self.features.joint), self.features.group, self.points
        count, z = len(x), self.z
        eye = np.arange(count)

        def loss(t: Array) -> tuple[float, Array]:
            weights = np.exp(-2 * t[:width])
            scale, noise = np.exp(t[width:])
            kernel, slope = _matern(_squared(x, x, weights[group][None])[0])
            kernel *= scale
            full = kernel.copy()
            full[eye, eye] += noise + TINY + self.noise
            try:
                lower = np.linalg.cholesky(full)
            except np.linalg.LinAlgError:
                return 1e10, np.zeros_like(t)
            inverse = np.linalg.inv(lower)
            inverse = inverse.T @ inverse
            a = inverse @ z
            w = np.outer(a, a) - inverse
            m = w * (scale * slope)
            spread = 2 * (m.sum(0) @ (x * x)) - 2 * ((x.T @ m) * x.T).sum(1)
            by_length = np.bincount(group, spread, width) * 0.5 * weights
            grad = np.r_[by_length, 0.5 * (w * kernel).sum(), 0.5 * noise * np.trace(w)]
            u = (t - self._mean) / self._sd
            value = 0.5 * z @ a + np.log(np.diag(lower)).sum() + 0.5 * u @ u
            return float(value), u / self._sd - grad

        bounds = [(-4, 5)] * width + [(-3, 3), (-12, 1)]
        options = {"maxiter": STEPS}
        optimum = minimize(
            loss, self._mean, jac=True, method="L-BFGS-B", bounds=bounds, options=options
        )
        return np.asarray(optimum.x)

    def _density(self, t: Array) -> Array:
        """The log posterior [c] of kernel parameters [c, d + 2], but for a constant."""
        width, count = len(self.features.joint), len(self.points)
        weights = np.exp(-2 * t[:, :width])[:, self.features.group]
        kernel = (
            np.exp(t[:, width])[:, None, None]
            * _matern(_squared(self.points, self.points, weights))[0]
        )
        eye = np.arange(count)
        kernel[:, eye, eye] += np.exp(t[:, width + 1 :]) + TINY + self.noise
        lower = np.linalg.cholesky(kernel)
        q = np.linalg.solve(lower, np.broadcast_to(self.z[:, None], (len(t), count, 1)))[..., 0]
        u = (t - self._mean) / self._sd
        logs = np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(1)
        return np.asarray(-0.5 * (q * q).sum(1) - logs - 0.5 * (u * u).sum(1))

    def _draws(self, start: Array, rng: np.random.Generator) -> Array:
        """Draws [DRAWS, d + 2] by differential evolution Markov chains (ter Braak 2006)."""
        width = len(start) - 2
        t = start + 0.4 * self._sd * rng.standard_normal((CHAINS, width + 2))
        t[0] = start
        t = np.clip(t, -12, 6)
        now = self._density(t)
        jump = 2.38 / np.sqrt(2 * (width + 2))
        for _ in range(SWEEPS):
            i, j = rng.integers(CHAINS, size=(2, CHAINS))
            step = rng.choice([jump, 0.6], size=(CHAINS, 1))
            noise = 0.1 * self._sd * rng.standard_normal(t.shape)
            other = np.clip(t + step * (t[i] - t[j]) + noise, -12, 6)
            other[:, :width] = np.maximum(other[:, :width], -4)
            new = self._density(other)
            better = np.log(rng.random(CHAINS)) < new - now
            t[better], now[better] = other[better], new[better]
        return np.asarray(t[np.argsort(-now - rng.gumbel(size=CHAINS))[:DRAWS]])

    def _solve(self, z: Array) -> None:
        """For values z [n], or [draws, n]."""
        x = self.points
        kernel = self._scale * _matern(_squared(x, x, self._weights))[0]
        full = kernel.copy()
        eye = np.arange(len(x))
        full[:, eye, eye] += self._noise[:, None] + TINY + self.noise
        lower = np.linalg.inv(np.linalg.cholesky(full))
        self._root = np.swapaxes(lower, 1, 2)
        values = np.broadcast_to(z, (len(full), len(x)))[..., None]
        self._a = self._root @ (lower @ values)
        self.expected = (kernel @ self._a)[..., 0]

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """The mean and deviation [draws, n] of the noiseless value of each row."""
        kernel = self._scale * _matern(_squared(self.features(rows), self.points, self._weights))[0]
        v = kernel @ self._root
        variance = self._scale[..., 0] - (v * v).sum(2)
        return (kernel @ self._a)[..., 0], np.sqrt(np.maximum(variance, 1e-10))

    def pretend(self, rows: Array, rng: np.random.Generator) -> None:
        """Takes rows that are still running as measured: each draw at a value that it expects."""
        mean, sd = self.predict(rows)
        lies = mean + sd * rng.standard_normal(mean.shape)
        self.points = np.concatenate((self.points, self.features(rows)))
        self.noise = np.concatenate((self.noise, np.zeros(len(rows))))
        known = np.broadcast_to(self.z, (len(lies), len(self.z)))
        self._solve(np.concatenate((known, lies), axis=1))

    def gain(self, rows: Array) -> Array:
        """The logarithm [n] of the expected improvement over the best expected value of a row
        measured so far (Mockus 1975; in the logarithm as Ament et al. 2023)."""
        from scipy.special import ndtr

        mean, sd = self.predict(rows)
        u = (self.expected.min(1)[:, None] - mean) / sd
        density = np.exp(-0.5 * u * u) / np.sqrt(2 * np.pi)
        h = np.where(u < -6, density / (1 + u * u), u * ndtr(u) + density)
        return np.asarray(np.log((sd * np.maximum(h, 1e-300)).mean(0) + 1e-300))
