"""The results of an evaluation: loss and accuracy, which the core computes, or the errors of a regression."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pynet._ffi import Array, numbers
from pynet.text import fields_text


class Evaluation(NamedTuple):
    """Mean loss and accuracy on a data set; a sample with several labels is correct if all are."""

    loss: float
    accuracy: float
    correct: int
    samples: int

    def __repr__(self) -> str:
        return fields_text(type(self).__name__, self._asdict())

    def named(self) -> dict[str, float]:
        """The figures besides the loss, by name."""
        return {"accuracy": self.accuracy}

    @property
    def score(self) -> float:
        """The figure by which one model is better than another: the accuracy."""
        return self.accuracy


class RegressionEvaluation(NamedTuple):
    """Mean loss and the errors of predicted numbers on a data set: see rmse, mae and r2."""

    loss: float
    rmse: float
    mae: float
    r2: float
    samples: int

    def __repr__(self) -> str:
        return fields_text(type(self).__name__, self._asdict())

    def named(self) -> dict[str, float]:
        """The figures besides the loss, by name."""
        return {"rmse": self.rmse, "mae": self.mae, "r2": self.r2}

    @property
    def score(self) -> float:
        """The figure by which one model is better than another: R2."""
        return self.r2


def rmse(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Root of the mean squared error, sqrt(mean (y - p)^2), in the unit of the targets; the mean over the outputs.

    y_true, y_pred: (n,) or (n, outputs). ValueError: no samples, or shapes that differ.
    """
    return _checked(y_true, y_pred).rmse


def mae(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Mean absolute error, mean |y - p|, in the unit of the targets; see rmse."""
    return _checked(y_true, y_pred).mae


def r2(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """The coefficient of determination, 1 - sum (y - p)^2 / sum (y - mean y)^2 (Wright 1921); see rmse.

    1 is perfect; 0 is as good as always predicting the mean of the targets; below 0 is worse. The mean over the
    outputs, except those whose targets are all the same, for which it is undefined; NaN if it is undefined for all.
    """
    return _checked(y_true, y_pred).r2


def _checked(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> RegressionEvaluation:
    """All figures except the loss, which is NaN."""
    truth, predicted = numbers(y_true, "y_true"), numbers(y_pred, "y_pred")
    if truth.shape != predicted.shape or not truth.ndim:
        shapes = f"y_true has shape {truth.shape}, y_pred has {predicted.shape}"
        raise ValueError(f"{shapes}; accepted: (n,) or (n, outputs), the same for both")
    if not truth.size:
        raise ValueError("y_true and y_pred are empty: there is nothing to measure")
    return measured(math.nan, truth.reshape(len(truth), -1), predicted.reshape(len(truth), -1))


def measured(loss: float, targets: Array, outputs: Array) -> RegressionEvaluation:
    """All figures of outputs (n, ...) against targets (n, outputs); NaN if there are no samples."""
    if not targets.size:
        return RegressionEvaluation(loss, math.nan, math.nan, math.nan, 0)
    truth = targets.astype(np.float64)  # sums of float32 would lose digits
    error = truth - outputs.reshape(truth.shape)
    squares = _mean(np.square(error))
    varied = truth.max(axis=0) > truth.min(axis=0)
    explained = 1 - squares[varied] / _mean(np.square(truth - _mean(truth)))[varied]
    return RegressionEvaluation(
        loss=loss,
        rmse=float(_mean(np.sqrt(squares))),
        mae=float(_mean(_mean(np.abs(error)))),
        r2=float(_mean(explained)) if varied.any() else math.nan,
        samples=len(truth),
    )


def _mean(values: Array) -> Array:
    """The mean over the first axis, summed in order: the bits of np.sum differ between machines."""
    found: Array = np.cumsum(values, axis=0)[-1] / len(values)
    return found
