"""Data sets in .csv files of the Kaggle layout: label first, header optional.

If the header or the numbers suggest that the labels are in another column, the file is refused.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np

from pynet._ffi import Array
from pynet.data.arrays import MAX_LABELS, PIECE, reading
from pynet.data.text_file import bounded_lines
from pynet.errors import DataError
from pynet.text import MIN_WHITE

LAYOUT = "accepted: the label, a whole number from 0, in the first column, then the features"
LABEL_NAMES = {"label", "labels", "class", "classes", "target", "targets", "y", "category", "species", "outcome"}
LABELS = ("label", "class", "target", "y")  # those that leave no doubt in front
MISSING = {"", "?", "na", "n/a", "null", "none"}  # texts for a missing number
MAX_CLASSES = 100  # distinct values of a column that looks like labels
EMPTY = "no line with numbers; a line is a label, then the features"


def read_csv(path: Path) -> tuple[Array, Array]:
    """(x, y) from a .csv: each line has a label, then the features, separated by commas.

    The first line is a header if it has no number, or a common name for labels. If all features are integers in 0..255,
    and one is 128 or more, they are pixels: x (n, features) is uint8 and means x/255; otherwise x is float32, used
    unchanged.
    """
    with reading(path):
        header = _csv_header(path)
        tables = []
        try:
            for lines in _pieces(path, header):
                table = np.loadtxt(lines, np.float32, delimiter=",", comments=None, ndmin=2, encoding="utf-8")
                if table.shape[1] < 2 or not (np.isfinite(table).all() and _are_labels(table[:, 0])):
                    raise ValueError("a number that float32 cannot hold")
                tables.append((compact(table[:, 1:]), table[:, 0].astype(np.uint16)))
            if not tables:
                raise DataError(f"{path}: {EMPTY}")
            x = np.concatenate([features for features, _ in tables])
        except DataError:
            raise
        except ValueError as error:
            raise DataError(_csv_error(path, header) or f"{path}: {error}") from None
    y = np.concatenate([labels for _, labels in tables]).astype(np.int32)
    return as_pixels(x), y


def as_pixels(x: Array) -> Array:
    """Bytes as they are, but for those that are none of light pixels: these are counts or flags."""
    return x.astype(np.float32) if x.dtype == np.uint8 and x.max() < MIN_WHITE else x


def compact(x: Array) -> Array:
    """A copy of x (n, features) float32, as uint8 if all numbers are integers in 0..255."""
    if x.min() >= 0 and x.max() <= 255:
        small = x.astype(np.uint8)
        if np.array_equal(small, x):
            return small
    return np.ascontiguousarray(x)


def _are_labels(y: Array) -> bool:
    return bool(((y >= 0) & (y < MAX_LABELS) & (np.floor(y) == y)).all())


def _csv_lines(path: Path) -> Generator[tuple[int, str], None, None]:
    """(line number from 1, line) for each line that is not blank."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(bounded_lines(file, path), 1):
            if not line.isspace():
                yield number, line.rstrip("\r\n")


def _pieces(path: Path, header: int) -> Iterator[list[str]]:
    """The lines after the header, in lists of about PIECE characters."""
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
    """The line number of the header, 0 if there is none. DataError: it names another column than the first as label.

    A first line that could be a damaged sample is not a header, so that it is refused rather than skipped.
    """
    number, line = _first_line(path)
    if not number:
        raise DataError(f"{path}: {EMPTY}")
    title = _label_column(line)
    if title:
        name = next(islice(_names(line), title, None))
        raise DataError(f"{path}: according to the header, the label is in column {title + 1}, {name!r:.40}; {LAYOUT}")
    return number if title == 0 or not any(map(_may_be_number, _names(line))) else 0


def _first_line(path: Path) -> tuple[int, str]:
    """The first line that is not empty, and its number; (0, "") where there is none."""
    with closing(_csv_lines(path)) as lines:
        return next(lines, (0, ""))


def _names(line: str) -> Iterator[str]:
    return (field.strip().strip("\"'").strip().lower() for field in _fields(line))


def _label_column(line: str) -> int | None:
    """The first column, from 0, whose name in the header is one for labels; y beside x is a coordinate."""
    label_names = LABEL_NAMES - ({"y"} if "x" in _names(line) else set())
    return next((i for i, name in enumerate(_names(line)) if name in label_names), None)


def is_label_first(path: Path) -> bool:
    """Whether the header of a .csv calls its first column label, class, target or y, and means it."""
    line = _first_line(path)[1]
    return _label_column(line) == 0 and next(_names(line), "") in LABELS


def _may_be_number(name: str) -> bool:
    """Whether this could be a number: in any notation, missing, or without letters."""
    return _number(name) is not None or name in MISSING or name.startswith("0x") or not any(map(str.isalpha, name))


def check_label_column(path: Path, x: Array, y: Array) -> None:
    """DataError if the first column does not look like labels: it is constant, or has gaps while the last has none.

    x (n, features), y (n): training data from read_csv; a few samples to be evaluated may have any labels. There is no
    check if a header names the first column as label.
    """
    if _label_column(_first_line(path)[1]) == 0:
        return
    first, last = np.unique(y), np.unique(x[:, -1])
    found = f"{len(first)} different numbers from {first[0]} to {first[-1]}" if len(first) > 1 else f"{first[0]} alone"
    if len(first) == 1 or (1 < len(last) < len(first) and _are_consecutive(last) and not _are_consecutive(first)):
        raise DataError(
            f"{path}: the first column holds {found}, the last one {len(last)} from {last[0]:g} to {last[-1]:g}: "
            f"which are the labels? {LAYOUT}, with the header 'label' to confirm it"
        )


def _are_consecutive(values: Array) -> bool:
    """Whether these sorted, distinct numbers are 0, 1, 2, ... or 1, 2, 3, ..., and few enough for classes."""
    few = len(values) <= MAX_CLASSES and values[0] in (0, 1)
    return few and np.array_equal(values, values[0] + np.arange(len(values)))


def _number(field: str) -> float | None:
    try:
        return None if "_" in field else float(field)
    except ValueError:
        return None


def _csv_error(path: Path, header: int) -> str | None:
    """The error of the first bad line; slow, so called only if reading failed."""
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
                message = f"{path}: line {line}, field {column}: {field[:40]!r}, accepted are finite float32 numbers"
                return f"{message}; {LAYOUT}" if column in (1, width) else message
        first = text.partition(",")[0]
        if not (0 <= float(first) < MAX_LABELS and float(first).is_integer()):
            return (
                f"{path}: line {line}: label {first[:40]}, labels are whole numbers in 0..{MAX_LABELS - 1}, "
                f"in the first column"
            )
    return None


def _fields(line: str) -> Iterator[str]:
    """The fields of a line, one at a time: a list of a million strings would take 100 times the memory of the line."""
    end = -1
    while end < len(line):
        start, end = end + 1, line.find(",", end + 1)
        end = len(line) if end < 0 else end
        yield line[start:end]


def csv_features(path: Path) -> tuple[str, ...]:
    """The names of the features from the header of a .csv that read_csv accepts; empty without a header."""
    header = _csv_header(path)
    return tuple(field.strip().strip('"') for field in _fields(_first_line(path)[1]))[1:] if header else ()
