"""The gradient with respect to the inputs: against the float64 reference, and against finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.networks import MSE, SPEC, SPECS, TEXTS, WIDE, TermSizes, close, samples, scaled
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from pynet import SGD, Network, kernels, reference

Array = np.ndarray[Any, Any]


def backward_to_inputs(twin: reference.Network, upto: int, dy: Array) -> Array:
    """The reference's gradient of the inputs, from the gradient dy of the output of layer `upto`."""
    for layer in reversed(twin.layers[: upto + 1]):
        dy = layer.backward(dy)
    return dy


def slopes(twin: reference.Network, x: Array, value: Any, eps: float = 1e-5, training: bool = True) -> Array:
    """Central differences of value() after a forward pass, for each number of x."""
    found, x = np.empty(x.shape), x.astype(np.float64)
    for i in np.ndindex(x.shape):
        kept, ends = x[i], []
        for x[i] in (kept + eps, kept - eps):
            twin.forward(x, training)
            ends.append(value())
        x[i] = kept
        found[i] = (ends[0] - ends[1]) / (2 * eps)
    return found


@settings(max_examples=150)
@given(text=TEXTS, m=st.sampled_from([1, 2, 17]), data=st.data(), seed=st.integers(0, 999))
def test_any_layer_of_any_network(text: str, m: int, data: st.DataObject, seed: int) -> None:
    net = scaled(Network(f"{text} loss(mse)", seed=seed))
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(m, *net.in_shape)).astype(np.float32)
    twin = reference.Network.from_net(net)
    sizes = TermSizes(twin, x)
    assume(not sizes.near_a_kink)
    twin.forward(x)
    layer = data.draw(st.integers(0, len(net.layers) - 1))
    dy = rng.normal(size=(m, *net.layers[layer].out_shape))
    size, _ = sizes.backward(abs(dy), layer)
    sizes.check(net.input_gradient(x, dy=dy, layer=layer), backward_to_inputs(twin, layer, dy), size, text)
    y = rng.normal(size=(m, *net.out_shape))
    twin.forward(x)
    twin.loss(y)
    expected = backward_to_inputs(twin, len(net.layers) - 1, twin._dy)
    size, _ = sizes.backward((sizes.outputs[-1] + abs(y)) / m, len(net.layers) - 1)
    sizes.check(net.input_gradient(x, y), expected, size, text)


@pytest.mark.parametrize("spec", [SPEC, MSE, "input(12) softmax", "input(12) tanh dense(3) softmax"])
def test_it_is_the_slope_of_the_loss(spec: str) -> None:
    net = Network(spec, seed=6)
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(4, 12)).astype(np.float32), rng.integers(0, net.out_shape[0], 4)
    twin = reference.Network.from_net(net)
    assert not TermSizes(twin, x).near_a_kink
    expected = slopes(twin, x, lambda: twin.loss(y))
    assert abs(expected).max() > 1e-4
    close(net.input_gradient(x, y), expected, spec)


@pytest.mark.parametrize(
    "spec",
    [
        "input(12) dense(9) batchnorm relu dropout(0.5) dense(4) softmax",
        "input(12) batchnorm dense(9) layernorm gelu dense(4) softmax",
        "input(12) dropout(0.3) layernorm dense(4) residual(batchnorm dense(4) dropout(0.3)) dense(3) softmax",
    ],
)
def test_it_is_that_of_inference(spec: str) -> None:
    """Nothing is dropped, and batchnorm uses its running statistics, so other samples of the batch do not matter."""
    net = Network(spec, seed=3)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 12)).astype(np.float32), rng.integers(0, net.out_shape[0], 64)
    for _ in range(20):
        net.train_step(x, y, SGD(0.1))
    twin = reference.Network.from_net(net)
    expected = slopes(twin, x[:3], lambda: twin.loss(y[:3]), training=False)
    assert abs(expected).max() > 1e-2
    close(net.input_gradient(x[:3], y[:3]), expected, spec)
    assert_array_equal(net.forward(x, training=False), net.predict_proba(x))


@pytest.mark.parametrize("layer", range(6))
def test_it_is_the_slope_of_one_unit(layer: int) -> None:
    net = Network(SPEC, seed=6)
    x = np.random.default_rng(6).normal(size=(1, 12)).astype(np.float32)
    twin = reference.Network.from_net(net)
    assert not TermSizes(twin, x).near_a_kink
    part = reference.Network(twin.layers[: layer + 1], "mse")
    dy = np.zeros((1, *net.layers[layer].out_shape), np.float32)
    dy[0, 2] = 1
    expected = slopes(part, x, lambda: float(part.output[0, 2]))
    assert_allclose(net.input_gradient(x, dy=dy, layer=layer), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("spec", SPECS)
def test_same_bits_for_all_threads_tables_and_zeros(spec: str) -> None:
    net = Network(spec, seed=1)
    x, y = samples(net, 101, 0.7)
    found = set()
    for name in kernels.cpu_tables():
        for threads in (1, 2, 3, 4, 8):
            if name != "portable":
                kernels.set_cpu(name)
                kernels.set_threads(threads)
                found.add(net.input_gradient(x, y).tobytes())
    assert len(found) <= 1


def test_training_continues_unchanged() -> None:
    net, twin = Network(WIDE, seed=1), Network(WIDE, seed=1)
    x, y = samples(net, 40)
    for one in (net, twin):
        one.train_step(x, y, SGD(0.3))
        if one is net:
            net.input_gradient(x[:3], y[:3])
            net.input_gradient(x, y)
        one.train_step(x, y, SGD(0.3))
        one.forward(x)
        one.loss(y)
        one.backward()
        one.update(SGD(0.3))
    assert net.weights_sha256() == twin.weights_sha256()


def test_bytes_are_pixels_and_shapes_stay() -> None:
    net = Network("input(1,4,5) dense(6) relu dense(3) softmax", seed=2)
    x, y = samples(net, 7)
    dx = net.input_gradient(x, y)
    assert dx.shape == (7, 1, 4, 5)
    assert_array_equal(dx, net.input_gradient((x / 255).astype(np.float32), y))
    assert net.input_gradient(x[:0], y[:0]).shape == (0, 1, 4, 5)


def test_forward_without_training() -> None:
    net = Network(SPEC, seed=3)
    x, y = samples(net, 9)
    out = net.forward(x, training=False)
    assert_array_equal(net.layers[3].output, third_layer(net, x))
    assert_array_equal(out, net.predict_proba(x))
    net.forward(x, training=False)
    with pytest.raises(RuntimeError, match="loss comes after forward"):
        net.loss(y)
    net.forward(x)
    assert net.loss(y) > 0


def third_layer(net: Network, x: Array) -> Array:
    """The output of layer 3, from a network that ends there."""
    part = Network("input(12) dense(9) relu dense(7) sigmoid loss(mse)")
    for name, tensor in part.tensors.items():
        tensor[...] = net.tensors[name]
    return part.predict_proba(x)


def test_errors() -> None:
    net = Network(SPEC)
    x, y = samples(net, 5)
    with pytest.raises(ValueError, match="accepted: y, for the gradient of the loss, or dy"):
        net.input_gradient(x)
    with pytest.raises(ValueError, match="accepted: y, for the gradient of the loss, or dy"):
        net.input_gradient(x, y, dy=np.ones((5, 4)))
    with pytest.raises(ValueError, match=r"dy has shape \(5, 3\); for layer 5 and these samples it is \(5, 4\)"):
        net.input_gradient(x, dy=np.ones((5, 3)))
    with pytest.raises(ValueError, match="layer is 6; this network has 0 to 5"):
        net.input_gradient(x, dy=np.ones((5, 4)), layer=6)
