"""Which columns of a table are inputs of a network, and how their values become numbers.

A column of numbers is one input, which the network itself standardises. A column of texts is one-hot: an input for each
different text, its level. If the training rows had missing values, one more input is 1 where the value is missing. A
note in the model file holds all this, except means and scales, which are tensors of its layer standardize.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pynet._ffi import Array
from pynet.data.tables import Column, Table
from pynet.errors import DataError
from pynet.text import parsed_json, reading_note, require

NOTE = "table"  # key of the note in a model file
VERSION = 1
LARGEST = float(np.finfo(np.float32).max)
MAX_ODD = 0.5  # a larger fraction of a numeric column that is not numbers is an error: the file is misread
MAX_NAMED = 3  # columns in a warning


@dataclass(frozen=True)
class Input:
    """A column of a table as inputs.

    levels: the texts that have an input each; None for a column of numbers. missing: whether a last input is 1 where
    the value is missing, and 0 elsewhere.
    """

    name: str
    levels: tuple[str, ...] | None
    missing: bool

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
        missing, holds a number that is infinite or beyond float32, or holds mostly texts where numbers are expected.
        """
        columns = [self._found(table, column.name) for column in self.inputs]
        x = np.zeros((len(table), len(self.names)), np.float32)
        unseen: list[tuple[int, str]] = []
        for column, source, span in zip(self.inputs, columns, self.spans, strict=True):
            if column.levels is None:
                _encode_numbers(table, source, x[:, span], means[span.start], unseen)
            else:
                _encode_texts(table, column, source.as_texts(), x[:, span], unseen)
        return x, _warning(table, unseen)

    def _found(self, table: Table, name: str) -> Column:
        """A column by its name, or by its index in files without a header, which may lack the target's column."""
        if self.header or (table.layout and table.layout.header):
            if name not in table.names:
                raise DataError(
                    f"{table.source}: there is no column {name!r:.80}, which the model takes; {table.listed()}"
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
        return json.dumps({"version": VERSION, **asdict(self)}, ensure_ascii=True)

    @staticmethod
    def from_note(text: str) -> Columns:
        """The columns of a note(). ValueError: it is damaged, or of a later version."""
        with reading_note("its table", text):
            found = parsed_json(text)
            version = found.pop("version")
            require(type(version) is int and version >= VERSION)
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
        texts = [*names, *itertools.chain(*levels)]
        flags = [self.header, self.target.numbers, *(column.missing for column in self.inputs)]
        good = all(type(text) is str for text in texts) and all(type(flag) is bool for flag in flags)
        good = good and len(names) > 1 and len(set(names)) == len(names) and type(self.fields) is int
        good = good and all(len(set(some)) == len(some) for some in levels) and all(one.names for one in self.inputs)
        if good and not self.header:
            good = all(name.isdecimal() and len(name) < 6 and int(name) < self.fields for name in names)
        good = good and (self.separator is None or (type(self.separator) is str and len(self.separator) == 1))
        return bool(good and self.decimal in (None, ".", ",") and self.decimal != (self.separator or ""))


def _with_tuple(found: dict[str, Any]) -> dict[str, Any]:
    levels = found["levels"]
    if not isinstance(levels, (list, type(None))):
        raise TypeError
    return {**found, "levels": None if levels is None else tuple(levels)}


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
    places = {level: i for i, level in enumerate(target.levels)}
    labels = np.array([*(places.get(level, -2) for level in column.levels), -1], np.int32)[column.values]
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


def numbers_of(table: Table, column: Column) -> Column:
    """The column as numbers. DataError: most of its values are none."""
    column = column.as_numbers(decimal_of(table))
    total = len(column.odd)
    if total > 1 and total > MAX_ODD * (len(column.values) - int(column.missing.sum()) + total):
        hint = "; --decimal , takes a comma in numbers" if "," in column.odd[0][1] else ""
        found = first_odd(table, column)
        raise DataError(f"{table.source}: {total:,} values are no numbers, as {found}; accepted: numbers{hint}")
    return column


def first_odd(table: Table, column: Column) -> str:
    """The first value of a column of numbers that is no number, and where it is."""
    row, text = column.odd[0]
    return f"{text!r:.40} in column {column.name!r:.80}, {table.where(row)}"


def _encode_numbers(table: Table, column: Column, x: Array, mean: float, unseen: list[tuple[int, str]]) -> None:
    column = numbers_of(table, column)
    check_numbers(table, column)
    if column.odd:
        unseen.append((len(column.odd), f"{first_odd(table, column)}, which is no number"))
    x[:, 0] = np.where(column.missing, mean, column.values)
    if x.shape[1] > 1:
        x[:, 1] = column.missing
    else:
        _report_missing(table, column, unseen)


def _encode_texts(table: Table, column: Input, source: Column, x: Array, unseen: list[tuple[int, str]]) -> None:
    levels = column.levels or ()
    places = {level: i for i, level in enumerate(levels)}
    last = len(levels) if column.missing else -2
    codes = np.array([*(places.get(level, -1) for level in source.levels), last], np.int64)[source.values]
    rows = np.flatnonzero(codes >= 0)
    x[rows, codes[rows]] = 1
    if not column.missing:
        _report_missing(table, source, unseen)
    new = codes == -1
    if new.any():
        row = int(new.argmax())
        text = source.levels[source.values[row]]
        unseen.append((int(new.sum()), f"{text!r:.40} in column {column.name!r:.80}, {table.where(row)}"))


def _report_missing(table: Table, column: Column, unseen: list[tuple[int, str]]) -> None:
    """Of a column without missing values in the training rows; its values that are no numbers have been reported."""
    rows = np.setdiff1d(np.flatnonzero(column.missing), [row for row, _ in column.odd])
    if len(rows):
        unseen.append((len(rows), f"a missing one in column {column.name!r:.80}, {table.where(int(rows[0]))}"))


def _warning(table: Table, unseen: Sequence[tuple[int, str]]) -> str:
    if not unseen:
        return ""
    total = sum(count for count, _ in unseen)
    named = "; ".join(text for _, text in unseen[:MAX_NAMED]) + ("; ..." if len(unseen) > MAX_NAMED else "")
    if total == 1:
        return f"{table.source}: a value that the training rows did not have counts as none: {named}"
    return f"{table.source}: {total:,} values that the training rows did not have count as none: {named}"
