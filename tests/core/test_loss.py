"""Losses other than the two defaults: label smoothing, binary cross-entropy, regression; weights of samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from pynet import SGD, Adam, Network, gradient_check, kernels, load, reference

Array = np.ndarray[Any, Any]

SMOOTH = "input(6) dense(5) tanh dense(4) softmax loss(cross_entropy,smoothing=0.2)"
SINGLE = "input(6) dense(5) tanh dense(1) sigmoid loss(bce)"
SEVERAL = "input(6) dense(5) tanh dense(3) sigmoid loss(bce)"
SQUARED = "input(6) dense(5) tanh dense(3)"
ABSOLUTE = "input(6) dense(5) tanh dense(3) loss(mae)"
HUBER = "input(6) dense(5) tanh dense(3) rescale loss(huber,delta=0.5)"


def samples(spec: str, n: int = 20, seed: int = 0) -> tuple[Array, Array]:
    """Inputs, and labels or targets for the loss of this network."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6)).astype(np.float32)
    targets = {
        SMOOTH: rng.integers(0, 4, n),
        SINGLE: rng.integers(0, 2, n),
        SEVERAL: rng.random((n, 3)).astype(np.float32),
        SQUARED: rng.normal(size=(n, 3)).astype(np.float32),
        ABSOLUTE: rng.normal(size=(n, 3)).astype(np.float32),
        HUBER: rng.normal(size=(n, 3)).astype(np.float32),
    }
    return x, targets[spec]


each_loss = pytest.mark.parametrize("spec", [SMOOTH, SINGLE, SEVERAL, SQUARED, ABSOLUTE, HUBER])


@each_loss
@pytest.mark.parametrize("weighted", [False, True])
def test_ten_steps_are_the_reference(table: str, spec: str, weighted: bool) -> None:
    net = Network(spec, seed=1)
    twin = reference.Network.from_net(net)
    for step in range(10):
        x, y = samples(spec, seed=step)
        weight = np.random.default_rng(step).random(20) * 2 if weighted else None
        rows = y[:, None] if spec == SINGLE else y
        expected = twin.train_step(x, rows, 0.2, weight)
        assert_allclose(net.train_step(x, y, SGD(0.2), weight), expected, rtol=2e-6)
    for name, exact in twin.parameters().items():
        assert_allclose(net.tensors[name], exact, rtol=0, atol=5e-6, err_msg=name)


@each_loss
def test_gradients(spec: str) -> None:
    x, y = samples(spec)
    assert gradient_check(Network(spec), x, y[:, None] if spec == SINGLE else y).worst < 1e-5


@each_loss
def test_every_api_gives_the_same_bits(spec: str) -> None:
    x, y = samples(spec, 40)
    weight = np.random.default_rng(0).random(40).astype(np.float32)
    nets = [Network(spec, seed=1) for _ in range(3)]
    nets[0].fit(x, y, epochs=1, batch_size=20, optimizer=Adam(), sample_weight=weight, seed=3)
    order = kernels.shuffle(40, 3, 0)
    for rows in (order[:20], order[20:]):
        nets[1].train_step(x[rows], y[rows], Adam(), weight[rows])
        nets[2].forward(x[rows])
        nets[2].loss(y[rows], weight[rows])
        nets[2].backward()
        nets[2].update(Adam())
    assert len({net.weights_sha256() for net in nets}) == 1


@each_loss
def test_weights_count_samples(spec: str) -> None:
    x, y = samples(spec)
    net = Network(spec)
    times = np.arange(20) % 3
    whole = net.evaluate(np.repeat(x, times, axis=0), np.repeat(y, times, axis=0)).loss * times.sum()
    assert_allclose(net.evaluate(x, y, times).loss * 20, whole, rtol=1e-5)
    assert net.evaluate(x, y, np.zeros(20)).loss == 0


def test_class_weights() -> None:
    x, y = samples(SMOOTH, 40)
    nets = [Network(SMOOTH) for _ in range(4)]
    own = np.where(y == 2, 5.0, np.where(y == 0, 0.5, 1.0))
    nets[0].fit(x, y, epochs=2, batch_size=16, sample_weight=own)
    nets[1].fit(x, y, epochs=2, batch_size=16, class_weight={2: 5, 0: 0.5})
    nets[2].fit(x, y, epochs=2, batch_size=16, class_weight=[0.5, 1, 5, 1])
    nets[3].fit(x, y, epochs=2, batch_size=16, class_weight=[1, 2, 10, 2], sample_weight=np.full(40, 0.5))
    assert len({net.weights_sha256() for net in nets}) == 1
    binary = Network(SINGLE)
    binary.fit(*samples(SINGLE), epochs=1, class_weight=[1, 3])


def test_smoothing_is_in_the_text_and_the_file(tmp_path: Any) -> None:
    net = Network(SMOOTH)
    assert net.spec == SMOOTH
    assert net.label_smoothing == 0.2
    assert str(Network(net.spec)) == net.spec
    net.save(tmp_path / "m")
    assert load(tmp_path / "m").label_smoothing == 0.2
    assert Network(SMOOTH.replace("0.2", "0")).spec == SMOOTH[: SMOOTH.index(" loss")]


def test_binary_targets() -> None:
    """A single output separates two classes; several outputs are trained and evaluated one by one."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)
    net = Network(SINGLE)
    net.fit(x, y, epochs=30, optimizer=Adam(0.02))
    found = net.evaluate(x, y)
    assert found.accuracy > 0.97
    assert (net.predict(x) == y).mean() == found.accuracy
    p = net.predict_proba(x)[:, 0].astype(np.float64)
    assert_allclose(found.loss, -np.mean(np.log(np.where(y == 1, p, 1 - p))), rtol=1e-4)
    assert_allclose(net.forward(x)[:, 0], p, rtol=1e-6)
    several = Network(SEVERAL)
    targets = (x[:, :3] > 0).astype(np.float32)
    several.fit(x, targets, epochs=60, optimizer=Adam(0.02))
    right = ((several.predict_proba(x) > 0.5) == targets).all(axis=1)
    assert several.evaluate(x, targets).correct == right.sum()
    assert right.mean() > 0.9


def test_confident_outputs_have_finite_losses(table: str) -> None:
    x = np.array([[1000.0, -1000.0, 0.0, -1e30, 88.0]], np.float32)
    loss, dx = kernels.binary_cross_entropy(x, [[1, 0, 0.5, 0, 0]], 1.0)
    assert_allclose(loss, np.log(2) + 88, rtol=1e-6)
    assert_allclose(dx, [[0, 0, 0, 0, 1]], atol=1e-7)
    loss, _ = kernels.binary_cross_entropy(x, [[0, 1, 0.5, 0, 1]], 1.0)
    assert_allclose(loss, 2000 + np.log(2), rtol=1e-6)


def test_a_line_is_fitted() -> None:
    """The first tutorial: y = 2 x + 1."""
    x = np.linspace(-1, 1, 50, dtype=np.float32)[:, None]
    net = Network("input(1) dense(1)")
    history = net.fit(x, 2 * x[:, 0] + 1, epochs=200, batch_size=10)
    assert history.loss[-1] < 1e-10
    assert_allclose(net.layers[0].W, [[2]], atol=1e-4)
    assert_allclose(net.layers[0].b, [1], atol=1e-4)


def test_bad_targets_and_weights() -> None:
    x, y = samples(SEVERAL)
    net = Network(SEVERAL)
    before = net.weights_sha256()
    for call, message in (
        (lambda: net.train_step(x, y + 1, SGD()), r"target of sample 0 is 1\.\d+; binary cross-entropy takes 0 to 1"),
        (lambda: net.train_step(x, y * np.nan, SGD()), "target of sample 0 is -?nan"),
        (lambda: net.train_step(x, y, SGD(), np.ones(19)), r"sample_weight has shape \(19,\); these .* take \(20,\)"),
        (lambda: net.train_step(x, y, SGD(), -np.ones(20)), "weight of sample 0 is -1; accepted: a finite number"),
        (lambda: net.evaluate(x, y, np.full(20, np.inf)), "weight of sample 0 is inf"),
        (lambda: net.evaluate(x, y, np.full(20, 1e39)), "weight of sample 0 is inf"),
        (
            lambda: net.fit(x, y, sample_weight=np.ones(20), validation_split=0.5),
            "sample_weight cannot be used with a validation fraction",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert net.weights_sha256() == before


@pytest.mark.parametrize("outputs", [1, 3])
def test_targets_beyond_float32_are_named_without_a_warning(outputs: int) -> None:
    x, y = samples(SQUARED)
    y = y[:, :outputs].astype(np.float64)
    y[4, 0] = 1e39
    net = Network(f"input(6) dense({outputs})")
    for call in (net.evaluate, lambda x, y: net.train_step(x, y, SGD())):
        with pytest.raises(ValueError, match="targets hold inf in sample 4, output 0"):
            call(x, y if outputs > 1 else y[:, 0])
