"""Metrics against counts by hand, and their tables in the terminal."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from pynet import Network
from pynet.metrics import (
    ClassRow,
    accuracy,
    calibration_error,
    class_report,
    confusion_matrix,
    format_confusion,
    format_report,
    label_report,
    measure,
    measure_labels,
    permutation_importance,
    roc_auc,
    uneven,
)

TRUTH = [0, 0, 0, 1, 1, 2, 2, 2, 2, 2]
PREDICTED = [0, 0, 1, 1, 0, 2, 2, 2, 1, 0]
MATRIX = [[2, 1, 0], [1, 1, 0], [1, 1, 3]]


def test_the_example_by_hand() -> None:
    assert accuracy(TRUTH, PREDICTED) == 0.6
    matrix = confusion_matrix(TRUTH, PREDICTED, classes=3)
    assert matrix.dtype == np.int64
    assert_array_equal(matrix, MATRIX)
    assert class_report(matrix, ["a", "b", "c"]) == [
        ClassRow("a", precision=2 / 4, recall=2 / 3, f1=4 / 7, support=3, predicted=4),
        ClassRow("b", precision=1 / 3, recall=1 / 2, f1=2 / 5, support=2, predicted=3),
        ClassRow("c", precision=1.0, recall=3 / 5, f1=6 / 8, support=5, predicted=3),
    ]


def test_small_integer_types_do_not_overflow() -> None:
    labels, predicted = np.full(3, 99, np.uint8), np.full(3, 98, np.int8)
    matrix = confusion_matrix(labels, predicted, 100)
    assert matrix[99, 98] == matrix.sum() == 3
    assert accuracy(labels, predicted) == 0


@given(st.integers(1, 6).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_the_matrix_counts_pairs(case: tuple[int, list[tuple[int, int]]]) -> None:
    classes, pairs = case[0], case[1] or [(0, 0)]
    labels, predicted = zip(*pairs, strict=True)
    matrix = confusion_matrix(labels, predicted, classes)
    assert matrix.tolist() == [[pairs.count((i, j)) for j in range(classes)] for i in range(classes)]
    assert accuracy(labels, predicted) == pytest.approx(np.trace(matrix) / len(pairs), rel=1e-15)
    for row in class_report(matrix):
        if row.precision > 0 and row.recall > 0:
            assert row.f1 == pytest.approx(2 * row.precision * row.recall / (row.precision + row.recall), rel=1e-14)


@pytest.mark.parametrize(
    "given",
    [
        np.ma.masked_array([0, 1], mask=[0, 1]), np.arange(2) + 0j, np.arange(2).astype("M8[D]"), ["0", "1"], None,
        np.array([0, 1], object),
    ],
)  # fmt: skip
def test_arrays_that_are_not_numbers(given: Any) -> None:
    calls: list[Any] = [
        lambda: accuracy(given, [0, 1]),
        lambda: accuracy([0, 1], given),
        lambda: confusion_matrix(given, [0, 1], 2),
        lambda: calibration_error([0], given if given is None else [given]),
        lambda: class_report(given if given is None else [given, given]),
        lambda: measure(Network("input(2) dense(2) softmax"), np.zeros((2, 2)), given),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"(is None|masked array|dtype|type) ?.*(accepted|expected)"):
            call()


def test_zero_by_zero_is_nan_and_shows_as_a_dash() -> None:
    rows = class_report([[1, 0, 0], [1, 0, 0], [0, 0, 0]])
    assert [row.name for row in rows] == ["0", "1", "2"]
    assert (rows[0].precision, rows[0].recall, rows[0].f1) == (0.5, 1, 2 / 3)
    assert math.isnan(rows[1].precision)
    assert (rows[1].recall, rows[1].f1) == (0, 0)
    assert all(map(math.isnan, (rows[2].precision, rows[2].recall, rows[2].f1)))
    assert format_report(rows).splitlines() == [
        "class  precision  recall     F1  samples",
        "    0      50.0%  100.0%  66.7%        1",
        "    1          -    0.0%   0.0%        1",
        "    2          -       -      -        0",
    ]


@pytest.mark.parametrize(
    ("labels", "predicted", "message"),
    [
        ([0, 1], [0], "y_true has 2 labels, y_pred has 1"),
        ([], [], "y_true and y_pred are empty"),
        ([0, 3], [0, 1], "y_true has label 3, accepted are 0 to 2"),
        ([0, 1], [0, -1], "y_pred has label -1, accepted are 0 to 2"),
        ([0.5, 1], [0, 1], r"y_true has shape \(2,\) and type float64"),
        ([0, 1], [[0.1, 0.9], [1, 0]], r"y_pred has shape \(2, 2\).*expected \(n,\) whole-number labels"),
        ([True], [0], "type bool"),
    ],
)
def test_bad_labels(labels: Any, predicted: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        confusion_matrix(labels, predicted, 3)


def test_accuracy_needs_no_number_of_classes() -> None:
    assert accuracy([0, 3000], [0, 1]) == 0.5
    with pytest.raises(ValueError, match="y_pred has label -1, accepted are from 0"):
        accuracy([0, 1], [0, -1])
    with pytest.raises(ValueError, match="y_true has 2 labels, y_pred has 1"):
        accuracy([0, 1], [0])
    with pytest.raises(ValueError, match="y_true and y_pred are empty"):
        accuracy([], [])


def test_bad_matrices() -> None:
    with pytest.raises(ValueError, match="classes is 0, accepted are whole numbers from 1"):
        confusion_matrix([0], [0], 0)
    for bad in ([[1, 2]], [1, 2], np.zeros((0, 0), int)):
        with pytest.raises(ValueError, match=r"expected \(classes, classes\)"):
            format_confusion(bad)
    with pytest.raises(ValueError, match="2 names for 3 classes"):
        class_report(MATRIX, ["a", "b"])


def test_a_small_table() -> None:
    assert format_confusion([[980, 3], [0, 12]], ["yes", "no"]).splitlines() == [
        "true \\ pred  yes   no",
        "        yes  980    3",
        "         no    .   12",
    ]


def test_long_names_are_cut_and_line_breaks_do_not_break_the_table() -> None:
    lines = format_confusion([[1, 0], [0, 1]], ["Ankle boot with laces", "a\n\x1b[2Jb"]).splitlines()
    assert lines == [
        r" true \ pred  Ankle ..  a\n\x1..",
        "Ankle boot..         1         .",
        r" a\n\x1b[2Jb         .         1",
    ]
    assert (
        format_report(class_report(np.eye(1, dtype=int), ["Ankle boot with laces"])).splitlines()[1][:12]
        == "Ankle boot.."
    )


@given(classes=st.integers(1, 100), largest=st.integers(0, 10**6), width=st.integers(40, 200), seed=st.integers(0, 9))
def test_any_table_fits_and_loses_nothing(classes: int, largest: int, width: int, seed: int) -> None:
    matrix = np.random.default_rng(seed).integers(0, largest + 1, (classes, classes))
    parts = [part.splitlines() for part in format_confusion(matrix, width=width).split("\n\n")]
    for part in parts:
        assert len(part) == classes + 1
        assert len({len(line) for line in part}) == 1
        assert len(part[0]) <= width
    side = len("true \\ pred")
    cells = [[text for part in parts for text in part[i][side:].split()] for i in range(classes + 1)]
    assert cells[0] == [str(i) for i in range(classes)]
    assert [[0 if text == "." else int(text) for text in row] for row in cells[1:]] == matrix.tolist()


# ---- calibration ----


def test_calibration_error_by_hand():
    p = [[0.8, 0.2]] * 4 + [
        [0.4, 0.6]
    ] * 2  # confidence 80 % four times, correct three times; 60 % twice, never correct
    y = [0, 0, 0, 1, 0, 0]
    assert calibration_error(y, p) == pytest.approx((4 * 0.05 + 2 * 0.6) / 6)
    assert calibration_error(y, p, bins=1) == pytest.approx(abs(3 - 4 * 0.8 - 2 * 0.6) / 6)
    assert calibration_error([0, 1], [[1, 0], [0, 1]]) == 0
    assert calibration_error([1], [[1, 0]]) == 1


@pytest.mark.parametrize(
    ("y", "p", "bins", "message"),
    [
        ([0], [[1.5, 0]], 15, "run from 0 to 1.5, accepted are 0 to 1"),
        ([0], [[float("nan"), 0]], 15, "accepted are 0 to 1"),
        ([0], [0.5], 15, r"shape \(1,\), expected \(n, classes\)"),
        ([2], [[0.5, 0.5]], 15, "label 2, accepted are 0 to 1"),
        ([], np.zeros((0, 2)), 15, "n from 1"),
        ([0], [[0.5, 0.5]], 0, "bins is 0"),
    ],
)
def test_calibration_error_refuses(y, p, bins, message):
    with pytest.raises(ValueError, match=message):
        calibration_error(y, p, bins)


def test_roc_auc_counts_pairs_in_the_right_order() -> None:
    random = np.random.RandomState(0)
    for _ in range(20):
        truth, scores = random.randint(0, 2, 30), random.randint(0, 6, 30) / 7
        truth[:2] = 0, 1
        ones, zeros = scores[truth == 1][:, None], scores[truth == 0]
        expected = ((ones > zeros) + 0.5 * (ones == zeros)).mean()
        assert roc_auc(truth, scores) == pytest.approx(expected, abs=1e-12)
    assert roc_auc([0, 1, 1], [0.1, 0.2, 0.9]) == 1
    for truth, scores in (([0, 0], [1, 2]), ([0, 1], [1]), ([0, 1], [1, math.nan]), ([0, 2], [1, 2])):
        with pytest.raises(ValueError, match="accepted"):
            roc_auc(truth, scores)


def test_inputs_that_the_network_uses_are_important() -> None:
    net = Network("input(3) dense(2) softmax")
    net.tensors["0.W"][...] = [[-9, 9], [0, 0], [0, 0]]  # the first input decides
    x = np.random.RandomState(0).normal(size=(200, 3)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)
    kept = x.copy()
    falls = permutation_importance(net, x, y, [slice(0, 1), slice(1, 3)], repeats=4)
    assert falls.shape == (2, 4) and (falls[0] > 0.3).all() and (falls[1] == 0).all()
    assert np.array_equal(x, kept)
    assert np.array_equal(falls, permutation_importance(net, x, y, [slice(0, 1), slice(1, 3)], repeats=4))
    for bad in (x[:1], x[:, 0]):
        with pytest.raises(ValueError, match="x has shape"):
            permutation_importance(net, bad, y[: len(bad)], [slice(0, 1)])


# ---- several labels at once ----

SEVERAL = [[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0]]
PREDICTED_LABELS = [[1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0]]


def test_labels_by_hand() -> None:
    a, b, c = label_report(SEVERAL, PREDICTED_LABELS, ["a", "b", "c"])
    assert a == ClassRow("a", precision=2 / 3, recall=1, f1=4 / 5, support=2, predicted=3)
    assert b == ClassRow("b", precision=1 / 2, recall=1 / 2, f1=2 / 4, support=2, predicted=2)
    assert (c.support, c.predicted, math.isnan(c.precision), math.isnan(c.f1)) == (0, 0, True, True)
    assert format_report([a, b, c]).splitlines()[3].split() == ["c", "-", "-", "-", "0"]


def test_a_network_on_labels() -> None:
    """The outputs depend on the bias alone, and are at least or below 1/2."""
    net = Network("input(1) dense(3) sigmoid loss(bce)")
    net.layers[0].W[...], net.layers[0].b[...] = [[2, -2, 0]], [1, 1, -9]
    x, y = np.array([[1.0], [0.2], [-1], [0.6]]), np.array(SEVERAL)
    net.classes = ["a", "b", "c"]
    found, p = measure_labels(net, x, y), net.predict_proba(x)
    said = (p > 0.5).astype(int)
    assert said.tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert found.labels == label_report(y, said, ["a", "b", "c"])
    assert (found.samples, found.exact, found.accuracy) == (4, 1 / 4, 9 / 12)
    assert found.f1 == (found.labels[0].f1 + found.labels[1].f1) / 2
    net.task = "multi-label"
    figures = net.evaluate(x, y)
    assert (figures.accuracy, figures.loss) == (found.exact, found.loss)
    assert found.loss == pytest.approx(-np.log(np.where(y == 1, p, 1 - p)).sum(axis=1).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("y", "p", "names", "message"),
    [
        ([[1, 2]], [[1, 0]], None, r"y_true has shape \(1, 2\) and numbers from 1 to 2; accepted: \(n, labels\)"),
        ([1, 0], [1, 0], None, r"y_true has shape \(2,\); accepted"),
        ([[1, 0]], [[1, 0, 1]], None, r"y_true has shape \(1, 2\), y_pred has \(1, 3\)"),
        ([[1, 0]], [[1, 0]], ["a"], "1 names for 2 labels"),
        (np.zeros((0, 2)), np.zeros((0, 2)), None, r"y_true has shape \(0, 2\)"),
    ],
)
def test_labels_that_are_refused(y: Any, p: Any, names: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        label_report(y, p, names)


def test_what_an_accuracy_hides() -> None:
    names = ["no", "yes"]
    assert uneven(np.array([[50, 3], [4, 40]]), names) == ""
    assert uneven(np.array([[50, 0], [0, 0]]), names) == "; none of these samples is of class yes"
    assert uneven(np.array([[90, 0], [8, 2]]), names) == "; 90.00 % are of class no, balanced accuracy 60.00 %"
    assert uneven(np.zeros((2, 2)), names) == ""
