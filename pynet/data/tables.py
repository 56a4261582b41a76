"""Tables: columns of numbers or texts, of the same length, from a text file or a data frame.

pynet.data.learn_columns decides which of them become inputs.
"""

from __future__ import annotations

import contextlib
import difflib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pynet._ffi import Array
from pynet.data.layout import MISSING, Layout, number
from pynet.errors import DataError

NUMBERS = 0.95  # fraction of numbers that makes a column one of numbers, whose other values count as missing
OTHERS = 4  # with less, so many different numbers for each other text, as "-" or "unknown", make it one, too
MANY = 20  # different numbers; fewer beside other texts are categories, unless most rows have their own
MAX_CODES = 50  # different codes with leading zeros that are categories; more are read as numbers
MAX_LISTED = 30  # names of columns in a message


class UnknownColumnError(DataError):
    """A table has no column of this name or index."""


@dataclass(frozen=True, eq=False)
class Column:
    """A column of numbers (n) float64, NaN where missing, or of texts: codes (n) int32 index levels, -1 where missing.

    odd: (row, text) of each value that counts as missing because it is not a number. In a column of dates all values
    count as missing. words: texts that count as missing, such as "None". were_codes: see are_codes, of numbers.
    """

    name: str
    numbers: Array | None = None
    codes: Array | None = None
    levels: tuple[str, ...] = ()
    odd: tuple[tuple[int, str], ...] = ()
    is_date: bool = False
    words: tuple[str, ...] = ()
    were_codes: bool = False

    @property
    def values(self) -> Array:
        """The numbers, or the codes of texts."""
        found = self.codes if self.numbers is None else self.numbers
        assert found is not None
        return found

    @property
    def missing(self) -> Array:
        """(n) bool: where the value is missing."""
        return self.values < 0 if self.numbers is None else np.isnan(self.numbers)

    def rows(self, which: Array) -> Column:
        """The values of these rows, with all levels."""
        if self.numbers is None:
            return replace(self, codes=self.values[which])
        texts = dict(self.odd)
        places = np.flatnonzero(np.isin(which, list(texts))).tolist() if texts else []
        return replace(self, numbers=self.numbers[which], odd=tuple((i, texts[int(which[i])]) for i in places))

    def as_texts(self) -> Column:
        """The same values as texts: 3.0 is "3"."""
        if self.numbers is None:
            return self
        known = ~self.missing
        values, codes = np.unique(self.numbers[known], return_inverse=True)
        placed = np.full(len(self.numbers), -1, np.int32)
        placed[known] = codes
        return replace(self, numbers=None, codes=placed, levels=tuple(map(plain_number, values.tolist())), odd=())

    def as_numbers(self, decimal: str = ".") -> Column:
        """The same values as numbers; odd lists those that are not."""
        if self.numbers is not None:
            return self
        values = [number(level, decimal) for level in self.levels]
        table = np.array([*values, None], np.float64)  # None becomes NaN, and so does the code of a missing value
        is_odd = np.array([*(value is None for value in values), False])[self.values]
        odd = tuple((row, self.levels[self.values[row]]) for row in np.flatnonzero(is_odd).tolist())
        return replace(self, numbers=table[self.values], codes=None, levels=(), odd=odd)

    def settled(self, decimal: str = ".") -> Column:
        """The column as numbers, if its texts are mostly numbers; a few codes such as 007 stay texts."""
        if self.numbers is not None or not self.levels:
            return self
        counts = np.bincount(self.values[self.values >= 0], minlength=len(self.levels))
        good = [number(level, decimal) is not None for level in self.levels]
        rows, different = int(counts[good].sum()), sum(good)
        varied = different > min(MANY, rows / 2) and different >= OTHERS * (len(good) - different)
        are_numbers = rows >= NUMBERS * max(counts.sum(), 1) or varied
        codes = are_codes(self.levels)
        if not are_numbers or (codes and different <= MAX_CODES):
            return self
        return replace(self.as_numbers(decimal), were_codes=codes)


def are_codes(texts: Sequence[str]) -> bool:
    """Whether these are texts of digits, of one length, and some begin with 0, such as postal codes."""
    if not texts or len(texts[0]) < 2 or not any(text.startswith("0") for text in texts):
        return False
    return all(len(text) == len(texts[0]) and text.isascii() and text.isdigit() for text in texts)


def of_texts(name: str, codes: Array, texts: Sequence[str]) -> Column:
    """A column of texts, which codes (n) index; texts are trimmed, and codes of texts that mean "missing" become -1."""
    places: dict[str, int] = {}
    table = np.full(len(texts) + 1, -1, np.int32)
    for i, text in enumerate(texts):
        trimmed = text.strip()
        if trimmed not in MISSING:
            table[i] = places.setdefault(trimmed, len(places))
    words = {text.strip() for text in texts} & MISSING - {""}
    return Column(name, codes=table[codes], levels=tuple(places), words=tuple(sorted(words)))


def plain_number(value: float) -> str:
    """A number without a needless fraction: 3, 0.5."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of the same length. source: its name in messages; notes: remarks of the reader, for the user.

    Of a file: lines (n), the line number of each row, and its layout.
    """

    columns: tuple[Column, ...]
    source: str
    lines: Array | None = None
    layout: Layout | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.columns[0].values)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    def place(self, name: str | int) -> int:
        """The index of a column, given its name or an index, -1 for the last. UnknownColumnError: there is none."""
        try:
            return place_of(name, self.names)
        except LookupError:
            raise UnknownColumnError(f"{self.source}: there is no column {name!r:.80}; {self.hint(name)}") from None

    def hint(self, name: str | int) -> str:
        """What a column that does not exist may be, and the names of all, for messages."""
        near = difflib.get_close_matches(str(name).lower(), [known.lower() for known in self.names], 1)
        meant = next((f"did you mean {known!r}? " for known in self.names if known.lower() in near), "")
        numbers = sum(number(known) is not None for known in self.names)
        if self.layout and numbers and (not self.layout.header or 2 * numbers > len(self.names)):
            meant = "has the file no header, a first line with the names of its columns? "
        return f"{meant}{self.listed()}"

    def listed(self) -> str:
        """The names of the columns, for messages."""
        names = self.names
        shown = names if len(names) <= MAX_LISTED else (*names[:20], f"... {len(names) - 21} more ...", names[-1])
        return f"columns: {', '.join(shown)}"

    def rows(self, which: Array) -> Table:
        """A table of these rows."""
        lines = None if self.lines is None else self.lines[which]
        return replace(self, columns=tuple(column.rows(which) for column in self.columns), lines=lines)

    def where(self, row: int) -> str:
        """The name of a row in messages."""
        return f"row {row + 1}" if self.lines is None else f"line {self.lines[row]}"


def place_of(name: str | int, names: Sequence[str]) -> int:
    """The index of a column, see Table.place. LookupError: there is no such column."""
    if str(name) in names:
        return list(names).index(str(name))
    try:
        return range(len(names))[int(name)]
    except ValueError:
        raise LookupError(name) from None


def places_of(names: Collection[str | int], known: Sequence[str]) -> set[int]:
    """The indices of those columns that exist."""
    found = set()
    for name in names:
        with contextlib.suppress(LookupError):
            found.add(place_of(name, known))
    return found


# ---- data frames ----


def of_frame(frame: Any, texts: Collection[str | int] = ()) -> Table:
    """A table from a data frame of pandas, or of another library with .columns and frame[name].

    Values are read as from a file: strings of numbers are numbers, except in the columns that texts lists by name or
    index; True is a text. DataError: two columns have one name, or there is no row.
    """
    names = [str(name) for name in frame.columns]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"the data frame has {len(twice)} names twice, {twice[0]!r:.80} among them")
    if not names or not len(frame):
        raise DataError(f"the data frame has shape {getattr(frame, 'shape', (0, 0))}; accepted: rows and columns")
    kept = places_of(texts, names)
    pairs = enumerate(zip(names, frame.columns, strict=True))
    return Table(tuple(_of_series(name, frame[key], i in kept) for i, (name, key) in pairs), "the data frame")


def _of_series(name: str, series: Any, as_texts: bool) -> Column:
    declared = str(getattr(series, "dtype", "")).lower()
    values = np.asarray(series)
    if values.dtype.kind == "M":
        return Column(name, codes=np.full(len(values), -1, np.int32), is_date=True)
    as_texts = as_texts or "cat" in declared
    if values.dtype.kind == "f" or (values.dtype.kind in "iu" and not as_texts):  # texts keep all digits of integers
        column = Column(name, numbers=values.astype(np.float64))
        return column.as_texts() if as_texts else column
    is_missing = getattr(series, "isna", None) or getattr(series, "is_null", None)
    missing = np.asarray(is_missing(), bool) if is_missing else np.zeros(len(values), bool)
    index: dict[str, int] = {"": 0}
    texts = ("" if gone else _text(value) for value, gone in zip(values.tolist(), missing.tolist(), strict=True))
    codes = np.array([index.setdefault(text, len(index)) for text in texts], np.int32)
    column = of_texts(name, codes, tuple(index))
    return column if as_texts else column.settled()


def _text(value: Any) -> str:
    return plain_number(value) if isinstance(value, float) else str(value)
