"""The distance of a sample from the training samples: its formula, its note in a model, which samples it marks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pynet
from pynet import data
from pynet.training import novelty


@pytest.fixture(scope="module")
def net(digits: data.Dataset) -> pynet.Network:
    """A network trained on the built-in digits, with its note on novelty."""
    net = pynet.Network("input(64) dense(32) relu dense(10) softmax")
    net.fit(digits.x_train, digits.y_train, epochs=20)
    found = novelty.measured(net, digits.x_train, digits.y_train, digits.x_test)
    assert found is not None
    net.meta[novelty.NOTE] = found.note(net)
    return net


def test_samples_unlike_the_training_samples_are_marked(net: pynet.Network, digits: data.Dataset) -> None:
    known = novelty.of(net)
    assert known is not None
    shares = {}
    random = np.random.default_rng(0)
    noise = (255 * random.random((300, 8, 8)) ** 2).astype(np.uint8)
    upside_down = 255 - digits.x_test
    for name, x in {"test": digits.x_test, "noise": noise, "inverted": upside_down}.items():
        shares[name] = known.far(net, x).mean()
    assert shares["test"] < 0.06  # 0.03 of each class, of a few dozen samples
    assert shares["noise"] > 0.5
    assert shares["inverted"] > 0.5
    right = net.predict(digits.x_test) == digits.y_test
    marked = known.far(net, digits.x_test)
    assert marked[~right].mean() > 5 * marked[right].mean()  # samples with wrong predictions are farther


def test_the_distance_is_the_relative_mahalanobis_distance(net: pynet.Network, digits: data.Dataset) -> None:
    """Computed here in float64 with full covariances; the ridge makes a small difference."""
    found = novelty.measured(net, digits.x_train, digits.y_train, digits.x_test)
    assert found is not None
    hidden = np.maximum(digits.x_train.reshape(-1, 64) / 255 @ net.tensors["0.W"] + net.tensors["0.b"], 0).astype(float)
    y, mean = digits.y_train, hidden.mean(axis=0)
    means = np.stack([hidden[y == c].mean(axis=0) for c in range(10)])
    within = (hidden - means[y]).T @ (hidden - means[y]) / len(y)
    within += novelty.RIDGE * np.trace(within) / len(within) * np.eye(len(within))
    between = (means[y] - mean).T @ (means[y] - mean) / len(y)

    def squared(points: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        return np.einsum("ij,ij->i", points, np.linalg.solve(covariance, points.T).T)

    expected = squared(hidden - means[y], within) - squared(hidden - mean, within + between)
    got = found.distances(hidden.astype(np.float32), y)
    assert np.allclose(got, expected, atol=1e-3 * np.abs(expected).max())


def test_a_note_is_small_and_is_restored(net: pynet.Network, digits: data.Dataset, tmp_path: Path) -> None:
    net.save(tmp_path / "m.safetensors")
    loaded = pynet.load(tmp_path / "m.safetensors")
    assert len(loaded.meta[novelty.NOTE]) < 40_000
    first, second = novelty.of(net), novelty.of(loaded)
    assert first is not None
    assert second is not None
    for name in ("mean", "axes", "centres", "spread", "limits"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
    loaded.fit(digits.x_train, digits.y_train, epochs=1)
    assert novelty.of(loaded) is None  # the note belongs to other weights
    assert novelty.of(pynet.Network("input(64) dense(10) softmax")) is None


@pytest.mark.parametrize("units", [600, 1024])
def test_a_note_of_a_wide_layer_is_small(units: int) -> None:
    net = pynet.Network(f"input(8) dense({units}) relu dense(40) softmax")
    random = np.random.default_rng(0)
    x, y = random.random((400, 8), np.float32), np.arange(400) % 40
    found = novelty.measured(net, x, y, x)
    assert found is not None
    assert len(found.note(net)) < 42_000


@pytest.mark.parametrize("text", ["input(8) dense(3) softmax", "input(8) dense(2000) relu dense(3) softmax"])
def test_where_nothing_can_be_measured(text: str) -> None:
    x, y = np.random.default_rng(0).random((30, 8), np.float32), np.arange(30) % 3
    assert novelty.measured(pynet.Network(text), x, y, x) is None
    small = pynet.Network("input(8) dense(9) relu dense(3) softmax")
    assert novelty.measured(small, x, np.zeros(30, int), x) is None
    assert novelty.measured(small, x[:4], y[:4], x) is None
    assert novelty.measured(small, np.zeros_like(x), y, x) is None


def test_one_output_has_two_classes() -> None:
    net = pynet.Network("input(2) dense(8) tanh dense(1) sigmoid loss(bce)")
    x = np.random.default_rng(0).normal(0, 1, (200, 2)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)
    net.fit(x, y, epochs=5, verbose=False)
    found = novelty.measured(net, x, y, x)
    assert found is not None
    assert found.centres.shape == (2, 1)


@given(st.sampled_from(["shape", "weights", "values", "all"]), st.text(max_size=9) | st.integers() | st.none())
def test_damaged_notes_are_refused(net: pynet.Network, part: str, value: object) -> None:
    note = json.loads(net.meta[novelty.NOTE])
    twin = net.copy()
    twin.meta[novelty.NOTE] = str(value).replace("\0", "") if part == "all" else json.dumps(note | {part: value})
    if part == "weights":
        assert novelty.of(twin) is None
    else:
        with pytest.raises(ValueError, match="note on distances from its training samples is damaged"):
            novelty.of(twin)


def test_sizes_that_are_no_whole_numbers_are_damage(net: pynet.Network) -> None:
    note = json.loads(net.meta[novelty.NOTE])
    twin = net.copy()
    twin.meta[novelty.NOTE] = json.dumps(note | {"shape": [float(size) for size in note["shape"]]})
    with pytest.raises(ValueError, match="note on distances from its training samples is damaged"):
        novelty.of(twin)
