"""The task of a network (classes, labels or numbers): decided by text and targets, stored in its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from pynet import SGD, Network, load

X = np.linspace(-1, 1, 60, dtype=np.float32).reshape(20, 3)
LABELS = np.arange(20) % 2
ONE_HOT = np.eye(2, dtype=np.float32)[LABELS]
SEVERAL = np.array([[1, 1], [0, 1], [0, 0], [1, 0]] * 5, np.float32)
LINEAR, SIGMOID = "input(3) dense(2)", "input(3) dense(2) sigmoid loss(mse)"
SOFTMAX, BCE = "input(3) dense(2) softmax", "input(3) dense(2) sigmoid loss(bce)"
ONE, ONE_SIGMOID = "input(3) dense(1)", "input(3) dense(1) sigmoid loss(bce)"


@pytest.mark.parametrize(
    ("text", "y", "task"),
    [
        (LINEAR, None, "regression"),
        (ONE, None, "regression"),
        (SIGMOID, None, "classes"),
        (SOFTMAX, None, "classes"),
        (BCE, None, "classes"),
        (ONE_SIGMOID, None, "classes"),
        (LINEAR, X[:, :2], "regression"),
        (LINEAR, SEVERAL, "regression"),
        (LINEAR, LABELS, "classes"),
        (LINEAR, ONE_HOT, "classes"),
        (SIGMOID, X[:, :2], "regression"),
        (SIGMOID, LABELS, "classes"),
        (SIGMOID, ONE_HOT, "classes"),
        (SOFTMAX, ONE_HOT, "classes"),
        ("input(3) dense(2) softmax loss(mse)", SEVERAL, "classes"),
        (BCE, LABELS, "classes"),
        (BCE, ONE_HOT, "classes"),
        (BCE, SEVERAL, "multi-label"),
        (ONE, X[:, 0], "regression"),
        (ONE, 10 * LABELS, "regression"),
        (ONE, LABELS, "classes"),
        (ONE_SIGMOID, LABELS, "classes"),
        (f"{LINEAR} rescale", None, "regression"),
        (f"{LINEAR} rescale", ONE_HOT, "regression"),
        (f"{ONE} rescale", LABELS, "regression"),
    ],
)
def test_text_and_targets_decide(text: str, y: Any, task: str, tmp_path: Path) -> None:
    net = Network(text)
    if y is not None:
        net.fit(X, y, epochs=1)
    net.save(tmp_path / "m.safetensors")
    assert net.task == net.copy().task == load(tmp_path / "m.safetensors").task == task


def test_predictions_are_those_of_the_task() -> None:
    net = Network("input(2) dense(2)")
    net.layers[0].W[...], x = np.eye(2), np.array([[0.25, 0.75], [3, -2]], np.float32)
    assert_array_equal(net.predict(x), x)
    net.task = "classes"
    assert_array_equal(net.predict(x), [1, 0])
    one = Network("input(2) dense(1)")
    one.layers[0].W[...] = [[1], [2]]
    assert_array_equal(one.predict(x), [1.75, -1])
    several = Network("input(2) dense(2) sigmoid loss(bce)")
    several.layers[0].W[...] = np.eye(2)
    several.task = "multi-label"
    assert_array_equal(several.predict(x), [[1, 1], [1, 0]])
    assert one.predict(x[:0]).shape == (0,)
    assert several.predict(x[:0]).shape == net.predict_proba(x[:0]).shape == (0, 2)
    planes = Network("input(1,4,4) conv(2,3)")
    assert planes.predict(np.ones((3, 4, 4), np.float32)).shape == (3, *planes.out_shape)


def test_a_few_targets_that_look_like_classes_do_not_change_a_regression() -> None:
    net = Network(ONE)
    net.fit(X, X[:, 0], epochs=1)
    assert net.evaluate(X[:2], [0, 1]).rmse > 0
    net.partial_fit(X[:2], [0, 1])
    assert net.task == "regression"
    labels = Network(BCE)
    labels.fit(X, SEVERAL, epochs=1)
    labels.partial_fit(X[:2], [[0, 1], [1, 0]])
    assert labels.task == "multi-label"
    labels.partial_fit(X, LABELS)
    assert labels.task == "classes"


def test_steps_by_hand_with_labels() -> None:
    for step in (lambda net: net.train_step(X, LABELS, SGD()), lambda net: [net.forward(X), net.loss(LABELS)]):
        net = Network(LINEAR)
        step(net)
        assert net.task == "classes"
        assert net.predict(X).dtype == np.int64


def test_classifiers_have_no_note() -> None:
    for text in (SOFTMAX, SIGMOID, BCE, ONE_SIGMOID):
        net = Network(text)
        net.fit(X, LABELS, epochs=1)
        assert dict(net.meta) == {}
    named = Network(LINEAR)
    named.classes = ["a", "b"]
    assert named.task == "classes"
    named.fit(X, LABELS, epochs=1)
    assert list(named.meta) == ["classes"]


def test_bad_tasks() -> None:
    with pytest.raises(ValueError, match="task is 'regression'; accepted for this network: classes, multi-label"):
        Network(BCE).task = "regression"
    with pytest.raises(ValueError, match="task is 'multi-label'; accepted for this network: regression, classes"):
        Network(ONE).task = "multi-label"  # type: ignore[assignment]
    for text, note in ((SOFTMAX, "regression"), (BCE, "regression"), (ONE, "multi-label"), (ONE, "")):
        net, usual = Network(text), Network(text).task
        net.meta["task"] = note  # as in a file that was edited by hand
        assert net.task == usual


def test_validation_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="validation y holds labels, but the network learns numbers"):
        Network(LINEAR).fit(X, X[:, :2], validation=(X, LABELS))
