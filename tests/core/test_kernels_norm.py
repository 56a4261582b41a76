"""Kernels of kinked activations, normalisation, scaling, dropout: against float64, the same bits on every table."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from helpers.arithmetic import Kernel, Result, U, check_against_reference, check_same_bits, floats, two_tables

from pynet import kernels, reference
from pynet.reference.norms import dropout_mask, normalise, normalise_grad


def leaky_relu(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    x, dy = floats(rng, m, n), floats(rng, m, n)
    x[0, 0] = np.nan
    for slope in (0.0, 0.25, 1.0):
        y = kernels.leaky_relu(x, slope)
        assert np.isnan(y[0, 0])
        yield np.nan_to_num(y), np.nan_to_num(reference.leaky_relu(x, slope)), U * np.nan_to_num(abs(x))
        yield kernels.leaky_relu_grad(dy, y, slope), reference.leaky_relu_grad(dy, y, slope), U * abs(dy)


def gelu(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    x, dy = floats(rng, m, n, scale=3), floats(rng, m, n)
    # the argument of the exponential is rounded: relative error x^2 U in the tail, which exists only below 0
    relative = 5e-7 + 2 * U * x.astype(np.float64) ** 2 * (x < 0)
    yield kernels.gelu(x), reference.gelu(x), relative * abs(reference.gelu(x))
    yield kernels.gelu_grad(dy, x), reference.gelu_grad(dy, x), 2e-6 * abs(dy)


def dropout(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    x = floats(rng, m, n)
    for p in (0.0, 0.25, 0.9):
        expected = reference.dropout(x, p, 2**64 - 1, 3, 12345)
        yield kernels.dropout(x, p, 2**64 - 1, 3, 12345), expected, 2 * U * abs(expected)


def batchnorm(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    for places in (1, 6):
        m = max(m, 2)
        x, dy = floats(rng, m, places, n) + 1, floats(rng, m, places, n)
        gamma, beta = floats(rng, n), floats(rng, n)
        count, spread = m * places, x.std(axis=(0, 1)) + 1e-3
        y, mean, variance = kernels.batchnorm(x, gamma, beta, 1e-5)
        exact = x.astype(np.float64)
        off = (count + 4) * U * abs(exact).max()
        yield mean, exact.mean(axis=(0, 1)), off
        yield variance, exact.var(axis=(0, 1)), (count + 8) * U * exact.var(axis=(0, 1)) + 4 * off**2
        normal = normalise(exact, exact.mean(axis=(0, 1)), exact.var(axis=(0, 1)), 1e-5)
        yield y, gamma * normal + beta, abs(gamma) * (off / spread + (count + 8) * U * abs(normal)) + 4 * U * abs(y)
        dx, dgamma, dbeta = kernels.batchnorm_grad(dy, x, mean, variance, gamma, 1e-5)
        size = abs(dy).sum(axis=(0, 1))
        yield dbeta, dy.astype(np.float64).sum(axis=(0, 1)), count * U * size
        blur = (count + 10) * U * (1 + abs(exact).max() / spread)
        yield dgamma, (dy * normal).sum(axis=(0, 1)), blur * (abs(dy) * (abs(normal) + 1)).sum(axis=(0, 1))
        yield dx, normalise_grad(dy * gamma, exact, (0, 1), 1e-5), 20 * blur * abs(dy).max() * abs(gamma) / spread


def layernorm(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    x, dy = floats(rng, m, n) + 1, floats(rng, m, n)
    gamma, beta = floats(rng, n), floats(rng, n)
    exact = x.astype(np.float64)
    mean, variance = exact.mean(axis=1, keepdims=True), exact.var(axis=1, keepdims=True)
    y, stats = kernels.layernorm(x, gamma, beta, 0.01)
    root = 1 / np.sqrt(variance + 0.01)
    blur = (n + 10) * U * abs(exact).max() * root
    yield stats, np.hstack([mean, root]), np.hstack([blur / root, blur * root])
    normal = normalise(exact, mean, variance, 0.01)
    yield y, gamma * normal + beta, abs(gamma) * blur * (1 + abs(normal)) + 4 * U * abs(y)
    dx, dgamma, dbeta = kernels.layernorm_grad(dy, x, stats, gamma)
    yield dbeta, dy.astype(np.float64).sum(axis=0), m * U * abs(dy).sum(axis=0)
    yield dgamma, (dy * normal).sum(axis=0), ((m * U + 3 * blur) * abs(dy) * (1 + abs(normal))).sum(axis=0)
    bound = 20 * blur * root * abs(dy * gamma).max() * (1 + abs(normal).max())
    yield dx, normalise_grad(dy * gamma, exact, (1,), 0.01), bound


def scaling(rng: np.random.Generator, m: int, n: int) -> Iterator[Result]:
    x, mean, scale = floats(rng, m, n), floats(rng, n), rng.uniform(0.1, 3, n).astype(np.float32)
    size = abs(x.astype(np.float64)) + abs(mean)
    yield kernels.standardize(x, mean, scale), reference.standardize(x, mean, scale), 2 * U * size / scale
    yield kernels.standardize_grad(x, scale), reference.standardize_grad(x, scale), U * size / scale
    yield kernels.rescale(x, mean, scale), reference.rescale(x, mean, scale), 2 * U * (abs(x) * scale + size)
    yield kernels.rescale_grad(x, scale), reference.rescale_grad(x, scale), U * abs(x) * scale


KERNELS = [leaky_relu, gelu, dropout, batchnorm, layernorm, scaling]
each_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)


@each_kernel
def test_kernel_is_the_reference(table: str, kernel: Kernel) -> None:
    check_against_reference(kernel)


@two_tables
@each_kernel
def test_bits_are_the_same_on_each_table(kernel: Kernel) -> None:
    check_same_bits(kernel)


def test_dropout_is_the_mask_for_any_input() -> None:
    """That masks are fair and independent: tests/c/base/test_rng.c."""
    x, mask = np.full((64, 500), np.inf, np.float32), dropout_mask(64, 500, 0.3, 1, 2, 3)
    y = kernels.dropout(x, 0.3, 1, 2, 3)
    assert np.array_equal(y != 0, mask)
    assert np.isinf(y[mask]).all()


def test_bad_input() -> None:
    x = np.ones((2, 3), np.float32)
    for wrong in (
        lambda: kernels.dropout(x, 1.0, 0),
        lambda: kernels.dropout(x, -0.1, 0),
        lambda: kernels.dropout(x[0], 0.5, 0),
        lambda: kernels.leaky_relu(x, -1),
        lambda: kernels.batchnorm(x, x[0], x[0]),
        lambda: kernels.batchnorm(x[:, None], x[0], x[0, :2]),
        lambda: kernels.layernorm(x, x[0], x[0, :2]),
        lambda: kernels.standardize(x, x[0], x[0, :2]),
        lambda: kernels.rescale_grad(x[0], x[0]),
        lambda: kernels.layernorm_grad(x, x, x, x[0]),
    ):
        with pytest.raises(ValueError, match=r"accepted|takes|do not go"):
            wrong()
