"""A small data set for the tests of training."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

SPEC = "input(6) dense(16) relu dense(3) softmax"


def clouds(n: int, seed: int = 0) -> tuple[Array, Array]:
    """Points of three overlapping clusters, float32, and the cluster of each as its label."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return (rng.normal(size=(n, 6)) + 1.5 * np.eye(6)[y]).astype(np.float32), y


X, Y = clouds(200)
