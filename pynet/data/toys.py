"""Toy data sets that can be drawn in one picture: pynet.data.line, moons and spirals.

They use a NumPy generator whose numbers never change: the same seed gives the same data with every version.
"""

from __future__ import annotations

import math

import numpy as np

from pynet._ffi import Array


def line(
    n: int = 100, *, slope: float = 2.0, intercept: float = 1.0, noise: float = 0.1, seed: int = 0
) -> tuple[Array, Array]:
    """Points on a line: x (n, 1) evenly from -1 to 1, y (n, 1) = slope x + intercept + noise times normal numbers."""
    random = _generator(n, noise, seed)
    x = np.linspace(-1, 1, n)
    y = slope * x + intercept + noise * random.standard_normal(n)
    return x[:, None].astype(np.float32), y[:, None].astype(np.float32)


def moons(n: int = 200, *, noise: float = 0.1, seed: int = 0) -> tuple[Array, Array]:
    """Two interleaved half circles: points (n, 2), labels (n) 0 above and 1 below, half of each.

    noise: standard deviation of the noise added to each coordinate; the circles have radius 1.
    """
    random = _generator(n, noise, seed)
    label = _labels(n, 2)
    angle = math.pi * random.random_sample(n)
    side = 1 - 2 * label  # 1 above, -1 below
    x = np.stack([side * np.cos(angle) + label, side * np.sin(angle) + 0.5 * label], axis=1)
    return (x + noise * random.standard_normal((n, 2))).astype(np.float32), label


def spirals(
    n: int = 300, *, arms: int = 2, turns: float = 1.0, noise: float = 0.02, seed: int = 0
) -> tuple[Array, Array]:
    """Spiral arms, one for each class: points (n, 2) within a radius of about 1, labels (n).

    turns: revolutions of each arm. noise: standard deviation of the noise added to each coordinate.
    """
    if arms < 1:
        raise ValueError(f"arms is {arms}; accepted: 1 or more")
    random = _generator(n, noise, seed)
    label = _labels(n, arms)
    radius = np.sqrt(random.random_sample(n))  # a uniform density of points in the plane
    angle = 2 * math.pi * (turns * radius + label / arms)
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return (x + noise * random.standard_normal((n, 2))).astype(np.float32), label


def _labels(n: int, classes: int) -> Array:
    return (np.arange(n) % classes).astype(np.int32)


def _generator(n: int, noise: float, seed: int) -> np.random.RandomState:
    if n < 1:
        raise ValueError(f"n is {n}; accepted: 1 or more")
    if not 0 <= noise < math.inf:
        raise ValueError(f"noise is {noise}; accepted: 0 or more")
    return np.random.RandomState(np.random.MT19937(seed))
