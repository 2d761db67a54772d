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
from scipy.linalg import lapack

from tuner.search.joint import OFF, Joint

Array = NDArray[np.float64]

LENGTH_MEAN, LENGTH_SD, SCALE_SD, NOISE_MEAN, NOISE_SD = np.log(0.5), 1.0, 0.7, -4.0, 2.0
"""Normal priors of the logarithms of length scales, variance and noise."""
KNOWN_SD = 1.0
"""The deviation of the logarithm of the noise where it is known."""
CHAINS, SWEEPS, DRAWS, STEPS = 8, 2, 4, 25
"""Markov chains, their sweeps, the draws that are kept; steps to the most probable parameters."""
TINY = 1e-6
"""Added to the diagonal, so that equal rows are no problem."""
PART = 128
"""The number of rows that are predicted at a time, so that they stay in the processor's cache."""


def warped(values: Array) -> tuple[Array, float]:
    """Values [n], smaller is better, with mean 0 and deviation 1; and the size of a unit in them.

    Below the median as they are, above it by the logarithm: how bad a bad trial is counts little.
    """
    median = np.median(values)
    scale = median - values.min()
    if scale <= 0:
        scale = np.ptp(values) or 1.0
    unit = (values - median) / scale
    bent = np.where(unit > 0, np.log1p(np.maximum(unit, 0)), unit)
    deviation = bent.std() or 1.0
    return np.asarray((bent - bent.mean()) / deviation), float(1 / (scale * deviation))


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


# Large arrays are changed in place: a new one for each step takes most of the time.


def _matern(squared: Array) -> Array:
    """The kernel, in place of the squared distances."""
    a = squared
    a *= 5
    a += 1e-12
    np.sqrt(a, out=a)
    decay = np.exp(-a)
    k = a / 3
    k += 1
    k *= a
    k += 1
    np.multiply(k, decay, out=a)
    return a


def _with_slope(squared: Array) -> tuple[Array, Array]:
    """The kernel, and its derivative to the squared distance times -2."""
    a = np.sqrt(5 * squared + 1e-12)
    decay = np.exp(-a)
    slope = (5 / 3) * (1 + a) * decay
    return slope * 0.6 + a * a / 3 * decay, slope


def _squared(a: Array, b: Array, weights: Array) -> Array:
    """Weighted squared distances [c, n, m] for each of weights [c, f]."""
    root = np.sqrt(weights)[:, None, :]
    left, right = a * root, b * root
    distances = left @ np.swapaxes(right * -2, 1, 2)
    distances += (left**2).sum(2)[:, :, None]
    distances += (right**2).sum(2)[:, None, :]
    return np.asarray(np.maximum(distances, 0.0, out=distances))


def _factors(kernels: Array, values: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """The lower Cholesky factors L [c, n, n] of kernels, the solutions [c, n] of L x = values
    [c, n], and which kernels have one."""
    factors, solved = np.empty_like(kernels), np.empty_like(values)
    found = np.zeros(len(kernels), dtype=bool)
    for i, kernel in enumerate(kernels):
        factors[i], failed = lapack.dpotrf(kernel, lower=1, clean=1)
        if not failed:
            solved[i], failed = lapack.dtrtrs(factors[i], values[i], lower=1)
        found[i] = not failed
    return factors, solved, found


class Process:
    """A process for values at points, with several draws of its kernel's parameters.

    Args:
        features: of the joint space.
        rows: [n, d], those measured.
        z: [n], warped values.
        noise: [n], the variance of each as far as it is known, in units of z; else 0.
        rng: for the draws.
    """

    def __init__(
        self, features: Features, rows: Array, z: Array, noise: Array, rng: np.random.Generator
    ) -> None:
        self.features, self.z = features, z
        self.points = features(rows)
        width, known = len(features.joint), noise.mean()
        self._share = noise / known if known > 0 else np.ones(len(z))
        chance = (np.log(known), KNOWN_SD) if known > 0 else (NOISE_MEAN, NOISE_SD)
        lengths = np.full(width, LENGTH_MEAN + 0.25 * np.log(width))
        self._mean = np.r_[lengths, 0.0, np.clip(chance[0], -11, 0)]
        self._sd = np.r_[np.full(width, LENGTH_SD), SCALE_SD, chance[1]]
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
            kernel, slope = _with_slope(_squared(x, x, weights[group][None])[0])
            kernel *= scale
            full = kernel.copy()
            full[eye, eye] += noise * self._share + TINY
            lower, failed = lapack.dpotrf(full, lower=1, clean=1)
            if failed:
                return 1e10, np.zeros_like(t)
            half, _ = lapack.dpotri(lower, lower=1)  # the part below the diagonal
            inverse = half + half.T
            inverse[eye, eye] *= 0.5
            a = inverse @ z
            w = np.outer(a, a) - inverse
            m = w * (scale * slope)
            spread = 2 * (m.sum(0) @ (x * x)) - 2 * ((x.T @ m) * x.T).sum(1)
            by_length = np.bincount(group, spread, width) * 0.5 * weights
            by_noise = noise * w[eye, eye] @ self._share
            grad = np.r_[by_length, 0.5 * (w * kernel).sum(), 0.5 * by_noise]
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
        kernel = _matern(_squared(self.points, self.points, weights))
        kernel *= np.exp(t[:, width])[:, None, None]
        eye = np.arange(count)
        kernel[:, eye, eye] += np.exp(t[:, width + 1 :]) * self._share + TINY
        lower, q, found = _factors(kernel, np.broadcast_to(self.z, (len(t), count)))
        u = (t - self._mean) / self._sd
        lower[~found] = np.eye(count)
        logs = np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(1)
        density = -0.5 * (q * q).sum(1) - logs - 0.5 * (u * u).sum(1)
        return np.where(found, density, -np.inf)

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
        kernel = self._scale * _matern(_squared(x, x, self._weights))
        full = kernel.copy()
        eye = np.arange(len(x))
        full[:, eye, eye] += self._noise[:, None] * self._share + TINY
        values = np.broadcast_to(z, (len(full), len(x)))
        lower, solved, _ = _factors(full, values)
        inverses = np.stack([lapack.dtrtri(each, lower=1)[0] for each in lower])
        self._root = np.ascontiguousarray(np.swapaxes(inverses, 1, 2))
        self._a = self._root @ solved[..., None]
        self.expected = (kernel @ self._a)[..., 0]

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """The mean and deviation [draws, n] of the noiseless value of each row."""
        points = self.features(rows)
        parts = [self._predict(points[i : i + PART]) for i in range(0, len(points), PART)]
        means, deviations = zip(*parts, strict=True)
        return np.concatenate(means, axis=1), np.concatenate(deviations, axis=1)

    def _predict(self, points: Array) -> tuple[Array, Array]:
        kernel = _matern(_squared(points, self.points, self._weights))
        kernel *= self._scale
        v = kernel @ self._root
        variance = self._scale[..., 0] - np.einsum("cnm,cnm->cn", v, v)
        return (kernel @ self._a)[..., 0], np.sqrt(np.maximum(variance, 1e-10))

    def pretend(self, rows: Array, rng: np.random.Generator) -> None:
        """Takes rows that are still running as measured: each draw at a value that it expects."""
        mean, sd = self.predict(rows)
        lies = mean + sd * rng.standard_normal(mean.shape)
        self.points = np.concatenate((self.points, self.features(rows)))
        self._share = np.concatenate((self._share, np.zeros(len(rows))))
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
