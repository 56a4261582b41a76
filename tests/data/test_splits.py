"""Splits of a data set, one-hot rows, and batches."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.data_files import X_TEST, X_TRAIN, Y_TRAIN
from hypothesis import given
from hypothesis import strategies as st

from pynet import data
from pynet.data import DataError


@given(
    labels=st.lists(st.integers(0, 4), min_size=2, max_size=60).filter(lambda v: len(set(v)) < len(v)),
    fraction=st.floats(0.001, 0.999),
    seed=st.integers(0, 2**64 - 1),
)
def test_split_is_stratified(labels: list[int], fraction: float, seed: int) -> None:
    x = np.arange(len(labels))
    y = np.array(labels)
    x_train, y_train, x_val, y_val = data.split(x, y, fraction, seed)
    assert sorted([*x_train, *x_val]) == x.tolist()
    assert (y_train.tolist(), y_val.tolist()) == (y[x_train].tolist(), y[x_val].tolist())
    for c, n in zip(*np.unique(y, return_counts=True), strict=True):
        aside = int((y_val == c).sum())
        assert 1 <= aside <= n - 1 if n > 1 else aside == 0
        assert abs(aside - n * fraction) < 1
    again = data.split(x, y, fraction, seed)
    assert all(np.array_equal(a, b) for a, b in zip(again, (x_train, y_train, x_val, y_val), strict=True))


def test_split_is_the_same_everywhere() -> None:
    """The split is the same on every machine and with every version of NumPy, and differs between seeds."""
    y = np.arange(20) % 2
    assert data.split(np.arange(20), y, 0.3, seed=0)[2].tolist() == [0, 2, 3, 9, 12, 15]
    assert data.split(np.arange(20), y, 0.3, seed=1)[2].tolist() == [0, 2, 11, 13, 17, 18]


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan"), float("inf")])
def test_split_refuses_a_fraction(fraction: float) -> None:
    with pytest.raises(DataError, match=rf"fraction {fraction}: must lie between 0 and 1"):
        data.split(np.arange(4), np.array([0, 0, 1, 1]), fraction)


def test_split_refuses() -> None:
    with pytest.raises(DataError, match="3 samples, no class has two of them"):
        data.split(np.arange(3), np.arange(3), 0.5)
    with pytest.raises(DataError, match=r"x of shape \(3,\), y int64 of shape \(2,\)"):
        data.split(np.arange(3), np.arange(2, dtype=np.int64), 0.5)
    with pytest.raises(DataError, match=r"y float64 of shape \(3,\)"):
        data.split(np.arange(2), np.array([0.0, 1.0, 2.0]), 0.5)
    with pytest.raises(DataError, match="y <U1"):
        data.split(np.arange(2), np.array(["a", "b"]), 0.5)


@pytest.mark.parametrize("shape", [(10,), (10, 3)])
def test_split_of_targets(shape: tuple[int, ...]) -> None:
    """Each sample is in one part, also if targets are equal."""
    y = np.zeros(shape, np.float32)
    y[3] = 1
    for divide in (data.split, data.validation_split):
        x_train, y_train, x_val, y_val = divide(np.arange(10), y, 0.3, seed=1)
        assert (len(x_val), sorted([*x_train, *x_val])) == (3, list(range(10)))
        assert np.array_equal(y_train, y[x_train])
        assert np.array_equal(y_val, y[x_val])
        assert divide(np.arange(10), y, 0.3, seed=1)[2].tolist() == x_val.tolist()
        assert divide(np.arange(10), y, 0.3, seed=2)[2].tolist() != x_val.tolist()


def test_one_hot() -> None:
    rows = data.one_hot([2, 0], 3)
    assert rows.dtype == np.float32
    assert rows.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert data.one_hot([], 3).shape == (0, 3)
    with pytest.raises(DataError, match=r"label 3 at index 1, accepted are 0\.\.2"):
        data.one_hot([0, 3], 3)
    with pytest.raises(DataError, match=r"label -1 at index 0"):
        data.one_hot([-1], 3)
    with pytest.raises(DataError, match="y is float64"):
        data.one_hot([0.5], 3)


def test_batches() -> None:
    from pynet.kernels import shuffle

    x, y = X_TRAIN[:10], Y_TRAIN[:10]
    order = shuffle(10, 7, 3)
    found = list(data.batches(x, y, batch_size=4, seed=7, epoch=3))
    assert [len(b) for b, _ in found] == [4, 3, 3]
    np.testing.assert_array_equal(np.concatenate([b for b, _ in found]), x[order])
    np.testing.assert_array_equal(np.concatenate([b for _, b in found]), y[order])
    assert found[0][0].dtype == np.uint8
    other = np.concatenate([b for _, b in data.batches(x, np.arange(10), seed=7, epoch=4)])
    assert sorted(other) == list(range(10))
    assert other.tolist() != order.tolist()
    assert list(data.batches(x[:0], y[:0])) == []


def test_batches_refuses_at_once() -> None:
    with pytest.raises(DataError, match="batch_size 0"):
        data.batches(X_TRAIN, Y_TRAIN, batch_size=0)
    with pytest.raises(DataError, match=r"x has shape \(6, 4, 3\), y has shape \(12,\)"):
        data.batches(X_TEST, Y_TRAIN)
