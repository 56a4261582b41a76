"""Convolution and pooling: against the float64 reference, at odd sizes, in networks of every kind; errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.networks import all_close, close
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from pynet import SGD, AvgPool, Conv, Dense, GlobalAvgPool, Input, MaxPool, Network, kernels, load, reference

Array = np.ndarray[Any, Any]

LENET = "input(1,28,28) conv(8,5) relu maxpool(2) conv(16,5) relu maxpool(2) dense(128) relu dense(10) softmax"


def inputs(net: Network, m: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(m, *net.in_shape)).astype(np.float32)


def is_close_call(twin: reference.Network, x: Array) -> bool:
    """Whether float32 rounding may change the sign at a ReLU, or the largest number of a window."""
    h = x.astype(np.float64)
    for layer in twin.layers:
        if isinstance(layer, reference.ReLU) and (abs(h) < 1e-5).any():
            return True
        if isinstance(layer, reference.MaxPool) and layer.size > 1:
            pictures = reference.images.shifted(h, (layer.size,) * 2, layer.stride or layer.size)
            second, first = np.sort([picture for _, picture in pictures], axis=0)[-2:]
            if ((first - second < 1e-5) & (first > 0)).any():  # zeros from a ReLU are zeros in float32, too
                return True
        h = layer.forward(h)
    return False


def check(net: Network, m: int, seed: int = 0) -> None:
    """Compares each layer's output, the loss, all gradients, those of the inputs, and one update."""
    twin = reference.Network.from_net(net)
    x = inputs(net, m, seed)
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(m, *net.out_shape)).astype(np.float32)
    if net.loss_name == "cross_entropy":
        y = rng.integers(0, y[0].size, m)
    outputs = net.predict_proba(x)
    assert_array_equal(net.forward(x), outputs)
    h = x.astype(np.float64)
    for layer, other in zip(net.layers, twin.layers, strict=True):
        h = other.forward(h)
        close(layer.output, h.reshape(layer.output.shape), layer.text)
    twin.forward(x)
    assert net.loss(y) == pytest.approx(twin.loss(y), rel=1e-4)
    net.backward()
    twin.backward()
    if net.parameters:
        for name, gradient in twin.gradients().items():  # a mean may be the difference of larger numbers
            close(net.gradients[name], gradient, "gradient of " + name, scale=0.1)
        net.update(SGD(0.1))
        twin.update(0.1)
        all_close(net.tensors, twin.parameters(), "")


# ---- against float64 ----


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A valid network of one to four layers on images, with activations between them."""
    channels, height, width = draw(st.integers(1, 3)), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    words = [f"input({channels},{height},{width})"]
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["conv", "conv", "maxpool", "avgpool", "globalavgpool"]))
        stride = draw(st.integers(1, 3))
        pad = draw(st.integers(0, 2)) if kind == "conv" else 0
        size = draw(st.integers(1, min(height, width, 4) + 2 * pad))
        if kind == "conv":
            channels = draw(st.sampled_from([1, 2, 5, 8, 9, 17]))
            zeros = draw(st.sampled_from([str(pad), "same"]))
            words.append(f"conv({channels},{size},stride={stride},pad={zeros})")
            if zeros == "same":
                height, width = -(-height // stride), -(-width // stride)
                size = stride = 1
                pad = 0
        elif kind == "globalavgpool":
            words.append(kind)
            height = width = size = stride = 1
        else:
            words.append(f"{kind}({size},stride={stride})")
        height, width = ((n + 2 * pad - size) // stride + 1 for n in (height, width))
        words += draw(st.sampled_from([[], [], ["relu"], ["tanh"], ["softmax"]]))
    words += draw(st.sampled_from([[], ["dense(4)"], ["dense(4)", "relu", "dense(3)"], ["dense(3)", "softmax"]]))
    return " ".join(words)


@settings(max_examples=300)
@given(text=texts(), m=st.sampled_from([1, 2, 5]), seed=st.integers(0, 999))
def test_any_network_is_the_reference(text: str, m: int, seed: int) -> None:
    net = Network(text, seed=seed)
    for name, tensor in net.tensors.items():
        if name.endswith("b"):  # with zero padding and zero bias, the input of a ReLU would be exactly 0, its kink
            tensor[...] = np.random.default_rng(seed).normal(size=tensor.shape)
    assume(not is_close_call(reference.Network.from_net(net), inputs(net, m, seed)))
    kernels.set_cpu(np.random.default_rng(seed).choice(kernels.cpu_tables()))
    check(net, m, seed)


@pytest.mark.parametrize("channels_in", [1, 3, 4, 9])
@pytest.mark.parametrize("channels", [1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33])
def test_channels_of_every_width(table: str, channels_in: int, channels: int) -> None:
    check(Network(f"input({channels_in},6,7) conv({channels},3) maxpool(2) conv(3,2,pad=1) avgpool(2,1)", seed=3), 3)


@pytest.mark.parametrize(
    "text",
    [
        LENET,
        "input(3,224,224) conv(4,11,stride=4,pad=2) relu maxpool(3,2) conv(5,5,pad=same) relu globalavgpool softmax",
        "input(1,1,1) conv(1,1)",
        "input(5,1,9) conv(2,1) avgpool(1)",
        "input(2,3,5) maxpool(2) dense(3) softmax",
        "input(20,3,3) relu dense(6) softmax",
        "input(2,40,3) conv(3,3,pad=4,stride=5)",
    ],
)
def test_real_and_extreme_shapes(table: str, text: str) -> None:
    net = Network(text, seed=1)
    check(net, 2, seed=2)
    check(net, 1, seed=3)


@pytest.mark.parametrize("text", ["conv(3,2,2,pad=1)", "conv(4,3,pad=same) maxpool(3,1)", "avgpool(2) conv(2,2)"])
def test_gradients_are_slopes_of_the_loss(text: str) -> None:
    from pynet import gradient_check

    net = Network(f"input(2,6,5) {text} tanh dense(3) softmax", seed=4)
    assert gradient_check(net, inputs(net, 4), [0, 1, 2, 0]).worst < 1e-5


@pytest.mark.parametrize("text", ["conv(5,3,pad=1)", "maxpool(2)", "avgpool(2)", "globalavgpool", "maxpool(3,1)"])
def test_gradient_of_the_inputs(table: str, text: str) -> None:
    net = Network(f"input(3,6,5) {text}", seed=4)
    x = inputs(net, 2)
    twin = reference.Network.from_net(net)
    dy = np.random.default_rng(1).normal(size=twin.forward(x).shape)
    close(net.input_gradient(x, dy=dy, layer=0), twin.layers[0].backward(dy), text)


# ---- what pooling does with equals, NaN and leftovers ----


def test_the_first_of_equal_maxima_gets_the_gradient(table: str) -> None:
    net = Network("input(1,2,6) maxpool(2)")
    x = np.array([[[[5, 5, 1, 2, 0, 0], [5, 5, 3, 3, 0, 0]]]], np.float32)
    dx = net.input_gradient(x, dy=np.array([[[[1, 2, 3]]]]), layer=0)
    assert_array_equal(dx, [[[[1, 0, 0, 0, 3, 0], [0, 0, 2, 0, 0, 0]]]])


def test_nan_is_passed_on(table: str) -> None:
    """Inputs are finite, so the NaN is made inside: two channels overflow to inf and -inf, and are added."""

    def pooled(word: str) -> Network:
        net = Network(f"input(1,4,4) conv(2,1,bias=no) conv(1,1,bias=no) {word}")
        net.tensors["0.W"][...] = np.reshape([2, -2], (1, 1, 1, 2))
        net.tensors["1.W"][...] = np.reshape([2, 1], (1, 1, 2, 1))
        return net

    x = np.full((1, 1, 4, 4), 0.5, np.float32)
    x[0, 0, 0, 1] = 3e38
    for word in ("maxpool(2)", "avgpool(2)"):
        assert_array_equal(pooled(word).forward(x, training=False)[0, 0], [[np.nan, 1], [1, 1]])
    dx = pooled("maxpool(2)").input_gradient(x, dy=np.ones((1, 1, 2, 2)), layer=2)
    assert_array_equal(dx[0, 0], [[0, 2, 2, 0], [0, 0, 0, 0], [2, 0, 2, 0], [0, 0, 0, 0]])


def test_windows_beyond_the_border_are_left_out() -> None:
    x = np.arange(35, dtype=np.float32).reshape(1, 1, 5, 7)
    assert_array_equal(Network("input(1,5,7) maxpool(2)").predict_proba(x)[0, 0], [[8, 10, 12], [22, 24, 26]])
    assert_array_equal(Network("input(1,5,7) avgpool(3,2)").predict_proba(x)[0, 0], [[8, 10, 12], [22, 24, 26]])


# ---- zeros around ----


@pytest.mark.parametrize(
    ("kernel", "stride", "size", "out", "first"),
    [
        (3, 1, 5, 5, 1),  # one on each side
        (2, 1, 5, 5, 0),  # the odd zero at the bottom and the right
        (4, 1, 5, 5, 1),
        (3, 2, 5, 3, 1),
        (3, 2, 6, 3, 0),
        (2, 3, 6, 2, 0),  # fits without zeros
        (1, 2, 5, 3, 0),
    ],
)
def test_pad_same_divides_the_size_by_the_stride(kernel: int, stride: int, size: int, out: int, first: int) -> None:
    net = Network(f"input(1,{size},{size}) conv(1,{kernel},stride={stride},pad=same)")
    assert net.out_shape == (1, out, out)
    net.layers[0].W[...] = 0
    net.layers[0].W[first, first] = 1  # the weight at the image's first pixel
    x = inputs(net, 1)
    assert_array_equal(net.predict_proba(x), x[:, :, ::stride, ::stride])


def test_kernels_are_not_flipped() -> None:
    net = Network("input(1,3,3) conv(1,2)")
    net.layers[0].W[:, :, 0, 0] = [[1, 10], [100, 1000]]
    net.layers[0].b[...] = 0.5
    x = np.arange(1, 10, dtype=np.float32).reshape(1, 1, 3, 3)
    assert_array_equal(net.predict_proba(x)[0, 0], [[5421.5, 6532.5], [8754.5, 9865.5]])


# ---- a network's text, weights, files ----


def test_layers_as_objects() -> None:
    layers = [Conv(4, 3, stride=2, pad="same"), MaxPool(2), AvgPool(2, 1), GlobalAvgPool(), Dense(2)]
    net = Network([Input(1, 9, 9), *layers])
    assert net.spec == "input(1,9,9) conv(4,3,stride=2,pad=same) maxpool(2) avgpool(2,stride=1) globalavgpool dense(2)"
    assert [layer.out_shape for layer in net.layers] == [(4, 5, 5), (4, 2, 2), (4, 1, 1), (4, 1, 1), (2,)]
    assert net.layers[0].W.shape == (3, 3, 1, 4)


def test_summary() -> None:
    assert Network(LENET).summary().splitlines()[2:5] == [
        "0  conv(8,5)       (8,24,24)         208",
        "1  relu            (8,24,24)",
        "2  maxpool(2)      (8,12,12)",
    ]


@pytest.mark.parametrize(
    ("text", "deviation"),
    [
        ("conv(64,5) relu", np.sqrt(2 / 200)),
        ("conv(64,5) maxpool(2) relu", np.sqrt(2 / 200)),
        ("conv(64,5) tanh", np.sqrt(2 / (200 + 1600))),
        ("conv(64,5,init=normal) relu", 1),
    ],
)
def test_first_weights(text: str, deviation: float) -> None:
    net = Network(f"input(8,9,9) {text}")
    assert net.layers[0].W.std() == pytest.approx(deviation, rel=0.02)  # of 12,800 numbers: 0.6 %
    assert not net.layers[0].b.any()


def test_save_and_load(tmp_path: Path) -> None:
    net = Network("input(2,8,7) conv(5,3,stride=2,pad=1) relu avgpool(2) conv(3,1) globalavgpool softmax", seed=5)
    net.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.spec == net.spec
    assert again.weights_sha256() == net.weights_sha256()
    assert_array_equal(again.predict_proba(inputs(net, 3)), net.predict_proba(inputs(net, 3)))


def test_an_empty_batch() -> None:
    net = Network(LENET)
    assert net.predict_proba(np.zeros((0, 1, 28, 28))).shape == (0, 10)
    net.forward(np.zeros((0, 1, 28, 28)))
    net.loss(np.zeros(0, int))
    net.backward()
    assert not any(gradient.any() for gradient in net.gradients.values())


def test_it_learns(mnist: Any) -> None:
    net = Network(LENET, seed=0)
    net.fit(mnist.x_train[:12_800], mnist.y_train[:12_800], epochs=2, optimizer=SGD(0.1))
    assert net.evaluate(mnist.x_test, mnist.y_test).accuracy > 0.95


# ---- what is refused ----


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("input(1,4,9) conv(8,5)", "column 14: layer 0, conv(8,5), has windows of 5 by 5; its input is only 4"),
        ("input(1,4,4) relu maxpool(5)", "layer 1, maxpool(5), has windows of 5 by 5; its input is only 4 by 4"),
        ("input(1,4,4) maxpool(2) avgpool(2) maxpool(2)", "layer 2, maxpool(2), has windows of 2 by 2"),
        ("input(9) conv(8,3)", "layer 0, conv(8,3), takes images (channels, height, width); its input is (9)"),
        ("input(1,4,4) dense(3) maxpool(2)", "layer 1, maxpool(2), takes images"),
        ("input(4) globalavgpool", "layer 0, globalavgpool, takes images"),
        ("input(1,4,4) conv(8,0)", "kernel of conv is 0; accepted: a whole number from 1 to 4096"),
        ("input(1,4,4) conv(8,3,stride=0)", "stride of conv is 0; accepted: a whole number from 1 to 4096"),
        ("input(4096,9,9) conv(16777216,9)", "has 5566277615616 weights; accepted: at most 2147483647"),
        ("input(1,999,999) conv(9999,1)", "layer 0, conv(9999,1), has 9979011999 outputs"),
        ("input(99,99,99) conv(1,3,pad=4096)", "layer 0, conv(1,3,pad=4096), has an input of (99, 8291, 8291)"),
    ],
)
def test_bad_texts(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Network(text)
    assert message in str(caught.value)
