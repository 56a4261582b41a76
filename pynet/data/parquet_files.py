"""Columns of Parquet files as the rows of an array, read as they are asked for; needs pyarrow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from pynet._ffi import Array
from pynet.data.array_rows import FileRows, Paths
from pynet.errors import DataError

READ_ROWS = 1 << 16  # rows that pyarrow decodes at once


def parquet(
    paths: str | os.PathLike[str] | Paths, target: str, columns: Sequence[str] | None = None
) -> tuple[ParquetRows, Array]:
    """(x, y) for fit: the columns as rows of float32, which stay in the files, and the column `target`, which is read.

    paths: one file or several, one after the other, with the same columns. columns: those of x, in this order; None:
    all but the target, in the order of the first file. x[a:b] reads rows; fit reads windows where x is larger than
    memory: those of about a row group are the fastest, as whole row groups are decoded. Numbers are used unchanged, and
    bool is 0 and 1. The target is labels, whole numbers from 0, or numbers to predict.

    ModuleNotFoundError: pyarrow is missing, `pip install pynet-nn[parquet]`. DataError: a file cannot be read, lacks a
    column, or holds no numbers in it; or a value is missing, which is found when it is read.
    """
    names = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    if not names:
        raise DataError("no files are given; accepted: one Parquet file or more")
    texts = [os.fspath(name) for name in names]
    found = _files(texts)
    known = found[0].schema_arrow.names
    wanted = [name for name in known if name != target] if columns is None else list(columns)
    if target in wanted:
        raise DataError(f"column {target!r} is the target; accepted as columns of x: others")
    if columns is None:
        for file, name in zip(found, texts, strict=True):
            others = sorted(set(file.schema_arrow.names) ^ set(known))
            if others:
                raise DataError(f"{name}: column {others[0]!r} is in only one of it and {texts[0]}")
    x = ParquetRows(texts, found, wanted, np.float32)
    types = [x.type_of(file, target, name) for file, name in zip(found, texts, strict=True)]
    y = ParquetRows(texts, found, [target], np.result_type(*types))[:]  # one type that holds the numbers of all files
    return x, y[:, 0]


class ParquetRows(FileRows):
    """Columns of Parquet files as rows (n, columns)."""

    def __init__(self, names: Sequence[str], files: Sequence[Any], columns: Sequence[str], dtype: Any) -> None:
        if not columns:
            raise DataError(f"{names[0]}: no columns are left for x")
        for name, file in zip(names, files, strict=True):
            for column in columns:
                self.type_of(file, column, name)
        super().__init__(names, [file.metadata.num_rows for file in files], (len(columns),), dtype)
        self.columns = list(columns)

    @staticmethod
    def type_of(file: Any, column: str, name: str) -> Any:
        """NumPy's type of a column. DataError: there is no such column, or it holds no numbers."""
        from pyarrow import types

        names = file.schema_arrow.names
        if names.count(column) != 1:
            raise DataError(f"{name}: {names.count(column) or 'no'} columns {column!r}; it has {', '.join(names)}")
        kind = file.schema_arrow.field(column).type
        if not (types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind)):
            raise DataError(f"{name}: column {column!r} holds {kind}; accepted: numbers")
        return np.dtype(kind.to_pandas_dtype())

    def _read(self, file: int, first: int, out: Array) -> None:
        name = self.names[file]
        opened = _files([name])[0]
        groups: list[int] = []
        at, before = first, 0
        for group in range(opened.num_row_groups):
            after = before + opened.metadata.row_group(group).num_rows
            if after > first and before < first + len(out):
                at = at if groups else before
                groups.append(group)
            before = after
        if before < first + len(out):
            raise DataError(f"{name} has {before} rows; it had {first + len(out)} or more")
        for batch in _decoded(opened, name, groups, self.columns):
            low, high = max(first, at), min(first + len(out), at + batch.num_rows)
            if low < high:
                self._copy(batch.slice(low - at, high - low), name, low, out[low - first : high - first])
            at += batch.num_rows

    def _copy(self, batch: Any, name: str, first: int, out: Array) -> None:
        for i, column in enumerate(self.columns):
            values = batch.column(batch.schema.get_field_index(column))
            if values.null_count:
                row = int(np.argmin(values.is_valid().to_numpy(zero_copy_only=False)))
                raise DataError(f"{name}: column {column!r} has no value in row {first + row}; accepted: numbers")
            with np.errstate(over="ignore"):  # fit names what becomes infinite
                out[:, i] = values.to_numpy(zero_copy_only=False)


def _files(names: Sequence[str]) -> list[Any]:
    """pyarrow's ParquetFile of each."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError:
        raise ModuleNotFoundError("Parquet files need pyarrow; pip install pynet-nn[parquet]") from None
    files = []
    for name in names:
        try:
            files.append(ParquetFile(name, memory_map=True))
        except (OSError, ArrowException) as error:
            raise DataError(f"{name}: {error}") from None
    return files


def _decoded(file: Any, name: str, groups: Sequence[int], columns: Sequence[str]) -> Any:
    """Batches of rows of these row groups."""
    from pyarrow import ArrowException

    try:
        yield from file.iter_batches(READ_ROWS, row_groups=groups, columns=list(columns))
    except (OSError, ArrowException) as error:
        raise DataError(f"{name}: {error}") from None
