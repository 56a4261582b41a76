"""The figures of a regression: rmse, mae, r2, and Network.evaluate."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pynet import Network, metrics

Y, P = [3.0, -0.5, 2.0, 7.0], [2.5, 0.0, 2.0, 8.0]


def test_figures_by_hand() -> None:
    """The errors are 0.5, -0.5, 0, -1; the squared deviations of the targets from their mean 2.875 sum to 29.1875."""
    assert metrics.rmse(Y, P) == math.sqrt(1.5 / 4)
    assert metrics.mae(Y, P) == 0.5
    assert metrics.r2(Y, P) == pytest.approx(1 - 1.5 / 29.1875, abs=1e-15)
    assert metrics.r2(Y, Y) == 1
    assert metrics.r2(Y, np.full(4, 2.875)) == pytest.approx(0, abs=1e-15)


def test_several_outputs_have_equal_weight() -> None:
    both, found = np.stack([Y, 100 * np.array(Y)], axis=1), np.stack([P, np.full(4, 287.5)], axis=1)
    parts = [(both[:, i], found[:, i]) for i in (0, 1)]
    for figure in (metrics.rmse, metrics.mae, metrics.r2):
        assert figure(both, found) == pytest.approx(sum(figure(*part) for part in parts) / 2)


def test_targets_that_are_all_the_same_have_no_r2() -> None:
    assert math.isnan(metrics.r2([0.1] * 7, [0.1] * 7))
    assert math.isnan(metrics.r2([5.0], [5.0]))
    truth = np.stack([Y, np.full(4, 0.1)], axis=1)
    assert metrics.r2(truth, np.stack([P, np.zeros(4)], axis=1)) == metrics.r2(Y, P)


def test_large_offsets_lose_no_digits() -> None:
    y = (1e7 + np.arange(8)).astype(np.float32)
    assert metrics.r2(y, y[::-1]) == pytest.approx(1 - 168 / 42)
    assert metrics.rmse(y, y + 1) == 1


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([1.0, 2.0], [1.0], r"y_true has shape \(2,\), y_pred has \(1,\); accepted"),
        ([1.0, 2.0], [[1.0], [2.0]], r"y_true has shape \(2,\), y_pred has \(2, 1\)"),
        (1.0, 1.0, r"y_true has shape \(\)"),
        ([], [], "there is nothing to measure"),
        (["a"], [1.0], "y_true"),
    ],
)
def test_bad_targets(y: object, p: object, message: str) -> None:
    for figure in (metrics.rmse, metrics.mae, metrics.r2):
        with pytest.raises(ValueError, match=message):
            figure(y, p)


def test_evaluate_agrees_with_a_direct_computation() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(700, 4)).astype(np.float32), rng.normal(size=(700, 2)).astype(np.float32)
    net = Network("input(4) dense(5) tanh dense(2)", seed=1)
    found, p = net.evaluate(x, y), net.predict(x)
    assert found.loss == pytest.approx(0.5 * ((p - y) ** 2).sum(axis=1).mean(), rel=1e-6)
    assert found[1:] == (metrics.rmse(y, p), metrics.mae(y, p), metrics.r2(y, p), 700)
    assert found.score == found.r2
    assert net.evaluate(x, y, np.zeros(700))[1:] == found[1:]
    empty = net.evaluate(x[:0], y[:0])
    assert (empty.loss, empty.samples, math.isnan(empty.rmse)) == (0, 0, True)
