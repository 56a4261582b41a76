"""The kernels at the edges of float32: accuracy of exp and log, huge numbers, NaN, infinity and denormals."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.arithmetic import (
    EDGES,
    FUSED,
    floats,
)
from numpy.testing import assert_array_equal

from pynet import kernels, reference


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
            "absolute_error": kernels.absolute_error(x, np.zeros((3, n)))[0][:, None],
            "huber": kernels.huber(x, np.zeros((3, n)))[0][:, None],
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
