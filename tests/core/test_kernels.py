"""Every kernel on every table against float64 NumPy, and the promises about bits, NaN and denormals."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from helpers.arithmetic import (
    EDGES,
    EXP,
    FUSED,
    SHAPES,
    TINY,
    Result,
    U,
    bits,
    floats,
    off_by_more,
    on_each_table,
    two_tables,
)
from numpy.testing import assert_array_equal

from pynet import kernels, reference

# ---- each kernel but the matrix product: what it gives, what it should, how far apart they may be ----


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


Kernel = Callable[[np.random.Generator, int, int], Iterator[Result]]
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
    for m, n in SHAPES:
        for i, (got, expected, bound) in enumerate(kernel(np.random.default_rng([m, n]), m, n)):
            wrong = off_by_more(got, expected, bound)
            assert not len(wrong), f"{m} x {n}, result {i}: wrong at {wrong[:5].tolist()}"


@each_kernel
@pytest.mark.parametrize(("m", "n"), [(0, 3), (3, 0), (0, 0)])
def test_nothing_to_do(table: str, kernel: Kernel, m: int, n: int) -> None:
    if n == 0 and kernel in (softmax, cross_entropy, one_hot, relu):
        n = 1  # no softmax, no label and no first element without a column
    if m == 0 and kernel in (relu, cross_entropy):
        m = 1
    for got, expected, _ in kernel(np.random.default_rng(0), m, n):
        assert got.shape == expected.shape
        assert np.isfinite(got).all()


@two_tables
@each_kernel
def test_bits_are_the_same_on_each_table(kernel: Kernel) -> None:
    def run(m: int, n: int) -> list[bytes]:
        return [bits(got) for got, _, _ in kernel(np.random.default_rng([m, n]), m, n)]

    for m, n in SHAPES:
        found = on_each_table(run, m, n)
        assert found["avx2"] == found["avx512"], f"{m} x {n}"


@each_kernel
def test_denormals_are_back_after_each_call(table: str, kernel: Kernel) -> None:
    small = np.full(33, 2 * TINY / 3, np.float32)
    for _ in kernel(np.random.default_rng(0), 5, 33):
        assert (small / 2 > 0).all()
        assert np.float32(TINY) * np.float32(0.25) > 0


# ---- numerics ----


@pytest.mark.skipif(not FUSED, reason="needs a kernel table with fused multiply-add")
@pytest.mark.parametrize("n", [1, 15, 16, 17, 40, 784])
def test_row_sums_run_in_16_lanes(n: int) -> None:
    rng = np.random.default_rng(n)
    p, y = floats(rng, 3, n), floats(rng, 3, n)
    d = np.zeros((3, -(-n // 16) * 16))
    d[:, :n] = p - y
    lanes = np.zeros((3, 16), np.float32)
    for start in range(0, d.shape[1], 16):
        lanes = (lanes + d[:, start : start + 16] ** 2).astype(np.float32)
    for half in (8, 4, 2, 1):
        lanes = lanes[:, :half] + lanes[:, half : 2 * half]
    for name in FUSED:
        kernels.set_cpu(name)
        loss, _ = kernels.squared_error(p, y)
        kernels.set_cpu(None)
        assert_array_equal(loss, np.float32(0.5) * lanes[:, 0])


def test_exp_is_accurate(table: str) -> None:
    t = np.arange(0, 87, 1 / 256)  # multiples of 1/256: x - max is exact
    p = kernels.softmax(np.stack([np.zeros_like(t), -t], axis=1)).astype(np.float64)
    assert abs(p[:, 1] / p[:, 0] / np.exp(-t) - 1).max() < 3e-7  # exp itself 1.2e-7, and two roundings


def test_log_is_accurate(table: str) -> None:
    for n in [*range(2, 100), 1000, 4097, 51_200]:  # n equal exponentials of 0: the sum is n exactly
        loss, _ = kernels.cross_entropy(np.zeros((1, n)), [n - 1])
        assert loss[0] == pytest.approx(np.log(n), rel=3e-7), n


@pytest.mark.parametrize("scale", [1e-3, 0.1, 1, 10])
def test_sigmoid_and_tanh_are_accurate(table: str, scale: float) -> None:
    x = np.linspace(-8 * scale, 8 * scale, 20_001, dtype=np.float32)
    assert abs(kernels.sigmoid(x) / reference.sigmoid(x) - 1).max() < 3e-7
    x = x[x != 0]
    assert abs(kernels.tanh(x) / reference.tanh(x) - 1).max() < 3e-7


def test_softmax_of_large_numbers(table: str) -> None:
    assert_array_equal(
        kernels.softmax([[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4], [-1e4, -1e4]]),
        [
            [1, 0],
            [0, 1],
            [0.5, 0.5],
            [0.5, 0.5],
        ],
    )
    assert_array_equal(kernels.softmax([[3e38, -3e38, 3e38]]), [[0.5, 0, 0.5]])


@pytest.mark.parametrize("n", [1, 2, 3, 10, 16, 1000, 51_200])
def test_softmax_of_equal_numbers(table: str, n: int) -> None:
    p = kernels.softmax(np.full((2, n), 7.25))
    assert_array_equal(p, np.full((2, n), np.float32(1) / np.float32(n)))


def test_one_class(table: str) -> None:
    assert_array_equal(kernels.softmax([[5.0], [-1e30]]), [[1], [1]])
    loss, dx = kernels.cross_entropy([[5.0], [-1e30]], [0, 0])
    assert_array_equal(loss, [0, 0])
    assert_array_equal(dx, [[0], [0]])


def test_many_classes(table: str) -> None:
    x = floats(np.random.default_rng(0), 3, 51_200, scale=4)
    p = kernels.softmax(x)
    assert p.sum(axis=1, dtype=np.float64) == pytest.approx(1, abs=1e-5)
    assert abs(p / reference.softmax(x) - 1).max() < 1e-5
    loss, dx = kernels.cross_entropy(x, [0, 25_000, 51_199])
    assert loss == pytest.approx(reference.cross_entropy(x, [0, 25_000, 51_199])[0], rel=1e-6)
    assert abs(dx.sum(axis=1, dtype=np.float64)).max() < 1e-5


def test_loss_where_the_probability_is_zero(table: str) -> None:
    loss, dx = kernels.cross_entropy([[0.0, 200.0], [-1e4, 1e4], [1e30, -1e30]], [0, 0, 1], scale=1)
    assert loss == pytest.approx([200, 2e4, 2e30], rel=1e-6)
    assert_array_equal(dx, [[-1, 1], [-1, 1], [1, -1]])


def test_temperature(table: str) -> None:
    x = [[0.0, np.log(4)]]
    assert kernels.softmax(x)[0] == pytest.approx([0.2, 0.8], rel=1e-6)
    assert kernels.softmax(x, 2)[0] == pytest.approx([1 / 3, 2 / 3], rel=1e-6)
    assert kernels.softmax(x, 0.5)[0] == pytest.approx([1 / 17, 16 / 17], rel=1e-6)
    assert_array_equal(kernels.softmax(x, 1e30), [[0.5, 0.5]])
    assert_array_equal(kernels.softmax(x, 1e-30), [[0, 1]])


@pytest.mark.parametrize("temperature", [0, -1, np.nan, np.inf, 1e-300, 1e-45])
def test_bad_temperature(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature is"):
        kernels.softmax([[1.0, 2.0]], temperature)


def test_relu_keeps_nan(table: str) -> None:
    for n in EDGES:
        for at in {0, n // 2, n - 1}:
            x = np.ones(n)
            x[at] = np.nan
            assert_array_equal(kernels.relu(x), x)
    assert_array_equal(kernels.relu([np.inf, -np.inf, -0.0]), [np.inf, 0, 0])


def test_infinite_arguments_of_activations(table: str) -> None:
    x = [np.inf, -np.inf, 1e38, -1e38, 200, -200]
    assert_array_equal(kernels.sigmoid(x), [1, 0, 1, 0, 1, 0])
    assert_array_equal(kernels.tanh(x), [1, -1, 1, -1, 1, -1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", [1, 4, 9, 16, 33])
def test_bad_numbers_come_out_of_their_row_only(table: str, bad: float, n: int) -> None:
    for at in {0, n // 2, n - 1}:
        x = np.zeros((3, n), np.float32)
        x[1, at] = bad
        rows = {
            "softmax": kernels.softmax(x),
            "softmax_grad": kernels.softmax_grad(x, np.full((3, n), 1 / n)),
            "cross_entropy": kernels.cross_entropy(x, np.full(3, at))[0][:, None],
            "squared_error": kernels.squared_error(x, np.zeros((3, n)))[0][:, None],
            "gemm": kernels.gemm(x, np.ones((n, 2))),
        }
        if bad == -np.inf and n > 1:
            rows.pop("softmax")  # a probability of 0
        for name, out in rows.items():
            assert not np.isfinite(out[1]).all(), name
            assert np.isfinite(out[[0, 2]]).all(), name


def test_nan_comes_out_of_each_elementwise_kernel(table: str) -> None:
    one, nan = np.ones(17), np.full(17, np.nan)
    w = np.ones(17, np.float32)
    kernels.sgd(w, nan, 0.1)
    moved = np.ones((7, 17), np.float32)
    kernels.momentum(moved[0], moved[1], nan, 0.1)
    kernels.rmsprop(moved[2], moved[3], nan, 0.1)
    kernels.adam(moved[4], moved[5], moved[6], nan, 1, 0.1)
    for out in (
        moved,
        kernels.relu(nan),
        kernels.sigmoid(nan),
        kernels.sigmoid_grad(nan, one),
        kernels.sigmoid_grad(one, nan),
        kernels.tanh(nan),
        kernels.tanh_grad(nan, one),
        kernels.tanh_grad(one, nan),
        kernels.relu_grad(nan, one),
        kernels.bias(nan[None], one),
        kernels.bias_grad(nan[None]),
        w,
    ):
        assert np.isnan(out).all()


def test_denormals_count_as_zero_inside(table: str) -> None:
    small, half = np.full((3, 17), 1e-40, np.float32), np.full((3, 17), 0.5, np.float32)
    assert (small != 0).all()
    w = small.copy()
    kernels.sgd(w, small, 0.5)
    moved = np.zeros((7, 51), np.float32)
    kernels.momentum(moved[0], moved[1], small.ravel(), 0.1)
    kernels.rmsprop(moved[2], moved[3], small.ravel(), 0.1)
    kernels.adam(moved[4], moved[5], moved[6], small.ravel(), 1, 0.1)
    far = np.array([[0, -88]] * 3, np.float32)  # exp(-88) is denormal
    for name, out in {
        "gemm": kernels.gemm(np.full((3, 2), 1e-20), np.full((2, 17), 1e-20)),
        "gemm of denormals": kernels.gemm(small, np.full((17, 17), 1e30)),
        "bias": kernels.bias(small, np.zeros(17)),
        "bias_grad": kernels.bias_grad(small),
        "relu": kernels.relu(small),
        "relu_grad": kernels.relu_grad(small, small),
        "sigmoid": kernels.sigmoid(far[:, 1]),
        "sigmoid_grad": kernels.sigmoid_grad(small, half),
        "tanh": kernels.tanh(small),
        "tanh_grad": kernels.tanh_grad(small, half),
        "softmax": kernels.softmax(far)[:, 1],
        "softmax_grad": kernels.softmax_grad(small, half),
        "cross_entropy": kernels.cross_entropy(far, [0, 0, 0])[1],
        "squared_error": kernels.squared_error(small, np.zeros((3, 17)))[1],
        "sgd": w,
        "momentum, rmsprop, adam": moved,
    }.items():
        assert not out.any(), name


# ---- bytes, one-hot rows, order ----


def test_each_byte_is_a_255th_correctly_rounded(table: str) -> None:
    every = np.arange(256, dtype=np.uint8)
    expected = np.arange(256, dtype=np.float32) / np.float32(255)
    for n in (1, 7, 16, 33, 256):
        x = np.stack([np.resize(np.roll(every, -i), n) for i in range(256)])
        assert_array_equal(kernels.gather(x), expected[x])
        assert_array_equal(kernels.gather(x, [255, 0, 255]), expected[x[[255, 0, 255]]])


@pytest.mark.parametrize("n", [0, 1, 2, 10, 1000])
@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (1, 0), (0, 1), (2**64 - 1, 2**64 - 1)])
def test_shuffle_is_a_permutation(n: int, seed: int, epoch: int) -> None:
    order = kernels.shuffle(n, seed, epoch)
    assert order.dtype == np.int32
    assert_array_equal(np.sort(order), np.arange(n))


def test_shuffle_differs_by_seed_and_by_epoch() -> None:
    orders = {bits(kernels.shuffle(50, seed, epoch)) for seed in range(20) for epoch in range(20)}
    assert len(orders) == 400


def test_shuffle_stays_what_it_is() -> None:
    assert kernels.shuffle(10).tolist() == PINNED_SHUFFLE
    assert kernels.shuffle(10, seed=7, epoch=3).tolist() == PINNED_SHUFFLE_7_3


PINNED_SHUFFLE = [9, 4, 8, 7, 0, 3, 2, 6, 1, 5]
PINNED_SHUFFLE_7_3 = [4, 9, 0, 7, 3, 8, 5, 6, 2, 1]


@pytest.mark.parametrize("by", ["seed", "epoch"])
def test_shuffle_puts_each_number_everywhere_alike(by: str) -> None:
    n, draws = 8, 8000
    counts = np.zeros((n, n))
    for i in range(draws):
        counts[np.arange(n), kernels.shuffle(n, **{by: i})] += 1
    expected = draws / n
    chi_square = ((counts - expected) ** 2 / expected).sum()
    # (n - 1)^2 = 49 degrees of freedom: mean 49, deviation 9.9; above 100 once in 10^5
    assert 15 < chi_square < 100


def test_shuffle_orders_are_alike_in_number() -> None:
    orders = [tuple(kernels.shuffle(4, seed).tolist()) for seed in range(4800)]
    counts = np.array([orders.count(order) for order in set(orders)])
    assert len(counts) == 24
    assert ((counts - 200.0) ** 2 / 200).sum() < 60  # 23 degrees of freedom: above 60 once in 3 * 10^4


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
