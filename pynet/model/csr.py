"""Sparse inputs, as compressed sparse rows: the core gathers them without making them dense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pynet._ffi import FLOAT32, INT32, Array


@dataclass(frozen=True, eq=False)
class CSR:
    """Rows of mostly zeros: row i has values[k] in columns[k] for k of starts[i] to starts[i + 1].

    values: float32 (stored,), columns: int32 (stored,), starts: int64 (n + 1,); all else is 0. shape: (n, features).
    ValueError: other lengths, which the core cannot see; it checks the numbers in them.
    """

    values: Array
    columns: Array
    starts: Array
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        n, stored = self.shape[0], len(self.values)
        if len(self.columns) != stored or len(self.starts) != n + 1:
            found = f"{stored} values, {len(self.columns)} columns and {len(self.starts)} starts"
            raise ValueError(f"sparse x of {n} rows has {found}; accepted: as many columns as values, {n + 1} starts")

    @property
    def arrays(self) -> tuple[Array, Array, Array]:
        """All that it consists of."""
        return self.values, self.columns, self.starts

    @property
    def nbytes(self) -> int:
        """Of memory."""
        return sum(part.nbytes for part in self.arrays)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> CSR:
        """The rows of these numbers, or of a slice."""
        numbers = np.arange(len(self))[rows]
        counts = np.diff(self.starts)[numbers]
        starts = np.concatenate([[0], np.cumsum(counts)])
        taken = np.repeat(self.starts[numbers] - starts[:-1], counts) + np.arange(starts[-1])
        return CSR(self.values[taken], self.columns[taken], starts, (len(numbers), self.shape[1]))

    def dense(self) -> Array:
        """All rows, float32 (n, features)."""
        out = np.zeros(self.shape, FLOAT32)
        np.add.at(out, (np.repeat(np.arange(len(self)), np.diff(self.starts)), self.columns), self.values)
        return out


def is_sparse(x: Any) -> bool:
    """Is x a matrix or an array of scipy.sparse, or rows of ours?"""
    return isinstance(x, CSR) or (hasattr(x, "tocsr") and hasattr(x, "nnz"))


def rows_of(x: Any) -> CSR:
    """x as rows; shares the memory of one that is CSR, float32 and int32.

    ValueError: it holds no real numbers, or its arrays are not those of a matrix.
    """
    if isinstance(x, CSR):
        return x
    if len(x.shape) != 2 or x.dtype.kind not in "biuf":
        raise ValueError(f"x is sparse, of shape {x.shape} and dtype {x.dtype}; accepted: (n, features) real numbers")
    x = x.tocsr()
    stored = int(x.indptr[-1]) if len(x.indptr) else 0  # spare memory may follow, which is no part of the matrix
    indices = x.indices[:stored]
    with np.errstate(over="ignore"):  # the core names what becomes infinite
        values = np.ascontiguousarray(x.data[:stored], FLOAT32)
    if x.dtype == np.uint8:
        values /= np.float32(255)
    columns = np.ascontiguousarray(indices, INT32)
    if indices.dtype != INT32 and not np.array_equal(columns, indices):  # 2^32 would have become 0
        raise ValueError(f"columns of x run from {indices.min()} to {indices.max()}; its shape is {x.shape}")
    return CSR(values, columns, np.ascontiguousarray(x.indptr, np.int64), x.shape)
