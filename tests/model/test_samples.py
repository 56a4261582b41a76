"""What may go into a network, in which kinds and layouts, and what is refused with which message."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pynet import SGD, Network, explain, kernels
from pynet.data import batches, one_hot, split
from pynet.model.samples import class_weights
from pynet.training.learning_rate import find_lr

Array = np.ndarray[Any, Any]

SPEC = "input(12) dense(9) relu dense(7) sigmoid dense(4) softmax"
MSE = "input(12) dense(9) tanh dense(4) sigmoid"
WIDE = "input(70) dense(100) relu dense(60) tanh dense(50) relu dense(10) softmax"  # enough work for threads


def samples(net: Network, n: int) -> tuple[Array, Array]:
    """Pixels and labels for this network."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, *net.in_shape), np.uint8), rng.integers(0, net.out_shape[0], n).astype(np.int32)


# ---- kinds of input ----


def kinds(x: Array) -> dict[str, Array]:
    """The same pixels in every way in which one may have them, exact in float32."""
    exact = (x.astype(np.float32) / np.float32(255)).astype(np.float32)
    readonly, strided = exact.copy(), np.repeat(exact, 2, axis=1)[:, ::2]
    readonly.flags.writeable = False
    return {
        "uint8": x,
        "float32": exact,
        "float64": exact.astype(np.float64),
        "big-endian": exact.astype(">f4"),
        "Fortran": np.asfortranarray(exact),
        "Fortran bytes": np.asfortranarray(x),
        "read-only": readonly,
        "strided": strided,
        "backwards": exact[::-1].copy()[::-1],
        "rows apart": np.repeat(x, 3, axis=0)[::3],
        "list": exact.tolist(),
        "images": x.reshape(len(x), 3, 4),
        "images with a channel": exact.reshape(len(x), 3, 4, 1),
    }


def test_every_kind_of_input_gives_the_same_bits(table: str) -> None:
    x, y = samples(Network(SPEC), 21)
    expected = None
    for kind, given_x in kinds(x).items():
        net = Network(SPEC)
        out = net.forward(given_x)
        hand = (out.tobytes(), net.loss(y), net.predict_proba(given_x).tobytes(), net.evaluate(given_x, y))
        net.fit(given_x, y, epochs=1, batch_size=8)
        result = (*hand, net.weights_sha256())
        expected = expected or result
        assert result == expected, kind


def test_floats_are_taken_as_they_are() -> None:
    net = Network("input(2) relu")
    assert_array_equal(net.predict_proba([[255.0, 0.5]]), [[255, 0.5]])
    assert_array_equal(net.predict_proba(np.array([[255, 51]], np.uint8)), [[1, np.float32(0.2)]])
    assert_array_equal(net.predict_proba(np.array([[255, 0.5]], np.float16)), [[255, 0.5]])


IMAGES = np.random.default_rng(0).normal(size=(6, 3, 4, 5)).astype(np.float32)
GREY = IMAGES[:, :1]
LAST = np.moveaxis(IMAGES, 1, 3)


@pytest.mark.parametrize(
    ("net", "x", "as_it_lies"),
    [
        ("input(3,4,5) relu", IMAGES.reshape(6, 60), IMAGES),
        ("input(1,4,5) relu", GREY[:, 0], GREY),
        ("input(1,4,5) relu", GREY.reshape(6, 20), GREY),
        ("input(1,1,5) relu", GREY[:, 0, :1], GREY[:, :, :1]),
        ("input(60) relu", LAST, LAST.reshape(6, 60)),
        ("input(20) relu", GREY, GREY.reshape(6, 20)),
    ],
)
def test_shapes_of_images(net: str, x: Array, as_it_lies: Array) -> None:
    network = Network(net)
    assert_array_equal(network.predict_proba(x), network.predict_proba(as_it_lies))
    assert_array_equal(network.predict_proba(x).ravel(), np.maximum(as_it_lies, 0).ravel())


COLOUR, ONE = "input(3,4,5) dense(2) softmax", "input(1,4,5) dense(2) softmax"


@pytest.mark.parametrize(
    ("net", "x", "message"),
    [
        (COLOUR, LAST, r"(6, 4, 5, 3), this network takes (n, 3, 4, 5) or (n, 60); np.moveaxis(x, 3, 1) puts the chan"),
        (COLOUR, LAST[:1], "(1, 4, 5, 3), this network takes (n, 3, 4, 5) or (n, 60); np.moveaxis(x, 3, 1)"),
        (COLOUR, LAST[0], "(4, 5, 3), this network takes (n, 3, 4, 5) or (n, 60); for one sample, np.moveaxis(x, 2, 0"),
        (COLOUR, IMAGES[0], "(3, 4, 5), this network takes (n, 3, 4, 5) or (n, 60); for one sample, x[None]"),
        (COLOUR, IMAGES[0].ravel(), "(60,), this network takes (n, 3, 4, 5) or (n, 60); for one sample, x[None]"),
        (COLOUR, IMAGES.swapaxes(2, 3), "(6, 3, 5, 4), this network takes (n, 3, 4, 5) or (n, 60)"),
        (COLOUR, IMAGES.reshape(6, 3, 20), "(6, 3, 20), this"),
        (COLOUR, IMAGES.reshape(6, 12, 5), "(6, 12, 5), this"),
        (COLOUR, IMAGES[..., None], "(6, 3, 4, 5, 1), this"),
        (COLOUR, IMAGES.reshape(1, 6, 60), "(1, 6, 60), this"),
        (ONE, np.moveaxis(GREY, 1, 3), "(6, 4, 5, 1), this network takes (n, 1, 4, 5) or (n, 4, 5) or (n, 20); np.m"),
        (ONE, GREY[:, 0].swapaxes(1, 2), "(6, 5, 4), this network takes (n, 1, 4, 5) or (n, 4, 5) or (n, 20)"),
        (ONE, GREY[:, :, None], "(6, 1, 1, 4, 5), this"),
        (ONE, GREY[0, 0], "(4, 5), this network takes (n, 1, 4, 5) or (n, 4, 5) or (n, 20); for one sample, x[None]"),
    ],
)  # fmt: skip
def test_layouts_that_only_have_the_right_size(net: str, x: Array, message: str) -> None:
    network = Network(net)
    y = np.zeros(len(x), int)
    calls: list[Callable[[], object]] = [
        lambda: network.predict(x),
        lambda: network.forward(x),
        lambda: network.evaluate(x, y),
        lambda: network.train_step(x, y, SGD()),
        lambda: network.fit(x, y),
        lambda: network.input_gradient(x, y),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=re.escape(f"x has shape {message}")):
            call()
    assert network.updates == 0


def test_a_sample_to_explain_has_the_layout_of_the_network() -> None:
    network = Network(COLOUR)
    seen = explain(network, IMAGES[0], 1)
    for x in (IMAGES[:1], IMAGES[0].ravel(), IMAGES[:1].reshape(1, 60)):
        again = explain(network, x, 1)
        assert_array_equal(again.x, IMAGES[0])
        assert again.loss == seen.loss
    for x in (LAST[0], LAST[:1], IMAGES[0].T):
        with pytest.raises(ValueError, match=r"x has shape .*, this network takes \(n, 3, 4, 5\)"):
            explain(network, x, 1)


def test_images_for_an_image_network() -> None:
    net = Network("input(2,3,4) relu dense(5)")
    x = np.random.default_rng(0).normal(size=(6, 2, 3, 4))
    assert_array_equal(net.forward(x), net.forward(x.reshape(6, 24)))
    assert net.layers[0].output.shape == (6, 2, 3, 4)
    assert_array_equal(net.layers[0].output, np.maximum(x, 0).astype(np.float32))
    assert Network("input(2,3,4) relu").predict_proba(x).shape == (6, 2, 3, 4)


@pytest.mark.parametrize("spec", [SPEC, MSE, WIDE, "input(1,4,5) relu", "input(5) dense(3)", "input(3) softmax"])
def test_empty_batch(spec: str) -> None:
    net = Network(spec)
    before = net.weights_sha256()
    x, y = np.empty((0, *net.in_shape), np.uint8), np.empty(0, np.int32)
    assert net.forward(x).shape == (0, *net.out_shape)
    assert net.loss(y) == 0
    net.backward()
    assert not any(gradient.any() for gradient in net.gradients.values())
    net.update(SGD(0.1))
    assert net.train_step(x, y, SGD(0.1)) == 0
    assert net.train_step(x, [], SGD(0.1)) == 0
    assert net.predict(x).shape == (0,)
    assert net.predict_proba(x).shape == (0, *net.out_shape)
    assert net.evaluate(x, y) == (0, 0, 0, 0)
    assert net.fit(x, y, epochs=2).loss == [0, 0]
    assert net.weights_sha256() == before


def test_empty_batch_of_the_wrong_width() -> None:
    with pytest.raises(ValueError, match=r"x has shape \(0, 5\), this network takes \(n, 12\)"):
        Network(SPEC).forward(np.empty((0, 5)))


def test_batches_of_any_size_one_after_another() -> None:
    net = Network(SPEC)
    x, y = samples(net, 300)
    whole = net.predict_proba(x)
    for n in (1, 300, 2, 17, 256, 257, 1):
        assert_array_equal(net.forward(x[:n]), whole[:n])
        assert net.layers[0].output.shape == (n, 9)
        net.loss(y[:n])
        net.backward()
        assert_array_equal(net.predict_proba(x[:n]), whole[:n])
        assert net.evaluate(x[:n], y[:n]).samples == n


# ---- what is refused ----

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


@pytest.mark.parametrize("rate", [0, -1, np.nan, np.inf, 1e39, 1e-50])
def test_bad_learning_rate(rate: float) -> None:
    net = Network(SPEC)
    before = net.weights_sha256()
    net.forward(X)
    net.loss(Y)
    net.backward()
    net.update(SGD(0.3))
    after = net.weights_sha256()
    calls: list[Callable[[], object]] = [
        lambda: net.train_step(X, Y, SGD(rate)),
        lambda: net.update(SGD(rate)),
        lambda: net.fit(X, Y, optimizer=SGD(rate)),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"learning rate is .*; accepted: a finite number above 0"):
            call()
        assert net.weights_sha256() == after != before


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
    try:
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
    finally:
        kernels.set_threads(None)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("spec", [WIDE, "input(1,7,10) conv(40,3) relu dense(10) softmax"])
def test_inputs_that_are_not_finite_are_named(table: str, spec: str, bad: float, threads: int) -> None:
    kernels.set_threads(threads)
    try:
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
    finally:
        kernels.set_threads(None)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_targets_that_are_not_finite_are_named(bad: float) -> None:
    net = Network(MSE)
    before = net.weights_sha256()
    y = ROWS.copy()
    y[2:, 3] = bad
    found = f"y holds {bad} in sample 2, output 3; accepted: finite numbers"
    with pytest.raises(FloatingPointError, match=f"the loss of step 1 is not finite; .*: {found}"):
        net.train_step(X, y, SGD())
    with pytest.raises(FloatingPointError, match=f"the loss on this data is not finite: {found}"):
        net.evaluate(X, y)
    net.forward(X)
    with pytest.raises(FloatingPointError, match=f"not finite: {found}"):
        net.loss(y)
    for call in (lambda: net.fit(X, y), lambda: net.partial_fit(X, y), lambda: net.input_gradient(X, y)):
        with pytest.raises(ValueError, match=f"^{found}$"):
            call()
    with pytest.raises(ValueError, match=f"^validation {found}$"):
        net.fit(X, ROWS, validation=(X, y))
    assert (net.weights_sha256(), net.updates) == (before, 0)


def test_large_numbers_are_finite() -> None:
    """Their sum is not, which says nothing of each."""
    net = Network("input(12) dense(4)")
    net.tensors["0.W"][...] = 0
    x = np.full((5, 12), 3e38, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
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
    kernels.set_threads(None)


def test_a_gradient_that_is_not_finite_is_no_seed() -> None:
    net = Network(SPEC)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=f"dy holds {bad}; accepted: finite numbers"):
            net.input_gradient(X, dy=np.where(ROWS == 1, bad, 0))


# ---- what is no array of numbers ----

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
def test_what_is_no_array_of_numbers(kind: str) -> None:
    given = NO_NUMBERS[kind]
    line, net = Network(LINE), Network(SPEC)
    before = line.weights_sha256() + net.weights_sha256()
    for network in (line, net):
        refused("y", lambda network=network: network.evaluate(X, given))
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
def test_inputs_that_are_no_numbers(kind: str) -> None:
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


def test_masks_are_not_lost_on_the_way() -> None:
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


def test_memory_maps_and_other_arrays_are_taken(tmp_path: Any) -> None:
    net = Network(SPEC)
    x, y = samples(net, 20)
    np.save(tmp_path / "x.npy", x)
    assert_array_equal(net.predict(np.load(tmp_path / "x.npy", mmap_mode="r")), net.predict(x))
    assert net.evaluate(x, y.tolist()) == net.evaluate(x, y.astype(np.uint64)) == net.evaluate(x, y)
    assert Network(LINE).evaluate(x, y > 1).samples == 20
    assert net.evaluate(x, y, y > 1).samples == 20


# ---- weights of classes ----


@pytest.mark.parametrize(
    ("net", "y", "weights", "message"),
    [
        (MSE, ROWS * 0.5, [1, 1, 1, 1], "class_weight needs classes; these targets are real numbers"),
        (MSE, ROWS + ROWS[::-1], [1, 1, 1, 1], "class_weight needs classes"),
        (MSE, ROWS * 0, [1, 1, 1, 1], "class_weight needs classes"),
        (MSE, ROWS * np.nan, [1, 1, 1, 1], "class_weight needs classes"),
        (LINE, np.arange(5) / 2, [1, 1], "class_weight needs classes"),
        (LINE, (np.arange(5) / 2)[:, None], [1, 1], "class_weight needs classes"),
        (LINE, np.full(5, np.nan), [1, 1], "class_weight needs classes"),
        (LINE, np.full(5, np.inf), [1, 1], "labels run from inf to inf; this network takes 0 to 1"),
        (SPEC, Y + 4, [1, 1, 1, 1], "labels run from 4 to 4"),
        (SPEC, Y, "even", "class_weight is 'even'; accepted: 'balanced', a number for each class, or {class: weight}"),
        ("input(12) dense(2)", X[:, :2], "balanced", "class_weight needs classes; these targets are real numbers"),
        (SPEC, Y, 3, "class_weight is 3; accepted"),
        (SPEC, Y, [1, 1, 1], "class_weight has 3 numbers; this network has 4 classes"),
        (SPEC, Y, np.ones((4, 1)), "class_weight has 4 numbers"),
        (SPEC, Y, np.ma.ones(4), "class_weight is a masked array"),
        (SPEC, Y, ["1", "1", "1", "1"], "class_weight of 0 is 1; accepted: a finite number"),
        (SPEC, Y, {0: 1j}, "class_weight of 0 is 1j"),
        (SPEC, Y, {0: None}, "class_weight of 0 is None"),
        (SPEC, Y, np.arange(4).astype("M8[D]"), "class_weight of 0 is 1970-01-01"),
        (SPEC, Y, {"0": 1}, "class_weight names the class '0'; this network has 0 to 3"),
        (SPEC, Y, {0.5: 1}, r"class_weight names the class 0\.5"),
        (SPEC, Y, {0: np.nan}, "class_weight of 0 is nan"),
    ],
)  # fmt: skip
def test_class_weights_that_are_refused(net: str, y: Any, weights: Any, message: str) -> None:
    network = Network(net)
    with pytest.raises(ValueError, match=message):
        network.fit(X, y, class_weight=weights)
    assert network.updates == 0


def test_labels_and_one_hot_rows_have_classes() -> None:
    y = np.array([0, 1, 2, 3, 0])
    x = np.random.default_rng(0).normal(size=(5, 12))
    sums = set()
    for labels, weights in (
        (y, [1, 2, 3, 4]),
        (ROWS, {1: 2, 2: 3.0, 3: np.float32(4)}),
        (ROWS.astype(bool), np.array([1, 2, 3, 4])),
        (y.tolist(), {np.int64(1): 2, 2: 3, 3: 4}),
    ):
        net = Network(SPEC)
        net.fit(x, labels, epochs=2, class_weight=weights)
        sums.add(net.weights_sha256())
    assert len(sums) == 1
    binary = {Network("input(12) dense(1) sigmoid loss(bce)").fit(x, one, epochs=1, class_weight=[1, 2]).loss[0]
              for one in (y % 2, (y % 2).astype(float), (y % 2 == 1)[:, None])}  # fmt: skip
    assert len(binary) == 1


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    """n / (k n_c): 10 samples of 3 classes, 7, 2 and 1; a class without samples does not count."""
    y = np.array([0, 0, 0, 3, 0, 0, 1, 3, 0, 0])
    weights = {0: 10 / 21, 3: 10 / 6, 1: 10 / 3}
    found = class_weights(4, y, "balanced")
    assert_allclose(found, [weights[label] for label in y], rtol=1e-6)
    assert found.mean() == pytest.approx(1)
    assert_array_equal(class_weights(4, np.eye(4)[y], "balanced"), found)
    x, (net, twin) = np.ones((10, 12), np.float32), (Network(SPEC), Network(SPEC))
    net.fit(x, y, epochs=2, class_weight="balanced")
    twin.fit(x, y, epochs=2, class_weight=weights)
    assert net.weights_sha256() == twin.weights_sha256()


def test_numbers_beyond_float32_are_named_without_a_warning() -> None:
    with pytest.raises(ValueError, match="x holds inf in sample 0, feature 0; accepted: finite numbers"):
        Network(SPEC).predict(np.full((5, 12), 1e300))
