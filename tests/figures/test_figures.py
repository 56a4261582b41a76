"""Figures show the right numbers, for any network: curves, weights, maps, inputs, predictions, boundary."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

import pynet
from pynet import data, figures, metrics
from pynet.training.history import History

Array = np.ndarray[Any, Any]
BOTH_TEMPERATURES = ["temperature 0.5", "temperature 2"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def net(digits: data.Dataset) -> pynet.Network:
    """A briefly trained network."""
    net = pynet.Network("input(64) dense(32) relu dense(10) softmax", seed=1)
    net.fit(digits.x_train, digits.y_train, epochs=5)
    return net


def pictures(figure: Any) -> list[Array]:
    """The images of the axes, in order."""
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def titles(figure: Any) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def drawn(figure: Any) -> Any:
    """Draws the figure and checks that no text is outside of it; returns it."""
    figures.save(figure, "drawn.png")
    with Image.open("drawn.png") as picture:
        width, height = picture.size
    renderer = figure._get_renderer()
    for axes in figure.axes:
        box = axes.get_tightbbox(renderer)
        if box is not None:
            assert box.x0 >= -2
            assert box.y0 >= -2
            assert box.x1 <= width * figure.dpi / 120 + 2
            assert box.y1 <= height * figure.dpi / 120 + 2
    return figure


def legend(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


# ---- each figure -----------------------------------------------------------------------------------------------------


def test_curves_are_the_history() -> None:
    a = History([3, 2, 1], [0.1, 0.2, 0.3], [3.5, 2.5, 1.5], [0.05, 0.15, 0.25], [1, 1, 1])
    b = History([9.0], [0.9])
    figure = drawn(figures.curves({"a": a, "b": b}))
    losses, accuracies = figure.axes
    training, _, validation, _ = losses.lines
    assert_array_equal(training.get_xydata(), [[1, 3], [2, 2], [3, 1]])
    assert_array_equal(validation.get_ydata(), [3.5, 2.5, 1.5])
    assert_allclose(accuracies.lines[2].get_ydata(), [5, 15, 25])
    assert_allclose(accuracies.lines[3].get_xydata(), [[1, 90]])
    styles = [(line.get_linestyle(), line.get_marker(), line.get_color()) for line in losses.lines]
    assert len(set(styles)) == 4
    assert figure.get_suptitle() == "training of a, b"
    assert legend(losses)[2] == "b training: 9 at the end"
    for empty in ({}, History(), {"a": History()}):
        with pytest.raises(ValueError, match="no epoch to draw"):
            figures.curves(empty)


def test_curves_of_a_loss_near_the_largest_float() -> None:
    """NumPy would warn of the ticks that overflow, and warnings are errors here."""
    figures.save(figures.curves({"a": History([2.0, 1e308], [0.1, 0.5], [2.0, 1.5], [0.1, 0.4])}), "a.png")
    assert Path("a.png").stat().st_size > 5000


def test_curves_of_numbers_show_their_rmse() -> None:
    history = History([3, 2], rmse=[30.5, 20], r2=[0.1, 0.5], val_loss=[4, 5], val_rmse=[40, 50], val_r2=[0, 0])
    losses, errors = drawn(figures.curves(history)).axes
    assert_array_equal(losses.lines[0].get_ydata(), [3, 2])
    assert_array_equal(errors.lines[0].get_ydata(), [30.5, 20])
    assert errors.get_ylabel() == "RMSE, in the unit of the targets"
    assert legend(errors) == ["training: 20 at the end", "validation: 50 at the end, lowest 40 in epoch 1"]
    _, accuracies = drawn(figures.curves({"numbers": history, "classes": History([1.0], [0.5])})).axes
    assert accuracies.get_ylabel() == "accuracy, %"


def test_curves_name_the_best_epoch_and_the_last_values() -> None:
    history = History([3, 2, 1], [0.1, 0.2, 0.3], [3.5, 1.5, math.nan], [0.05, 0.15, 0.15], [1, 1, 1])
    figure = drawn(figures.curves(history, name="digits"))
    assert figure.get_suptitle() == "digits: 3 epochs, validation loss lowest in epoch 2"
    losses, accuracies = figure.axes
    assert legend(losses) == ["training: 1 at the end", "validation: nan at the end, lowest 1.5 in epoch 2"]
    assert legend(accuracies)[1] == "validation: 15.00 % at the end, highest 15.00 % in epoch 2"
    [star] = [line for line in losses.lines if line.get_marker() == "*"]
    assert_array_equal(star.get_xydata(), [[2, 1.5]])
    one = drawn(figures.curves(History([1.0], [0.5])))
    assert one.get_suptitle() == "training: 1 epoch"
    assert not [line for line in one.axes[0].lines if line.get_marker() == "*"]
    assert one.axes[0].get_xlim() == (0.5, 1.5)  # no epoch 0


def test_weights_are_the_weights(net: pynet.Network) -> None:
    figure = drawn(figures.weights(net, most=12))
    W = net.layers[0].W
    shown = pictures(figure)[:12]
    for unit, picture in enumerate(shown):
        assert_array_equal(picture, W[:, unit].reshape(8, 8))
    assert titles(figure)[:12] == [str(unit) for unit in range(12)]
    low, high = figure.axes[0].images[0].get_clim()
    assert -low == high == pytest.approx(np.percentile(abs(W[:, :12]), 99.5), rel=1e-5)
    [histogram] = [axes for axes in figure.axes if axes.patches and axes.get_ylabel() == "weights"]
    assert sum(bar.get_height() for bar in histogram.patches) == W.size
    assert figure.get_suptitle() == "weights of layer 0, dense(32): the first 12 of 32 units"
    second = figures.weights(net, layer=2)
    assert_array_equal(pictures(second)[0], net.layers[2].W.T)
    with pytest.raises(ValueError, match="layer 1 is not a dense layer; accepted: 0, 2"):
        figures.weights(net, layer=1)
    for wrong in (9, -1, "x"):
        with pytest.raises(ValueError, match=f"layer is {wrong}; this network has 0, 1, 2, 3"):
            figures.weights(net, layer=wrong)


def test_samples_are_the_first_of_each_class(digits: data.Dataset) -> None:
    figure = drawn(figures.samples(digits.x_test, digits.y_test, each=3))
    shown = pictures(figure)
    assert len(shown) == 30
    assert_array_equal(shown[4], digits.x_test[digits.y_test == 1][1])
    assert titles(figure)[3:6] == ["1", "1", "1"]
    with pytest.raises(ValueError, match="no samples"):
        figures.samples(digits.x_test[:0], digits.y_test[:0])


def test_confusion_is_the_matrix(net: pynet.Network, digits: data.Dataset) -> None:
    report = metrics.measure(net, digits.x_test, digits.y_test)
    figure = drawn(figures.confusion(report.confusion))
    axes = figure.axes[0]
    written = np.zeros((10, 10), int)
    for text in axes.texts:
        j, i = text.get_position()
        written[int(i), int(j)] = int(text.get_text().replace(",", ""))
    assert_array_equal(written, report.confusion)
    fractions = np.ma.getdata(axes.images[0].get_array())
    assert_allclose(fractions, 100 * report.confusion / report.confusion.sum(axis=1, keepdims=True))
    assert_array_equal(np.ma.getmaskarray(axes.images[0].get_array()), np.eye(10, dtype=bool))
    assert figure.get_suptitle() == f"{report.correct} of 355 correct"


def test_mistakes_are_the_worst(net: pynet.Network, digits: data.Dataset) -> None:
    p = net.predict_proba(digits.x_test)
    predicted = p.argmax(axis=1)
    wrong = [i for i in range(len(p)) if predicted[i] != digits.y_test[i]]
    wrong.sort(key=lambda i: -p[i].max())
    figure = drawn(figures.mistakes(net, digits.x_test, digits.y_test, most=6))
    for picture, title, i in zip(pictures(figure), titles(figure), wrong[:6], strict=True):
        assert_array_equal(picture, digits.x_test[i])
        assert title == f"{digits.y_test[i]} predicted as {predicted[i]}\n{100 * p[i].max():.2f} %, sample {i}"
    right = predicted == digits.y_test
    assert figure.get_suptitle() == f"the 6 most confident of {len(wrong)} mistakes in 355 samples"
    all_of_them = figures.mistakes(net, digits.x_test[wrong], digits.y_test[wrong], most=len(wrong))
    assert all_of_them.get_suptitle() == f"{len(wrong)} mistakes in {len(wrong)} samples, the most confident first"
    none = drawn(figures.mistakes(net, digits.x_test[right], digits.y_test[right]))
    assert (none.axes, none.get_suptitle()) == ([], f"no mistake in {right.sum()} samples")


def test_filters_and_maps_are_those_of_the_convolution(digits: data.Dataset) -> None:
    net = pynet.Network("input(1,8,8) conv(6,3) relu maxpool(2) dense(10) softmax", seed=1)
    W, x = net.layers[0].W, digits.x_test[3]
    W[..., 1] /= 1000  # small weights are scaled, so that they are not all grey
    figure = drawn(figures.filters(net))
    for i, (picture, title) in enumerate(zip(pictures(figure)[:6], titles(figure), strict=False)):
        largest = abs(W[:, :, 0, i]).max()
        assert_allclose(picture, W[:, :, 0, i] / largest, rtol=1e-6)
        assert title == f"{i}: ±{largest:.2g}"
    assert figure.axes[1].images[0].get_clim() == (-1, 1)
    figure = drawn(figures.feature_maps(net, x))
    assert figure.get_suptitle() == "feature maps of layer 1, relu: 6 of 6"
    image, *maps = pictures(figure)[:7]
    assert_array_equal(image, x)
    for i in range(6):  # by definition, each output is a sum over its patch
        sums = [[(W[:, :, 0, i] * x[r : r + 3, c : c + 3] / 255).sum() for c in range(6)] for r in range(6)]
        assert_allclose(maps[i], np.maximum(sums, 0), atol=1e-5)
    deep = pynet.Network("input(2,6,6) conv(4,3) dense(3) softmax")
    figure = drawn(figures.filters(deep))
    assert figure.get_suptitle().endswith("4 of 4, the mean over 2 channels")
    mean = deep.layers[0].W.mean(axis=2)
    assert_allclose(pictures(figure)[3], mean[..., 3] / abs(mean[..., 3]).max(), rtol=1e-5, atol=1e-7)
    assert figures.feature_maps(net, x, layer=2).get_suptitle().startswith("feature maps of layer 2, maxpool(2)")
    for wrong in (3, 4):
        with pytest.raises(ValueError, match=f"layer {wrong} outputs .10,., not feature maps; accepted: 0, 1, 2"):
            figures.feature_maps(net, x, layer=wrong)
    with pytest.raises(ValueError, match="layer 1 is not a convolution; accepted: 0"):
        figures.filters(net, layer=1)


def test_noise_shows_its_numbers(net: pynet.Network) -> None:
    x = np.random.default_rng(3).integers(0, 256, (200, 64), np.uint8)
    p = net.predict_proba(x)
    figure = drawn(figures.noise(net, n=200, shown=4, seed=3))
    assert_array_equal(pictures(figure)[2], x[2].reshape(8, 8))
    assert titles(figure)[2] == f"{p[2].argmax()}: {100 * p[2].max():.2f} %"
    often = np.bincount(p.argmax(axis=1)).argmax()
    assert figure.get_suptitle() == (
        f"200 random inputs: mean confidence {100 * p.max(axis=1).mean():.2f} %, "
        f"above 90 % for {100 * (p.max(axis=1) > 0.9).mean():.2f} %; "
        f"most often predicted: {often} ({100 * (p.argmax(axis=1) == often).mean():.2f} %)"
    )


def test_the_axis_of_noise_runs_from_0_to_100(digits: data.Dataset) -> None:
    certain = pynet.Network("input(64) dense(10) softmax")
    certain.layers[0].b[3] = 1000
    figure = drawn(figures.noise(certain, n=50))
    histogram = figure.axes[-1]
    assert histogram.get_xlim() == (0, 100)
    assert histogram.patches[-1].get_height() == 50
    assert [text.get_text() for text in histogram.get_xticklabels()] == ["0", "20", "40", "60", "80", "100"]
    linear = pynet.Network("input(64) dense(10) loss(mse)")  # its outputs are not confidences
    linear.layers[0].b[...] = 1000
    figure = drawn(figures.noise(linear, n=50))
    assert "sure" not in figure.get_suptitle()
    assert figure.axes[-1].get_xlabel() == "largest output"
    assert figure.axes[-1].xaxis.get_offset_text().get_text() == ""


def test_temperatures_are_the_probabilities(net: pynet.Network, digits: data.Dataset) -> None:
    figure = drawn(figures.temperatures(net, digits.x_test[7], at=(0.5, 2), truth=3))
    assert_array_equal(pictures(figure)[0], digits.x_test[7])
    assert titles(figure) == [f"label: 3\npredicted: {net.predict(digits.x_test[7:8])[0]}", *BOTH_TEMPERATURES]
    for axes, temperature in zip(figure.axes[1:], (0.5, 2), strict=True):
        p = 100 * net.predict_proba(digits.x_test[7:8], temperature)[0]
        assert_allclose([bar.get_width() for bar in axes.patches], p, rtol=1e-5)
        assert [text.get_text() for text in axes.texts] == [
            f" {fraction:.1f}" for fraction in p
        ]  # all lines are visible
    many = pynet.Network("input(64) dense(60) softmax")
    figure = drawn(figures.temperatures(many, digits.x_test[7]))
    likeliest = np.argsort(-many.predict_proba(digits.x_test[7:8])[0])[:10]
    assert [text.get_text() for text in figure.axes[1].get_yticklabels()] == [str(c) for c in likeliest]
    with pytest.raises(ValueError, match="does not end in softmax"):
        figures.temperatures(pynet.Network("input(64) dense(10)"), digits.x_test[7])


def test_no_convolution(net: pynet.Network, digits: data.Dataset) -> None:
    with pytest.raises(ValueError, match="has no convolution"):
        figures.filters(net)
    with pytest.raises(ValueError, match="has no layer with feature maps"):
        figures.feature_maps(net, digits.x_test[0])


def test_inputs_of_tables_have_the_units_of_the_columns() -> None:
    """Numbers from 0 to 1 would all be far below the mean, where the network never saw a sample."""
    x = np.random.default_rng(0).normal([1000, -5], [20, 0.1], (200, 2)).astype(np.float32)
    y = (x[:, 0] > 1000).astype(int)
    net = pynet.Network("input(2) standardize dense(8) relu dense(2) softmax", seed=0)
    net.adapt(x)
    net.fit(x, y, epochs=200, optimizer="adam")
    preferred = figures.gradient_ascent(net, 3, [0, 1])
    assert (preferred[0, 0] < 1000) and (preferred[1, 0] > 1000)
    assert (abs(preferred - x.mean(axis=0)) <= 2.01 * x.std(axis=0)).all()
    assert (net.predict(preferred) == [0, 1]).all()
    title = figures.noise(net, n=200).get_suptitle()  # half of them are above the mean
    assert 40 < float(title.split("(")[-1].split(" ")[0]) < 70


def test_gradient_ascent_raises_the_output(net: pynet.Network) -> None:
    x = figures.gradient_ascent(net, 2, range(10))
    assert (x.shape, x.dtype) == ((10, 64), np.float32)
    assert x.min() >= 0
    assert x.max() <= 1
    net.forward(np.concatenate([x, np.full_like(x, 0.5)]))
    outputs = net.layers[2].output
    climbed, grey = np.diag(outputs[:10]), np.diag(outputs[10:])
    assert (climbed > grey).all()
    assert (net.predict(x) == range(10)).all()
    assert_array_equal(figures.gradient_ascent(net, 2, [3]), x[3:4])  # each input is independent of the others
    figure = drawn(figures.preferred_inputs(net))
    for unit, (picture, title) in enumerate(zip(pictures(figure), titles(figure), strict=True)):
        assert_array_equal(picture, x[unit].reshape(8, 8))
        assert title == f"{unit}: output {climbed[unit]:.1f}\nwhite is {x[unit].max():.2f}"
    assert_array_equal(figures.gradient_ascent(net, 1, [4]), figures.gradient_ascent(net, 0, [4]))  # through the ReLU
    for layer, units, message in ((9, [0], "layer is 9"), (2, [10], "unit is 10; layer 2 has 0 to 9")):
        with pytest.raises(ValueError, match=message):
            figures.preferred_inputs(net, layer=layer, units=units)


def test_saliency_is_the_gradient_of_the_score(digits: data.Dataset) -> None:
    net = pynet.Network("input(1,8,8) conv(4,3) tanh dense(10) softmax", seed=3)
    x = digits.x_test[5].astype(np.float64) / 255
    predicted = int(net.predict(digits.x_test[5:6])[0])
    label = (predicted + 1) % 10
    figure = drawn(figures.saliency(net, digits.x_test[5], truth=label))
    sample, magnitude, signed, magnitude_of_truth, signed_of_truth = pictures(figure)[:5]
    assert_array_equal(sample, digits.x_test[5])

    def scores(place: tuple[int, int], step: float) -> Array:
        moved = x.copy()
        moved[place] += step
        net.forward(moved[None], training=False)
        return net.layers[2].output[0].astype(np.float64)

    for place in ((0, 0), (3, 4), (7, 2)):  # the slope of the scores before the softmax, from their differences
        slope = (scores(place, 0.01) - scores(place, -0.01)) / 0.02
        assert_allclose([signed[place], signed_of_truth[place]], slope[[predicted, label]], atol=2e-3)
    assert_array_equal(magnitude, abs(signed))
    assert_array_equal(magnitude_of_truth, abs(signed_of_truth))
    assert figure.get_suptitle().startswith(f"predicted {predicted} (")
    assert f"label {label} (" in figure.get_suptitle()
    assert len(pictures(figures.saliency(net, digits.x_test[5], truth=predicted))) == 3


def test_saliency_of_colours_rows_and_single_outputs() -> None:
    net = pynet.Network("input(3,6,5) dense(4) softmax", seed=1)
    x = np.random.default_rng(0).random((3, 6, 5), dtype=np.float32)
    W = net.layers[0].W[:, net.predict(x[None])[0]].reshape(3, 6, 5)
    figure = drawn(figures.saliency(net, x))
    assert_allclose(pictures(figure)[1], abs(W).max(axis=0), rtol=1e-6)
    assert_allclose(pictures(figure)[2], W.mean(axis=0), rtol=1e-5, atol=1e-7)
    row = pynet.Network("input(2) dense(1) sigmoid loss(mse)")
    row.layers[0].W[:, 0] = (2, -3)
    for sample, signs in (((1, 0), 1), ((0, 1), -1)):  # class 1, class 0
        figure = drawn(figures.saliency(row, np.float32(sample), features=["width", "height"]))
        assert [bar.get_width() for bar in figure.axes[1].patches] == [2 * signs, -3 * signs]
        assert [text.get_text() for text in figure.axes[1].get_yticklabels()] == ["width", "height"]


def test_rows_of_numbers_have_names_values_and_one_scale() -> None:
    x = np.float32([[1, -2, 0.5], [4, 0, 3], [2, 2, 2]])
    figure = drawn(figures.samples(x, [0, 1, 1], ["a", "b"], each=1, features=["width", "height", "cost in $"]))
    for axes, row in zip(figure.axes, x, strict=False):
        assert [bar.get_width() for bar in axes.patches] == list(row)
        assert [text.get_text() for text in axes.texts] == [f" {value:.3g} " for value in row]
        assert [text.get_text() for text in axes.get_yticklabels()] == ["width", "height", r"cost in \$"]
        assert min(axes.get_xticks()) < 0 < max(axes.get_xticks())
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
    unnamed = drawn(figures.samples(np.tile(x, 7), [0, 1, 1]))  # 21 numbers: a bar each, the first and last with names
    assert [text.get_text() for text in unnamed.axes[-1].get_xticklabels()] == ["input 0", "input 20"]
    assert len(unnamed.axes[0].patches) == 21
    assert any(text.get_text() for text in unnamed.axes[0].get_yticklabels())
    plane = figures.boundary(pynet.Network("input(2) dense(2) softmax"), x[:, :2], [0, 1, 1], features=["a", "b"])
    assert (plane.axes[0].get_xlabel(), plane.axes[0].get_ylabel()) == ("a", "b")


def test_boundary_is_where_the_predictions_change() -> None:
    x, y = data.moons(100)
    net = pynet.Network("input(2) dense(8) tanh dense(2) softmax", seed=2)
    net.fit(x, y, epochs=30, batch_size=10)
    figure = drawn(figures.boundary(net, x, y))
    axes = figure.axes[0]
    assert_array_equal(np.sort(axes.collections[-1].get_offsets(), axis=0), np.sort(x[y == 1], axis=0))
    crossings = np.concatenate([path.vertices for path in axes.collections[0].get_paths()])
    p = net.predict_proba(crossings.astype(np.float32))
    assert_allclose(p[:, 0], 0.5, atol=0.01)
    line = pynet.Network("input(1) dense(1)")
    line.layers[0].W[...] = 3
    figure = drawn(figures.boundary(line, *data.line(20)))
    found = figure.axes[0].lines[0].get_xydata()
    assert_allclose(found[:, 1], 3 * found[:, 0], rtol=1e-5)
    with pytest.raises(ValueError, match="have 3 inputs"):
        figures.boundary(net, np.zeros((2, 3)), [0, 1])


def test_layers_within_others() -> None:
    net = pynet.Network("input(30) dense(8) residual(dense(8) relu) relu dense(3) softmax")
    assert_array_equal(pictures(figures.weights(net, layer="1.0"))[0], net.layers[2].W.T)
    assert_array_equal(figures.gradient_ascent(net, 2, [4]), figures.gradient_ascent(net, 1, [4]))
    assert_array_equal(figures.gradient_ascent(net, "1.1", [4]), figures.gradient_ascent(net, "1.0", [4]))
    drawn(figures.preferred_inputs(net))


@pytest.mark.parametrize(
    ("spec", "classes"),
    [
        ("input(7) dense(3) tanh dense(4) softmax", 4),
        ("input(13) dense(1) sigmoid", 2),
        ("input(1) dense(1000) relu dense(1) softmax", 1),
        ("input(64) dense(1000) relu dense(60) softmax", 60),
        ("input(3,6,5) dense(4) softmax", 4),
        ("input(2,6,5) dense(3) sigmoid", 3),
    ],
)
def test_any_network(spec: str, classes: int) -> None:
    net = pynet.Network(spec)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (150, *net.in_shape), np.uint8)
    y = np.arange(150) % classes
    names = [f"class $number_{c} with a long name" for c in range(classes)]
    matrix = metrics.measure(net, x, y, names).confusion
    for figure in (
        figures.weights(net, most=12),
        figures.samples(x[:40], y[:40], names, each=2),
        figures.samples(x[:6] / np.float32(255), y[:6], names, each=2),
        figures.confusion(matrix, names),
        figures.mistakes(net, x, y, names, most=5),
        figures.preferred_inputs(net, most=6),
        figures.noise(net, n=50, shown=3),
    ):
        drawn(figure)
    if net.layers[-1].kind == "softmax":
        drawn(figures.temperatures(net, x[0]))


def test_save(folder: Path) -> None:
    for suffix, beginning in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        first = figures.save(figures.curves(History([2, 1], [0.5, 1])), f"a{suffix}").read_bytes()
        assert first.startswith(beginning)
    with pytest.raises(ValueError, match=r"accepted suffixes: \.png"):
        figures.save(figures.curves(History([2, 1], [0.5, 1])), "a.gif")
    assert sorted(path.name for path in folder.iterdir()) == ["a.pdf", "a.png", "a.svg"]


WITH_SETTINGS = """
import sys, warnings, numpy as np, pynet
from pynet import figures
if "early" in sys.argv:
    import matplotlib
net = pynet.Network("input(64) dense(3) softmax")
x = np.zeros((8, 8), np.uint8)
for figure in (figures.weights(net), figures.noise(net, n=50, shown=3), figures.saliency(net, x)):
    figures.save(figure, "a.png")
    assert figure._repr_png_().startswith(b"\\x89PNG")  # what a notebook shows
import matplotlib
before = matplotlib.rc_params_from_file(matplotlib.matplotlib_fname())
print([name for name in before if name != "backend" and before[name] != matplotlib.rcParams[name]])
print("pyplot" in dir(matplotlib), matplotlib.rcParams["text.usetex"])
"""


@pytest.mark.parametrize("backend", ["inline", "module://matplotlib_inline.backend_inline", "agg"])
def test_settings_of_users_and_notebooks(folder: Path, backend: str) -> None:
    Path("matplotlibrc").write_text("text.usetex: True\nfigure.facecolor: black\naxes.grid: True\n")
    environment = os.environ | {"MPLBACKEND": backend, "PATH": "/nonexistent"}  # no latex there
    early = ["early"] if backend == "agg" else []
    command = [sys.executable, "-c", WITH_SETTINGS, *early]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\nFalse True\n", "")


def test_matplotlib_is_imported_when_it_is_used() -> None:
    code = "import sys, pynet, pynet.figures, pynet.commands.visualize, pynet.train; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
