"""Metrics against those of scikit-learn."""

from __future__ import annotations

import numpy as np
import sklearn.metrics
import sklearn.utils.class_weight
from numpy.testing import assert_allclose, assert_array_equal

from pynet import metrics
from pynet.model.samples import class_weights

rng = np.random.default_rng(0)
TRUTH = rng.integers(0, 5, 400)
GUESS = np.where(rng.random(400) < 0.6, TRUTH, rng.integers(0, 5, 400))


def test_accuracy_and_confusion_matrix() -> None:
    assert metrics.accuracy(TRUTH, GUESS) == sklearn.metrics.accuracy_score(TRUTH, GUESS)
    assert_array_equal(metrics.confusion_matrix(TRUTH, GUESS, 5), sklearn.metrics.confusion_matrix(TRUTH, GUESS))


def test_figures_of_numbers() -> None:
    for shape in ((50,), (50, 3)):
        y, p = rng.normal(size=shape), rng.normal(size=shape)
        assert_allclose(metrics.rmse(y, p), sklearn.metrics.root_mean_squared_error(y, p))
        assert_allclose(metrics.mae(y, p), sklearn.metrics.mean_absolute_error(y, p))
        assert_allclose(metrics.r2(y, p), sklearn.metrics.r2_score(y, p))


def test_roc_auc() -> None:
    truth, scores = rng.integers(0, 2, 300), rng.integers(0, 40, 300) / 40
    assert_allclose(metrics.roc_auc(truth, scores), sklearn.metrics.roc_auc_score(truth, scores))


def test_labels() -> None:
    truth, found = rng.integers(0, 2, (80, 4)), rng.integers(0, 2, (80, 4))
    precision, recall, f1, support = sklearn.metrics.precision_recall_fscore_support(truth, found)
    rows = metrics.label_report(truth, found)
    assert_allclose([(row.precision, row.recall, row.f1) for row in rows], np.stack([precision, recall, f1], axis=1))
    assert_array_equal([row.support for row in rows], support)


def test_class_report() -> None:
    rows = metrics.class_report(metrics.confusion_matrix(TRUTH, GUESS, 5))
    precision, recall, f1, support = sklearn.metrics.precision_recall_fscore_support(TRUTH, GUESS)
    assert_allclose([row.precision for row in rows], precision)
    assert_allclose([row.recall for row in rows], recall)
    assert_allclose([row.f1 for row in rows], f1)
    assert_array_equal([row.support for row in rows], support)


def test_balanced_weights() -> None:
    found = class_weights(5, TRUTH, "balanced")
    assert_allclose(found, sklearn.utils.class_weight.compute_sample_weight("balanced", TRUTH), rtol=1e-6)
