"""standardize and rescale: how adapt fills them, where they act, errors. test_layers.py tests the layers."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.interruptions import Stop
from numpy.testing import assert_allclose, assert_array_equal

import pynet
from pynet import Adam, Augment, Checkpoint, Network, kernels

Array = np.ndarray[Any, Any]


def uneven(rng: np.random.Generator, *shape: int) -> Array:
    """Samples whose features, or channels, have different scales and means; the second one is constant."""
    wide = (-1, *[1] * (len(shape) - 2))
    figures = np.array([[3, 1], [0, 0.1], [1e-3, -7], [1e4, 3e4], [50, 0]][: shape[1]])
    sizes, middles = figures[:, 0].reshape(wide), figures[:, 1].reshape(wide)
    return (rng.standard_normal(shape) * sizes + middles).astype(np.float32)


def moments(x: Array) -> tuple[Array, Array]:
    """Mean and deviation of each feature or channel, in float64."""
    axes, wide = (0, *range(2, x.ndim)), x.astype(np.float64)
    return wide.mean(axis=axes), wide.std(axis=axes)


# ---- adapt ----


@pytest.mark.parametrize("spec", ["input(5) standardize dense(2)", "input(3,4,5) standardize conv(2,2) relu dense(2)"])
def test_adapt_measures_each_feature_or_channel(spec: str) -> None:
    net = Network(spec)
    x = uneven(np.random.default_rng(0), 400, *net.in_shape)
    assert_array_equal(net.layers[0].mean, 0)
    assert_array_equal(net.layers[0].scale, 1)
    assert_array_equal(net.forward(x, training=False) * 0, 0)
    net.forward(x)
    assert_array_equal(net.layers[0].output, x)  # the identity before adapt
    net.adapt(x)
    mean, deviation = moments(x)
    deviation[1] = 1  # it is constant
    assert_allclose(net.layers[0].mean, mean, rtol=1e-7)
    assert_allclose(net.layers[0].scale, deviation, rtol=1e-6)
    net.forward(x)
    mean, deviation = moments(net.layers[0].output)
    assert_allclose(mean, 0, atol=1e-3)
    assert_allclose(deviation, [1, 0, 1, 1, 1][: len(mean)], atol=1e-3)
    assert_array_equal(net.layers[0].output[:, 1], 0)


def test_adapt_takes_bytes_as_parts_of_255_and_whole_numbers_as_they_are() -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, (50, 6), np.uint8)
    x[:, 2] = 77
    net = Network("input(6) standardize dense(2)")
    net.adapt(x)
    mean, deviation = moments((x / 255).astype(np.float32))
    deviation[2] = 1
    assert_allclose(net.layers[0].mean, mean, rtol=1e-7)
    assert_allclose(net.layers[0].scale, deviation, rtol=1e-6)
    net.forward(x)
    assert_array_equal(net.layers[0].output[:, 2], 0)
    counts = rng.integers(-3, 4, (50, 6))
    net.adapt(counts)
    assert_allclose(net.layers[0].mean, counts.mean(axis=0), rtol=1e-6, atol=1e-7)
    with pytest.raises(ValueError, match="are they pixels"):
        net.adapt(x.astype(np.int64))


def test_adapt_fills_the_layers_that_exist() -> None:
    rng = np.random.default_rng(2)
    x, y = uneven(rng, 60, 5), uneven(rng, 60, 3)
    net = Network("input(5) standardize dense(4) tanh dense(3) rescale")
    net.adapt(y=y)
    assert_allclose(net.layers[-1].mean, y.mean(axis=0), rtol=1e-5)
    assert_array_equal(net.layers[0].scale, 1)
    both = Network(net.spec)
    both.adapt(x, y)
    net.adapt(x)
    assert net.weights_sha256() == both.weights_sha256()
    labels = rng.integers(0, 3, 60)
    classes = Network("input(5) standardize dense(3) softmax")
    classes.adapt(x, labels)  # labels have no scale
    assert_array_equal(classes.layers[0].mean, net.layers[0].mean)
    single = Network("input(5) dense(1) rescale")
    single.adapt(x, y[:, 0])
    assert single.layers[-1].scale == pytest.approx(y[:, 0].std(), rel=1e-5)


def test_adapt_refuses_what_it_cannot_use() -> None:
    net = Network("input(5) standardize dense(3) rescale")
    x, y = uneven(np.random.default_rng(3), 9, 5), np.zeros((9, 3))
    x[7, 2], before = np.nan, net.weights_sha256()
    for call, message in [
        (lambda: net.adapt(x, y), "x holds nan in sample 7, feature 2; accepted: finite numbers"),
        (lambda: net.adapt(x[:7], y), "x has 7 samples, y has 9"),
        (lambda: net.adapt(x[:7], np.arange(7) % 3), r"y holds labels; a network with rescale takes targets, \(n, 3\)"),
        (lambda: net.adapt(x[:7], y[:7] + np.inf), "targets hold inf in sample 0, output 0"),
        (lambda: net.adapt(x[:0]), "no samples to adapt to; accepted: 1 or more"),
        (lambda: net.adapt(x[:, :4]), r"x has shape \(9, 4\)"),
        (lambda: net.adapt(), "nothing to adapt: standardize needs x, which is NULL"),
        (lambda: Network("input(5) dense(3) rescale").adapt(x), "nothing to adapt: rescale needs targets"),
        (lambda: Network("input(5) relu").adapt(x, y), "the network has neither standardize after its input nor resc"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    assert net.weights_sha256() == before


def test_adapt_is_the_same_on_every_table() -> None:
    x, found = np.random.default_rng(4).integers(0, 256, (100, 33), np.uint8), set()
    for name in kernels.cpu_tables():
        kernels.set_cpu(name)
        net = Network("input(33) standardize relu")
        net.adapt(x)
        found.add(net.weights_sha256())
    assert len(found) == 1


# ---- where it acts ----


def converted(spec: str, seed: int = 5) -> tuple[Network, Network, Array, Array]:
    """A network with standardize, the same without, and the mean and scale of the first in the shape of a sample."""
    net, plain = Network(spec, seed=seed), Network(spec.replace(" standardize", ""), seed=seed)
    rng, channels = np.random.default_rng(seed), net.in_shape[0]
    net.layers[0].mean, net.layers[0].scale = rng.uniform(0, 1, channels), rng.uniform(0.5, 2, channels)
    own = [tensor for name, tensor in net.tensors.items() if not name.startswith("0.")]
    for tensor, other in zip(plain.tensors.values(), own, strict=True):
        tensor[...] = other
    wide = (-1, *[1] * (len(net.in_shape) - 1))
    return net, plain, net.layers[0].mean.reshape(wide).copy(), net.layers[0].scale.reshape(wide).copy()


@pytest.mark.parametrize("kind", ["bytes", "floats"])
@pytest.mark.parametrize(
    "spec",
    [
        "input(150) standardize dense(32) relu dense(3) softmax",  # batches in pieces
        "input(2,6,5) standardize conv(4,3,pad=same) relu maxpool(2) dense(3) softmax",  # padding is added later
        "input(2,6,5) standardize dense(3) softmax",
        "input(9) standardize residual(dense(9) relu) dense(3) softmax",
    ],
)
def test_it_is_training_on_standardised_inputs(spec: str, kind: str) -> None:
    net, plain, mean, scale = converted(spec)
    rng = np.random.default_rng(6)
    x = rng.integers(0, 256, (150, *net.in_shape), np.uint8) * (rng.random((150, *net.in_shape)) < 0.3)
    x = x.astype(np.uint8) if kind == "bytes" else (x / 255).astype(np.float32)
    standardised = ((x / np.float32(255) if kind == "bytes" else x) - mean) / scale
    y = rng.integers(0, 3, 150)
    for each, given in ((net, x), (plain, standardised)):
        each.fit(given, y, epochs=2, batch_size=75, optimizer=Adam(0.01))
    assert_array_equal(net.predict_proba(x), plain.predict_proba(standardised))
    assert net.evaluate(x, y) == plain.evaluate(standardised, y)
    assert_array_equal(net.input_gradient(x[:9], y[:9]), plain.input_gradient(standardised[:9], y[:9]) / scale)
    dy = np.ones((4, *net.in_shape), np.float32)
    assert_array_equal(net.input_gradient(x[:4], dy=dy, layer=0), dy / scale)


def test_zeros_after_standardize_are_skipped() -> None:
    """Inputs equal to the mean of their feature become zeros, which the first layer skips."""
    net, plain, mean, scale = converted("input(200) standardize dense(40) relu dense(3) softmax")
    rng = np.random.default_rng(7)
    x = np.where(rng.random((64, 200)) < 0.1, rng.random((64, 200), np.float32), mean).astype(np.float32)
    y = rng.integers(0, 3, 64)
    found = []
    for each, given in ((net, x), (plain, (x - mean) / scale)):
        each.train_step(given, y, Adam())
        found.append(each.predict_proba(given))
    assert_array_equal(*found)


def test_augmentation_comes_before_standardize() -> None:
    net, _, mean, scale = converted("input(1,8,8) standardize conv(2,3) relu dense(2) softmax")
    x = np.random.default_rng(8).integers(0, 256, (5, 1, 8, 8), np.uint8)
    net.forward(x, augment=Augment(shift=2))
    changed = kernels.augmented(x, Augment(shift=2), seed=5, step=0)
    assert_array_equal(net.layers[0].output, (changed - mean) / scale)


def test_outputs_have_the_unit_of_the_targets_and_the_loss_does_not() -> None:
    rng = np.random.default_rng(9)
    x, y = rng.standard_normal((40, 3)).astype(np.float32), uneven(rng, 40, 3)
    net, plain = Network("input(3) dense(3) rescale", seed=1), Network("input(3) dense(3)", seed=1)
    net.adapt(y=y)
    mean, scale = net.layers[-1].mean.copy(), net.layers[-1].scale.copy()
    standardised = (y - mean) / scale
    for _ in range(3):
        assert net.train_step(x, y, Adam()) == plain.train_step(x, standardised, Adam())
    assert_array_equal(net.predict_proba(x), plain.predict_proba(x) * scale + mean)
    assert net.evaluate(x, y).loss == plain.evaluate(x, standardised).loss
    assert_array_equal(net.input_gradient(x, y), plain.input_gradient(x, standardised))
    dy = rng.standard_normal((40, 3)).astype(np.float32)
    assert_array_equal(net.input_gradient(x, dy=dy), plain.input_gradient(x, dy=dy * scale))
    assert_array_equal(net.forward(x), net.predict_proba(x))


# ---- what is refused ----


def test_numbers_beyond_float32_are_named() -> None:
    net = Network("input(2,2,3) standardize conv(2,2) dense(2) softmax")
    x = np.zeros((4, 2, 2, 3), np.float32)
    x[3, 1, 0, 2] = 3e38
    net.layers[0].mean = np.array([0, -3e38], np.float32)
    message = r"x holds 3e\+38 in sample 3, feature 8: standardised, it is beyond float32"
    for call in (net.predict_proba, net.forward, lambda x: net.train_step(x, [0] * 4, "sgd")):
        with pytest.raises(ValueError, match=message):
            call(x)
    net.layers[0].mean, net.layers[0].scale = np.float32([0, -9]), np.float32([1, 1.2e-38])
    with pytest.raises(ValueError, match="x holds 1 in sample 0, feature 6: standardised, it is beyond"):
        net.predict_proba(np.full((1, 2, 2, 3), 255, np.uint8))
    x[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"x holds nan in sample 0, feature 0; accepted: finite numbers"):
        net.predict_proba(x)


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf, 1e-39])
@pytest.mark.parametrize(
    ("spec", "name"), [("input(3) standardize dense(2)", "0.scale"), ("input(3) dense(2) rescale", "1.scale")]
)
def test_scales_that_cannot_divide(spec: str, name: str, value: float, tmp_path: Path) -> None:
    net, path = Network(spec), tmp_path / "model.safetensors"
    x, y = np.ones((2, 3), np.float32), np.ones((2, 2), np.float32)
    net.tensors[name][1] = value
    message = rf"parameter {name} holds \S+ at position 1; accepted"
    for call in (lambda: net.predict_proba(x), lambda: net.evaluate(x, y), lambda: net.train_step(x, y, "sgd")):
        with pytest.raises(FloatingPointError, match=message):
            call()
    with pytest.raises(FloatingPointError, match=message):
        net.save(path)
    assert not path.exists()
    pynet.export_npz(net, tmp_path / "model.npz")
    with pytest.raises(ValueError, match=rf"{name} holds \S+ at index \(1,\); accepted"):
        pynet.import_npz(tmp_path / "model.npz")


def test_objects_and_summaries() -> None:
    net = Network([pynet.Input(4), pynet.Standardize(), pynet.Dense(2), pynet.Rescale()])
    assert net.spec == "input(4) standardize dense(2) rescale"
    assert list(net.tensors) == ["1.W", "1.b", "0.mean", "0.scale", "2.mean", "2.scale"]
    assert net.parameters == 10
    assert [layer.kind for layer in net.layers] == ["standardize", "dense", "rescale"]


def test_a_training_continues_with_its_scaling(tmp_path: Path) -> None:
    rng = np.random.default_rng(10)
    x, y = uneven(rng, 40, 5), uneven(rng, 40, 3)
    net = Network("input(5) standardize dense(8) relu dense(3) rescale", seed=2)
    net.adapt(x, y)
    net.fit(x, y, epochs=2, optimizer=Adam())
    net.save(tmp_path / "model.safetensors")
    pynet.export_npz(net, tmp_path / "model.npz")
    for again in (net.copy(), pynet.load(tmp_path / "model.safetensors"), pynet.import_npz(tmp_path / "model.npz")):
        assert again.weights_sha256() == net.weights_sha256()
        assert_array_equal(again.predict_proba(x), net.predict_proba(x))
    head = (tmp_path / "model.safetensors").read_bytes()
    names = json.loads(head[8 : 8 + struct.unpack("<Q", head[:8])[0]])
    assert names["0.mean"]["shape"] == [5] and names["4.scale"]["shape"] == [3]


def test_a_checkpoint_brings_the_scaling_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    x, y = uneven(rng, 40, 5), uneven(rng, 40, 3)
    whole = Network("input(5) standardize dense(8) relu dense(3) rescale loss(mae)", seed=2)
    whole.adapt(x, y)
    part, again = whole.copy(), Network(whole.spec, seed=2)  # which is not adapted
    whole.fit(x, y, epochs=4, optimizer=Adam())
    keep = Checkpoint(tmp_path / "c")
    part.fit(x, y, epochs=4, optimizer=Adam(), checkpoint=keep, callbacks=Stop("on_epoch_end", 2))
    again.fit(x, y, epochs=4, optimizer=Adam(), checkpoint=Checkpoint(tmp_path / "c", resume=True))
    assert again.updates > part.updates
    assert again.weights_sha256() == whole.weights_sha256()
