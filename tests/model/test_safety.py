"""Mistakes of a program that uses a network: none crashes the process or loses a weight."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers.memory import GUARD

import pynet
from pynet.model import handle, net, views

SPEC = "input(64) dense(8) relu dense(3) softmax"
X, Y = np.ones((5, 64), np.float32), np.zeros(5, np.int64)


def survives(script: str) -> None:
    """Runs a script in a separate process, which must not crash."""
    start = "import sys, threading\nimport numpy as np\nimport pynet\n"
    command = [sys.executable, "-X", "faulthandler", "-c", start + script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=GUARD)
    assert done.returncode == 0, done.stderr


# ---- no x ----


def after_nothing(net: pynet.Network) -> None:
    pass


def after_forward(net: pynet.Network) -> None:
    net.forward(X)


def after_backward(net: pynet.Network) -> None:
    net.forward(X)
    net.loss(Y)
    net.backward()


@pytest.mark.parametrize("before", [after_nothing, after_forward, after_backward])
@pytest.mark.parametrize(
    "call",
    [
        lambda net, x: net.forward(x),
        lambda net, x: net.predict(x),
        lambda net, x: net.predict_proba(x),
        lambda net, x: net.evaluate(x, Y),
        lambda net, x: net.evaluate(x, Y[:0]),
        lambda net, x: net.evaluate(x, None),
        lambda net, x: net.train_step(x, Y, pynet.SGD()),
        lambda net, x: net.train_step(x, Y, pynet.SGD(), sample_weight=np.ones(5)),
        lambda net, x: net.train_step(x, None, pynet.SGD()),
        lambda net, x: net.fit(x, Y),
        lambda net, x: net.fit(x),
        lambda net, x: net.fit(x, Y, validation_split=0.2),
        lambda net, x: net.fit(x, Y, augment=pynet.Augment()),
        lambda net, x: net.fit([(x, Y)]),
        lambda net, x: net.fit(X, Y, validation=(x, Y)),
        lambda net, x: net.partial_fit(x, Y),
        lambda net, x: net.partial_fit(x, None),
        lambda net, x: net.input_gradient(x, Y),
        lambda net, x: net.input_gradient(x, dy=np.zeros((5, 3))),
    ],
)
def test_x_is_none(before: Callable[[pynet.Network], None], call: Callable[[pynet.Network, Any], object]) -> None:
    net = pynet.Network(SPEC)
    before(net)
    weights = net.weights_sha256()
    with pytest.raises(ValueError, match="x is None"):
        call(net, None)
    assert net.weights_sha256() == weights


@pytest.mark.parametrize("x", [[None] * 5, np.full((5, 64), None), object(), "x", {}, [[1.0], [1.0, 2.0]]])
def test_x_is_not_an_array(x: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        pynet.Network(SPEC).predict(x)  # type: ignore[arg-type]


# ---- views ----


def test_a_view_of_the_optimizer_state_outlives_the_optimizer() -> None:
    """Tries all changes of the optimizer, each of which may allocate other memory."""
    survives("""
kinds = [pynet.SGD(), pynet.Momentum(), pynet.RMSProp(), pynet.Adam(), pynet.AdamW()]
x, y = np.ones((5, 640), "f4"), np.zeros(5, int)
for first in kinds:
    for then in kinds:
        net = pynet.Network("input(640) dense(800) relu dense(3) softmax")
        net.train_step(x, y, first)
        seen = net.optimizer_state
        net.train_step(x, y, then)
        net.optimizer_state = pynet.model.net.OptimizerState("adam", 0, net.copy().optimizer_state.tensors) \
            if net.optimizer_state.kind == "adam" else net.optimizer_state
        net.train_step(x, y, pynet.Adam())
        assert all(np.isfinite(tensor.sum()) for tensor in seen.tensors.values())
        for tensor in seen.tensors.values():
            tensor[...] = 1
        net.train_step(x, y, then)
""")


def test_one_thread_at_a_time_makes_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock is held until a view or copy is made, because another thread's call may move the memory."""
    network = pynet.Network(SPEC)
    free: list[bool] = []

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            def look() -> None:
                free.append(network._lock.acquire(blocking=False))
                if free[-1]:
                    network._lock.release()

            other = threading.Thread(target=look)
            other.start()
            other.join()
            return function(*args, **named)

        return call

    after_backward(network)
    network.meta["a"] = "b"
    network.train_step(X, Y, pynet.Adam())
    state = network.optimizer_state.copy()
    after_backward(network)
    monkeypatch.setattr(net, "tensor_view", watched(net.tensor_view))
    monkeypatch.setattr(net, "text", watched(net.text))
    monkeypatch.setattr(views, "text", watched(views.text))
    monkeypatch.setattr(handle.np, "frombuffer", watched(np.frombuffer))
    for look in (
        lambda: network.optimizer_state,
        lambda: setattr(network, "optimizer_state", state),
        lambda: network.gradients,
        lambda: dict(network.meta),
        lambda: network.meta["a"],
    ):
        free.clear()
        look()
        assert free
        assert not any(free)


def test_notes_that_another_thread_changes() -> None:
    survives("""
sys.setswitchinterval(1e-6)
net = pynet.Network("input(64) dense(8) relu dense(3) softmax")
stop = threading.Event()
def change():
    i = 0
    while not stop.is_set():
        i += 1
        net.meta["a"] = "x" * (i % 5000)
        net.meta[str(i % 50)] = "y"
        net.meta.pop(str((i + 25) % 50), None)
other = threading.Thread(target=change, daemon=True)
other.start()
for _ in range(3000):
    assert repr(net.meta).replace("x", "").startswith("{")
stop.set()
other.join()
""")


def test_gradients_while_another_thread_trains() -> None:
    survives("""
net = pynet.Network("input(64) dense(300) relu dense(3) softmax")
x, y = np.ones((2000, 64), "f4"), np.zeros(2000, int)
stop = threading.Event()
def change():
    n = 1
    while not stop.is_set():
        n = n % 2000 + 1
        net.train_step(x[:n], y[:n], pynet.Adam() if n % 2 else pynet.SGD())
other = threading.Thread(target=change, daemon=True)
other.start()
for _ in range(300):
    net.forward(x[:5])
    try:
        net.loss(y[:5])
        net.backward()
        assert len(net.gradients) == 4
    except (RuntimeError, ValueError):  # the other thread's step came in between
        pass
    net.optimizer_state.copy()
stop.set()
other.join()
""")


# ---- what another thread changes while it is used ----


@pytest.mark.parametrize(
    ("what", "values"),
    [("y", "2**30, -5, 3"), ("w", "np.nan, -1, 1"), ("x", "np.nan, np.inf, 0")],
)
@pytest.mark.parametrize(
    "call",
    [
        "net.train_step(x, y, pynet.SGD(1e-6), sample_weight=w)",
        "net.evaluate(x, y, w)",
        "net.fit(x, y, epochs=1, sample_weight=w)",
        "net.forward(x); net.loss(y, w); net.backward(); net.update(pynet.SGD(1e-6))",
        "net.input_gradient(x, y)",
    ],
)
def test_data_that_another_thread_changes(what: str, values: str, call: str) -> None:
    survives(f"""
net = pynet.Network("input(64) dense(32) relu dense(10) softmax")
x, y, w = np.zeros((2000, 64), "f4"), np.zeros(2000, np.int32), np.ones(2000, "f4")
stop = threading.Event()
def change():
    while not stop.is_set():
        for value in ({values}):
            {what}[:] = value
other = threading.Thread(target=change, daemon=True)
other.start()
refused = 0
for _ in range(60):
    try:
        {call}
    except (ValueError, FloatingPointError):
        refused += 1
stop.set()
other.join()
if {what!r} != "x":  # inputs are read twice, so a change in between is detected, but used
    assert all(np.isfinite(tensor).all() for tensor in net.tensors.values())
""")


# ---- gradients that are not finite ----


def steep() -> tuple[pynet.Network, np.ndarray, np.ndarray]:
    """A finite loss, 4.5e36, whose gradient is not: 1e12 times 3e18 times 1e10."""
    net = pynet.Network("input(1) dense(1) dense(1) loss(mse)")
    net.layers[0].W, net.layers[1].W = [[1e-22]], [[1e10]]
    return net, np.array([[1e12]], np.float32), np.array([[-3e18]], np.float32)


@pytest.mark.parametrize(
    "optimizer", [pynet.SGD(), pynet.Momentum(), pynet.RMSProp(), pynet.Adam(), pynet.SGD(clip_norm=1.0)]
)
def test_update_refuses_gradients_that_are_not_finite(optimizer: pynet.Optimizer) -> None:
    net, x, y = steep()
    net.train_step(np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32), optimizer)
    weights, state = net.weights_sha256(), net.optimizer_state.copy()
    net.forward(x)
    assert np.isfinite(net.loss(y))
    net.backward()
    assert not np.isfinite(net.layers[0].dW).all()
    with pytest.raises(FloatingPointError, match=r"0\.W"):
        net.update(optimizer)
    assert net.weights_sha256() == weights
    assert net.optimizer_state.steps == state.steps
    for name, tensor in net.optimizer_state.tensors.items():
        assert np.array_equal(tensor, state.tensors[name])
