"""The gradient check accepts the reference's gradients, detects wrong ones, and reports what it skipped."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from helpers.reference_nets import SEEDS, SMALL, batch, dense, fake_net
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from pynet.reference import Dense, Layer, Network, ReLU, Sigmoid, Softmax, Tanh, init, losses
from pynet.training.gradient_check import gradient_check

STACKS: dict[str, Callable[[], Network]] = {
    "dense": lambda: Network([dense(6, 4)], "mse"),
    "relu": lambda: Network([dense(6, 4), ReLU()], "mse"),
    "sigmoid": lambda: Network([dense(6, 4), Sigmoid()], "mse"),
    "tanh": lambda: Network([dense(6, 4), Tanh()], "mse"),
    "softmax": lambda: Network([dense(6, 4), Softmax()], "mse"),
    "fused": lambda: Network([dense(6, 4), Softmax()]),
    "softmax inside": lambda: Network([dense(6, 5), Softmax(), dense(5, 4)], "mse"),
    "relu stack": lambda: Network([dense(6, 8), ReLU(), dense(8, 5), ReLU(), dense(5, 4), Softmax()]),
    "relu stack mse": lambda: Network([dense(6, 8), ReLU(), dense(8, 5), ReLU(), dense(5, 4)], "mse"),
    "video": lambda: Network([dense(6, 8), Sigmoid(), dense(8, 8), Sigmoid(), dense(8, 4), Sigmoid()], "mse"),
    "mixed": lambda: Network([dense(6, 8), Tanh(), dense(8, 5), Sigmoid(), dense(5, 4), Softmax()]),
    "one class": lambda: Network([dense(6, 3), Tanh(), dense(3, 1), Softmax()]),
}


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("seed", [1, 2])
def test_gradients_are_right(stack: str, seed: int) -> None:
    net = STACKS[stack]()
    outputs = len(net.parameters()[list(net.parameters())[-1]])
    result = gradient_check(net, *batch(6, outputs, seed=seed))
    assert result.worst < 1e-5
    for name, w in net.parameters().items():
        assert result.checked[name] + result.skipped[name] == w.size
        assert result.checked[name] >= 0.9 * w.size


@settings(max_examples=15)
@given(widths=st.lists(st.integers(1, 6), min_size=2, max_size=4), m=SMALL, mse=st.booleans(), seed=SEEDS)
def test_gradients_are_right_for_any_shape(widths: list[int], m: int, mse: bool, seed: int) -> None:
    layers: list[Layer] = []
    for n_in, n_out in pairwise(widths):
        layers += [dense(n_in, n_out, seed), (Tanh, Sigmoid)[n_in % 2]()]
    net = Network([*layers, Softmax()], "mse" if mse else "cross_entropy")
    assert gradient_check(net, *batch(widths[0], widths[-1], m, seed), samples=10).worst < 1e-5


def test_gradients_are_right_at_full_size() -> None:
    rng = np.random.default_rng(0)
    layers = [Dense(*init(784, 128, "he", rng)), ReLU(), Dense(*init(128, 10, "xavier", rng)), Softmax()]
    pixels = rng.integers(0, 256, (16, 784), dtype=np.uint8)
    result = gradient_check(Network(layers), pixels, rng.integers(0, 10, 16), samples=40)
    assert result.worst < 1e-5
    assert result.checked == {"0.W": 40, "0.b": 40, "2.W": 40, "2.b": 10}


def dense_with(**wrong: float) -> Callable[[Dense, np.ndarray], np.ndarray]:
    """Dense.backward with dW, db or dx multiplied by a number."""
    right = Dense.backward

    def backward(self: Dense, dy: np.ndarray) -> np.ndarray:
        dx = right(self, dy)
        for name in self.grads:
            self.grads[name] = self.grads[name] * wrong.get(name, 1)
        return dx * wrong.get("x", 1)

    return backward


MUTANTS: dict[str, tuple[str, Any, str, Any]] = {
    "dense W": ("relu stack", Dense, "backward", dense_with(W=1.001)),
    "dense b": ("relu stack", Dense, "backward", dense_with(b=1.001)),
    "dense x": ("relu stack", Dense, "backward", dense_with(x=1.001)),
    "relu lets all through": ("relu stack", ReLU, "backward", lambda self, dy: dy),
    "sigmoid without 1 - y": ("sigmoid", Sigmoid, "backward", lambda self, dy: dy * self.y),
    "tanh without the square": ("tanh", Tanh, "backward", lambda self, dy: dy * (1 - self.y)),
    "softmax taken for a sigmoid": ("softmax", Softmax, "backward", lambda self, dy: dy * self.p * (1 - self.p)),
    "softmax inside forgotten": ("softmax inside", Softmax, "backward", lambda self, dy: dy),
    "losses summed, not averaged": ("fused", losses, "_mean_scale", lambda scale, m: 1.0),
    "squared error not halved": ("video", losses, "_mean_scale", lambda scale, m: 2 / m),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_gradient_check_catches_a_wrong_gradient(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stack, owner, name, wrong = MUTANTS[mutant]
    samples = batch(6, 4)
    assert gradient_check(STACKS[stack](), *samples).worst < 1e-5
    monkeypatch.setattr(owner, name, wrong)
    assert gradient_check(STACKS[stack](), *samples).worst > 4e-4


def test_gradient_check_names_the_tensor_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dense, "backward", dense_with(b=2))
    result = gradient_check(STACKS["fused"](), *batch(6, 4))
    assert result.errors["0.W"] < 1e-5
    assert result.errors["0.b"] == pytest.approx(1 / 3, rel=1e-4)
    assert str(result).splitlines()[1] == "0.b      3.3e-01  4 checked"


def test_gradient_check_does_not_change_the_network_and_repeats() -> None:
    net = STACKS["mixed"]()
    before = {name: w.copy() for name, w in net.parameters().items()}
    samples = batch(6, 4)
    first, again = (gradient_check(net, *samples, samples=5, seed=7) for _ in range(2))
    assert first == again
    assert set(first.checked.values()) == {4, 5}
    for name, w in net.parameters().items():
        assert_array_equal(w, before[name])
    assert net.output is None


def test_gradient_check_accepts_the_networks_of_from_net() -> None:
    net = fake_net(("0", "dense"), ("1", "relu"), ("2", "dense"), ("3", "softmax"))
    result = gradient_check(net, *batch(4, 3))
    assert result.worst < 1e-5
    assert list(result.errors) == ["0.W", "0.b", "2.W", "2.b"]


def test_gradient_check_skips_kinks_and_reports_them() -> None:
    on_a_kink = Network([Dense([[1.0, 1.0]], [0.0, 1.0]), ReLU()], "mse")  # at x = 0 the first unit is at its kink
    result = gradient_check(on_a_kink, [[0.0]], [[1.0, 0.5]])
    assert (result.checked["0.b"], result.skipped["0.b"]) == (1, 1)
    assert result.worst < 1e-5


def test_gradient_check_that_checked_nothing_fails() -> None:
    result = gradient_check(Network([Dense([[1.0]], [0.0]), ReLU()], "mse"), [[0.0]], [[1.0]])
    assert (result.checked["0.b"], result.skipped["0.b"]) == (0, 1)
    assert math.isnan(result.worst)
    with pytest.raises(ValueError, match="no parameters to check"):
        gradient_check(Network([Softmax()]), [[1.0, 2.0]], [0])


def test_gradient_check_reports_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dense, "backward", dense_with(W=math.nan))
    assert math.isnan(gradient_check(STACKS["dense"](), *batch(6, 4)).worst)
