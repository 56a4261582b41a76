"""The networks of bench.larger, and its contestants: pynet, and PyTorch in both of its memory formats.

Each trains on random data, and predicts rows of it, as its users call it. PyTorch's network is the twin of pynet's that
the tests use, with the same weights.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

import pynet
from bench.peers import Array
from bench.peers.lenet import TEXT as LENET

BATCHES = 8  # in an epoch of random data
ADAM = 0.001  # learning rate


@dataclass(frozen=True)
class Case:
    """A network, its batch and its optimizer."""

    name: str
    text: str
    batch: int = 64
    optimizer: str = "adam"

    @property
    def has_images(self) -> bool:
        return "conv(" in self.text


CASES = [
    Case("wide", "input(784) dense(2048) relu dense(2048) relu dense(10) softmax", batch=128),
    Case("deep", f"input(784) {'dense(256) relu ' * 8}dense(10) softmax", optimizer="sgd"),
    Case(
        "autoencoder",
        "input(784) dense(256) relu dense(64) relu dense(256) relu dense(784) sigmoid loss(mse)",
    ),
    Case(
        "cifar",
        "input(3,32,32) conv(32,3,pad=1) batchnorm relu conv(32,3,pad=1) batchnorm relu maxpool(2) "
        "conv(64,3,pad=1) batchnorm relu conv(64,3,pad=1) batchnorm relu maxpool(2) "
        "conv(128,3,pad=1) batchnorm relu maxpool(2) dense(128) relu dense(10) softmax",
    ),
    Case(
        "resnet",
        "input(1,28,28) conv(16,3,pad=1) relu residual(conv(16,3,pad=1) relu conv(16,3,pad=1)) relu maxpool(2) "
        "residual(conv(32,3,pad=1) relu conv(32,3,pad=1)) relu maxpool(2) globalavgpool dense(10) softmax",
    ),
    Case(
        "cnn preset",
        "input(1,28,28) conv(16,5) relu maxpool(2) conv(32,5) relu maxpool(2) "
        "dense(128) batchnorm relu dropout(0.3) dense(10) softmax",
        batch=100,
    ),
    Case("LeNet-like", LENET),
    Case("tabular", "input(13) dense(64) relu dense(32) relu dense(3) softmax", batch=32),
    Case("tiny", "input(2) dense(16) relu dense(16) relu dense(2) softmax", batch=32),
]


class Larger(Protocol):
    """What a contestant can do: create(case, x, y) prepares data and network, untimed."""

    def __init__(self, case: Case, net: pynet.Network, x: Array, y: Array) -> None: ...

    def train(self, epochs: int) -> float:
        """Trains on all batches so many times; returns the seconds of it."""

    def predict(self, rows: int) -> Array:
        """Outputs (rows, outputs) of the first rows."""


class Maker(NamedTuple):
    """Where the class of a contestant is."""

    module: str
    cls: str

    def create(self, case: Case) -> Larger:
        """Imports the library, and builds the network and its data; the predictions of all agree."""
        net = pynet.Network(case.text, seed=1)
        x, y = samples(net, BATCHES * case.batch)
        made: Larger = getattr(importlib.import_module(f"bench.peers.{self.module}"), self.cls)(case, net, x, y)
        np.testing.assert_allclose(made.predict(8), net.predict_proba(x[:8]), atol=1e-4)
        return made


CONTESTANTS = {
    "pynet": Maker("larger_pynet", "PynetLarger"),
    "torch": Maker("larger_torch", "TorchLarger"),
    "torch-channels-last": Maker("larger_torch", "TorchLargerChannelsLast"),
}


def samples(net: pynet.Network, n: int) -> tuple[Array, Array]:
    """Random float inputs, and labels or, for an autoencoder, the inputs as targets."""
    rng = np.random.default_rng(0)
    x = rng.random((n, *net.in_shape)).astype(np.float32)
    outputs = int(np.prod(net.out_shape))
    return x, (rng.integers(0, outputs, n) if net.loss_name == "cross_entropy" else x.reshape(n, outputs))


def flops_per_sample(case: Case, training: bool) -> int:
    """Operations of the products: forward; in training also weight gradients, and input gradients except the first
    layer's."""
    products: list[int] = []
    for layer in pynet.Network(case.text).layers:
        if "W" in layer.tensors:
            places = int(np.prod(layer.out_shape[1:])) if layer.kind == "conv" else 1
            products.append(int(layer.tensors["W"].size) * places)
    return 2 * (3 * sum(products) - products[0] if training else sum(products))
