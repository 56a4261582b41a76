"""Hostile tables: columns of numbers, texts and dates with a header, in which fields, lines or names are damaged."""

from __future__ import annotations

import random
from pathlib import Path

from damage import damaged_text, whole
from hostile_data import FIELDS

TARGETS = ("kind", "price")
NAMES = ("kind", "price", "colour", "weight", "made on")
COLOURS = ("red", "green", "blue", "Ünï", "a, b", 'say "b"', "-", "NA")


def table_file(draw: random.Random, folder: Path) -> Path:
    """A table whose target is one of TARGETS, in a file that is .csv or .tsv."""
    rows, separator = _rows(draw, draw.choice((1, 3, 40, 40, 40)))
    for _ in range(draw.choice((0, 0, 1, 1, 2, 5, 40))):
        _damage(draw, rows)
    text = _text(rows, separator) + draw.choice(("\n", "", "\n\n", "\r\n"))
    if draw.random() < 0.1:
        text = damaged_text(draw, text)
    path = folder / ("data.tsv" if separator == "\t" else "data.csv")
    encoding = "utf-8" if draw.random() < 0.8 else draw.choice(("utf-8-sig", "utf-16", "latin-1"))
    path.write_bytes(text.encode(encoding, "replace"))
    return path


def whole_table(draw: random.Random, folder: Path) -> Path:
    """A table without damage."""
    path = folder / "whole.csv"
    path.write_text(_text(*_rows(draw, 40)), "utf-8")
    return path


def _rows(draw: random.Random, count: int) -> tuple[list[list[str]], str]:
    """The header and so many rows, and the separator of their fields."""
    separator, decimal = draw.choice(((",", "."), (",", "."), (";", "."), (";", ","), ("\t", ".")))
    return [list(NAMES), *(_row(draw, decimal) for _ in range(count))], separator


def _text(rows: list[list[str]], separator: str) -> str:
    return "\n".join(separator.join(_quoted(field, separator) for field in row) for row in rows)


def _row(draw: random.Random, decimal: str) -> list[str]:
    numbers = (f"{draw.uniform(0, 90):.2f}".replace(".", decimal) for _ in range(2))
    date = f"2{draw.randrange(1000):03}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}"
    price, weight = numbers
    return [draw.choice(("good", "bad", "ugly")), price, draw.choice(COLOURS), weight, date]


def _quoted(field: str, separator: str) -> str:
    needed = any(mark in field for mark in (separator, '"', "\n"))
    return '"' + field.replace('"', '""') + '"' if needed else field


def _damage(draw: random.Random, rows: list[list[str]]) -> None:
    """Changes a field, a whole column, the length of a line, or the header."""
    row, kind = draw.choice(rows), draw.randrange(7)
    if kind <= 2 and row:
        row[draw.randrange(len(row))] = draw.choice((*FIELDS, str(whole(draw)), "a\nb"))
    elif kind == 3:  # a column of one value
        place, field = draw.randrange(len(NAMES)), draw.choice((*FIELDS, "7"))
        for row in rows[1:]:
            row[place : place + 1] = [field]
    elif kind == 4:
        row.extend([draw.choice(FIELDS)] * draw.choice((1, 3, 1000)))
    elif kind == 5:
        del row[draw.randrange(len(row) + 1) :]
    else:
        rows[0] = draw.choice(
            (rows[0][::-1], rows[0][:-1], [*rows[0], "kind"], [""] * len(NAMES), ["kind"] * len(NAMES))
        )
