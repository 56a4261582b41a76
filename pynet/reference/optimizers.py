"""The optimizers: how a parameter moves, given its gradient."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike, NDArray

from pynet.reference.arrays import floats


def sgd(w: NDArray[Any], dw: ArrayLike, learning_rate: float) -> None:
    """w -= learning_rate dw, in place: stochastic gradient descent (Robbins & Monro 1951)."""
    w -= learning_rate * floats(dw)
