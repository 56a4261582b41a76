"""The losses: what each sample costs, and the gradient of the mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pynet.reference.arrays import Array, Labels, floats, labels_below, rows, same
from pynet.reference.functions import one_hot


def cross_entropy(x: ArrayLike, labels: ArrayLike, scale: float | None = None) -> tuple[Array, Array]:
    """Softmax and cross-entropy in one: loss (m) = -log softmax(x)[label], dx (m,n) = (softmax(x) - one-hot) scale.

    x (m,n) are logits, the numbers before the softmax; labels (m) in [0, n). scale None is 1/m, which makes dx the
    gradient of the mean loss. Together the two derivatives shrink to p - y (Bridle 1990), and the logarithm never sees
    a probability that was rounded to 0: log softmax(x) = x - log sum exp(x), with the row's maximum taken out first
    (Blanchard, Higham & Higham 2021).
    """
    x = floats(x)
    m, n = x.shape
    labels = labels_below(labels, n)
    same("number of labels", len(labels), m)
    shifted = x - x.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_p[np.arange(m), labels]
    return loss, (np.exp(log_p) - one_hot(labels, n)) * _mean_scale(scale, m)


def squared_error(p: ArrayLike, y: ArrayLike, scale: float | None = None) -> tuple[Array, Array]:
    """loss (m) = half the sum over each row of (p - y)^2; dp (m,n) = (p - y) scale. p, y (m,n); scale None is 1/m.

    The half is there for the derivative's sake (Rumelhart, Hinton & Williams 1986).
    """
    p, y = floats(p), floats(y)
    same("shape of the targets", y.shape, p.shape)
    return np.asarray(0.5 * ((p - y) ** 2).sum(axis=1)), (p - y) * _mean_scale(scale, len(p))


def _mean_scale(scale: float | None, m: int) -> float:
    return 1 / max(m, 1) if scale is None else scale


def as_labels(y: ArrayLike, n: int) -> Labels:
    """Labels (m) as they are, one-hot rows (m,n) as the labels they stand for."""
    y = np.asarray(y)
    if y.ndim != 2:
        return labels_below(y, n)
    same("width of the one-hot rows", y.shape[1], n)
    labels = np.asarray(y.argmax(axis=1), dtype=np.int64)
    if not np.array_equal(y, one_hot(labels, n)):
        raise ValueError("cross_entropy takes labels or one-hot rows, these rows are not one-hot")
    return labels


def as_targets(y: ArrayLike, n: int) -> Array:
    """Labels (m) as one-hot rows (m,n), rows as they are."""
    y = np.asarray(y)
    return one_hot(y, n) if y.ndim == 1 else rows(floats(y))
