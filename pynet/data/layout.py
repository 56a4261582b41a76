"""The layout of a text file with a table: separator, decimal mark, and whether the first line is a header."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pynet.data.text_file import TextFile
from pynet.errors import DataError

SEPARATORS = ("\t", ";", "|", ",")  # the first of those that divide the lines equally well is used
BLANKS = " "  # as a separator: any number of blanks
SEPARATOR_NAMES = {"\t": "tab", BLANKS: "blanks"}
SAMPLE = 1 << 18  # characters from which the layout is detected
MAX_COLUMNS = 1 << 16
# Texts that mean a missing value: the list of pandas, and the question mark of the UCI repository.
_WORDS = ",?,#N/A,#N/A N/A,#NA,-1.#IND,-1.#QNAN,-NaN,-nan,1.#IND,1.#QNAN,<NA>,N/A,NA,NULL,NaN,None,n/a,nan,null"
MISSING = frozenset(_WORDS.split(","))
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(inf|infinity)", re.ASCII | re.IGNORECASE)
_DECLARED = re.compile(r"\"?sep=(\\t|\t|[^\w\s.\"])\"?", re.IGNORECASE)  # the first line of files for Excel
_WITH_COMMA = re.compile(r"[-+]?\d+,\d+", re.ASCII)
_WITH_POINT = re.compile(r"[-+]?\d*\.\d+", re.ASCII)
# What people take for a number: with thousands separators, a decimal comma, a sign of a currency or of percent.
_SIGN = r"([$€£¥%]|EUR|USD|GBP|CHF)?"
_WRITTEN = re.compile(
    rf"[-+(]?{_SIGN} ?[-+]?(\d{{1,3}}([,.' \u00a0\u202f]\d{{3}})+|\d+)([.,]\d+)? ?{_SIGN}\)?", re.ASCII | re.IGNORECASE
)
_IN_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}([,.])\d{3}(\1\d{3})*", re.ASCII)


@dataclass(frozen=True)
class Layout:
    """separator, decimal: characters. names: of the columns, from the header, else "0", "1", ... skip: lines before the
    first row. class_names: classes of the target in the last column, if the file is one of scikit-learn."""

    separator: str
    decimal: str
    names: tuple[str, ...]
    header: bool
    skip: int
    class_names: tuple[str, ...] = ()

    def records(self, lines: Iterable[str]) -> Any:
        """A csv.reader: the fields of each record, [] for an empty line. It raises csv.Error."""
        return _records(lines, self.separator)


def number(text: str, decimal: str = ".") -> float | None:
    """The number in a field; None: it is not a number, as 1.5 where the comma is the decimal mark."""
    text = text.strip()
    if decimal != ".":
        text = text.translate(str.maketrans(f".{decimal}", f"{decimal}."))
    return float(text) if _NUMBER.fullmatch(text) else None


def is_written_number(text: str, decimal: str = ".") -> bool:
    """Whether a text is a number to people, but not to number: 1,234.50, $5, 8 %, or with another decimal mark."""
    if number(text, decimal) is not None:
        return False
    return number(text, _other(decimal)) is not None or _WRITTEN.fullmatch(text.strip()) is not None


def _other(decimal: str) -> str:
    return "," if decimal == "." else "."


def as_written(text: str, decimal: str) -> str:
    """What to do with a text that is a number to people alone, for messages; "" for other texts."""
    if not is_written_number(text, decimal):
        return ""
    other, name = _other(decimal), "comma" if decimal == "." else "point"
    mark = number(text, other) is not None
    found = [f"thousands separators and signs such as $ or % have to be removed first, as in 1234{decimal}5"]
    found *= not mark or _IN_THOUSANDS.fullmatch(text.strip()) is not None
    found += [f"--decimal {other} takes a {name} in numbers"] * mark
    return f"; {', or '.join(found)}"


def find_layout(
    file: TextFile,
    separator: str | None,
    decimal: str | None,
    known: Collection[str],
    header: bool | None,
    usual: str | None = None,
) -> Layout:
    """The layout; arguments that are None are detected from the first lines, see read_table. DataError: no table."""
    sample, before = _sample(file), 0
    if sample and (declared := _DECLARED.fullmatch(sample[0].strip())):
        separator, sample, before = separator or declared[1].replace("\\t", "\t"), sample[1:], 1
    if not any(map(str.strip, sample)):
        raise DataError(f"{file.path}: there is no line with text in it")
    if not separator and usual and set(known) & set(next(_numbered(sample, usual), ([], 0))[0]):
        separator = usual
    found = separator or _separator(sample, decimal)
    most = max(line.count(found) for line in sample)
    if most >= MAX_COLUMNS:
        raise DataError(f"{file.path}: a line has {most + 1:,} fields, accepted are {MAX_COLUMNS:,} at most")
    rows = [(row, line) for row, line in _numbered(sample, found) if row]
    width = Counter(len(row) for row, _ in rows).most_common(1)[0][0] if rows else 0
    if not width:
        raise DataError(f"{file.path}: line 1: a quote that is not closed")
    if width < 2 and separator:
        raise DataError(f"{file.path}: {separator!r} separates nothing")
    skip, class_names = 0, tuple[str, ...]()
    if _counts(rows[0][0], width) and len(rows) > 1:
        class_names = tuple(filter(None, rows[0][0][2:]))
        skip, rows = rows[0][1], rows[1:]
    fields = [row for row, _ in rows]
    decimal = decimal or ("," if found != "," and _decimal_comma(fields) else ".")
    if found == decimal:
        raise DataError(f"{file.path}: separator and decimal mark are both {found!r}; --decimal names another mark")
    if header is None:
        header = bool(set(known) & set(fields[0])) or _is_header(fields[0], fields[1:], decimal)
    if header:
        names, skip = _names(fields[0], file), rows[0][1]
        return Layout(found, decimal, names, True, before + skip, class_names)
    return Layout(found, decimal, tuple(map(str, range(width))), False, before + skip, class_names)


def _names(fields: Sequence[str], file: TextFile) -> tuple[str, ...]:
    """The names in a header; an empty one becomes "column 3", its index. DataError: two columns have one name."""
    names = tuple(name or f"column {i}" for i, name in enumerate(fields))
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        places = [str(i) for i, name in enumerate(names) if name == twice[0]]
        raise DataError(f"{file.path}: columns {' and '.join(places)} (from 0) are both called {twice[0]!r:.80}")
    return names


def _sample(file: TextFile) -> list[str]:
    """The first lines."""
    found, size = [], 0
    for line in file.lines():
        found.append(line)
        size += len(line)
        if size > SAMPLE:
            break
    return found


def _records(lines: Iterable[str], separator: str) -> Any:
    if separator == BLANKS:
        lines = (f"{line.strip()}\n".replace("\t", BLANKS) for line in lines)
    return csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)


def _numbered(lines: list[str], separator: str) -> Iterator[tuple[list[str], int]]:
    """(trimmed fields, number of its last line) for each record, as far as they can be read."""
    records = _records(lines, separator)
    try:
        for row in records:
            yield ([] if is_blank(row) else [field.strip() for field in row]), records.line_num
    except csv.Error:  # the sample ends within quotes; other errors recur when the whole file is read
        return


def is_blank(row: Sequence[str]) -> bool:
    """Whether a line holds nothing but blanks."""
    return len(row) < 2 and not "".join(row).strip()


def _separator(sample: list[str], decimal: str | None) -> str:
    """The separator that divides most lines, preferably the first too, into the same number of fields, two or more."""
    best, found = (0.0, False), ""
    for separator in (*SEPARATORS, BLANKS):
        if separator == decimal:
            continue
        if max(line.count(separator) for line in sample) >= MAX_COLUMNS:
            return separator  # the caller raises an error
        rows = [row for row, _ in _numbered(sample, separator) if row]
        counts = Counter(len(row) for row in rows if len(row) > 1).most_common(1)
        if counts:
            [(width, count)] = counts
            score = (count / len(rows), len(rows[0]) == width)
            if score > best or (score == (1, True) and separator == BLANKS and found == "\t" and _of_numbers(rows)):
                best, found = score, separator
    return found or ","


def _of_numbers(rows: Sequence[Sequence[str]]) -> bool:
    """Whether most fields are numbers, so that blanks may separate as well as tabs: no text would be cut in two."""
    fields = [field for row in rows for field in row]
    return 2 * sum(number(field) is not None for field in fields) > len(fields)


def _counts(row: Sequence[str], width: int) -> bool:
    """Whether this is the first line of a scikit-learn file: numbers of rows and of columns, names of classes."""
    counts = len(row) > 1 and row[0].isdecimal() and row[1].isdecimal() and int(row[1]) == width - 1
    return counts and all(number(field) is None for field in row[2:]) and (len(row) > 2 or width > 2)


def _decimal_comma(rows: Sequence[Sequence[str]]) -> bool:
    fields = {field for row in rows for field in row}
    return any(map(_WITH_COMMA.fullmatch, fields)) and not any(map(_WITH_POINT.fullmatch, fields))


def _is_header(first: Sequence[str], rest: Sequence[Sequence[str]], decimal: str) -> bool:
    """Whether a first line is a header: texts above numbers, indices 0, 1, 2, ..., or texts that do not occur below."""
    if [field for field in first if field] in ([str(i) for i in range(len(first) - k)] for k in (0, 1)):
        return True
    for_it = against = again = 0
    for i, name in enumerate(first):
        below = {row[i] for row in rest if i < len(row)} - MISSING
        is_number = number(name, decimal) is not None or number(name) is not None
        of_numbers = bool(below) and all(number(text, decimal) is not None for text in below)
        for_it += of_numbers and not is_number and name not in MISSING and any(map(str.isalpha, name))
        against += is_number or (i > 0 and name in MISSING and name != "")
        again += name in below and not is_number
    return for_it >= against if for_it or against else not again
