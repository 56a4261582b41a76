"""The rows of several .npy files as those of one array, which are read as they are asked for."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pynet._ffi import Array
from pynet.errors import DataError

Paths = Sequence[str | os.PathLike[str]]


class Rows(Protocol):
    """An array (n, ...) in files."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __len__(self) -> int:
        """The number of rows."""

    def __getitem__(self, rows: slice) -> Array:
        """Reads consecutive rows. DataError: a file cannot be read."""


class FileRows:
    """What all kinds of files share: which rows are in which file.

    starts: the number of rows before each file, and of all.
    """

    def __init__(self, names: Sequence[str], lengths: Sequence[int], shape: tuple[int, ...], dtype: Any) -> None:
        self.names, self.dtype = names, np.dtype(dtype)
        self.starts: list[int] = list(accumulate(lengths, initial=0))
        self.shape: tuple[int, ...] = (self.starts[-1], *shape)

    def __len__(self) -> int:
        return self.starts[-1]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Of all rows, in memory."""
        return math.prod(self.shape) * int(self.dtype.itemsize)

    def __getitem__(self, rows: slice) -> Array:
        """Rows of a slice without a step, as an array of their own."""
        begin, end, step = rows.indices(len(self))
        if step != 1:
            raise IndexError(f"rows {rows}; accepted: consecutive rows")
        out = np.empty((max(end - begin, 0), *self.shape[1:]), self.dtype)
        for i, (first, after) in enumerate(pairwise(self.starts)):
            low, high = max(begin, first), min(end, after)
            if low < high:
                self._read(i, low - first, out[low - begin : high - begin])
        return out

    def _read(self, file: int, first: int, out: Array) -> None:
        """Fills out with the rows of a file from `first`."""
        raise NotImplementedError


class NpyRows(FileRows):
    """.npy files one after the other; each holds an array (rows, ...) of the same dtype and the same other axes."""

    def __init__(self, paths: Paths) -> None:
        if not paths:
            raise DataError("no files are given; accepted: one .npy file or more")
        self._arrays = [_mapped(Path(path)) for path in paths]
        first, names = self._arrays[0], [os.fspath(path) for path in paths]
        for name, array in zip(names, self._arrays, strict=True):
            if array.shape[1:] != first.shape[1:] or array.dtype != first.dtype:
                found = f"{name} has rows of shape {array.shape[1:]}, {array.dtype}"
                raise DataError(f"{found}; those of {names[0]} are {first.shape[1:]}, {first.dtype}")
        super().__init__(names, [len(array) for array in self._arrays], first.shape[1:], first.dtype)

    def _read(self, file: int, first: int, out: Array) -> None:
        out[...] = self._arrays[file][first : first + len(out)]


def _mapped(path: Path) -> Array:
    try:
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except (ValueError, EOFError) as error:
        raise DataError(f"{path}: no .npy file, or a damaged one: {error}") from None
    if not isinstance(array, np.ndarray) or not array.ndim:
        raise DataError(f"{path}: no array with rows; accepted: .npy files of arrays (n, ...)")
    if array.dtype.kind not in "biuf":
        raise DataError(f"{path} holds {array.dtype}; accepted: real numbers")
    return array
