"""The contestants. Each file holds one way to train and use the same network, in the best code its library allows.

All of them do the same work: a fully connected network of the given widths with ReLU between and softmax behind, mean
cross-entropy, plain SGD, float32, an epoch over all samples in a fresh random order, in mini-batches. What can be
prepared before training, each prepares in `load`, in the form that suits it; that is not timed.
"""

from __future__ import annotations

import importlib
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

LEARNING_RATE = 0.1

Array = NDArray[Any]
Weights = list[tuple[Array, Array]]  # of each dense layer: W (n_in, n_out), b (n_out), float32


class Net(Protocol):
    """What a contestant can do."""

    def __init__(self, weights: Weights) -> None: ...

    def load(self, x: Array, y: Array) -> None:
        """Takes the training data, x (n, features) uint8 pixels or float32, y (n) int32; prepares it, untimed."""

    def epoch(self, batch: int, order: Array | None = None) -> float | None:
        """Trains on every sample once, in this order (n) int32 if given, else in a fresh one.

        May return the seconds that it took; None: the caller's clock counts.
        """

    def weights(self) -> Weights:
        """Copies of the weights as they are now."""

    def ready(self, x: Array) -> Any:
        """x (n, features) uint8 or float32 in the form that `predict` takes, untimed."""

    def predict(self, x: Any) -> Array:
        """The class (n) of each row."""


class Contestant(NamedTuple):
    """Where a contestant's class is, and what the tables call it."""

    module: str
    cls: str
    label: str
    orders: bool = True  # takes `order`, so that its weights can be compared after an epoch

    def create(self, weights: Weights) -> Net:
        """Imports the library and builds the network."""
        net: Net = getattr(importlib.import_module(f"bench.peers.{self.module}"), self.cls)(weights)
        return net


CONTESTANTS = {
    "pynet": Contestant("pynet_net", "PynetNet", "pynet"),
    "numpy": Contestant("numpy_net", "NumpyNet", "NumPy, as people write it"),
    "numpy-out": Contestant("numpy_net", "NumpyOutNet", "NumPy, out= buffers"),
    "torch": Contestant("torch_net", "TorchNet", "PyTorch nn + SGD", orders=False),
    "torch-out": Contestant("torch_net", "TorchOutNet", "PyTorch, backward by hand, out= buffers"),
    "jax": Contestant("jax_net", "JaxNet", "JAX, epoch in one lax.scan"),
    "sklearn": Contestant("sklearn_net", "SklearnNet", "scikit-learn MLPClassifier", orders=False),
    "keras": Contestant("keras_net", "KerasNet", "Keras on JAX, fit", orders=False),
}
NUMPY = ["numpy", "numpy-out"]
HEAVY = ["torch", "torch-out", "jax", "sklearn", "keras"]


def initial(widths: list[int], seed: int = 0) -> Weights:
    """The weights that every contestant starts from: normal, He et al. 2015 before ReLU, Glorot & Bengio 2010 last."""
    rng = np.random.default_rng(seed)
    found = []
    for i, (n_in, n_out) in enumerate(pairwise(widths)):
        spread = np.sqrt(2 / n_in if i < len(widths) - 2 else 2 / (n_in + n_out))
        found.append((rng.normal(0, spread, (n_in, n_out)).astype(np.float32), np.zeros(n_out, np.float32)))
    return found


def to_float(x: Array) -> Array:
    """Pixels as float32 from 0 to 1; floats as they are."""
    return x.astype(np.float32) / np.float32(255) if x.dtype == np.uint8 else x
