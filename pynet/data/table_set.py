"""Data sets from tables: the target is found, rows are split, and the training rows decide about the columns."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pynet._ffi import Array
from pynet.data.arrays import TASKS
from pynet.data.columns import EXACT, Target, decimal_of, targets_of, without_target
from pynet.data.dataset import TEST_FRACTION, Dataset, digest
from pynet.data.layout import as_written
from pynet.data.learn_columns import MAX_CLASSES, learn, row_counters
from pynet.data.read_table import read_table
from pynet.data.splits import split
from pynet.data.tables import Column, Table, of_frame, plain_number
from pynet.errors import DataError
from pynet.text import percent

LEFT_OUT = "left out: "  # how a note about such a column begins


class Parts(NamedTuple):
    """A data set, and a validation set (x, y) split from its training samples, or None."""

    data: Dataset
    validation: tuple[Array, Array] | None


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a table whose target is not missing, before they are split.

    y (n): labels int32 or numbers float32; classes: their names; notes: decisions and remarks, for the user.
    """

    table: Table
    name: str
    target: Target
    y: Array
    classes: tuple[str, ...]
    counters: frozenset[int]
    ignored: frozenset[int]
    notes: tuple[str, ...]

    def divided(self, rows: Array, fraction: float, seed: int = 0) -> tuple[Array, Array]:
        """These rows split into (the rest, a fraction of them), each in its order; classes are split one by one."""
        if not fraction:
            return rows, rows[:0]
        try:
            rest, _, aside, _ = split(rows, self.y[rows], fraction, seed)
        except DataError as error:
            raise DataError(f"{self.table.source}: no rows can be set aside: {error}") from None
        return rest, aside

    def folds(self, count: int, seed: int = 0) -> list[tuple[Array, Array]]:
        """(rows for training, rows for testing) for each of count folds, stratified: each row is in one test set, and
        every test set has nearly the same fraction of each class."""
        random = np.random.RandomState(np.random.MT19937(seed))
        order = random.permutation(len(self.y))
        if self.classes:
            order = order[np.argsort(self.y[order], kind="stable")]
        fold = np.empty(len(order), np.intp)
        fold[order] = np.arange(len(order)) % count
        return [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(count)]

    def encoded(self, train: Array, validation: Array, test: Array, test_split: float = 0.0) -> Parts:
        """These rows as inputs of a network; only the training rows decide about columns and means."""
        found = learn(self.table, train, self.target, self.y[train], self.counters, self.ignored)
        x, warning = found.columns.encoded(self.table, found.means)
        fraction = "a fifth" if test_split == TEST_FRACTION else percent(test_split)
        of = " of each class" if self.classes else ""
        remark = f", {fraction}{of} set aside for testing" if test_split else ""
        data = Dataset(
            self.name,
            x[train],
            self.y[train],
            x[test],
            self.y[test],
            self.classes,
            f"{self.table.source}{remark}",
            samples_sha256=digest(x, self.y),
            test_split=test_split,
            features=found.columns.names,
            columns=found.columns,
            means=found.means,
            notes=(*self.notes, *(f"{LEFT_OUT}{line}" for line in found.left_out)),
            warnings=(*found.warnings, *filter(None, [warning])),
            test_rows=self.table.rows(test),
        )
        return Parts(data, (x[validation], self.y[validation]) if len(validation) else None)


def open_rows(
    source: str | Path | Any,
    target: str | int,
    task: str | None = None,
    ignore: Collection[str | int] = (),
    categorical: Collection[str | int] = (),
    separator: str | None = None,
    decimal: str | None = None,
) -> Rows:
    """The rows of a file or a data frame with their targets; see table for the arguments.

    DataError: there is no table, or no such column, or a target that cannot be learnt.
    """
    if task is not None and task not in TASKS:
        raise DataError(f"task is {task!r:.80}; accepted: {', '.join(TASKS)}")
    name = "table"
    if hasattr(source, "columns"):
        found = of_frame(source, categorical)
    else:
        path = Path(os.path.expanduser(source))
        known = {str(one) for one in (target, *ignore, *categorical)}
        names = {one for one in known if not one.lstrip("-").isdecimal()}
        found = read_table(path, separator=separator, decimal=decimal, texts=categorical, known=names)
        name = stem(path)
        if len(found.columns) == 1:
            hint = "no separator among , ; tab | and blanks was found"
            raise DataError(f"{path}: the table has a single column ({hint}); two or more are needed")
    place = found.place(target)
    for one in categorical:
        found.place(one)
    counters, ignored = frozenset(row_counters(found)), frozenset(found.place(one) for one in ignore)
    if place in ignored:
        raise DataError(f"{found.source}: {found.names[place]!r:.80} is the target, and cannot be ignored")
    learnt, why = _target_of(found, found.columns[place], task)
    y, known_rows = targets_of(found, place, learnt)
    left_out = without_target(found, place, learnt, known_rows)
    notes = [*found.notes, why, *left_out]
    if left_out:
        found, y = found.rows(np.flatnonzero(known_rows)), y[known_rows]
    return Rows(found, name, learnt, y, _class_names(found, place, learnt), counters, ignored, tuple(notes))


def table(
    source: str | Path | Any,
    target: str | int,
    *,
    task: str | None = None,
    ignore: Collection[str | int] = (),
    categorical: Collection[str | int] = (),
    separator: str | None = None,
    decimal: str | None = None,
    test_split: float = TEST_FRACTION,
) -> Dataset:
    """A data set from a table: a text file such as .csv, .tsv, .data or .txt, also with .gz, or a data frame.

    target: the column to predict, by its name, or else by its index from 0, -1 for the last. task: "classes" or
    "number"; None: texts, and whole numbers of 20 values at most, are classes. ignore: columns to leave out;
    categorical: columns whose numbers are names, such as postal codes. separator, decimal: detected if None.
    test_split: fraction of the rows for the test set, from 0 to below 1.

    The samples are rows of numbers for a network that begins with the layer standardize. Only the training rows decide
    how columns are encoded. Texts are one-hot, with 50 levels at most. A missing number is replaced by the mean, and an
    input of its own is 1 where a value is missing. In a column of mostly numbers, other texts count as missing. Row
    counters, dates, constants and texts that are mostly different are left out. The notes and warnings of the data set
    list these decisions.

    Raises DataError, one line: there is no table, no such column, one class alone, a number that is infinite, or no
    column that can be learnt from.
    """
    rows = open_rows(source, target, task, ignore, categorical, separator, decimal)
    train, test = rows.divided(np.arange(len(rows.y)), test_split)
    return rows.encoded(train, train[:0], test, test_split).data


def stem(path: Path) -> str:
    """The name of a table's file without its suffixes: iris of iris.csv.gz."""
    return Path(path.name.removesuffix(".gz")).stem or "table"


def _target_of(found: Table, column: Column, task: str | None) -> tuple[Target, str]:
    """The target in a column, and a note for the user on its kind. DataError: there is nothing to learn."""
    numbers = column.numbers
    if column.is_date:
        raise DataError(f"{found.source}: the target {column.name!r:.80} holds dates; accepted: numbers or classes")
    if task == "number" and numbers is None:
        column = column.as_numbers(decimal_of(found))
        if column.odd:
            where = f"{found.source}: {found.where(column.odd[0][0])}: the target {column.name!r:.80}"
            text = column.odd[0][1]
            raise DataError(f"{where} holds {text!r:.80}; accepted: numbers{as_written(text, decimal_of(found))}")
        numbers = column.values
    known = column.values[~column.missing]
    if not len(known):
        raise DataError(f"{found.source}: the target {column.name!r:.80} has no value")
    different = np.unique(known)
    if len(different) == 1:
        only = plain_number(float(known[0])) if numbers is not None else column.levels[known[0]]
        only = f"{only!r:.80} in all rows"
        if numbers is not None and abs(known[0]) >= EXACT:
            only += f", in float64, which does not hold all whole numbers from {EXACT:,} on; subtract a constant first"
        raise DataError(f"{found.source}: the target {column.name!r:.80} is {only}: nothing to learn")
    few = numbers is not None and len(different) <= min(MAX_CLASSES, max(2, len(known) // 2))
    few = few and np.array_equal(different, np.floor(different))
    if task == "number" or (task is None and numbers is not None and not few):
        other = "" if task else "; --task classes makes each value a class"
        return Target(column.name, None), f"learns {column.name}, a number{other}"
    texts = column.as_texts()
    levels = texts.levels if numbers is not None else tuple(sorted(column.levels[code] for code in different))
    if 2 * len(levels) > len(known) and len(levels) > 2:
        raise DataError(
            f"{found.source}: the target {column.name!r:.80} has {len(levels):,} classes in {len(known):,} rows; "
            f"accepted: classes with several rows each{', or --task number' if numbers is not None else ''}"
            f"{as_written(levels[0], decimal_of(found)) if numbers is None else ''}"
        )
    other = "; --task number learns it as a number" if numbers is not None and task is None else ""
    return Target(column.name, levels, numbers is not None), f"learns {column.name}, {len(levels):,} classes{other}"


def _class_names(found: Table, place: int, target: Target) -> tuple[str, ...]:
    """The class names in the first line of a scikit-learn file, if they belong to the target; else its values."""
    levels = target.levels or ()
    names = found.layout.class_names if found.layout else ()
    ours = place == len(found.columns) - 1 and len(set(names)) == len(levels) == len(names)
    return names if ours and levels == tuple(map(str, range(len(levels)))) else levels
