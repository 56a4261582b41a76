"""Every kernel on every table: against float64 NumPy, the same bits on each table, errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from helpers.arithmetic import (
    EXP,
    TINY,
    Kernel,
    Result,
    U,
    check_against_reference,
    check_same_bits,
    floats,
    two_tables,
)
from numpy.testing import assert_array_equal

from pynet import kernels, reference

# ---- each kernel except the matrix product: its result, the expected one, and the allowed difference ----


def bias(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    x, b = floats(rng, m, n), floats(rng, n)
    expected = reference.bias(x, b)
    yield kernels.bias(x, b), expected, U * abs(expected)


def bias_grad(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    dy = floats(rng, m, n)
    yield kernels.bias_grad(dy), reference.bias_grad(dy), m * U * reference.bias_grad(abs(dy))


def relu(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    x, dy = floats(rng, m, n), floats(rng, m, n)
    x[0, 0], x[-1, -1] = 0, -0.0
    y = kernels.relu(x)
    assert not np.signbit(y).any()
    yield y, reference.relu(x), 0
    yield kernels.relu_grad(dy, y), reference.relu_grad(dy, y), 0


def sigmoid(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    x, dy = floats(rng, m, n, scale=5), floats(rng, m, n)
    y = kernels.sigmoid(x)
    expected = reference.sigmoid(x)
    yield y, expected, (EXP + 2 * U) * expected
    # y (1 - y) is computed as y - y y: without fused multiply-add y y is rounded, to within U of a number below 1
    yield kernels.sigmoid_grad(dy, y), reference.sigmoid_grad(dy, y), 3 * U * abs(dy)


def tanh(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    x, dy = floats(rng, m, n, scale=2), floats(rng, m, n)
    y = kernels.tanh(x)
    expected = reference.tanh(x)
    yield y, expected, 3e-7 * abs(expected)
    yield kernels.tanh_grad(dy, y), reference.tanh_grad(dy, y), 3 * U * abs(dy)


def softmax(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    x, dp = floats(rng, m, n, scale=3), floats(rng, m, n)
    for temperature in (1.0, 0.5, 7.0):
        expected = reference.softmax(x, temperature)
        # x - max is rounded before exp sees it, and divided by the temperature with two more roundings
        arguments = 3 * U * (x.max(1, keepdims=True) - x) / temperature
        p = kernels.softmax(x, temperature)
        yield p, expected, (2 * EXP + (n + 4) * U + 2 * arguments.max(1, keepdims=True)) * expected
    dot = (abs(dp) * p).sum(1, keepdims=True)
    yield kernels.softmax_grad(dp, p), reference.softmax_grad(dp, p), (n + 3) * U * p * (abs(dp) + dot)


def cross_entropy(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    x, labels = floats(rng, m, n, scale=3), rng.integers(0, n, m)
    for scale, smoothing in ((None, 0.0), (0.25, 0.0), (0.25, 0.3)):
        loss, dx = kernels.cross_entropy(x, labels, scale, smoothing)
        expected_loss, expected_dx = reference.cross_entropy(x, labels, scale, smoothing)
        spread = np.float64(x.max() - x.min()) + 1
        # absolute: near probability 1 the loss is a small difference of numbers about 1
        yield loss, expected_loss, 2 * EXP + (n + 4) * U + 4 * U * spread + smoothing * n * U * spread
        yield dx, expected_dx, (2 * EXP + (n + 4) * U + 2 * U * spread) * (1 / m if scale is None else scale)


def binary_cross_entropy(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    x, y = floats(rng, m, n, scale=5), rng.random((m, n)).astype(np.float32)
    for scale in (None, 3.0):
        loss, dx = kernels.binary_cross_entropy(x, y, scale)
        expected_loss, expected_dx = reference.binary_cross_entropy(x, y, scale)
        yield loss, expected_loss, (n + 4) * U * (expected_loss + abs(x).sum(axis=1)) + n * EXP
        yield dx, expected_dx, (3.0 if scale else 1 / max(m, 1)) * (2 * EXP + 4 * U)


def squared_error(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    p, y = floats(rng, m, n), floats(rng, m, n)
    for scale in (None, 3.0):
        loss, dp = kernels.squared_error(p, y, scale)
        expected_loss, expected_dp = reference.squared_error(p, y, scale)
        yield loss, expected_loss, (n + 4) * U * expected_loss
        yield dp, expected_dp, 3 * U * abs(expected_dp)


def absolute_error(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    p, y = floats(rng, m, n), floats(rng, m, n)
    y[:, :1] = p[:, :1]  # on the kink
    for scale in (None, 3.0):
        loss, dp = kernels.absolute_error(p, y, scale)
        expected_loss, expected_dp = reference.absolute_error(p, y, scale)
        yield loss, expected_loss, (n + 4) * U * expected_loss
        yield dp, expected_dp, U * abs(expected_dp)


def huber(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    p, y = floats(rng, m, n), floats(rng, m, n)
    for delta, scale in ((0.5, None), (2.0, 3.0)):
        loss, dp = kernels.huber(p, y, delta, scale)
        expected_loss, expected_dp = reference.huber(p, y, delta, scale)
        yield loss, expected_loss, (n + 8) * U * expected_loss
        yield dp, expected_dp, 3 * U * abs(expected_dp)


def sgd(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    w, dw = floats(rng, m, n), floats(rng, m, n)
    rate = float(np.float32(0.1))
    expected = w.astype(np.float64)
    reference.sgd(expected, dw, rate)
    kernels.sgd(w, dw, rate)
    yield w, expected, 2 * U * (abs(expected) + abs(dw))


def momentum(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    for nesterov in (False, True):
        w, velocity, dw = floats(rng, m, n), floats(rng, m, n), floats(rng, m, n)
        w64, v64 = w.astype(np.float64), velocity.astype(np.float64)
        size = abs(w64) + abs(v64) + abs(dw)
        reference.momentum(w64, v64, dw, 0.25, 0.75, nesterov)
        kernels.momentum(w, velocity, dw, 0.25, 0.75, nesterov)
        yield velocity, v64, 2 * U * size
        yield w, w64, 3 * U * size


def rmsprop(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    w, square, dw = floats(rng, m, n), abs(floats(rng, m, n)), floats(rng, m, n)
    w64, s64 = w.astype(np.float64), square.astype(np.float64)
    reference.rmsprop(w64, s64, dw, 0.25, 0.75, 0.01)
    kernels.rmsprop(w, square, dw, 0.25, 0.75, 0.01)
    yield square, s64, 4 * U * s64
    yield w, w64, U * abs(w64) + 8 * U * 0.25 * abs(dw) / np.sqrt(s64)


def adam(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    for step, decay in ((1, 0.0), (2, 0.25), (1000, 0.0)):
        w, mean, square, dw = floats(rng, m, n), floats(rng, m, n), abs(floats(rng, m, n)), floats(rng, m, n)
        w64, m64, s64 = w.astype(np.float64), mean.astype(np.float64), square.astype(np.float64)
        size = abs(m64) + abs(dw)  # the mean may be a small difference of these
        reference.adam(w64, m64, s64, dw, step, 0.25, 0.75, 0.99, 0.01, decay)
        kernels.adam(w, mean, square, dw, step, 0.25, 0.75, 0.99, 0.01, decay)
        yield mean, m64, 3 * U * size
        yield square, s64, 4 * U * s64
        quotient = size / (1 - 0.75**step) / np.sqrt(s64 / (1 - 0.99**step))
        yield w, w64, 3 * U * abs(w64) + 12 * U * 0.25 * quotient


def one_hot(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    labels = rng.integers(0, n, m)
    yield kernels.one_hot(labels, n), reference.one_hot(labels, n), 0


def gather(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    x = rng.integers(0, 256, (m + 2, n), np.uint8)
    index = rng.integers(0, m + 2, m)
    expected = reference.gather(x, index)
    yield kernels.gather(x, index), expected, U * expected
    yield kernels.gather(x), reference.gather(x), U * reference.gather(x)


KERNELS: list[Kernel] = [
    bias,
    bias_grad,
    relu,
    sigmoid,
    tanh,
    softmax,
    cross_entropy,
    binary_cross_entropy,
    squared_error,
    absolute_error,
    huber,
    sgd,
    momentum,
    rmsprop,
    adam,
    one_hot,
    gather,
]
each_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)


@each_kernel
def test_kernel_is_the_reference(table: str, kernel: Kernel) -> None:
    check_against_reference(kernel)


@each_kernel
@pytest.mark.parametrize(("m", "n"), [(0, 3), (3, 0), (0, 0)])
def test_empty_arrays(table: str, kernel: Kernel, m: int, n: int) -> None:
    if n == 0 and kernel in (softmax, cross_entropy, one_hot, relu):
        n = 1  # softmax, labels and a first element need a column
    if m == 0 and kernel in (relu, cross_entropy):
        m = 1
    for got, expected, _ in kernel(np.random.default_rng(0), m, n):
        assert got.shape == expected.shape
        assert np.isfinite(got).all()


@two_tables
@each_kernel
def test_bits_are_the_same_on_each_table(kernel: Kernel) -> None:
    check_same_bits(kernel)


@each_kernel
def test_denormals_are_enabled_again_after_each_call(table: str, kernel: Kernel) -> None:
    small = np.full(33, 2 * TINY / 3, np.float32)
    for _ in kernel(np.random.default_rng(0), 5, 33):
        assert (small / 2 > 0).all()
        assert np.float32(TINY) * np.float32(0.25) > 0


# ---- bytes, one-hot rows, order ----


def test_each_byte_is_a_255th_correctly_rounded(table: str) -> None:
    every = np.arange(256, dtype=np.uint8)
    expected = np.arange(256, dtype=np.float32) / np.float32(255)
    for n in (1, 7, 16, 33, 256):
        x = np.stack([np.resize(np.roll(every, -i), n) for i in range(256)])
        assert_array_equal(kernels.gather(x), expected[x])
        assert_array_equal(kernels.gather(x, [255, 0, 255]), expected[x[[255, 0, 255]]])


def test_shuffle_is_pinned() -> None:
    """That orders are fair and differ: tests/c/base/test_rng.c."""
    assert kernels.shuffle(0).dtype == np.int32
    assert kernels.shuffle(10).tolist() == PINNED_SHUFFLE
    assert kernels.shuffle(10, seed=7, epoch=3).tolist() == PINNED_SHUFFLE_7_3


PINNED_SHUFFLE = [9, 4, 8, 7, 0, 3, 2, 6, 1, 5]
PINNED_SHUFFLE_7_3 = [4, 9, 0, 7, 3, 8, 5, 6, 2, 1]


# ---- what is refused ----

TWO = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernels.bias(TWO, [1, 2]), r"b has shape \(2,\); x \(2, 3\) takes \(3,\)"),
        (lambda: kernels.bias_grad(TWO[0]), "dy has shape"),
        (lambda: kernels.relu_grad(TWO, TWO.T), r"argument 1 \(2, 3\), argument 2 \(3, 2\)"),
        (lambda: kernels.softmax_grad(TWO, TWO.T), r"dp \(2, 3\), p \(3, 2\)"),
        (lambda: kernels.squared_error(TWO, TWO.T), r"p \(2, 3\), y \(3, 2\)"),
        (lambda: kernels.huber(TWO, TWO, 0), "delta is 0; accepted: 1.2e-38 to 3e38, a float32 above 0"),
        (lambda: kernels.huber(TWO, TWO, 1e-50), "delta is 1e-50; accepted"),  # 0 as float32: the absolute error
        (lambda: kernels.huber(TWO, TWO, 1e39), "delta is 1e\\+39; accepted"),
        (lambda: kernels.cross_entropy(TWO, [0]), r"labels have shape \(1,\)"),
        (lambda: kernels.cross_entropy(TWO, [0.0, 1.0]), "dtype float64; accepted: integers"),
        (lambda: kernels.cross_entropy(TWO, [0, 3]), "labels run from 0 to 3; accepted: 0 to 2"),
        (lambda: kernels.cross_entropy(TWO, [-1, 0]), "labels run from -1 to 0"),
        (lambda: kernels.cross_entropy(TWO, np.array([2**32, 0])), "accepted: 0 to 2"),
        (lambda: kernels.one_hot([3], 3), "labels run from 3 to 3"),
        (lambda: kernels.one_hot(3, 4), "labels have shape"),
        (lambda: kernels.gather(TWO), r"x has shape \(2, 3\) and dtype float32; accepted: uint8"),
        (lambda: kernels.gather(np.zeros((2, 3), np.uint8), [2]), "accepted: 0 to 1"),
        (lambda: kernels.sgd(TWO.astype(np.float64), TWO, 0.1), "w must be"),
        (lambda: kernels.sgd(np.asfortranarray(TWO), TWO, 0.1), "w must be"),
        (lambda: kernels.sgd(TWO.copy(), TWO.T, 0.1), r"w \(2, 3\), dw \(3, 2\)"),
        (lambda: kernels.momentum(TWO.copy(), TWO.astype(np.float64), TWO, 0.1), "velocity must be"),
        (lambda: kernels.adam(TWO.copy(), TWO.copy(), TWO.copy(), TWO, 0, 0.1), "step is 0; accepted: 1 or more"),
        (lambda: kernels.set_cpu("sse"), "kernel table 'sse'; this CPU has .*portable"),
        (lambda: kernels.shuffle(3, seed=-1), "seed is -1"),
        (lambda: kernels.shuffle(-1), "-1|negative"),
    ],
)
def test_kernels_refuse(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# ---- what is no array of numbers ----


@pytest.mark.parametrize(
    "given",
    [
        None,
        np.ma.masked_array(np.ones((3, 3), np.float32), mask=np.eye(3)),
        np.ones((3, 3), complex),
        np.ones((3, 3), "M8[D]"),
        np.ones((3, 3), "m8[s]"),
        np.full((3, 3), "1"),
        np.ones((3, 3), object),
    ],
)
def test_kernels_take_numbers(given: Any) -> None:
    good = np.ones((3, 3), np.float32)
    calls: list[Callable[[], object]] = [
        lambda: kernels.relu(given),
        lambda: kernels.sigmoid_grad(good, given),
        lambda: kernels.bias(given, good[0]),
        lambda: kernels.bias(good, given),
        lambda: kernels.softmax(given),
        lambda: kernels.gemm(given, good),
        lambda: kernels.gemm(good, given, out=np.empty((3, 3), np.float32)),
        lambda: kernels.squared_error(good, given),
        lambda: kernels.cross_entropy(good, given),
        lambda: kernels.one_hot(given, 3),
        lambda: kernels.gather(given),
        lambda: kernels.augmented(given),
        lambda: kernels.layernorm(good, given, good[0]),
        lambda: kernels.sgd(good, given, 0.1),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"(is None|is a masked array|dtype [^;]*); accepted"):
            call()
    if isinstance(given, np.ma.MaskedArray):
        with pytest.raises(ValueError, match="w must be a C-ordered, writable float32 array"):
            kernels.sgd(given, good, 0.1)
        with pytest.raises(ValueError, match="out has shape"):
            kernels.gemm(good, good, out=given)
    assert (good == 1).all()
