"""Toy data: shapes, labels, seeds, and the positions of points."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import pynet
from pynet import data


def test_line() -> None:
    x, y = data.line(51, slope=-3, intercept=0.5, noise=0)
    assert (x.shape, y.shape, x.dtype, y.dtype) == ((51, 1), (51, 1), np.float32, np.float32)
    assert (x[0, 0], x[-1, 0]) == (-1, 1)
    assert_allclose(y, -3 * x + 0.5, rtol=1e-6)
    x, y = data.line(10_000, noise=0.2)
    assert np.std(y - 2 * x - 1) == pytest.approx(0.2, rel=0.05)


def test_moons() -> None:
    x, y = data.moons(101, noise=0)
    assert (x.shape, y.shape, x.dtype, y.dtype) == ((101, 2), (101,), np.float32, np.int32)
    assert list(np.bincount(y)) == [51, 50]
    upper, lower = x[y == 0], x[y == 1]
    assert_allclose(np.hypot(*upper.T), 1, rtol=1e-5)
    assert_allclose(np.hypot(*(lower - [1, 0.5]).T), 1, rtol=1e-5)
    assert upper[:, 1].min() >= 0
    assert lower[:, 1].max() <= 0.5


def test_spirals() -> None:
    x, y = data.spirals(300, arms=3, turns=0.75, noise=0)
    assert (x.shape, y.shape) == ((300, 2), (300,))
    assert list(np.bincount(y)) == [100, 100, 100]
    radius, angle = np.hypot(*x.T), np.arctan2(x[:, 1], x[:, 0])
    assert 0.9 < radius.max() <= 1
    rotated = (angle / (2 * np.pi) - 0.75 * radius - y / 3) % 1
    assert_allclose(np.minimum(rotated, 1 - rotated), 0, atol=1e-4)


@pytest.mark.parametrize("make", [data.line, data.moons, data.spirals])
def test_seeds(make) -> None:
    first, again, other = make(40, seed=3), make(40, seed=3), make(40, seed=4)
    assert_array_equal(first[0], again[0])
    assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any() or (first[1] != other[1]).any()
    for wrong, message in (({"n": 0}, "n is 0"), ({"noise": -1}, "noise is -1"), ({"noise": np.nan}, "noise is nan")):
        with pytest.raises(ValueError, match=f"{message}; accepted"):
            make(**wrong)


def test_the_stream_is_frozen() -> None:
    """The samples are the same with every version of NumPy."""
    assert_allclose(data.moons(2, seed=0)[0], [[0.06874076, 0.95759577], [0.37863767, -0.29279333]], rtol=1e-6)
    assert_allclose(data.line(2, seed=0)[1], [[-1.1831307], [2.9822645]], rtol=1e-6)
    with pytest.raises(ValueError, match="arms is 0"):
        data.spirals(arms=0)


def test_networks_learn_them() -> None:
    x, y = data.spirals(300)
    net = pynet.Network("input(2) dense(32) tanh dense(32) tanh dense(2) softmax", seed=1)
    net.fit(x, y, epochs=300, batch_size=50, optimizer=pynet.SGD(0.3))
    assert net.evaluate(x, y).accuracy > 0.95
    x, y = data.line(200)
    net = pynet.Network("input(1) dense(1) loss(mse)")
    net.fit(x, y, epochs=60, batch_size=20)
    assert net.layers[0].W[0, 0] == pytest.approx(2, abs=0.05)
    assert net.layers[0].b[0] == pytest.approx(1, abs=0.05)
