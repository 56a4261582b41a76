"""Figures about predictions against scikit-learn."""

from __future__ import annotations

import numpy as np
import sklearn.metrics
from numpy.testing import assert_allclose, assert_array_equal

from pynet import metrics

rng = np.random.default_rng(0)
TRUTH = rng.integers(0, 5, 400)
GUESS = np.where(rng.random(400) < 0.6, TRUTH, rng.integers(0, 5, 400))


def test_accuracy_and_confusion_matrix() -> None:
    assert metrics.accuracy(TRUTH, GUESS) == sklearn.metrics.accuracy_score(TRUTH, GUESS)
    assert_array_equal(metrics.confusion_matrix(TRUTH, GUESS, 5), sklearn.metrics.confusion_matrix(TRUTH, GUESS))


def test_class_report() -> None:
    rows = metrics.class_report(metrics.confusion_matrix(TRUTH, GUESS, 5))
    precision, recall, f1, support = sklearn.metrics.precision_recall_fscore_support(TRUTH, GUESS)
    assert_allclose([row.precision for row in rows], precision)
    assert_allclose([row.recall for row in rows], recall)
    assert_allclose([row.f1 for row in rows], f1)
    assert_array_equal([row.support for row in rows], support)
