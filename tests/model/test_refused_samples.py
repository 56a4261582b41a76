"""Samples and targets that a network refuses: wrong shapes, dtypes and order of calls, numbers that are not finite."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers.networks import MSE, SPEC, WIDE, samples

from pynet import SGD, Network, explain, kernels
from pynet.data import batches, one_hot, split
from pynet.training.learning_rate import find_lr

Array = np.ndarray[Any, Any]

# ---- shapes, order of calls, numbers that are not finite ----

X, Y = np.zeros((5, 12)), np.zeros(5, np.int32)
ROWS = np.eye(4)[[0, 1, 2, 3, 0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: net.forward(np.zeros((5, 11))), r"x has shape \(5, 11\), this network takes \(n, 12\)"),
        (lambda net: net.forward(np.zeros(12)), r"x has shape \(12,\), .* \(n, 12\); for one sample, x\[None\]"),
        (lambda net: net.forward(np.zeros((12, 5))), r"x has shape \(12, 5\)"),
        (lambda net: net.forward(np.zeros((3, 0))), r"x has shape \(3, 0\)"),
        (lambda net: net.forward(np.float32(3)), r"x has shape \(\)"),
        (lambda net: net.forward(np.zeros((5, 12), int)), "x has dtype int64; accepted: uint8 .*float32, float64"),
        (lambda net: net.forward(np.zeros((5, 12), bool)), "x has dtype bool"),
        (lambda net: net.forward(np.zeros((5, 12), complex)), "x has dtype complex128"),
        (lambda net: net.forward(np.full((5, 12), "a")), "x has dtype <U1"),
        (lambda net: net.predict(np.zeros((5, 13))), r"x has shape \(5, 13\)"),
        (lambda net: net.evaluate(X, Y[:4]), "x has 5 samples, y has 4"),
        (lambda net: net.train_step(X, ROWS[:3], SGD()), "x has 5 samples, y has 3"),
        (lambda net: net.evaluate(X, Y + 4), "labels run from 4 to 4; this network takes 0 to 3"),
        (lambda net: net.evaluate(X, Y - 1), "labels run from -1 to -1; this network takes 0 to 3"),
        (lambda net: net.evaluate(X, Y.astype(np.int64) + 2**32), "labels run from 4294967296"),
        (lambda net: net.evaluate(X, Y.astype(float)), r"y has shape \(5,\) and dtype float64; .* labels \(n,\)"),
        (lambda net: net.evaluate(X, ROWS[:, :3]), r"y has shape \(5, 3\)"),
        (lambda net: net.evaluate(X, ROWS[None]), r"y has shape \(1, 5, 4\)"),
        (lambda net: net.evaluate(X, ROWS * 2), "not one-hot: cross-entropy takes integer labels"),
        (lambda net: net.evaluate(X, ROWS * 0), "not one-hot"),
        (lambda net: net.evaluate(X, ROWS * 0 + 0.25), "not one-hot"),
        (lambda net: net.evaluate(X, ROWS * np.nan), "not one-hot"),
        (lambda net: net.evaluate(X, ["a"] * 5), "dtype <U1"),
    ],
)  # fmt: skip
def test_bad_samples(call: Callable[[Network], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(Network(SPEC))


def test_steps_in_the_wrong_order() -> None:
    net = Network(SPEC)

    def refused(call: Callable[[], object], message: str) -> None:
        with pytest.raises(RuntimeError, match=message):
            call()

    refused(lambda: net.loss(Y), "loss comes after forward")
    refused(net.backward, "backward comes after forward and loss")
    refused(lambda: net.update(SGD()), "update comes after forward, loss and backward")
    refused(lambda: net.layers[0].output, "activations exist after forward")
    refused(lambda: net.layers[0].dW, r"0\.W has no gradient yet")
    refused(lambda: net.gradients, "call backward")
    net.forward(X)
    refused(net.backward, "backward comes after forward and loss")
    with pytest.raises(ValueError, match="4 samples; the last forward had 5"):
        net.loss(Y[:4])
    net.loss(Y)
    refused(lambda: net.update(SGD()), "update comes after")
    net.backward()
    net.update(SGD())
    for call in (lambda: net.predict(X), lambda: net.evaluate(X, Y), lambda: net.train_step(X, Y, SGD())):
        net.forward(X)
        net.loss(Y)
        call()
        refused(net.backward, "backward comes after forward and loss")
        refused(lambda: net.layers[0].output, "until the next call that trains or predicts")


@pytest.mark.parametrize(
    ("name", "at", "value"), [("0.W", 7, np.nan), ("2.b", 6, np.inf), ("4.W", 0, -np.inf), ("4.b", 3, np.nan)]
)
def test_parameters_that_are_not_finite_are_named(table: str, name: str, at: int, value: float) -> None:
    net = Network(SPEC)
    net.tensors[name].ravel()[at] = value
    before = net.weights_sha256()
    message = rf"parameter {name} holds {value} at position {at}; accepted: finite numbers"
    with pytest.raises(FloatingPointError, match=message):
        net.train_step(X, Y, SGD())
    with pytest.raises(FloatingPointError, match=f"epoch 1, batch 1: {message}"):
        net.fit(X, Y)
    assert net.weights_sha256() == before


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("spec", [WIDE, WIDE + " loss(mse)", WIDE.removesuffix(" softmax")])
def test_loss_that_is_not_finite_leaves_the_weights(table: str, spec: str, threads: int) -> None:
    kernels.set_threads(threads)
    net, twin = Network(spec), Network(spec)
    x, y = samples(net, 40)
    x = (x / 255).astype(np.float32)
    x[33, :] = 3e38 * np.where(np.arange(70) % 2, 1, -1)
    order = np.arange(40)
    twin.train_step(x[:20], y[:20], SGD(0.1))
    net.train_step(x[:20], y[:20], SGD(0.1))
    with pytest.raises(FloatingPointError, match="the loss of step 1 is not finite; that step was not taken"):
        net.train_step(x[order[20:]], y[20:], SGD(0.1))
    assert net.weights_sha256() == twin.weights_sha256()
    net.forward(x[20:])
    with pytest.raises(FloatingPointError, match="the loss of this batch is not finite"):
        net.loss(y[20:])
    with pytest.raises(RuntimeError, match="backward comes after"):
        net.backward()
    with pytest.raises(FloatingPointError, match="the loss on this data is not finite"):
        net.evaluate(x, y)
    assert net.train_step(x[:20], y[:20], SGD(0.1)) > 0


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("spec", [WIDE, "input(1,7,10) conv(40,3) relu dense(10) softmax"])
def test_inputs_that_are_not_finite_are_named(table: str, spec: str, bad: float, threads: int) -> None:
    kernels.set_threads(threads)
    net, twin = Network(spec), Network(spec)
    x, y = samples(net, 140)
    x = (x / 255).astype(np.float32).reshape(140, 70)
    x[71, 5] = bad
    message = rf"x holds {bad} in sample {{}}, feature 5; accepted: finite numbers"
    with pytest.raises(ValueError, match=message.format(1)):
        net.train_step(x[70:], y[70:], SGD(0.1))
    for call in (net.predict, net.predict_proba, net.forward, lambda part: net.evaluate(part, y[60:])):
        with pytest.raises(ValueError, match=message.format(11)):
            call(x[60:])
    with pytest.raises(ValueError, match=message.format(11)):
        net.input_gradient(x[60:], y[60:])
    assert net.weights_sha256() == twin.weights_sha256()
    with pytest.raises(ValueError, match=message.format(71)):
        net.fit(x, y, epochs=1, batch_size=32)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_targets_that_are_not_finite_are_named(bad: float) -> None:
    net = Network(MSE)
    before = net.weights_sha256()
    y = ROWS.copy()
    y[2:, 3] = bad
    found = f"y holds {bad} in sample 2, output 3; accepted: finite numbers"
    net.forward(X)
    for call in (lambda: net.loss(y), lambda: net.train_step(X, y, SGD()), lambda: net.evaluate(X, y)):
        with pytest.raises(ValueError, match=f"^targets hold {bad} in sample 2, output 3; accepted: finite numbers$"):
            call()
    for call in (lambda: net.fit(X, y), lambda: net.partial_fit(X, y), lambda: net.input_gradient(X, y)):
        with pytest.raises(ValueError, match=f"^{found}$"):
            call()
    with pytest.raises(ValueError, match=f"^validation {found}$"):
        net.fit(X, ROWS, validation=(X, y))
    assert (net.weights_sha256(), net.updates) == (before, 0)


def test_large_numbers_are_finite() -> None:
    """Their sum overflows, although each number is finite."""
    net = Network("input(12) dense(4)")
    net.tensors["0.W"][...] = 0
    x = np.full((5, 12), 3e38, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "x is not scaled", UserWarning)
        assert net.fit(x, ROWS, epochs=1, optimizer=SGD(1e-38)).loss == [0.5]


def test_the_first_of_several_inputs_that_are_not_finite_is_named() -> None:
    net = Network(WIDE)
    x, _ = samples(net, 300)
    floats = x.astype(np.float32)
    floats[17:, 9] = np.nan
    for threads in (1, 2):
        kernels.set_threads(threads)
        with pytest.raises(ValueError, match="x holds nan in sample 17, feature 9"):
            net.forward(floats)


def test_an_output_gradient_must_be_finite() -> None:
    net = Network(SPEC)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=f"dy holds {bad}; accepted: finite numbers"):
            net.input_gradient(X, dy=np.where(ROWS == 1, bad, 0))


# ---- dtypes that are not numbers ----

LINE = "input(12) dense(1)"
NO_NUMBERS: dict[str, Any] = {
    "None": None,
    "dates": np.arange(5).astype("M8[D]"),
    "durations": np.arange(5).astype("m8[s]"),
    "complex": np.arange(5) + 1j,
    "text": np.array(list("01234")),
    "a list of text": list("01234"),
    "bytes": np.array([b"0", b"1", b"2", b"3", b"4"]),
    "objects": np.array([0, 1.5, True, "3", 4], object),
    "records": np.zeros(5, [("a", "f4")]),
    "masked": np.ma.masked_array(np.arange(5.0), mask=[0, 0, 0, 0, 1]),
    "masked, with no mask": np.ma.masked_array(np.arange(5.0)),
    "masked integers": np.ma.masked_array(np.arange(5), mask=[0, 0, 0, 0, 1]),
    "a list with a masked number": [0.0, 1.0, 2.0, 3.0, np.ma.masked],
}


def refused(name: str, call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=rf"^{name} (is None|is a masked array|has dtype [^;]*); accepted: "):
        call()


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_targets_that_are_not_numbers(kind: str) -> None:
    given = NO_NUMBERS[kind]
    line, net = Network(LINE), Network(SPEC)
    before = line.weights_sha256() + net.weights_sha256()
    for network in (line, net):
        refused("y", lambda network=network: network.evaluate(X, given))
        refused("batch 1: y", lambda network=network: network.fit([(X, given)]))
        refused("y", lambda network=network: network.fit(X, Y, validation=(X, given)))
        if kind != "None":  # fit without y takes batches
            refused("y", lambda network=network: network.fit(X, given))
            refused("y", lambda network=network: network.fit(X, given, class_weight={0: 2}))
            refused("sample_weight", lambda network=network: network.fit(X, Y, sample_weight=given))
            refused("sample_weight", lambda network=network: network.train_step(X, Y, SGD(), given))
        refused("y", lambda network=network: network.train_step(X, given, SGD()))
        refused("y", lambda network=network: network.partial_fit(X, given))
        network.forward(X)
        refused("y", lambda network=network: network.loss(given))
    assert line.weights_sha256() + net.weights_sha256() == before


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_inputs_that_are_not_numbers(kind: str) -> None:
    given: Any = NO_NUMBERS[kind]
    if isinstance(given, np.ndarray):
        given = np.repeat(given[:, None], 12, axis=1)
    elif given is not None:
        given = [[one] * 12 for one in given] if "masked" not in kind else [np.ma.masked_array(X[0])] * 5
    net = Network(SPEC)
    calls: list[Callable[[], object]] = [
        lambda: net.predict(given),
        lambda: net.predict_proba(given),
        lambda: net.forward(given),
        lambda: net.evaluate(given, Y),
        lambda: net.train_step(given, Y, SGD()),
        lambda: net.fit(given, Y),
        lambda: net.fit([(given, Y)]),
        lambda: net.input_gradient(given, Y),
        lambda: net.input_gradient(given, dy=ROWS),
        lambda: net.fit(X, Y, validation=(given, Y)),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"x (is None|is a masked array|has dtype [^;]*); accepted: "):
            call()
    assert net.updates == 0


def test_masks_are_not_ignored() -> None:
    x, y = np.ma.masked_array(np.repeat(X, 4, axis=0), mask=True), np.ma.masked_array(np.arange(20) % 4, mask=False)
    net = Network(SPEC)
    for name, call in (
        ("x", lambda: net.fit(x, y.data, validation_split=0.5)),
        ("y", lambda: net.fit(x.data, y, validation_split=0.5)),
        ("x", lambda: split(x, y.data, 0.5)),
        ("y", lambda: batches(x.data, y)),
        ("y", lambda: one_hot(y, 4)),
        ("x", lambda: find_lr(net, (x, y.data))),
        ("x", lambda: explain(net, x[0], 1)),
    ):
        refused(name, call)


def test_numbers_beyond_float32_are_named_without_a_warning() -> None:
    with pytest.raises(ValueError, match="x holds inf in sample 0, feature 0; accepted: finite numbers"):
        Network(SPEC).predict(np.full((5, 12), 1e300))
