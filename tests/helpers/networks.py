"""Networks of many kinds, samples for them, and error bounds against the float64 reference."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
from helpers.arithmetic import TINY, U
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from pynet import Network, reference

Array = np.ndarray[Any, Any]

SPEC = "input(12) dense(9) relu dense(7) sigmoid dense(4) softmax"
MSE = "input(12) dense(9) tanh dense(4) sigmoid"
WIDE = "input(70) dense(100) relu dense(60) tanh dense(50) relu dense(10) softmax"  # enough work for threads
SPECS = [
    SPEC,
    MSE,
    WIDE,
    "input(5) dense(3)",
    "input(9) relu dense(17) relu relu dense(5) relu sigmoid dense(3) relu",
    "input(1,4,5) dense(16) softmax dense(6) relu softmax",
    "input(3) dense(1) sigmoid",
    "input(1,12,12) conv(8,5) relu maxpool(2) conv(17,3,pad=1) relu dense(5) softmax",
    "input(3,7,6) maxpool(2,stride=1) conv(9,2,stride=2,pad=same) tanh avgpool(2) dense(4) softmax",
]

ACTIVATION = st.sampled_from(["relu", "sigmoid", "tanh", "softmax"])
WIDTH = st.sampled_from([1, 2, 3, 5, 8, 15, 16, 17, 33])
DENSE = WIDTH.map("dense({})".format)
TEXTS = st.tuples(
    WIDTH.map("input({})".format),
    st.sampled_from([[], [], ["standardize"]]),
    st.lists(ACTIVATION | DENSE, min_size=1, max_size=6),
).map(lambda parts: " ".join([parts[0], *parts[1], *parts[2]]))


def samples(net: Network, n: int, zeros: float = 0, seed: int = 0) -> tuple[Array, Array]:
    """Pixels, this fraction of them zero, and labels for this network."""
    rng = np.random.default_rng(seed)
    shape = (n, *net.in_shape)
    pixels = rng.integers(0, 256, shape, np.uint8) * (rng.random(shape) >= zeros)
    classes = max(2, int(np.prod(net.out_shape)))
    return pixels, rng.integers(0, classes, n).astype(np.int32)


def scaled(net: Network) -> Network:
    """Fills standardize and rescale with random means and scales; returns the network."""
    rng = np.random.default_rng(net.seed)
    for name, tensor in net.tensors.items():
        if name.endswith((".mean", ".scale")):
            tensor[...] = rng.uniform(0.5, 2, tensor.shape)
    return net


class TermSizes:
    """The sizes of the terms whose sums are a network's outputs and gradients.

    A float32 sum of k terms is off by about U sqrt(k) times the sum of their sizes, however small it is itself where
    terms cancel, and the next layer takes that error on. outputs: the size of the inputs and of each layer's output:
    what it would be without cancellation. off: how far float32 may be from float64, as a part of the size.
    Knows dense and conv layers, standardize, relu, sigmoid, tanh and softmax.
    """

    def __init__(self, twin: reference.Network, x: Array) -> None:
        self.near_a_kink = False  # whether float32 rounding may change the sign of an input of a ReLU
        self._layers: list[tuple[reference.Layer, bool]] = []
        terms = max([len(x), *(w.size // w.shape[-1] for name, w in twin.parameters().items() if name[-1] == "W")])
        self.off = 4 * U * math.sqrt(terms)  # in 27,000 tensors of random networks it was never above 3.4 U
        h = x.astype(np.float64)
        size = abs(h)
        self.outputs = [size]
        for layer in twin.layers:
            if isinstance(layer, reference.ReLU):
                self.near_a_kink |= bool(((h != 0) & (abs(h) <= self.off * size)).any())
            h = layer.forward(h)
            own = copy.copy(layer)
            if layer.params:
                own.params, own.grads = {name: abs(w) for name, w in layer.params.items()}, {}
                size = own.forward(size)
            elif isinstance(layer, reference.Standardize):
                size = (size + abs(layer.mean)) / layer.scale
            elif isinstance(layer, reference.Softmax):
                size = h * (1 + size + (h * size).sum(axis=-1, keepdims=True))
            elif isinstance(layer, reference.ReLU):
                size = size * (h > 0)
            else:
                size = layer.backward(size) + abs(h)  # the slope is at most 1; the function is rounded, too
            is_linear = bool(layer.params) or isinstance(layer, (reference.ReLU, reference.Standardize))
            self._layers.append((own, is_linear))
            self.outputs.append(size)

    def backward(self, size: Array, layer: int) -> tuple[Array, dict[str, Array]]:
        """From the size of the gradient of a layer's output: those of its input and, by name, of its parameters."""
        gradients = {}
        for i in range(layer, -1, -1):
            own, linear = self._layers[i]
            before = size
            if isinstance(own, reference.Softmax):
                size = own.p * (size + (own.p * size).sum(axis=-1, keepdims=True))
            else:
                size = own.backward(size)
            if not linear:
                size = size + before * self.outputs[i + 1]  # the slope depends on an inexact output
            gradients |= {f"{i}.{name}": gradient for name, gradient in own.grads.items()}
        return size, gradients

    def check(self, got: Array, expected: Array, size: Array, what: str) -> None:
        """Asserts that float32 and float64 results agree, for a sum of terms of this size."""
        excess = abs(got - expected) - self.off * size
        assert (excess <= TINY).all(), f"{what}: {excess.max():g} too far, expected {expected.flat[excess.argmax()]:g}"


def close(got: Array, expected: Array, what: str, scale: float = 1e-3) -> None:
    # a few layers of sums of at most 33 numbers about 1, each rounding off 6e-8; with room for cancellation
    scale = abs(expected).max(initial=scale)
    assert_allclose(got, expected, rtol=1e-4, atol=1e-5 * scale, err_msg=what)


def all_close(got: dict[str, Array], expected: dict[str, Array], what: str) -> None:
    for name, tensor in expected.items():
        # a bias gradient that is small because its terms cancel is as inexact as those of other layers, which do not
        kin = [abs(other).max() for key, other in expected.items() if key[-1] == name[-1]]
        close(got[name], tensor, what + name, max(kin))
