"""Samples for a network: dtypes and layouts that are accepted, and weights of classes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers.networks import MSE, SPEC, WIDE, samples
from numpy.testing import assert_allclose, assert_array_equal

from pynet import SGD, Network, explain
from pynet.model.samples import class_weights

Array = np.ndarray[Any, Any]

LINE = "input(12) dense(1)"
X, Y = np.zeros((5, 12)), np.zeros(5, np.int32)
ROWS = np.eye(4)[[0, 1, 2, 3, 0]]


# ---- kinds of input ----


def kinds(x: Array) -> dict[str, Array]:
    """The same pixels with every dtype and layout, exact in float32."""
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
        "strided rows": np.repeat(x, 3, axis=0)[::3],
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


def test_floats_are_used_unchanged() -> None:
    net = Network("input(2) relu")
    assert_array_equal(net.predict_proba([[255.0, 0.5]]), [[255, 0.5]])
    assert_array_equal(net.predict_proba(np.array([[255, 51]], np.uint8)), [[1, np.float32(0.2)]])
    assert_array_equal(net.predict_proba(np.array([[255, 0.5]], np.float16)), [[255, 0.5]])


IMAGES = np.random.default_rng(0).normal(size=(6, 3, 4, 5)).astype(np.float32)
GREY = IMAGES[:, :1]
LAST = np.moveaxis(IMAGES, 1, 3)


@pytest.mark.parametrize(
    ("net", "x", "in_memory_order"),
    [
        ("input(3,4,5) relu", IMAGES.reshape(6, 60), IMAGES),
        ("input(1,4,5) relu", GREY[:, 0], GREY),
        ("input(1,4,5) relu", GREY.reshape(6, 20), GREY),
        ("input(1,1,5) relu", GREY[:, 0, :1], GREY[:, :, :1]),
        ("input(60) relu", LAST, LAST.reshape(6, 60)),
        ("input(20) relu", GREY, GREY.reshape(6, 20)),
    ],
)
def test_shapes_of_images(net: str, x: Array, in_memory_order: Array) -> None:
    network = Network(net)
    assert_array_equal(network.predict_proba(x), network.predict_proba(in_memory_order))
    assert_array_equal(network.predict_proba(x).ravel(), np.maximum(in_memory_order, 0).ravel())


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
        (SPEC, Y, {9: 1}, "class_weight names the class 9; this network has 0 to 3"),
        (SPEC, Y, {"0": 1}, "class_weight names the class '0'; this network has 0 to 3"),
        (SPEC, Y, {0.5: 1}, r"class_weight names the class 0\.5"),
        (SPEC, Y, {0: -1}, "class_weight of 0 is -1; accepted: a finite number"),
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
