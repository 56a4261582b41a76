"""Splitting, shuffling and batching of samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pynet._ffi import Array, plain
from pynet.errors import DataError
from pynet.kernels import shuffle
from pynet.model.csr import is_sparse, rows_of


def split(x: npt.ArrayLike, y: npt.ArrayLike, fraction: float, seed: int = 0) -> tuple[Array, Array, Array, Array]:
    """(x_train, y_train, x_val, y_val): splits off this fraction of each class; the order is kept.

    x: (n, ...), or sparse, which stays so; y: (n) integer labels, 0 < fraction < 1. A class with two samples or more
    has at least one on each side; a single sample goes to training. Other y, (n, ...), are targets: the fraction is of
    all samples, whatever they are. The same seed gives the same split with every NumPy. Raises DataError.
    """
    rows: Any = rows_of(x) if is_sparse(x) else plain(x, "x")
    y = plain(y, "y")
    aside = _set_aside(rows.shape, y, fraction, seed)
    return rows[~aside], y[~aside], rows[aside], y[aside]


def _set_aside(shape: tuple[int, ...], y: Array, fraction: float, seed: int) -> npt.NDArray[np.bool_]:
    """Which of the samples x of this shape are split off. Raises DataError."""
    if not 0 < fraction < 1:
        raise DataError(f"fraction {fraction}: must lie between 0 and 1, for example 0.1")
    if not y.ndim or not shape or y.dtype.kind not in "iuf" or shape[:1] != (len(y),):
        given = f"x of shape {shape}, y {y.dtype} of shape {y.shape}"
        raise DataError(f"{given}: x must be (n, ...), y integer labels (n,) or targets (n, ...)")
    random = np.random.RandomState(np.random.MT19937(seed))  # the same with every NumPy version, unlike a Generator
    set_aside = np.zeros(len(y), bool)
    group = _groups(y)
    for c in np.unique(group):
        members = np.flatnonzero(group == c)
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        set_aside[random.permutation(members)[:count]] = True
    if not set_aside.any():
        raise DataError(f"{len(y)} samples, no class has two of them: nothing can be split off")
    return set_aside


def _groups(y: Array) -> Array:
    """Where an equal fraction of each is set aside: labels as they are; of targets, which are no classes, one group."""
    return y if _are_labels(y) else np.zeros(len(y), np.int8)


def _are_labels(y: Array) -> bool:
    return y.ndim == 1 and y.dtype.kind in "iu"


def validation_split(
    x: npt.ArrayLike, y: npt.ArrayLike, fraction: float, seed: int = 0
) -> tuple[Array, Array, Array, Array]:
    """As split, but DataError if a class has no sample in the validation set."""
    parts = split(x, y, fraction, seed)
    _check_classes(parts[1], parts[3])
    return parts


def validation_rows(shape: tuple[int, ...], y: npt.ArrayLike, fraction: float, seed: int = 0) -> tuple[Array, Array]:
    """The numbers of the samples (train, validation) that validation_split would give, of x with this shape."""
    y = plain(y, "y")
    aside = _set_aside(shape, y, fraction, seed)
    _check_classes(y[~aside], y[aside])
    return np.flatnonzero(~aside), np.flatnonzero(aside)


def _check_classes(train: Array, validation: Array) -> None:
    missing = np.setdiff1d(train, validation)
    if _are_labels(train) and len(missing):
        raise DataError(
            f"class {missing[0]} has a single sample, so the validation set would have none of it"
            f"{f' (and {len(missing) - 1:,} more classes)' if len(missing) > 1 else ''}; leave such classes out"
        )


def shuffled_labels(y: npt.ArrayLike, seed: int = 0) -> Array:
    """The labels y (n) in random order: they can only be memorised (Zhang et al. 2017)."""
    random = np.random.RandomState(np.random.MT19937(seed))
    shuffled: Array = random.permutation(plain(y, "y"))
    return shuffled


def one_hot(y: npt.ArrayLike, classes: int) -> npt.NDArray[np.float32]:
    """(n, classes) float32: 1 at each row's label, else 0. y: (n) integers in 0..classes-1. Raises DataError."""
    y = plain(y, "y")
    if y.ndim != 1 or (y.dtype.kind not in "iu" and y.size):
        raise DataError(f"y is {y.dtype} of shape {y.shape}, labels are integers of shape (n,)")
    good = (y >= 0) & (y < classes)
    if not good.all():
        i = int(np.argmin(good))
        raise DataError(f"label {y[i]} at index {i}, accepted are 0..{classes - 1}")
    rows = np.zeros((len(y), classes), np.float32)
    rows[np.arange(len(y)), y.astype(np.intp)] = 1
    return rows


def batches(
    x: npt.ArrayLike, y: npt.ArrayLike, batch_size: int = 64, seed: int = 0, epoch: int = 0
) -> Iterator[tuple[Array, Array]]:
    """The samples of one epoch in mini-batches (x (m, ...), y (m, ...)), in the order that fit uses.

    x: (n, ...), y: (n) labels or (n, outputs) targets; the batches are copies in the same dtype. There are ceil(n /
    batch_size) of them; where batch_size does not divide n, their sizes differ by at most 1, larger ones first. Raises
    DataError.
    """
    x, y = plain(x, "x"), plain(y, "y")
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise DataError(f"x has shape {x.shape}, y has shape {y.shape}: these must have the same length")
    if batch_size < 1:
        raise DataError(f"batch_size {batch_size}: must be at least 1")
    order = shuffle(len(x), seed, epoch)
    count = -(-len(order) // batch_size)
    return ((x[rows], y[rows]) for rows in (np.array_split(order, count) if count else []))
