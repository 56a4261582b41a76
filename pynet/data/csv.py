"""Data sets in .csv files of the Kaggle layout: label first, header optional."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pynet._ffi import Array
from pynet.data.arrays import DARKEST_WHITE, MOST_LABELS, reading
from pynet.errors import DataError


def read_csv(path: Path) -> tuple[Array, Array]:
    """(x, y) from a .csv: a line is a label, then the features, separated by commas.

    A first line whose first field is not a number is a header. If every feature is a whole number in 0..255, and one is
    128 or more, they are pixels, x (n, features) is uint8 and means x/255; otherwise x is float32, taken as it is.
    """
    with reading(path):
        header = _csv_header(path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of an empty file, which is an error below
                table = np.loadtxt(
                    str(path.resolve()),
                    dtype=np.float32,
                    delimiter=",",
                    comments=None,
                    skiprows=header,
                    ndmin=2,
                    encoding="utf-8-sig",
                )
        except ValueError as error:
            raise DataError(_csv_fault(path, header) or f"{path}: {error}") from None
        if table.size == 0:
            raise DataError(f"{path}: no line with numbers; a line is a label, then the features")
        y = table[:, 0]
        if table.shape[1] < 2 or not (np.isfinite(table).all() and _are_labels(y)):
            raise DataError(_csv_fault(path, header) or f"{path}: a number that float32 cannot hold")
    x: Array = table[:, 1:]
    if x.min() >= 0 and DARKEST_WHITE <= x.max() <= 255:
        small = x.astype(np.uint8)
        x = small if np.array_equal(small, x) else x
    return np.ascontiguousarray(x), y.astype(np.int32)


def _are_labels(y: Array) -> bool:
    return bool(((y >= 0) & (y < MOST_LABELS) & (np.floor(y) == y)).all())


def _csv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(number of the line from 1, its fields) for each line that is not blank."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line.rstrip("\r\n").split(",")


def _csv_header(path: Path) -> int:
    """How many lines to skip: up to the header, or none."""
    number, fields = next(_csv_lines(path), (0, [""]))
    return number if _number(fields[0]) is None else 0


def _number(field: str) -> float | None:
    try:
        return None if "_" in field else float(field)
    except ValueError:
        return None


def _csv_fault(path: Path, header: int) -> str | None:
    """What is wrong with the first bad line; slow, and only called when something is."""
    width, largest = 0, float(np.finfo(np.float32).max)
    for line, fields in _csv_lines(path):
        if line <= header:
            continue
        width = width or len(fields)
        if len(fields) < 2:
            return f"{path}: line {line} has {len(fields)} field, a line is a label, then at least one feature"
        if len(fields) != width:
            return f"{path}: line {line} has {len(fields)} fields, the lines before have {width}"
        for column, field in enumerate(fields, 1):
            value = _number(field)
            if value is None or not abs(value) <= largest:
                return f"{path}: line {line}, field {column}: {field[:40]!r}, accepted are finite float32 numbers"
        label = float(fields[0])
        if not (0 <= label < MOST_LABELS and label == int(label)):
            return f"{path}: line {line}: label {fields[0][:40]}, labels are whole numbers in 0..{MOST_LABELS - 1}"
    return None


def csv_features(path: Path) -> tuple[str, ...]:
    """The names of the features, from the header of a .csv that read_csv can read; without a header none."""
    header = _csv_header(path)
    _, fields = next(_csv_lines(path))
    return tuple(field.strip().strip('"') for field in fields[1:]) if header else ()
