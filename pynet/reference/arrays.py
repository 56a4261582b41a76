"""Array types and argument checks of the reference."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


def floats(x: ArrayLike) -> Array:
    """x as float64, without a copy if it is float64 already."""
    return np.asarray(x, dtype=np.float64)


def rows(x: Array) -> Array:
    """x (m, ...) as (m, n), each sample flattened. reshape(m, -1) would fail for an empty batch."""
    return x.reshape(len(x), math.prod(x.shape[1:]))


def labels_below(labels: ArrayLike, n: int) -> Labels:
    """Labels (m) as int64. ValueError unless they are whole numbers in [0, n): NumPy would index -1 from the end."""
    array = np.asarray(labels)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(f"labels have shape {array.shape} and type {array.dtype}, expected whole numbers in one row")
    wrong = array[(array < 0) | (array >= n)]
    if wrong.size:
        raise ValueError(f"label {wrong[0]} is out of range, accepted are 0 to {n - 1}")
    return array.astype(np.int64)


def same(what: str, actual: object, expected: object) -> None:
    """ValueError unless actual and expected are equal; what: for the message."""
    if actual != expected:
        raise ValueError(f"{what}: {actual}, expected {expected}")
