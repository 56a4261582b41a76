"""Tables from text files, such as .csv (RFC 4180), read in pieces."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import numpy as np

from pynet._ffi import Array
from pynet.data.arrays import PIECE
from pynet.data.layout import BLANKS, MISSING, SEPARATOR_NAMES, Layout, find_layout, is_blank, is_written_number, number
from pynet.data.tables import NUMBERS, Column, Table, of_texts, places_of
from pynet.data.text_file import WINDOWS, TextFile
from pynet.errors import DataError

SUFFIXES = (".csv", ".tsv", ".tab", ".data", ".txt")  # also with .gz

Fields = tuple[str, ...]  # texts of one column, not yet parsed


def is_table_file(path: Path) -> bool:
    """Whether the name of a file has the suffix of a table."""
    return path.name.lower().removesuffix(".gz").endswith(SUFFIXES)


def read_names(path: Path) -> tuple[str, ...]:
    """The names of the columns of a table, from its first lines. Raises DataError."""
    file = TextFile.open(path)
    try:
        return find_layout(file, None, None, (), None).names
    except UnicodeDecodeError:
        return find_layout(replace(file, encoding=WINDOWS), None, None, (), None).names


def read_table(
    path: Path,
    *,
    separator: str | None = None,
    decimal: str | None = None,
    texts: Collection[str | int] = (),
    known: Collection[str] = (),
    header: bool | None = None,
    usual: str | None = None,
) -> Table:
    """The table in a text file, compressed by gzip or not.

    separator: one character, " " for any number of blanks; decimal: "." or ","; header: whether there is one. If one of
    these is None, it is detected. texts: columns, by name or index, whose numbers are texts, such as postal codes.
    known: names of columns; a line that holds one is a header. usual: the separator to try first, used if the header
    then holds a known name. DataError: there is no table, or a record has another number of fields than the others.
    """
    file = TextFile.open(path)
    try:
        found = _read(file, find_layout(file, separator, decimal, known, header, usual), texts)
    except UnicodeDecodeError:
        file = replace(file, encoding=WINDOWS)
        found = _read(file, find_layout(file, separator, decimal, known, header, usual), texts)
    return _with_late_header(found) if header is None else found


def _read(file: TextFile, layout: Layout, texts: Collection[str | int]) -> Table:
    kept = places_of(texts, layout.names)
    parts = [_Part(layout.decimal, kept=i in kept) for i in range(len(layout.names))]
    lines = _fill(parts, file, layout)
    if not all(part.settled for part in parts):
        parts = [_Part(layout.decimal, part.kept, not part.settled) for part in parts]
        lines = _fill(parts, file, layout)
    if not len(lines):
        raise DataError(f"{file.path}: there is no row of values")
    columns = tuple(part.column(name) for part, name in zip(parts, layout.names, strict=True))
    separated = f"fields separated by {SEPARATOR_NAMES.get(layout.separator, layout.separator)}"
    notes = [file.note, separated * (layout.separator != ","), "decimal comma" * (layout.decimal == ",")]
    return Table(columns, str(file.path), lines, layout, tuple(filter(None, notes)))


def _with_late_header(table: Table) -> Table:
    """Finds the header of a file whose lines were sorted: the only row with texts in columns of numbers."""
    odd = [column.odd for column in table.columns if column.odd]
    rows = {row for found in odd for row, _ in found}
    assert table.layout
    if table.layout.header or len(odd) < 2 or len(rows) > 1:
        return table
    [row] = rows
    names = []
    for i, column in enumerate(table.columns):
        code = -1 if column.codes is None else column.codes[row]
        text = column.odd[0][1] if column.odd else column.levels[code] if code >= 0 else ""
        names.append(text or f"column {i}")
    numbers_there = any(c.numbers is not None and not math.isnan(c.numbers[row]) for c in table.columns)
    written = any(is_written_number(name, table.layout.decimal) for name in names)
    if numbers_there or written or len(set(names)) < len(names):
        return table
    columns = tuple(replace(column, name=name, odd=()) for column, name in zip(table.columns, names, strict=True))
    layout = replace(table.layout, names=tuple(names), header=True)
    found = replace(table, columns=columns, layout=layout, notes=(*table.notes, f"the header is {table.where(row)}"))
    return found.rows(np.delete(np.arange(len(table)), row))


class _Part:
    """A column while it is read, as texts or as numbers. kept: its values stay texts even if all are numbers; texts:
    it is read as texts, and converted at the end if they are mostly numbers."""

    def __init__(self, decimal: str, kept: bool = False, texts: bool = False) -> None:
        self.kept, self._decimal = kept, decimal
        self.texts = True if kept or texts else None  # None: all values so far are missing
        self._pieces: list[Array] = []
        self._index: dict[str, int] = {}
        self._odd: list[tuple[int, str]] = []
        self._rows = self._known = 0
        self._zeros = False  # whether some numbers begin with 0 and another digit, as codes do

    def add(self, values: Array | Fields) -> None:
        """The next values, as numbers or as fields."""
        if self.texts:
            self._add_texts(values)
            return
        numbers, odd = (values, ()) if isinstance(values, np.ndarray) else _parsed(values, self._decimal)
        self._zeros = self._zeros or (not isinstance(values, np.ndarray) and _leading_zeros("\n".join(values), "\n"))
        known = int(np.count_nonzero(~np.isnan(numbers))) + len(odd)
        if self.texts is None and known:
            self.texts = self._zeros or known - len(odd) < NUMBERS * known
            if self.texts:
                self._pieces = [np.full(self._rows, -1, np.int32)]
                self._add_texts(values)
                return
        self._known += known
        self._odd += [(self._rows + place, text) for place, text in odd]
        self._pieces.append(np.ascontiguousarray(numbers))
        self._rows += len(numbers)

    def _add_texts(self, fields: Array | Fields) -> None:
        index = self._index
        self._pieces.append(np.array([index.setdefault(field, len(index)) for field in fields], np.int32))
        self._rows += len(fields)

    @property
    def settled(self) -> bool:
        """Whether enough values of a column of numbers are numbers, and none a code such as 007; if not, it must be
        read again, as texts."""
        return bool(self.texts) or (not self._zeros and self._known - len(self._odd) >= NUMBERS * self._known)

    def column(self, name: str) -> Column:
        """The column of all values added."""
        values = np.concatenate(self._pieces)
        if not self.texts:
            return Column(name, numbers=values, odd=tuple(self._odd))
        column = of_texts(name, values, tuple(self._index))
        return column if self.kept else column.settled(self._decimal)


def _parsed(fields: Fields, decimal: str) -> tuple[Array, Sequence[tuple[int, str]]]:
    """The numbers (n) float64, NaN where one is missing, and (index, text) of each field that is not a number."""
    joined = "".join(fields)
    with_point = decimal != "." and "." in joined
    if joined.isascii() and "_" not in joined and not with_point:  # float() takes 1_000, and digits of all scripts
        plain = fields if decimal == "." else [field.replace(decimal, ".") for field in fields]
        for read in (float, _number_or_missing):
            try:
                return np.array(list(map(read, plain))), ()
            except ValueError:
                continue
    values = {field: math.nan if field.strip() in MISSING else number(field, decimal) for field in set(fields)}
    odd = {field for field, value in values.items() if value is None}
    places = [(i, field.strip()) for i, field in enumerate(fields) if field in odd] if odd else ()
    return np.array([values[field] for field in fields], np.float64), places


def _leading_zeros(text: str, separator: str) -> bool:
    """Whether a field of a text begins with 0 and another digit, which NumPy and float read as without the 0."""
    codes = np.frombuffer(f"\n{text}\n".encode(), np.uint8)
    begins = (codes[:-2] <= ord(" ")) | (codes[:-2] == separator.encode()[-1])
    return bool((begins & (codes[1:-1] == ord("0")) & (codes[2:] - np.uint8(ord("0")) < 10)).any())


def _number_or_missing(field: str) -> float:
    return math.nan if field in MISSING else float(field)


# ---- pieces of the file ----


def _fill(parts: Sequence[_Part], file: TextFile, layout: Layout) -> Array:
    """Adds the values of the whole file to its columns; returns the line number of each row."""
    lines = []
    for columns, numbers in _pieces(file, layout, not any(part.texts for part in parts)):
        lines.append(numbers)
        for part, values in zip(parts, columns, strict=True):
            part.add(values)
    return np.concatenate(lines) if lines else np.empty(0, np.int32)


def _pieces(
    file: TextFile, layout: Layout, numbers: bool
) -> Iterator[tuple[Array, Array] | tuple[Sequence[Fields], Array]]:
    """(values of each column, line number of each row) for each piece, about a million characters.

    numbers: pieces of nothing but numbers are read by NumPy, which is faster.
    """
    source, at, piece = file.lines(), layout.skip, list[str]()
    for _ in islice(source, layout.skip):
        pass
    while numbers:
        piece = _lines(source)
        table = _all_numbers(piece, layout) if piece else None
        if table is None:
            break
        yield table.T, np.array([at + i for i, line in enumerate(piece, 1) if not line.isspace()], np.int32)
        at += len(piece)
    yield from _records(file, layout, chain(piece, source), at)


def _lines(source: Iterator[str]) -> list[str]:
    """The next lines, about a million characters."""
    piece, size = [], 0
    for line in source:
        piece.append(line)
        size += len(line)
        if size >= PIECE:
            break
    return piece


def _all_numbers(lines: Sequence[str], layout: Layout) -> Array | None:
    """(rows, columns) float64, if these lines are nothing but numbers; else None."""
    rows = sum(not line.isspace() for line in lines)
    if layout.decimal != ".":
        if any("." in line for line in lines):
            return None
        lines = [line.replace(layout.decimal, ".") for line in lines]
    separator = None if layout.separator == BLANKS else layout.separator
    if not rows or _leading_zeros("".join(lines), layout.separator):  # np.loadtxt warns of empty input
        return None
    try:
        table = np.loadtxt(lines, np.float64, delimiter=separator, comments=None, ndmin=2)
    except ValueError:
        return None
    return table if table.shape == (rows, len(layout.names)) else None


def _records(
    file: TextFile, layout: Layout, source: Iterable[str], at: int
) -> Iterator[tuple[Sequence[Fields], Array]]:
    """The pieces read by Python's csv module; at: the number of lines before them."""
    taken = 0

    def counted() -> Iterator[str]:
        nonlocal taken
        for line in source:
            taken += len(line)
            yield line

    records, begin = layout.records(counted()), at + 1
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in records:
            if len(row) == len(layout.names):
                rows.append(row)
                lines.append(begin)
            elif not is_blank(row):
                others = "the header has" if layout.header else "most lines have"
                hash_ = (row[0] if len(row) < len(layout.names) else layout.names[0]).startswith("#")
                comment = "; comments, lines that begin with #, are not skipped: remove them" * hash_
                found = f"line {begin} has {len(row)} fields, {others} {len(layout.names)}{comment}"
                raise DataError(f"{file.path}: {found}")
            begin = at + records.line_num + 1
            if taken >= PIECE and rows:
                yield list(zip(*rows, strict=True)), np.array(lines, np.int32)
                rows, lines, taken = [], [], 0
    except csv.Error as error:
        raise DataError(f"{file.path}: line {begin}: {error}") from None
    if rows:
        yield list(zip(*rows, strict=True)), np.array(lines, np.int32)
