"""The NumPy reference (functions, losses, layers, network) against results by hand and finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from helpers.reference_nets import SEEDS, SMALL, batch, dense, fake_net
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from pynet import reference
from pynet.reference import Dense, Network, ReLU, Residual, Softmax, Tanh, init


def overflow_is_an_error() -> np.errstate:
    return np.errstate(over="raise", invalid="raise", divide="raise")


# ---- kernels --------------------------------------------------------------------------------------------------------


@given(m=SMALL, n=SMALL, k=SMALL, trans_a=st.booleans(), trans_b=st.booleans(), seed=SEEDS)
def test_gemm_is_the_sum_over_p(m: int, n: int, k: int, trans_a: bool, trans_b: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, c = rng.normal(size=(m, k)), rng.normal(size=(k, n)), rng.normal(size=(m, n))
    expected = [[sum(a[i, p] * b[p, j] for p in range(k)) for j in range(n)] for i in range(m)]
    stored = (a.T.copy() if trans_a else a, b.T.copy() if trans_b else b)
    assert_allclose(reference.gemm(*stored, trans_a=trans_a, trans_b=trans_b), expected, rtol=1e-12, atol=1e-14)
    out = c.copy()
    assert reference.gemm(*stored, trans_a=trans_a, trans_b=trans_b, out=out, accumulate=True) is out
    assert_allclose(out, c + expected, rtol=1e-12, atol=1e-14)
    reference.gemm(*stored, trans_a=trans_a, trans_b=trans_b, out=out)
    assert_allclose(out, expected, rtol=1e-12, atol=1e-14)


def test_gemm_refuses_accumulate_without_out_and_a_wrong_out() -> None:
    with pytest.raises(ValueError, match="out is None"):
        reference.gemm([[1.0]], [[1.0]], accumulate=True)
    with pytest.raises(ValueError, match=r"out has shape: \(2, 1\), expected \(1, 1\)"):
        reference.gemm([[1.0]], [[1.0]], out=np.zeros((2, 1)))


def test_kernels_compute_in_float64_whatever_comes_in() -> None:
    third = np.float32(1) / np.float32(3)
    product = reference.gemm(np.full((1, 3), third), np.full((3, 1), third))
    assert product.dtype == np.float64
    assert product[0, 0] == pytest.approx(3 * float(third) ** 2, rel=1e-15)


def test_bias_and_its_gradient() -> None:
    x = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    assert_array_equal(reference.bias(x, [10, 20]), [[11, 22], [13, 24], [15, 26]])
    assert_array_equal(reference.bias_grad(x), [9, 12])


def test_relu_keeps_nan_and_has_no_negative_zero() -> None:
    y = reference.relu([-math.inf, -2.0, -0.0, 0.0, 3.0, math.inf, math.nan])
    assert_array_equal(y, [0, 0, 0, 0, 3, math.inf, math.nan])
    assert not np.signbit(y[:4]).any()
    assert_array_equal(reference.relu_grad([7.0, 7.0, 7.0], [0.0, 1e-300, math.nan]), [0, 7, 0])


def test_sigmoid_and_tanh_at_known_points() -> None:
    x = [-1e4, -math.log(3), 0.0, math.log(3), 1e4]
    with overflow_is_an_error():
        assert_allclose(reference.sigmoid(x), [0, 0.25, 0.5, 0.75, 1], rtol=1e-15)
        assert_allclose(reference.tanh(x), [-1, -0.8, 0, 0.8, 1], rtol=1e-15)
    assert_allclose(reference.sigmoid_grad([1, 2, 4], [0.25, 0.5, 1]), [0.1875, 0.5, 0], rtol=1e-15)
    assert_allclose(reference.tanh_grad([1, 2, 4], [0.8, 0, 1]), [0.36, 2, 0], rtol=1e-15)


def test_sigmoid_and_tanh_are_related() -> None:
    x = np.linspace(-20, 20, 401)
    assert_allclose(reference.tanh(x), 2 * reference.sigmoid(2 * x) - 1, atol=1e-15)


def test_softmax_by_hand() -> None:
    row = [0.0, math.log(3)]
    assert_allclose(reference.softmax([row]), [[0.25, 0.75]], rtol=1e-15)
    assert_allclose(reference.softmax([[0.0, 2 * math.log(3)]], temperature=2), [[0.25, 0.75]], rtol=1e-15)
    assert_allclose(reference.softmax_grad([[1.0, 0.0]], [[0.25, 0.75]]), [[0.1875, -0.1875]], rtol=1e-15)


def test_softmax_at_the_extremes() -> None:
    with overflow_is_an_error():
        assert_array_equal(reference.softmax([[1e4, -1e4, 0], [-1e4, -1e4, -1e4]]), [[1, 0, 0], [1 / 3] * 3])
        assert_array_equal(reference.softmax([[1e4], [-1e4]]), [[1], [1]])
        assert_array_equal(reference.softmax([[5.0] * 8]), [[0.125] * 8])
        assert_array_equal(reference.softmax([[1.0, 1.001]], temperature=1e-6), [[0, 1]])
    assert reference.softmax(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("temperature", [0, -1, math.nan])
def test_softmax_refuses_a_temperature_not_above_zero(temperature: float) -> None:
    with pytest.raises(ValueError, match=f"temperature is {temperature}"):
        reference.softmax([[1.0]], temperature)


@given(m=SMALL, n=SMALL, shift=st.floats(-1e3, 1e3), seed=SEEDS)
def test_softmax_rows_are_probabilities_and_ignore_a_shift(m: int, n: int, shift: float, seed: int) -> None:
    x = np.random.default_rng(seed).normal(0, 5, (m, n))
    p = reference.softmax(x)
    assert (p > 0).all()
    assert_allclose(p.sum(axis=1), 1, rtol=1e-14)
    assert_allclose(reference.softmax(x + shift), p, rtol=1e-11)


def test_cross_entropy_by_hand() -> None:
    loss, dx = reference.cross_entropy([[0.0, math.log(3)], [0.0, 0.0]], [0, 1])
    assert_allclose(loss, [math.log(4), math.log(2)], rtol=1e-15)
    assert_allclose(dx, [[-0.375, 0.375], [0.25, -0.25]], rtol=1e-15)
    _, dx = reference.cross_entropy([[0.0, math.log(3)]], [0], scale=2)
    assert_allclose(dx, [[-1.5, 1.5]], rtol=1e-15)


def test_cross_entropy_stays_finite_where_the_probability_is_rounded_to_zero() -> None:
    with overflow_is_an_error():
        loss, dx = reference.cross_entropy([[1e4, -1e4], [1e4, -1e4], [7.0, 7.0]], [1, 0, 0], scale=1)
    assert_allclose(loss, [2e4, 0, math.log(2)], rtol=1e-15)
    assert_array_equal(dx, [[1, -1], [0, 0], [-0.5, 0.5]])
    loss, dx = reference.cross_entropy([[3.0]], [0])
    assert (loss[0], dx[0, 0]) == (0, 0)


def test_squared_error_by_hand() -> None:
    loss, dp = reference.squared_error([[1.0, 2.0], [0.0, 0.5]], [[0.0, 4.0], [0.0, 0.0]])
    assert_array_equal(loss, [2.5, 0.125])
    assert_array_equal(dp, [[0.5, -1], [0, 0.25]])
    with pytest.raises(ValueError, match=r"shape of the targets: \(1, 1\), expected \(1, 2\)"):
        reference.squared_error([[1.0, 2.0]], [[1.0]])


def test_absolute_error_and_huber_by_hand() -> None:
    p, y = [[1.0, 2.0], [0.0, 0.5]], [[0.0, 4.0], [0.0, 0.0]]
    loss, dp = reference.absolute_error(p, y)
    assert_array_equal(loss, [3, 0.5])
    assert_array_equal(dp, [[0.5, -0.5], [0, 0.5]])
    loss, dp = reference.huber(p, y, 1.5)
    assert_array_equal(loss, [0.5 + 1.5 * 1.25, 0.125])
    assert_array_equal(dp, [[0.5, -0.75], [0, 0.25]])
    assert_array_equal(reference.huber(p, y, 2)[0], reference.squared_error(p, y)[0])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 3], "label 3 is out of range, accepted are 0 to 2"),
        ([-1, 0], "label -1 is out of range, accepted are 0 to 2"),
        ([0.0, 1.0], "type float64, expected whole numbers"),
        ([[0], [1]], r"shape \(2, 1\)"),
    ],
)
def test_bad_labels(labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reference.one_hot(labels, 3)
    with pytest.raises(ValueError, match=message):
        reference.cross_entropy(np.zeros((2, 3)), labels)


def test_cross_entropy_refuses_another_number_of_labels() -> None:
    with pytest.raises(ValueError, match="number of labels: 1, expected 2"):
        reference.cross_entropy(np.zeros((2, 3)), [0])


def test_one_hot_gather_and_sgd() -> None:
    assert_array_equal(reference.one_hot(np.array([2, 0], np.uint8), 3), [[0, 0, 1], [1, 0, 0]])
    x = np.array([[0, 51], [102, 255]], np.uint8)
    assert_allclose(reference.gather(x), [[0, 0.2], [0.4, 1]], rtol=1e-15)
    assert_allclose(reference.gather(x, [1, 1, 0]), [[0.4, 1], [0.4, 1], [0, 0.2]], rtol=1e-15)
    w = np.array([1, 2], np.float32)
    reference.sgd(w, [2.0, -4.0], 0.25)
    assert_array_equal(w, [0.5, 3])


@given(m=SMALL, n=SMALL, seed=SEEDS)
def test_kernel_gradients_are_slopes(m: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, dy, target = rng.normal(size=(m, n)), rng.normal(size=(m, n)), rng.normal(size=(m, n))
    x[np.abs(x) < 1e-3] = 0.1  # away from the kink
    labels = rng.integers(0, n, m)
    pairs: list[tuple[Any, Any]] = [
        (reference.relu, reference.relu_grad),
        (reference.sigmoid, reference.sigmoid_grad),
        (reference.tanh, reference.tanh_grad),
        (reference.softmax, reference.softmax_grad),
    ]
    for f, f_grad in pairs:
        assert_allclose(f_grad(dy, f(x)), slopes(partial(weighted_sum, f, dy), x), atol=1e-8)
    exact = reference.cross_entropy(x, labels)[1]
    assert_allclose(exact, slopes(lambda z: reference.cross_entropy(z, labels)[0].mean(), x), atol=1e-8)
    exact = reference.squared_error(x, target)[1]
    assert_allclose(exact, slopes(lambda z: reference.squared_error(z, target)[0].mean(), x), atol=1e-8)
    target = np.where(abs(x - target) % 1 < 1e-3, x + 0.3, target)  # away from the kinks
    for loss in (reference.absolute_error, reference.huber):
        assert_allclose(loss(x, target)[1], slopes(lambda z, f=loss: f(z, target)[0].mean(), x), atol=1e-8)


def weighted_sum(f: Any, weights: np.ndarray, x: np.ndarray) -> float:
    return float((f(x) * weights).sum())


def slopes(f: Callable[[np.ndarray], float], x: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    result = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        nudge = np.zeros_like(x)
        nudge[i] = eps
        result[i] = (f(x + nudge) - f(x - nudge)) / (2 * eps)
    return result


@pytest.mark.parametrize(("scheme", "std"), [("he", math.sqrt(2 / 300)), ("xavier", math.sqrt(2 / 500)), ("normal", 1)])
def test_init_spreads_weights_as_published(scheme: str, std: float) -> None:
    W, b = init(300, 200, scheme, np.random.default_rng(3))
    assert W.shape == (300, 200)
    assert W.std() == pytest.approx(std, rel=0.01)  # 60,000 numbers: one standard error is 0.3 %
    assert abs(W.mean()) < 4 * std / math.sqrt(W.size)
    assert_array_equal(b, np.zeros(200))


def test_init_refuses_an_unknown_scheme() -> None:
    with pytest.raises(ValueError, match="unknown initialisation 'lecun', accepted are he, xavier, normal"):
        init(1, 1, "lecun", np.random.default_rng(0))


# ---- the network ----------------------------------------------------------------------------------------------------


def test_one_step_by_hand() -> None:
    net = Network([Dense([[1.0, -1.0], [0.5, 1.0]], [0, 0]), ReLU()], "mse")
    assert_array_equal(net.forward([[1, 2]]), [[2, 1]])
    assert net.loss([[1, 1]]) == 0.5
    net.backward()
    assert_array_equal(net.gradients()["0.W"], [[1, 0], [2, 0]])
    assert_array_equal(net.gradients()["0.b"], [1, 0])
    net.update(0.5)
    assert_array_equal(net.parameters()["0.W"], [[0.5, -1], [-0.5, 1]])
    assert_array_equal(net.parameters()["0.b"], [-0.5, 0])


def test_fused_softmax_and_cross_entropy_by_hand() -> None:
    net = Network([Dense([[0.0, math.log(3)]], [0, 0]), Softmax()])
    assert_allclose(net.forward([[1], [0]]), [[0.25, 0.75], [0.5, 0.5]], rtol=1e-15)
    assert net.loss([0, 1]) == pytest.approx((math.log(4) + math.log(2)) / 2, rel=1e-15)
    net.backward()
    assert_allclose(net.gradients()["0.W"], [[-0.375, 0.375]], rtol=1e-15)
    assert_allclose(net.gradients()["0.b"], [-0.125, 0.125], rtol=1e-15)


def test_fused_gradient_is_the_one_of_the_two_steps() -> None:
    x, y = batch(5, 4)
    net = Network([dense(5, 4), Softmax()])
    p = net.forward(x)
    net.loss(y)
    net.backward()
    dp = -reference.one_hot(y, 4) / p / len(x)  # the derivative of mean -log p[label]
    assert_allclose(net.gradients()["0.W"], x.T @ net.layers[1].backward(dp), rtol=1e-12)


def test_labels_and_one_hot_rows_mean_the_same() -> None:
    x, y = batch(5, 4)
    for loss in ("cross_entropy", "mse"):
        net = Network([dense(5, 4), Softmax()], loss)
        net.forward(x)
        assert net.loss(y) == net.loss(reference.one_hot(y, 4)) > 0


def test_from_net_copies_parameters_and_names() -> None:
    net = fake_net(("0", "dense"), ("1", "residual"), ("1.0", "relu"), ("1.1", "dense"), ("2", "softmax"))
    twin = Network.from_net(net)
    assert [type(layer) for layer in twin.layers] == [Dense, Residual, Softmax]
    assert list(twin.parameters()) == ["0.W", "0.b", "1.1.W", "1.1.b"]
    assert_array_equal(twin.parameters()["1.1.W"], net.layers[3].tensors["W"])
    assert twin.parameters()["0.W"].dtype == np.float64
    before = net.layers[0].tensors["W"].copy()
    twin.train_step(*batch(4, 3), 0.5)
    assert_array_equal(net.layers[0].tensors["W"], before)


def test_from_net_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="unknown layer 'nosuch', accepted are residual, avgpool"):
        Network.from_net(fake_net(("0", "nosuch")))


def test_uint8_means_a_255th_and_images_are_flattened() -> None:
    net = Network.from_net(fake_net(("0", "sigmoid"), ("1", "dense"), ("2", "softmax"), in_shape=(2, 3)))
    pixels = np.random.default_rng(0).integers(0, 256, (5, 2, 3), dtype=np.uint8)
    expected = net.forward(pixels.reshape(5, 6) / 255)
    assert expected.shape == (5, 3)
    assert_array_equal(net.forward(pixels), expected)
    for wrong in (np.zeros((5, 7)), np.zeros(6)):
        with pytest.raises(ValueError, match=r"this network takes \(n, 2, 3\)"):
            net.forward(wrong)


def test_shapes_survive_layers_that_come_before_dense() -> None:
    x, y = batch(12, 4)
    results = []
    for samples in (x, x.reshape(-1, 1, 3, 4)):
        net = Network([Softmax(), Tanh(), dense(12, 4)], "mse")
        net.forward(samples)
        net.loss(y)
        net.backward()
        results.append(net.gradients()["2.W"])
    assert_array_equal(results[0], results[1])
    assert Network([Tanh()], "mse").forward(np.ones((2, 3, 4))).shape == (2, 3, 4)


def test_an_empty_batch_and_a_batch_of_one() -> None:
    net = Network([dense(5, 4), ReLU(), dense(4, 3), Softmax()])
    assert net.forward(np.zeros((0, 5))).shape == (0, 3)
    assert net.loss(np.zeros(0, int)) == 0
    net.backward()
    assert not net.gradients()["0.W"].any()
    assert net.predict(np.zeros((0, 5))).shape == (0,)
    assert net.train_step(*batch(5, 3, m=1), 0.1) > 0


def test_steps_in_the_wrong_order() -> None:
    net = Network([dense(5, 4), Softmax()])
    x, y = batch(5, 4)
    with pytest.raises(RuntimeError, match="loss before forward"):
        net.loss(y)
    net.forward(x)
    with pytest.raises(RuntimeError, match="backward before loss"):
        net.backward()
    with pytest.raises(RuntimeError, match="no gradients before backward"):
        net.update(0.1)
    net.loss(y)
    net.forward(x)
    with pytest.raises(RuntimeError, match="backward before loss"):
        net.backward()


def test_bad_networks_and_bad_calls() -> None:
    with pytest.raises(ValueError, match="unknown loss 'hinge', accepted are cross_entropy, mse"):
        Network([Softmax()], "hinge")
    for layers in ([], [dense(2, 2)]):
        with pytest.raises(ValueError, match="cross_entropy needs Softmax as the last layer"):
            Network(list(layers))
    with pytest.raises(ValueError, match=r"shape of b: \(3,\), expected \(2,\)"):
        Dense(np.zeros((4, 2)), np.zeros(3))
    net = Network([dense(5, 4), Softmax()])
    with pytest.raises(ValueError, match=r"x has shape \(8, 6\), this dense layer takes \(n, 5\)"):
        net.forward(np.zeros((8, 6)))
    x, y = batch(5, 4)
    net.forward(x)
    with pytest.raises(ValueError, match="these rows are not one-hot"):
        net.loss(np.full((8, 4), 0.25))
    with pytest.raises(ValueError, match="width of the one-hot rows: 3, expected 4"):
        net.loss(np.zeros((8, 3)))
    with pytest.raises(ValueError, match="number of labels or targets: 8, expected 7"):
        net.fit(x[:7], y)
    for rate in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"learning_rate is {rate}"):
            net.train_step(x, y, rate)


@pytest.mark.parametrize(("loss", "learning_rate"), [("cross_entropy", 0.5), ("mse", 2.0)])
def test_ten_samples_are_memorised(loss: str, learning_rate: float) -> None:
    x, y = batch(20, 10, m=10)
    net = Network([dense(20, 32), ReLU(), dense(32, 10), Softmax()], loss)
    losses = net.fit(x, y, epochs=200, batch_size=10, learning_rate=learning_rate)
    assert_array_equal(net.predict(x), y)
    assert losses[-1] < 0.05 < losses[0]


def test_fit_is_train_step_over_batches_in_the_given_order() -> None:
    x, y = batch(5, 4, m=7)
    asked = []

    def backwards(n: int, epoch: int) -> np.ndarray:
        asked.append((n, epoch))
        return np.arange(n)[::-1]

    fitted, by_hand = (Network([dense(5, 4), Softmax()]) for _ in range(2))
    history = fitted.fit(x, y, epochs=2, batch_size=3, learning_rate=0.5, order=backwards)
    means = []
    for _ in range(2):
        steps = [(6, 5, 4), (3, 2, 1), (0,)]
        losses = [by_hand.train_step(x[list(step)], y[list(step)], 0.5) * len(step) for step in steps]
        means.append(sum(losses) / 7)
    assert asked == [(7, 0), (7, 1)]
    assert_allclose(history, means, rtol=1e-15)
    assert_array_equal(fitted.parameters()["0.W"], by_hand.parameters()["0.W"])


def test_fit_repeats_with_its_seed() -> None:
    x, y = batch(5, 4, m=20)
    results = []
    for seed in (1, 1, 2):
        net = Network([dense(5, 4), Softmax()])
        net.fit(x, y, epochs=2, batch_size=4, seed=seed)
        results.append(net.parameters()["0.W"])
    assert_array_equal(results[0], results[1])
    assert (results[0] != results[2]).any()
