"""The losses: the loss of each sample, and the gradient of the mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pynet.reference.arrays import Array, Labels, floats, labels_below, rows, same
from pynet.reference.functions import one_hot, sigmoid


def cross_entropy(
    x: ArrayLike, labels: ArrayLike, scale: float | None = None, smoothing: float = 0.0
) -> tuple[Array, Array]:
    """Softmax and cross-entropy in one: loss (m) = -log softmax(x)[label], dx (m,n) = (softmax(x) - one-hot) scale.

    x (m,n) are logits, the input of the softmax; labels (m) in [0, n). scale None is 1/m, which makes dx the gradient
    of the mean loss. The combined derivative is p - y (Bridle 1990), and the logarithm is never taken of a probability
    that was rounded to 0: log softmax(x) = x - log sum exp(x), with the row's maximum subtracted first (Blanchard,
    Higham & Higham 2021). smoothing spreads this fraction of the target evenly over all outputs, so that the loss does
    not push the logits to infinity (Szegedy et al. 2016).
    """
    x = floats(x)
    m, n = x.shape
    labels = labels_below(labels, n)
    same("number of labels", len(labels), m)
    shifted = x - x.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    y = (1 - smoothing) * one_hot(labels, n) + smoothing / n
    loss = -(y * log_p).sum(axis=1)
    return loss, (np.exp(log_p) - y) * _mean_scale(scale, m)


def binary_cross_entropy(x: ArrayLike, y: ArrayLike, scale: float | None = None) -> tuple[Array, Array]:
    """Sigmoid and cross-entropy in one, for independent binary outputs: p = sigmoid(x), x (m,n) logits.

    loss (m) = the sum over each row of -y log p - (1 - y) log(1 - p); dx (m,n) = (p - y) scale, as with
    softmax; y (m,n) in [0, 1]; scale None is 1/m. -log p = log(1 + exp(-x)) is finite where p is rounded to 0.
    """
    x, y = floats(x), floats(y)
    same("shape of the targets", y.shape, x.shape)
    losses = y * np.logaddexp(0, -x) + (1 - y) * np.logaddexp(0, x)
    return np.asarray(losses.sum(axis=1)), (sigmoid(x) - y) * _mean_scale(scale, len(x))


def squared_error(p: ArrayLike, y: ArrayLike, scale: float | None = None) -> tuple[Array, Array]:
    """loss (m) = half the sum over each row of (p - y)^2; dp (m,n) = (p - y) scale. p, y (m,n); scale None is 1/m.

    The factor 1/2 cancels in the derivative (Rumelhart, Hinton & Williams 1986).
    """
    p, y = floats(p), floats(y)
    same("shape of the targets", y.shape, p.shape)
    return np.asarray(0.5 * ((p - y) ** 2).sum(axis=1)), (p - y) * _mean_scale(scale, len(p))


def absolute_error(p: ArrayLike, y: ArrayLike, scale: float | None = None) -> tuple[Array, Array]:
    """loss (m) = the sum over each row of |p - y|; dp (m,n) = sign(p - y) scale. p, y (m,n); scale None is 1/m.

    Least where p is the median of what y may be: outliers count no more than their side. At the kink the slope is 0.
    """
    p, y = floats(p), floats(y)
    same("shape of the targets", y.shape, p.shape)
    return np.asarray(abs(p - y).sum(axis=1)), np.sign(p - y) * _mean_scale(scale, len(p))


def huber(p: ArrayLike, y: ArrayLike, delta: float = 1.0, scale: float | None = None) -> tuple[Array, Array]:
    """loss (m) = the sum over each row of d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), with d = p - y.

    dp (m,n) = d cut to [-delta, delta], times scale. Squared error near the target, absolute error far from it:
    outliers pull no harder than delta (Huber 1964). p, y (m,n); scale None is 1/m.
    """
    p, y = floats(p), floats(y)
    same("shape of the targets", y.shape, p.shape)
    d = p - y
    losses = np.where(abs(d) <= delta, d**2 / 2, delta * (abs(d) - delta / 2))
    return np.asarray(losses.sum(axis=1)), np.clip(d, -delta, delta) * _mean_scale(scale, len(p))


def _mean_scale(scale: float | None, m: int) -> float:
    return 1 / max(m, 1) if scale is None else scale


def as_labels(y: ArrayLike, n: int) -> Labels:
    """Labels (m) of labels (m) or one-hot rows (m,n)."""
    y = np.asarray(y)
    if y.ndim != 2:
        return labels_below(y, n)
    same("width of the one-hot rows", y.shape[1], n)
    labels = np.asarray(y.argmax(axis=1), dtype=np.int64)
    if not np.array_equal(y, one_hot(labels, n)):
        raise ValueError("cross_entropy takes labels or one-hot rows, these rows are not one-hot")
    return labels


def as_targets(y: ArrayLike, n: int) -> Array:
    """Rows (m,n) of labels (m), as one-hot, or of rows, unchanged."""
    y = np.asarray(y)
    return one_hot(y, n) if y.ndim == 1 else rows(floats(y))
