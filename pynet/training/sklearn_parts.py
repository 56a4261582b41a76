"""Parts of the estimators of pynet.sklearn: the learning rates "invscaling" and "adaptive" of MLPClassifier and
MLPRegressor, and what is said about inputs X, (n, features) dense or sparse."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pynet._ffi import Array
from pynet.model.csr import is_sparse
from pynet.schedules import Schedule
from pynet.training.callbacks import Callback, Run

LARGE = 20.0  # root mean square of a feature: pixels of 0 to 16 are learnt well, ages and prices are not
LARGEST = float(np.finfo(np.float32).max)
MIN_RATE = 1e-6  # an adaptive training ends at this learning rate


@dataclass(frozen=True)
class InverseScaling(Schedule):
    """(number of samples so far + 1)^-power_t, updated after each epoch."""

    name = "invscaling"
    samples: int = 1
    power_t: float = 0.5

    def factors(self, epoch: int, epochs: int, steps: int, losses: Sequence[float] = ()) -> Array:
        """See Schedule."""
        return np.full(steps, (epoch * self.samples + 1.0) ** -self.power_t)


@dataclass(frozen=True)
class Adaptive(Schedule):
    """Divides the rate by 5 when the loss has not fallen by tol for more than `patience` epochs."""

    name = "adaptive"
    tol: float = 1e-4
    patience: float = 10

    def plateau(self, losses: Sequence[float]) -> float:
        """See Schedule."""
        factor, best, waited = 1.0, np.inf, 0
        for loss in losses:
            waited = waited + 1 if loss > best - self.tol else 0
            best = min(best, loss)
            if waited > self.patience:
                factor, waited = factor / 5, 0
        return factor


@dataclass
class LastRate(Callback):
    """Ends the training when the adaptive learning rate would fall below MIN_RATE."""

    rate: Adaptive
    initial: float

    def on_epoch_end(self, run: Run) -> None:
        """See Callback."""
        next_rate = self.initial * self.rate.plateau(run.history.val_loss or run.history.loss)
        if next_rate <= MIN_RATE / 5:
            run.stop()


def check_range(X: Any) -> None:
    """ValueError: X holds a number that is finite, but not in float32."""
    values = X.data if is_sparse(X) else X
    if values.dtype == np.float64 and values.size and max(-values.min(), values.max()) > LARGEST:
        worst = values.flat[int(np.abs(values).argmax())]
        raise ValueError(f"X holds {worst:g}; accepted: finite numbers of float32, up to {LARGEST:.1e}")


def warn_of_scale(X: Any, estimator: str, as_bytes: bool, stacklevel: int) -> None:
    """UserWarning: a feature is far from mean 0 and variance 1, or bytes, which mean x/255, are 0 and 1 alone."""
    text = _flags(X) if as_bytes else _unscaled(X, estimator)
    if text:
        warnings.warn(text, UserWarning, stacklevel=stacklevel)


def _flags(X: Any) -> str:
    wanted = "X.astype(np.float32) takes them as 0 and 1"
    return "" if X.max() > 1 else f"X is uint8, which means x/255, and holds nothing above 1: flags? {wanted}"


def _unscaled(X: Any, estimator: str) -> str:
    squares = X.astype(np.float64).power(2).sum(axis=0) if is_sparse(X) else np.einsum("ij,ij->j", X, X, dtype=float)
    sizes = np.sqrt(np.asarray(squares).ravel() / X.shape[0])
    if sizes.max() <= LARGE:
        return ""
    scaler = "MaxAbsScaler" if is_sparse(X) else "StandardScaler"
    return (
        f"X is not scaled: the root mean square of feature {sizes.argmax()} is {sizes.max():.4g}, and networks learn "
        f"badly from numbers far above 1; make_pipeline({scaler}(), {estimator}(...)) scales them"
    )
