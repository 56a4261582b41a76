"""Data sets in .csv files of the Kaggle layout: label first, header optional.

A label elsewhere is not learnt: where the header names one, or the numbers look so, the file is refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pynet._ffi import Array
from pynet.data.arrays import DARKEST_WHITE, MOST_LABELS, reading
from pynet.errors import DataError

LAYOUT = "accepted: the label, a whole number from 0, in the first column, the features behind it"
LABEL_NAMES = {"label", "labels", "class", "classes", "target", "targets", "y", "category", "species", "outcome"}
MISSING = {"", "?", "na", "n/a", "null", "none"}  # what stands for a number that is not there
MOST_CLASSES = 100  # of a column that is taken for labels against another


def read_csv(path: Path) -> tuple[Array, Array]:
    """(x, y) from a .csv: a line is a label, then the features, separated by commas.

    A first line without any number, or with a usual name for labels, is a header. If every feature is a whole number in
    0..255, and one is 128 or more, they are pixels, x (n, features) is uint8 and means x/255; otherwise x is float32,
    taken as it is.
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
    """How many lines to skip: up to the header, or none. DataError: it calls another column than the first the label.

    A first line that could be a damaged sample is no header, so that it is refused, not dropped.
    """
    number, fields = next(_csv_lines(path), (0, [""]))
    names = _names(fields)
    title = _label_column(names)
    if title:
        raise DataError(f"{path}: by its header, the label is in column {title + 1}, {names[title]!r:.40}; {LAYOUT}")
    return number if title == 0 or not any(map(_may_be_number, names)) else 0


def _names(fields: list[str]) -> list[str]:
    return [field.strip().strip("\"'").strip().lower() for field in fields]


def _label_column(names: list[str]) -> int | None:
    """The first column, from 0, that a header calls the label; y beside x is a coordinate."""
    usual = LABEL_NAMES - ({"y"} if "x" in names else set())
    return next((i for i, name in enumerate(names) if name in usual), None)


def _may_be_number(name: str) -> bool:
    """Whether this stands where a number should: one in some notation, a missing one, or no word at all."""
    return _number(name) is not None or name in MISSING or name.startswith("0x") or not any(map(str.isalpha, name))


def check_label_column(path: Path, x: Array, y: Array) -> None:
    """DataError where the first column does not look like labels: it is constant, or has gaps and the last has none.

    x (n, features), y (n): what read_csv found, to be learnt; a few samples to be measured may have any labels. A
    header that calls the first column the label settles it.
    """
    if _label_column(_names(next(_csv_lines(path))[1])) == 0:
        return
    first, last = np.unique(y), np.unique(x[:, -1])
    found = f"{len(first)} different numbers from {first[0]} to {first[-1]}" if len(first) > 1 else f"{first[0]} alone"
    if len(first) == 1 or (1 < len(last) < len(first) and _counts(last) and not _counts(first)):
        raise DataError(
            f"{path}: the first column holds {found}, the last one {len(last)} from {last[0]:g} to {last[-1]:g}: "
            f"which are the labels? {LAYOUT}; a header that calls the first column 'label' settles it"
        )


def _counts(values: Array) -> bool:
    """Whether these numbers, sorted and different, are 0, 1, 2, ... or 1, 2, 3, ..., and not too many for classes."""
    few = len(values) <= MOST_CLASSES and values[0] in (0, 1)
    return few and np.array_equal(values, values[0] + np.arange(len(values)))


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
                fault = f"{path}: line {line}, field {column}: {field[:40]!r}, accepted are finite float32 numbers"
                return f"{fault}; {LAYOUT}" if column in (1, width) else fault
        label = float(fields[0])
        if not (0 <= label < MOST_LABELS and label == int(label)):
            return (
                f"{path}: line {line}: label {fields[0][:40]}, labels are whole numbers in 0..{MOST_LABELS - 1}, "
                f"in the first column"
            )
    return None
