"""Convolutions by 3 by 3 kernels in Winograd's way, against float64 and the direct form; and which are computed so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.arithmetic import FUSED, bits, on_each_table
from numpy.testing import assert_array_equal

from pynet import SGD, Network, kernels, reference
from pynet._ffi import optimizer_struct

Array = np.ndarray[Any, Any]

# Channels in and out, height, width, padding: odd sides, one tile more than a block, borders on every side.
SHAPES = [(16, 16, 7, 5, 1), (32, 48, 9, 8, 0), (16, 32, 29, 27, 2), (64, 16, 8, 8, 1), (48, 64, 5, 6, 2)]


def layer(channels: int, n: int, height: int, width: int, pad: int) -> Network:
    return Network(f"input({channels},{height},{width}) conv({n},3,pad={pad})")


def data(net: Network, rows: int, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(rows, *net.in_shape)).astype(np.float32),
        rng.normal(size=(rows, *net.out_shape)).astype(np.float32),
    )


def results(net: Network, x: Array, dy: Array) -> dict[str, Array]:
    """Outputs, and the gradients of kernels, biases and inputs for these gradients of the outputs."""
    y = net.forward(x)
    net.loss(y - dy * len(x))
    net.backward()
    return {"y": y, "dx": net.input_gradient(x, dy=dy), **net.gradients}


def exact(net: Network, x: Array, dy: Array) -> dict[str, Array]:
    """The same in float64."""
    twin = reference.Network.from_net(net)
    y = twin.forward(x.astype(np.float64))
    twin.loss(y - dy * len(x))
    [conv] = twin.layers
    return {"y": y, "dx": conv.backward(dy.astype(np.float64)), **twin.gradients()}


def with_zero_channel(net: Network, x: Array, dy: Array) -> dict[str, Array]:
    """The same by the direct form: with one more channel, of zeros, whose number is no multiple of 16."""
    channels, height, width = net.in_shape
    direct = Network(f"input({channels + 1},{height},{width}) {net.layers[0].text}")
    direct.tensors["0.W"][:, :, :-1] = net.tensors["0.W"]
    direct.tensors["0.W"][:, :, -1] = 0
    found = results(direct, np.concatenate([x, np.zeros_like(x[:, :1])], axis=1), dy)
    return {**found, "dx": found["dx"][:, :-1], "0.W": found["0.W"][:, :, :-1]}


@pytest.mark.parametrize("shape", SHAPES)
def test_errors_are_at_most_one_and_a_half_those_of_the_direct_form(shape: tuple[int, ...], table: str) -> None:
    net = layer(*shape)
    x, dy = data(net, 11)
    found, other, true = results(net, x, dy), with_zero_channel(net, x, dy), exact(net, x, dy)
    assert bits(found["y"]) != bits(other["y"])  # it is another way
    for name in true:
        errors, direct_errors = (abs(one[name].astype(np.float64) - true[name]) for one in (found, other))
        assert errors.max() <= 1.5 * direct_errors.max(), name
        assert np.sqrt((errors**2).mean()) <= 1.5 * np.sqrt((direct_errors**2).mean()), name


def test_bits_do_not_depend_on_table_threads_or_batch() -> None:
    net = layer(32, 48, 9, 7, 1)
    x, dy = data(net, 21)

    def run() -> list[bytes]:
        return [bits(one) for one in results(net, x, dy).values()]

    found = set()
    for threads in (1, 2, 3, 5, 16):
        kernels.set_threads(threads)
        found |= {tuple(one) for one in on_each_table(run).values()}
        assert_array_equal(net.predict_proba(x), np.concatenate([net.predict_proba(one[None]) for one in x]))
    assert len(found) == min(1, len(FUSED))


DIRECT = [
    "input(16,9,9) conv(16,3,stride=2)",  # stride
    "input(16,9,9) conv(16,5,pad=1)",  # other kernels
    "input(16,9,9) conv(16,2)",
    "input(17,9,9) conv(16,3)",  # channels
    "input(16,9,9) conv(17,3)",
    "input(16,9,9) conv(16,3,pad=3)",  # padding wider than the kernel's reach
    "input(16,3,3) conv(16,3,pad=1)",  # 3 by 3 outputs: as many products in tiles of 2 by 2
    "input(16,3,40) conv(16,3)",  # one row
]


@pytest.mark.parametrize("text", DIRECT)
def test_other_shapes_take_the_direct_form(text: str) -> None:
    net = Network(text)
    x, dy = data(net, 5)
    found, other = results(net, x, dy), with_zero_channel(net, x, dy)
    for name in ("y", "0.W"):  # each sum is one chain, to which the zeros add nothing
        assert_array_equal(found[name], other[name])


@pytest.mark.parametrize("channels", [1, 3, 17])
def test_every_kernel_and_stride_on_the_smallest_images(channels: int, table: str) -> None:
    for kernel in range(1, 8):
        for stride in (1, 2, 3):
            net = Network(f"input({channels},{kernel},{kernel + stride}) conv({channels},{kernel},stride={stride})")
            x, dy = data(net, 3)
            found, true = results(net, x, dy), exact(net, x, dy)
            for name, expected in true.items():
                bound = 1e-6 * abs(expected).max() * np.sqrt(channels * kernel * kernel)
                assert abs(found[name] - expected).max() <= bound, (kernel, stride, name)
    assert Network(f"input({channels},1,1) conv(3,7,pad=3)").predict_proba(np.ones((1, channels, 1, 1))).shape[1] == 3


def test_not_finite_inputs_of_a_tile_reach_its_outputs() -> None:
    net = Network("input(16,8,8) conv(16,3,pad=1)")
    net.tensors["0.b"][0] = np.nan
    assert np.isnan(net.forward(np.ones((1, 16, 8, 8), np.float32), training=False)[0, 0]).all()


def test_clipping_by_norm_uses_the_new_kernels_in_the_next_step() -> None:
    """Gradients are then stored first and applied later, after which the kernels must be transformed again."""
    text = "input(16,6,6) conv(16,3,pad=1) relu conv(16,3,pad=1) relu dense(3) softmax"
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 16, 6, 6)).astype(np.float32), rng.integers(0, 3, 40)
    nets = [Network(text, seed=1) for _ in range(2)]
    nets[0]._train(nets[0]._samples(x, y), None, 10, optimizer_struct(SGD(0.1, clip_norm=0.5)))
    for at in range(0, 40, 10):
        nets[1].train_step(x[at : at + 10], y[at : at + 10], SGD(0.1, clip_norm=0.5))
    assert nets[0].weights_sha256() == nets[1].weights_sha256()
