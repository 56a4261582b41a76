"""Which columns of a table are inputs of a network, and how their values become numbers.

A column of numbers is one input, which the network itself standardises. A column of texts is one-hot: an input for each
different text, its level. If the training rows had missing values, one more input is 1 where the value is missing. A
note in the model file holds all this, except means and scales, which are tensors of its layer standardize.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from pynet._ffi import Array
from pynet.data.layout import as_written, is_written_number, number
from pynet.data.tables import Column, Table
from pynet.errors import DataError
from pynet.text import parsed_json, reading_note, require

NOTE = "table"  # key of the note in a model file
VERSION = 2  # of the note; 2 has placeholders, and a note without them is written as of version 1
EXACT = 1 << 53  # float64 holds all whole numbers below this one
LARGEST = float(np.finfo(np.float32).max)
MAX_ODD = 0.5  # a larger fraction of a numeric column that is not numbers is an error: the file is misread
MAX_NAMED = 3  # columns in a warning
MAX_LEVELS = 50  # levels of a column that become inputs: the most frequent texts
BOOLEANS = {"true": 1.0, "false": 0.0}
_LEADING_ZERO = re.compile(r"0\d")


@dataclass(frozen=True)
class Input:
    """A column of a table as inputs.

    levels: the texts that have an input each; None for a column of numbers. missing: whether a last input is 1 where
    the value is missing, and 0 elsewhere. placeholders: of a column of numbers, texts such as "-" that counted as
    missing in the training rows.
    """

    name: str
    levels: tuple[str, ...] | None
    missing: bool
    placeholders: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names of the inputs, in order."""
        found = [self.name] if self.levels is None else [f"{self.name}={level}" for level in self.levels]
        return [*found, f"{self.name} is missing"] if self.missing else found


@dataclass(frozen=True)
class Target:
    """The column to predict.

    levels: the classes as texts, the class of label 0 first; None for a regression. numbers: whether these texts are
    numbers, so that 1.0 and 1 are the same class.
    """

    name: str
    levels: tuple[str, ...] | None
    numbers: bool = True

    @property
    def task(self) -> str:
        """One of TASKS."""
        return "number" if self.levels is None else "classes"


@dataclass(frozen=True)
class Columns:
    """The columns of a table that are inputs of a network, and the column that it was trained to predict.

    Of the training table: separator and decimal mark, None for a data frame; header: whether it had one, without which
    names are indices; fields: its number of columns.
    """

    inputs: tuple[Input, ...]
    target: Target
    separator: str | None = None
    decimal: str | None = None
    header: bool = True
    fields: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the network's inputs, in order, such as "age", "age is missing", "sex=female"."""
        return tuple(name for column in self.inputs for name in column.names)

    @property
    def spans(self) -> list[slice]:
        """The inputs of each column."""
        ends = np.cumsum([0, *(len(column.names) for column in self.inputs)]).tolist()
        return [slice(*pair) for pair in itertools.pairwise(ends)]

    @property
    def are_numbers(self) -> Array:
        """(inputs) bool: True for numbers, which are standardised; False for inputs that are only 0 or 1."""
        flags = [(c.levels is None and i == 0) for c in self.inputs for i, _ in enumerate(c.names)]
        return np.array(flags, bool)

    @property
    def texts(self) -> list[str]:
        """The names of columns whose values are texts, even if they look like numbers."""
        found = [column.name for column in self.inputs if column.levels is not None]
        return found if self.target.numbers else [*found, self.target.name]

    # ---- the values ----

    def encoded(self, table: Table, means: Array) -> tuple[Array, str]:
        """(x (n, inputs) float32, a warning or ""): the rows of a table as inputs of the network.

        means (inputs) replace missing numbers. The table may have more columns, in any order. DataError: a column is
        missing, holds a number that is infinite or beyond float32, or texts where numbers are expected, see numbers_of.
        """
        columns = [self._found(table, column.name) for column in self.inputs]
        x = np.zeros((len(table), len(self.names)), np.float32)
        unseen = list[Unseen]()
        for column, source, span in zip(self.inputs, columns, self.spans, strict=True):
            if column.levels is None:
                _encode_numbers(table, column, source, x[:, span], means[span.start], unseen)
            else:
                _encode_texts(table, column, source.as_texts(), x[:, span], unseen, self.decimal or ".")
        return x, _warning(table, unseen)

    def _found(self, table: Table, name: str) -> Column:
        """A column by its name, or by its index in files without a header, which may lack the target's column."""
        if self.header or (table.layout and table.layout.header):
            if name not in table.names:
                raise DataError(
                    f"{table.source}: there is no column {name!r:.80}, which the model takes; {table.hint(name)}"
                )
            return table.columns[table.names.index(name)]
        place = int(name)
        if len(table.columns) == self.fields - 1:
            place -= place > int(self.target.name)
        elif len(table.columns) != self.fields:
            least = f"{self.fields}, or {self.fields - 1} without the target"
            raise DataError(f"{table.source} has {len(table.columns)} columns; the model was trained on {least}")
        return table.columns[place]

    # ---- the target ----

    def has_target(self, table: Table) -> bool:
        """Whether the table has the target's column."""
        if self.header or (table.layout and table.layout.header):
            return self.target.name in table.names
        return len(table.columns) == self.fields

    def targets(self, table: Table) -> tuple[Array, Array]:
        """(y (n), known (n) bool): labels int32 or numbers float32, and the rows whose target is not missing.

        DataError: there is no such column, or it holds an unknown class or a number beyond float32.
        """
        if not self.has_target(table):
            raise DataError(
                f"{table.source}: there is no column {self.target.name!r:.80}, the model's target; {table.listed()}"
            )
        place = table.place(self.target.name)
        return targets_of(table, place, self.target)

    # ---- as a note ----

    def note(self) -> str:
        """The text for a note in a model file."""
        fields = asdict(self)
        later = any(column.placeholders for column in self.inputs)
        for column in () if later else fields["inputs"]:
            del column["placeholders"]
        return json.dumps({"version": VERSION if later else 1, **fields}, ensure_ascii=True)

    @staticmethod
    def from_note(text: str) -> Columns:
        """The columns of a note(). ValueError: it is damaged, or of a later version."""
        with reading_note("its table", text):
            found = parsed_json(text)
            version = found.pop("version")
            require(type(version) is int and version >= 1)
        if version > VERSION:
            raise ValueError(f"the model's note on its table is of version {version}; accepted: {VERSION}")
        with reading_note("its table", text):
            inputs = tuple(Input(**_with_tuple(one)) for one in found.pop("inputs"))
            columns = Columns(inputs, Target(**_with_tuple(found.pop("target"))), **found)
            require(columns._is_sound())
        return columns

    def _is_sound(self) -> bool:
        """Whether all values have their declared types and are consistent."""
        names = [*(column.name for column in self.inputs), self.target.name]
        levels = [some for some in (*(column.levels for column in self.inputs), self.target.levels) if some is not None]
        texts = [*names, *itertools.chain(*levels), *itertools.chain(*(column.placeholders for column in self.inputs))]
        flags = [self.header, self.target.numbers, *(column.missing for column in self.inputs)]
        good = all(type(text) is str for text in texts) and all(type(flag) is bool for flag in flags)
        good = good and len(names) > 1 and len(set(names)) == len(names) and type(self.fields) is int
        good = good and all(len(set(some)) == len(some) for some in levels) and all(one.names for one in self.inputs)
        if good and not self.header:
            good = all(name.isdecimal() and len(name) < 6 and int(name) < self.fields for name in names)
        good = good and (self.separator is None or (type(self.separator) is str and len(self.separator) == 1))
        return bool(good and self.decimal in (None, ".", ",") and self.decimal != (self.separator or ""))


def _with_tuple(found: dict[str, Any]) -> dict[str, Any]:
    levels, placeholders = found["levels"], found.get("placeholders", [])
    if not isinstance(levels, (list, type(None))) or not isinstance(placeholders, list):
        raise TypeError
    lists = {"levels": None if levels is None else tuple(levels), "placeholders": tuple(placeholders)}
    return found | {name: lists[name] for name in lists if name in found}


def decimal_of(table: Table) -> str:
    """The decimal mark of the numbers in a table."""
    return table.layout.decimal if table.layout else "."


def targets_of(table: Table, place: int, target: Target) -> tuple[Array, Array]:
    """See Columns.targets; place: index of the target's column."""
    column = table.columns[place]
    if target.levels is None:
        column = numbers_of(table, column)
        check_numbers(table, column)
        return np.nan_to_num(column.values).astype(np.float32), ~column.missing
    column = (numbers_of(table, column) if target.numbers else column).as_texts()
    labels = np.array([*places_among(target.levels, column.levels, -2), -1], np.int32)[column.values]
    if (labels < -1).any():
        row = int((labels < -1).argmax())
        text = column.levels[column.values[row]]
        raise DataError(
            f"{table.source}: {table.where(row)}, column {column.name!r:.80} holds {text!r:.80}, which is not among "
            f"the classes {', '.join(target.levels[:20])}"
        )
    return np.maximum(labels, 0), labels >= 0


def without_target(table: Table, place: int, target: Target, known: Array) -> list[str]:
    """A note on the rows that are left out, those not known (n) to have a target; [] if there are none."""
    count = len(known) - int(known.sum())
    if not count:
        return []
    column = numbers_of(table, table.columns[place]) if target.numbers else table.columns[place]
    odd = f": {first_odd(table, column)}, is no number" if column.odd else ""
    if column.words:
        odd = f": {' and '.join(map(repr, column.words))} there counts as missing"
    return [f"{count:,} row{'s' * (count > 1)} without {target.name} left out{odd}"]


def check_numbers(table: Table, column: Column) -> None:
    """Raises DataError if a number of the column is infinite or beyond float32."""
    with np.errstate(invalid="ignore"):
        large = np.abs(column.values) > LARGEST
    if large.any():
        row = int(large.argmax())
        raise DataError(
            f"{table.source}: {table.where(row)}, column {column.name!r:.80} holds {column.values[row]:g}; "
            f"accepted: finite numbers up to {LARGEST:.1e}"
        )


def numbers_of(table: Table, column: Column, placeholders: Collection[str] = ()) -> Column:
    """The column as numbers. placeholders: texts that count as missing.

    DataError: most of the other values are none, or one is a number as people write it, such as 1,234.50.
    """
    decimal = decimal_of(table)
    known_texts = frozenset(placeholders)
    if known_texts.isdisjoint(column.levels):
        column = _of_booleans(column)
    column = column.as_numbers(decimal)
    if placeholders and column.odd:
        column = replace(column, odd=tuple((row, text) for row, text in column.odd if text not in known_texts))
    total, known = len(column.odd), len(column.values) - int(column.missing.sum())
    mostly = total > MAX_ODD * (known + total)
    bad = column.odd if mostly else tuple(one for one in column.odd if is_written_number(one[1], decimal))
    if bad:
        found = first_odd(table, replace(column, odd=bad))
        wrong = f"{total:,} values are no numbers, as {found}" if mostly and total > 1 else f"{found}, is no number"
        raise DataError(f"{table.source}: {wrong}; accepted: numbers{as_written(bad[0][1], decimal)}")
    return column


def _of_booleans(column: Column) -> Column:
    """Texts that are all True or False, in capitals or not, as the numbers 1 and 0."""
    values = [BOOLEANS.get(level.lower()) for level in column.levels]
    if column.numbers is not None or not values or None in values:
        return column
    table = np.array([*values, None], np.float64)
    return replace(column, numbers=table[column.values], codes=None, levels=())


def first_odd(table: Table, column: Column) -> str:
    """The first value of a column of numbers that is no number, and where it is."""
    row, text = column.odd[0]
    return f"{text!r:.40} in column {column.name!r:.80}, {table.where(row)}"


def places_among(
    levels: Sequence[str], texts: Sequence[str], absent: int, decimals: tuple[str, str] = (".", ".")
) -> list[int]:
    """The index in levels of each text; absent: it is none of them. decimals: the marks of levels and of texts.

    1.0 and 02 are the levels 1 and 2, TRUE and 1 the level True; but 1015 is not the level 01015.
    """
    exact = {level: i for i, level in enumerate(levels)}
    values = [_value(level, decimals[0]) for level in levels]
    known = [value for value in values if value is not None]
    if any(_LEADING_ZERO.match(level) for level in levels) or len(set(known)) < len(known):
        return [exact.get(text, absent) for text in texts]
    same = {value: i for i, value in enumerate(values) if value is not None}
    booleans = set(known) <= set(BOOLEANS.values())  # else True is not 1
    found = []
    for text in texts:
        value = _value(text, decimals[1]) if booleans or text.lower() not in BOOLEANS else None
        found.append(exact.get(text, absent if value is None else same.get(value, absent)))
    return found


def _value(text: str, decimal: str) -> float | None:
    value = BOOLEANS.get(text.lower(), number(text, decimal))
    return None if value is None or abs(value) >= EXACT else value


class Unseen(NamedTuple):
    """Values of a column that count as none. rare: the training rows may have had them; known: the model's levels, if
    the column has none of them."""

    values: int
    first: str
    rare: bool = False
    known: str = ""


def _encode_numbers(table: Table, made: Input, column: Column, x: Array, mean: float, unseen: list[Unseen]) -> None:
    column = numbers_of(table, column, made.placeholders)
    check_numbers(table, column)
    if column.odd:
        unseen.append(Unseen(len(column.odd), f"{first_odd(table, column)}, which is no number"))
    x[:, 0] = np.where(column.missing, mean, column.values)
    if x.shape[1] > 1:
        x[:, 1] = column.missing
    else:
        _report_missing(table, column, unseen)


def _encode_texts(table: Table, column: Input, source: Column, x: Array, unseen: list[Unseen], decimal: str) -> None:
    levels = column.levels or ()
    last = len(levels) if column.missing else -2
    places = places_among(levels, source.levels, -1, (decimal, decimal_of(table)))
    codes = np.array([*places, last], np.int64)[source.values]
    rows = np.flatnonzero(codes >= 0)
    x[rows, codes[rows]] = 1
    if not column.missing:
        _report_missing(table, source, unseen)
    new = codes == -1
    if new.any():
        row, rare = int(new.argmax()), len(levels) >= MAX_LEVELS
        first = f"{source.levels[source.values[row]]!r:.40} in column {column.name!r:.80}, {table.where(row)}"
        first += f", which is not among its {MAX_LEVELS} most frequent texts" if rare else ""
        known = ", ".join(levels[:5]) + (", ..." if len(levels) > 5 else "")
        unseen.append(Unseen(int(new.sum()), first, rare, known if new[~source.missing].all() else ""))


def _report_missing(table: Table, column: Column, unseen: list[Unseen]) -> None:
    """Of a column without missing values in the training rows; its values that are no numbers have been reported."""
    rows = np.setdiff1d(np.flatnonzero(column.missing), [row for row, _ in column.odd])
    if len(rows):
        unseen.append(Unseen(len(rows), f"a missing one in column {column.name!r:.80}, {table.where(int(rows[0]))}"))


def _warning(table: Table, unseen: Sequence[Unseen]) -> str:
    lost = [one for one in unseen if one.known]
    parts = [
        f"NO value of a column is known, so that predictions do without it: {one.first}; the model knows {one.known}"
        for one in lost[:MAX_NAMED]
    ]
    parts += _counted([one for one in unseen if not one.known])
    return f"{table.source}: {'; '.join(parts)}" if parts else ""


def _counted(unseen: Sequence[Unseen]) -> list[str]:
    if not unseen:
        return []
    total = sum(one.values for one in unseen)
    named = "; ".join(one.first for one in unseen[:MAX_NAMED]) + ("; ..." if len(unseen) > MAX_NAMED else "")
    those = "" if any(one.rare for one in unseen) else " that the training rows did not have"
    return [
        f"a value{those} counts as none: {named}" if total == 1 else f"{total:,} values{those} count as none: {named}"
    ]
