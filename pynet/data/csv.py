"""Data sets in .csv files of the Kaggle layout: label first, header optional."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pynet._ffi import Array
from pynet.data.arrays import DARKEST_WHITE, MOST_LABELS, PIECE, reading
from pynet.errors import DataError

EMPTY = "no line with numbers; a line is a label, then the features"
MOST_LINE = 2 << 20  # characters: a picture of 3 x 256 x 256 numbers of ten digits


def read_csv(path: Path) -> tuple[Array, Array]:
    """(x, y) from a .csv: a line is a label, then the features, separated by commas.

    A first line whose first field is not a number is a header. If every feature is a whole number in 0..255, and one is
    128 or more, they are pixels, x (n, features) is uint8 and means x/255; otherwise x is float32, taken as it is.
    """
    with reading(path):
        header = _csv_header(path)
        tables = []
        try:
            for lines in _pieces(path, header):
                table = np.loadtxt(lines, np.float32, delimiter=",", comments=None, ndmin=2, encoding="utf-8")
                if table.shape[1] < 2 or not (np.isfinite(table).all() and _are_labels(table[:, 0])):
                    raise ValueError("a number that float32 cannot hold")
                tables.append((_compact(table[:, 1:]), table[:, 0].astype(np.uint16)))
            if not tables:
                raise DataError(f"{path}: {EMPTY}")
            x = np.concatenate([features for features, _ in tables])
        except DataError:
            raise
        except ValueError as error:
            raise DataError(_csv_fault(path, header) or f"{path}: {error}") from None
    y = np.concatenate([labels for _, labels in tables]).astype(np.int32)
    if x.dtype == np.uint8 and x.max() < DARKEST_WHITE:
        x = x.astype(np.float32)
    return x, y


def _compact(x: Array) -> Array:
    """x (n, features) float32 in its own memory, as uint8 where each number is a whole one in 0..255."""
    if x.min() >= 0 and x.max() <= 255:
        small = x.astype(np.uint8)
        if np.array_equal(small, x):
            return small
    return np.ascontiguousarray(x)


def _are_labels(y: Array) -> bool:
    return bool(((y >= 0) & (y < MOST_LABELS) & (np.floor(y) == y)).all())


def _csv_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number of the line from 1, the line) for each line that is not blank."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        number = 1
        while line := file.readline(MOST_LINE + 1):
            if len(line) > MOST_LINE:
                raise DataError(f"{path}: line {number} is longer than the {MOST_LINE:,} characters that are accepted")
            if not line.isspace():
                yield number, line.rstrip("\r\n")
            number += 1


def _pieces(path: Path, header: int) -> Iterator[list[str]]:
    """The lines behind the header, a million characters at a time or a few more."""
    lines, size = [], 0
    for number, line in _csv_lines(path):
        if number > header:
            lines.append(line)
            size += len(line)
        if size >= PIECE:
            yield lines
            lines, size = [], 0
    if lines:
        yield lines


def _csv_header(path: Path) -> int:
    """How many lines to skip: up to the header, or none."""
    number, line = next(_csv_lines(path), (0, ""))
    if not number:
        raise DataError(f"{path}: {EMPTY}")
    return number if _number(line.partition(",")[0]) is None else 0


def _number(field: str) -> float | None:
    try:
        return None if "_" in field else float(field)
    except ValueError:
        return None


def _csv_fault(path: Path, header: int) -> str | None:
    """What is wrong with the first bad line; slow, and only called when something is."""
    width, largest = 0, float(np.finfo(np.float32).max)
    for line, text in _csv_lines(path):
        if line <= header:
            continue
        fields = text.count(",") + 1
        width = width or fields
        if fields < 2:
            return f"{path}: line {line} has {fields} field, a line is a label, then at least one feature"
        if fields != width:
            return f"{path}: line {line} has {fields} fields, the lines before have {width}"
        for column, field in enumerate(_fields(text), 1):
            value = _number(field)
            if value is None or not abs(value) <= largest:
                return f"{path}: line {line}, field {column}: {field[:40]!r}, accepted are finite float32 numbers"
        first = text.partition(",")[0]
        if not (0 <= float(first) < MOST_LABELS and float(first).is_integer()):
            return f"{path}: line {line}: label {first[:40]}, labels are whole numbers in 0..{MOST_LABELS - 1}"
    return None


def _fields(line: str) -> Iterator[str]:
    """One after another: a million of them as objects take a hundred times the line's memory."""
    end = -1
    while end < len(line):
        start, end = end + 1, line.find(",", end + 1)
        end = len(line) if end < 0 else end
        yield line[start:end]
