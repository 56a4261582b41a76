"""Small data and layers for the tests of the float64 reference."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from pynet.reference import Dense, init

SMALL = st.integers(1, 7)
SEEDS = st.integers(0, 2**32 - 1)


def batch(n_in: int, n_out: int, m: int = 8, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(m, n_in)), rng.integers(0, n_out, m)


def dense(n_in: int, n_out: int, seed: int = 0) -> Dense:
    """A dense layer with nonzero biases, so that a test detects an ignored bias."""
    rng = np.random.default_rng([seed, n_in, n_out])
    W, b = init(n_in, n_out, "xavier", rng)
    return Dense(W, b + rng.normal(0, 0.1, n_out))


def fake_net(*layers: tuple[str, str], loss: str = "cross_entropy", in_shape: tuple[int, ...] = (4,)) -> Any:
    """A stand-in with the attributes of pynet.Network that from_net reads, and float32 weights (n_in, 3)."""
    as_optimizer = [SimpleNamespace(path=path, kind=kind, in_shape=in_shape, out_shape=(3,)) for path, kind in layers]
    n_in = math.prod(in_shape)
    for layer in as_optimizer:
        if layer.kind == "dense":
            weights = dense(n_in, 3).params
            layer.tensors, n_in = {name: w.astype(np.float32) for name, w in weights.items()}, 3
    numbers = {"label_smoothing": 0.0, "huber_delta": 0.0, "seed": 0, "updates": 0}
    return SimpleNamespace(layers=as_optimizer, loss_name=loss, **numbers)
