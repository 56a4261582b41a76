"""Parts of the estimators of pynet.sklearn: the learning rates "invscaling" and "adaptive" of MLPClassifier and
MLPRegressor, and a check of inputs X, (n, features) dense or sparse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pynet._ffi import Array
from pynet.model.csr import is_sparse
from pynet.schedules import Schedule
from pynet.training.callbacks import Callback, Run

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
