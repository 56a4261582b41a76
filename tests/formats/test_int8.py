"""C files in integers: they give what their NumPy model gives, which is nearly what the network gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.c_file import COMPILERS, compiled, library, predicted, status
from helpers.random_networks import filled
from numpy.testing import assert_allclose, assert_array_equal

import pynet
from pynet.data import Dataset
from pynet.formats.int8 import quantised
from pynet.text import percent

Array = np.ndarray[Any, Any]

SPECS = (
    "input(30) dense(40) relu dense(18,bias=no) batchnorm relu dense(20) dense(4) softmax",
    "input(1,9,8) conv(18,3,pad=same) batchnorm relu maxpool(2) dropout(0.2) conv(3,2,stride=2,pad=1) relu dense(5)",
    "input(2,9,8) conv(3,2,bias=no) maxpool(2,stride=1) relu avgpool(3,stride=2) flatten dense(3) relu",
    "input(3,5,6) relu conv(4,3,stride=2,pad=same) globalavgpool",
    "input(2,4,5) dense(12) relu dense(3)",
    "input(2,4,4) maxpool(2) conv(3,1)",
)


def samples(net: pynet.Network, dtype: str, n: int = 20) -> Array:
    rng = np.random.default_rng(n)
    if dtype == "uint8":
        return rng.integers(0, 256, (n, *net.in_shape), np.uint8)
    return rng.normal(size=(n, *net.in_shape)).astype(np.float32)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_c_gives_what_the_numpy_model_gives(compiler: str, tmp_path: Path) -> None:
    files, networks = [], []
    for i, spec in enumerate(SPECS):
        dtype = ("uint8", "float32")[(i + COMPILERS.index(compiler)) % 2]
        net = filled(spec)
        files.append(tmp_path / f"net{i}.c")
        networks.append(pynet.export_c(net, files[-1], calibrate=samples(net, dtype)).int8)
        assert "float" not in files[-1].read_text().partition("#include")[2]
    loaded = library(compiler, files, "-O1", tmp_path / "nets.so")
    for file, int8 in zip(files, networks, strict=True):
        assert int8
        rng = np.random.default_rng(1)
        low, high = (0, 256) if int8.given == "uint8" else (-127, 128)
        x = rng.integers(low, high, (9, *int8.net.in_shape)).astype(int8.given if low == 0 else np.int8)
        x[0], x[1] = low, high - 1
        assert_array_equal(predicted(loaded, file.with_suffix(".h"), int8.net, x), int8.integers(x))


@pytest.mark.parametrize("spec", SPECS)
def test_the_integers_are_near_the_network(spec: str) -> None:
    """Within 4 % of the range of the outputs: weights and activations have 8 bits."""
    net = filled(spec)
    for dtype in ("uint8", "float32"):
        x = samples(net, dtype, 200)
        expected = net.predict_proba(x)
        assert_allclose(quantised(net, x).predict_proba(x), expected, atol=0.04 * np.ptp(expected))


def test_each_output_has_its_own_scale() -> None:
    """One of large weights does not make those of another 0."""
    net = pynet.Network("input(20) dense(2)")
    net.layers[0].W[:, 0] *= 1e4
    x = samples(net, "float32", 100)
    int8 = quantised(net, x)
    weights = int8.steps[0].weights
    assert weights
    assert_array_equal(abs(weights.W).max(axis=(0, 1, 2)), [127, 127])


def test_zeros_and_ends() -> None:
    """Weights of 0, a bias far larger than the weights, and inputs beyond those of the calibration."""
    net = pynet.Network("input(3) dense(2) relu dense(3)")
    net.layers[0].W[...] = [[0, 1e-6], [0, -1e-6], [0, 0]]
    net.layers[0].b[...] = [0, 5]
    x = np.ones((4, 3), np.float32)
    assert_allclose(
        quantised(net, x).predict_proba(x), net.predict_proba(x), atol=0.02 * abs(net.predict_proba(x)).max()
    )
    int8 = quantised(net, x)
    assert_allclose(int8.predict_proba(1e6 * x), int8.predict_proba(x), atol=0.1)
    net.layers[0].b[...] = 0
    zeros = quantised(net, x * np.float32([0, 0, 1]))  # of the first layer
    assert np.isfinite(zeros.predict_proba(x)).all()
    with pytest.raises(ValueError, match="samples for calibration are all 0; accepted: samples like"):
        quantised(net, 0 * x)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("input(4) standardize dense(2)", "layer 0, standardize, is not written in integers; accepted: dense, conv"),
        ("input(4) dense(3) tanh dense(2)", "layer 1, tanh,"),
        ("input(4) residual(dense(4) relu)", r"layer 0, residual\(...\), is not"),
        ("input(4) dense(3) relu batchnorm dense(2)", "layer 2, batchnorm.* batchnorm right after dense or conv"),
        ("input(2,4,4) conv(3,2) flatten batchnorm dense(2)", "layer 2, batchnorm"),
        ("input(4) softmax", "has neither dense nor conv"),
        ("input(4) layernorm dense(2)", "layer 0, layernorm"),
        ("input(4) dense(1) rescale", "layer 1, rescale"),
    ],
)
def test_other_layers_are_refused_by_name(text: str, message: str, tmp_path: Path) -> None:
    net = filled(text)
    with pytest.raises(ValueError, match=message):
        pynet.export_c(net, tmp_path / "net.c", calibrate=samples(net, "float32"))
    assert not list(tmp_path.iterdir())


def test_samples_that_are_refused(tmp_path: Path) -> None:
    net = filled("input(4) dense(2)")
    for x, message in (
        (np.empty((0, 4), np.float32), "no samples for calibration"),
        (np.ones((3, 5), np.float32), r"x has shape \(3, 5\)"),
        (np.full((3, 4), np.nan, np.float32), "x holds nan"),
    ):
        with pytest.raises(ValueError, match=message):
            pynet.export_c(net, tmp_path / "net.c", calibrate=x)
    with pytest.raises(ValueError, match="input is uint8, and the samples for calibration are float32"):
        pynet.export_c(net, tmp_path / "net.c", input="uint8", calibrate=np.ones((3, 4), np.float32))
    with pytest.raises(ValueError, match="x is uint8; the samples for calibration were float32"):
        quantised(net, np.ones((3, 4), np.float32)).predict_proba(np.ones((3, 4), np.uint8))
    net.layers[0].W[0, 0] = np.nan
    with pytest.raises(ValueError, match="weights that are not finite"):
        quantised(net, np.ones((3, 4), np.float32))
    wide = pynet.Network("input(100000) dense(1)")
    wide.layers[0].W[...] = 1
    with pytest.raises(ValueError, match=r"layer 0, dense\(1\), adds up more than 31 bits"):
        quantised(wide, np.ones((1, 100000), np.uint8))
    assert not list(tmp_path.iterdir())


def test_the_file(tmp_path: Path) -> None:
    net = filled("input(784) dense(32) relu dense(10) softmax")
    file = pynet.export_c(net, tmp_path / "net.c", selftest=True, calibrate=samples(net, "uint8"))
    weights = 784 * 32 + 32 * 10
    assert file.constants == weights + 9 * (32 + 10) + 2 * 40  # a bias, a multiplier and a shift for each output
    assert file.work == 32
    header = (tmp_path / "net.h").read_text()
    assert "void net_predict(int16_t *y, const uint8_t *x, int16_t *work);" in header
    assert "#define NET_WORK 16\n" in header
    assert "outputs / NET_SCALE, before the closing softmax" in header
    assert status(compiled("cc", [tmp_path / "net.c"], "", tmp_path / "net")) == 0
    pynet.export_c(net, tmp_path / "net.c", selftest=True, calibrate=samples(net, "float32"))
    assert "#define NET_INPUT_SCALE" in (tmp_path / "net.h").read_text()
    assert status(compiled("cc", [tmp_path / "net.c"], "", tmp_path / "net")) == 0


def test_the_file_states_what_was_measured(tmp_path: Path) -> None:
    digits = pynet.data.load("digits")
    net = pynet.Network("input(64) dense(16) relu dense(10) softmax")
    net.fit(digits.x_train, digits.y_train, epochs=3)
    test = (digits.x_test, digits.y_test)
    before, after = pynet.export_c(net, tmp_path / "net.c", calibrate=digits.x_train, test=test).scores
    assert before == net.evaluate(*test).score
    text = f"accuracy  {percent(after)} on the test samples ({percent(before)} by the network in floating point)"
    assert text in (tmp_path / "net.c").read_text()
    assert pynet.export_c(net, tmp_path / "net.c", test=test).scores == (before,)
    assert f"accuracy  {percent(before)} on the test samples\n" in (tmp_path / "net.c").read_text()


def test_scores_of_other_tasks() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2)).astype(np.float32)
    numbers = pynet.Network("input(2) dense(16) relu dense(1)")
    numbers.fit(x, x[:, 0] + abs(x[:, 1]), epochs=20, optimizer=pynet.Adam(0.01), verbose=0)
    before = numbers.evaluate(x, y := x[:, 0] + abs(x[:, 1]))
    assert isinstance(before, pynet.RegressionEvaluation)
    assert abs(quantised(numbers, x).score(x, y) - before.rmse) < 0.05
    labels = pynet.Network("input(2) dense(16) relu dense(2) sigmoid loss(bce)")
    both = (x > 0).astype(np.float32)
    labels.fit(x, both, epochs=20, optimizer=pynet.Adam(0.01), verbose=0)
    assert labels.task == "multi-label"
    assert abs(quantised(labels, x).score(x, both) - labels.evaluate(x, both).score) < 0.03


@pytest.mark.mnist
def test_mnist_loses_at_most_three_tenths_of_a_point(mnist: Dataset) -> None:
    net = pynet.Network("input(784) dense(32) relu dense(10) softmax")
    net.fit(mnist.x_train, mnist.y_train, epochs=2, verbose=0)
    before = net.evaluate(mnist.x_test, mnist.y_test).score
    after = quantised(net, mnist.x_train[::60]).score(mnist.x_test, mnist.y_test)
    assert before > 0.93
    assert after >= before - 0.003
