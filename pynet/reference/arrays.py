"""What goes through the functions: float64 arrays, labels, rows; and errors that name what was wrong."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


def floats(x: ArrayLike) -> Array:
    """x as float64; the same array if it is that already."""
    return np.asarray(x, dtype=np.float64)


def rows(x: Array) -> Array:
    """x (m, ...) as (m, n): every sample one flat row. Spelled out, because reshape's -1 fails on an empty batch."""
    return x.reshape(len(x), math.prod(x.shape[1:]))


def labels_below(labels: ArrayLike, n: int) -> Labels:
    """Labels (m) as int64. ValueError unless they are whole numbers in [0, n): NumPy would count -1 from the end."""
    array = np.asarray(labels)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(f"labels have shape {array.shape} and type {array.dtype}, expected whole numbers in one row")
    wrong = array[(array < 0) | (array >= n)]
    if wrong.size:
        raise ValueError(f"label {wrong[0]} is out of range, accepted are 0 to {n - 1}")
    return array.astype(np.int64)


def same(what: str, actual: object, expected: object) -> None:
    """ValueError that says what, unless both are equal."""
    if actual != expected:
        raise ValueError(f"{what}: {actual}, expected {expected}")
