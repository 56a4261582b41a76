"""Which columns of a table become inputs, and of which kind. Only the training rows decide.

Row counters are the exception: they are detected in the whole file, by its order. If a file is sorted by class, a row
counter gives the class away.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from pynet._ffi import Array
from pynet.data.columns import (
    MAX_LEVELS,
    Columns,
    Input,
    Target,
    check_numbers,
    decimal_of,
    numbers_of,
)
from pynet.data.layout import as_written, is_written_number
from pynet.data.tables import Column, Table
from pynet.errors import DataError

MAX_CLASSES = 20  # different whole numbers that are taken for classes
MAX_INPUTS = 1 << 16
UNIQUE = 0.9  # a column of texts with a larger fraction of different values holds names, not classes
STRAIGHT = 0.9999  # columns with a higher correlation are equal, apart from their scale
MAX_PLACEHOLDERS = 1000  # different texts in a column of numbers that a model knows as missing ones
MAX_NAMED = 5  # of them in a warning
MAX_ROUNDING = 0.01  # of the standard deviation: a larger error by rounding to float32 gets a warning
COUNTER_NAMES = {"id", "index", "row", "no", "nr", "number", "rowid", "rownames", "rownum", "unnamed: 0"}
_TIME = r"([T ]+\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AaPp][Mm])?( ?(Z|UTC|[-+]\d{2}:?\d{2}))?)?"
_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATES = (
    rf"\d{{4}}([-/.])\d{{1,2}}\1\d{{1,2}}{_TIME}",
    rf"\d{{1,2}}([-/.])\d{{1,2}}\1(\d{{2}}|\d{{4}}){_TIME}",
    rf"\d{{1,2}}[-. ]+{_MONTH}[-., ]+(\d{{2}}|\d{{4}}){_TIME}",
    rf"{_MONTH} +\d{{1,2}},? +\d{{4}}{_TIME}",
    r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[ap]m)?",
)
_DATE = tuple(re.compile(form, re.ASCII | re.IGNORECASE) for form in _DATES)


class Learnt(NamedTuple):
    """The columns that the training rows gave. means (inputs) float32 replace missing numbers, and are 0 for inputs of
    texts; left_out, warnings: lines for the user."""

    columns: Columns
    means: Array
    left_out: list[str]
    warnings: list[str]


def row_counters(table: Table) -> set[int]:
    """The indices of columns that number the rows of the whole table, or identify them by different whole numbers."""
    return {i for i, column in enumerate(table.columns) if _counts_rows(column)}


def _counts_rows(column: Column) -> bool:
    if column.numbers is None or len(column.values) < 3:
        return False
    values = column.values
    if not np.isfinite(values).all() or not np.array_equal(values, np.floor(values)):
        return False
    steps = np.diff(values)
    if (steps == steps[0]).all() and abs(steps[0]) == 1:
        return True
    name = column.name.lower().strip()
    is_name = name in COUNTER_NAMES or re.fullmatch(r"column \d+|.*[ _-]id|.*[a-z]Id|.*[a-z]ID", column.name.strip())
    return bool(is_name) and len(np.unique(values)) == len(values)


def learn(
    table: Table, rows: Array, target: Target, y: Array, counters: Collection[int], ignore: Collection[int]
) -> Learnt:
    """Decides which columns become inputs, from these rows (n) and their targets y (n): labels, or numbers.

    counters: see row_counters; ignore: indices of columns to leave out. DataError: no column can be used, one
    holds infinity, or there are too many inputs.
    """
    place = table.place(target.name)
    inputs, means, left_out, warnings = [], list[float](), [], list[str]()
    if target.levels is None and (text := _rounding(numbers_of(table, table.columns[place]).rows(rows))):
        text = f"the target {target.name!r:.80}: {text}"
        if np.ptp(y) == 0:
            raise DataError(f"{table.source}: {text}")
        warnings.append(text)
    for i, column in enumerate(table.columns):
        if i == place or i in ignore:
            continue
        if i in counters:
            left_out.append(f"{column.name}: it counts the rows")
            continue
        if column.numbers is not None:
            check_numbers(table, column)
        known = column.rows(rows)
        reason = _unusable(known, decimal_of(table))
        if reason:
            left_out.append(f"{column.name}: {reason}")
            continue
        warnings += _doubts(known, decimal_of(table))
        if text := _rounding(known):
            warnings.append(f"column {column.name!r:.80}: {text}")
        if text := _decides(known, y, target):
            warnings.append(text)
        inputs.append(_input(known, decimal_of(table), left_out))
        means += _means(known, inputs[-1])
    if not inputs:
        reasons = f": {'; '.join(left_out)}" if left_out else ""
        raise DataError(f"{table.source}: there is no column to learn {target.name!r:.80} from{reasons}")
    if len(means) > MAX_INPUTS:
        raise DataError(f"{table.source}: the columns make {len(means):,} inputs; accepted: {MAX_INPUTS:,} at most")
    layout = table.layout
    columns = Columns(tuple(inputs), target, fields=len(table.columns))
    if layout:
        columns = replace(columns, separator=layout.separator, decimal=layout.decimal, header=layout.header)
    return Learnt(columns, np.array(means, np.float32), left_out, warnings)


def _doubts(column: Column, decimal: str) -> list[str]:
    """Warnings about values that may be read in another way than they are meant, in the training rows."""
    name, found = f"column {column.name!r:.80}", []
    if column.odd:
        counts = Counter(text for _, text in column.odd).most_common()
        named = ", ".join(f"{text!r:.40} ({count:,})" for text, count in counts[:MAX_NAMED])
        more = ", ..." if len(counts) > MAX_NAMED else ""
        found.append(
            f"{name} holds numbers; other texts count as missing: {named}{more}; --categorical keeps all texts"
        )
    if column.were_codes:
        found.append(f"{name} has leading zeros, as codes have, and is learnt as a number; --categorical keeps texts")
    hints = [hint for text in column.levels if (hint := as_written(text, decimal))]
    if 2 * len(hints) > len(column.levels):
        found.append(f"{name} holds texts, as {column.levels[0]!r:.40}{hints[0]}")
    return found


def _unusable(column: Column, decimal: str) -> str:
    """Why a column cannot be an input, by its training rows; "" if it can."""
    if column.is_date:
        return "dates"
    known = column.values[~column.missing]
    if not len(known):
        return "no value"
    if column.numbers is not None:
        low, high = np.float32(known.min()), np.float32(known.max())
        if low != high or len(known) < len(column.values):
            return ""
        return f"constant, {low:g}" if np.ptp(known) == 0 else _rounding(column)
    counts = np.bincount(known, minlength=len(column.levels))
    different = int(np.count_nonzero(counts))
    if different == 1 and len(known) == len(column.values):
        return f"constant, {column.levels[known[0]]:.40}"
    levels = [level for level, count in zip(column.levels, counts, strict=True) if count]
    if all(any(form.fullmatch(level) for form in _DATE) for level in levels):
        return "dates"
    if different > 2 and (different > UNIQUE * len(known) or (different > MAX_LEVELS and 2 * different > len(known))):
        hint = as_written(levels[0], decimal)
        return f"{different:,} different texts in {len(known):,} rows{f', as {levels[0]!r:.40}{hint}' if hint else ''}"
    return ""


def _input(column: Column, decimal: str, left_out: list[str]) -> Input:
    missing = bool(column.missing.any())
    if column.numbers is not None:
        odd = Counter(text for _, text in column.odd if not is_written_number(text, decimal))
        placeholders = (text for text, _ in odd.most_common(MAX_PLACEHOLDERS))
        return Input(column.name, None, missing, tuple(sorted(placeholders)))
    counts = np.bincount(column.values[~column.missing], minlength=len(column.levels))
    found = sorted((-count, level) for level, count in zip(column.levels, counts.tolist(), strict=True) if count)
    if len(found) > MAX_LEVELS:
        left_out.append(f"{column.name}: all but the {MAX_LEVELS} most frequent of {len(found):,} texts")
    return Input(column.name, tuple(sorted(level for _, level in found[:MAX_LEVELS])), missing)


def _means(column: Column, made: Input) -> list[float]:
    zeros = [0.0] * len(made.names)
    if column.numbers is not None:
        zeros[0] = float(column.values[~column.missing].mean())
    return zeros


def _rounding(column: Column) -> str:
    """What is wrong if float32 keeps little of the differences between numbers, as behind a large offset; else ""."""
    values = column.values[~column.missing]
    if column.numbers is None or np.ptp(values) == 0:
        return ""
    rounded = values.astype(np.float32)
    if np.abs(rounded - values).max() <= MAX_ROUNDING * values.std():
        return ""
    step = np.spacing(np.abs(rounded).max())
    return (
        f"float32 rounds numbers like {values[0]:.12g} to multiples of {step:g}, and their differences are lost; "
        f"subtract a constant first"
    )


def _decides(column: Column, y: Array, target: Target) -> str:
    """A warning if the column alone decides the target: it has few values, and each occurs with one target only."""
    known = ~column.missing
    values, targets = column.values[known], y[known]
    text = f"column {column.name!r} alone decides {target.name!r}: is it made from it? --ignore leaves it out"
    if column.numbers is not None:
        vary = target.levels is None and len(values) > 2 and np.ptp(values) > 0 and np.ptp(targets) > 0
        if vary and abs(np.corrcoef(values, targets)[0, 1]) > STRAIGHT:
            return text
        if len(np.unique(values[:1000])) > MAX_LEVELS:
            return ""
    levels, codes = np.unique(values, return_inverse=True)
    distinct, labels = np.unique(targets, return_inverse=True)
    few = 1 < len(levels) <= min(MAX_LEVELS, len(values) // 4) and len(distinct) > 1
    if not few or 2 * len(values) < len(known):
        return ""
    pairs = len(np.unique(codes * len(distinct) + labels))
    return text if pairs == len(levels) else ""
