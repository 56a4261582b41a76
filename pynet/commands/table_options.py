"""The options of commands on tables: how to read one, and which column to predict."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from pynet.commands import cli
from pynet.commands.cli import UsageError
from pynet.data import Dataset
from pynet.data.arrays import TASKS
from pynet.data.csv import is_label_first
from pynet.data.layout import SEPARATOR_NAMES
from pynet.data.read_table import is_table_file, read_names
from pynet.data.table_model import TrainedTable, dataset_for
from pynet.data.table_set import LEFT_OUT, Rows, open_rows
from pynet.data.tables import UnknownColumnError
from pynet.network import Network
from pynet.text import picture_shape

OF_TARGET = ("task", "ignore", "categorical", "separator", "decimal", "folds")  # options that need --target
MAX_NOTES = 20  # lines about columns; the rest is counted in one more line


def add_target_options(group: argparse._ArgumentGroup) -> None:
    """Adds --target and the other options of `pynet train` on a table."""
    add = group.add_argument
    target = "the column of a table to predict: its name, or its position from 0, -1 for the last"
    add("--target", metavar="COLUMN", type=_column, help=target)
    task = "what the target is (default: texts, and whole numbers of 20 values at most, are classes)"
    add("--task", choices=TASKS, help=task)
    add("--ignore", metavar="A,B,..", type=_columns, help="columns to leave out")
    add("--categorical", metavar="A,B,..", type=_columns, help="columns whose numbers are names, such as postal codes")
    add_reading_options(group)
    folds = "cross-validation: tests K networks, each on another part of the rows; the model is trained on all"
    add("--folds", metavar="K", type=cli.whole(2, 100), help=folds)


def add_reading_options(group: argparse._ActionsContainer) -> None:
    """Adds --separator and --decimal."""
    separator = "between the fields of a table: a character, tab or blanks (default: detected)"
    group.add_argument("--separator", metavar="C", type=_separator, help=separator)
    mark = "decimal mark of its numbers, . or , (default: detected)"
    group.add_argument("--decimal", metavar="MARK", choices=[".", ","], help=mark)


def _column(text: str) -> str:
    if not text.strip():
        cli.refuse(text, "the name of a column, or its place from 0")
    return text.strip()


def _columns(text: str) -> list[str]:
    return [_column(part) for part in text.split(",")]


def _separator(text: str) -> str:
    named = {name: mark for mark, name in SEPARATOR_NAMES.items()} | {"\\t": "\t"}
    found = named.get(text, text)
    if len(found) != 1 or found in "\r\n\"'" or found.isalnum():
        cli.refuse(text, "a character between fields, as in ';', or tab or blanks")
    return found


def check(options: argparse.Namespace) -> None:
    """Raises UsageError for table options without a table, and for a table with options that it excludes."""
    if options.target is None:
        for name in OF_TARGET:
            if name == "task" and options.data and not is_table_file(options.data):
                continue  # --task is also for arrays
            if getattr(options, name) is not None and not (options.load and name in ("separator", "decimal")):
                raise UsageError(f"--{name} is for tables and needs --target COLUMN")
        return
    if options.load:
        raise UsageError("--target cannot be used with --load: the model knows what it has learnt")
    if not options.data:
        raise UsageError("--target is for a table; --data FILE names it")
    for name in ("classes", "shape", "size", "color", "center", "augment"):
        if getattr(options, name) is not None:
            raise UsageError(f"{cli.flag(name)} is for pictures; --target is for tables")
    if options.folds:
        for name in ("test_split", "checkpoint", "limit", "find_lr", "explain", "shuffle_labels"):
            if getattr(options, name):
                raise UsageError(f"{cli.flag(name)} cannot be used with --folds")


def rows(options: argparse.Namespace) -> Rows:
    """The rows of the table that the options name, with their targets. Raises DataError, OSError, UsageError."""
    place = Path(os.path.expanduser(options.data))
    if not place.exists():
        raise FileNotFoundError(f"{options.data}: no such file")
    if not place.is_file() or not is_table_file(place):
        raise UsageError(f"--target is for tables, .csv, .tsv, .data or .txt, also with .gz; --data is {options.data}")
    try:
        return open_rows(
            options.data,
            options.target,
            options.task,
            options.ignore or (),
            options.categorical or (),
            options.separator,
            options.decimal,
        )
    except UnknownColumnError as error:
        raise UsageError(str(error)) from None


def of_model(options: argparse.Namespace, net: Network, found: TrainedTable, place: Path) -> Dataset:
    """The rows of a file as a test set for the model. Prints warnings."""
    separator, decimal = getattr(options, "separator", None), getattr(options, "decimal", None)
    dataset = dataset_for(net, found, place, separator, decimal)
    for line in dataset.warnings:
        cli.print_stderr("data", f"warning: {line}")
    return dataset


def name_the_target(place: Path, reason: str = "") -> UsageError:
    """The error for a table without --target. Raises DataError: the file holds no table."""
    names = read_names(place)
    shown = ", ".join(names if len(names) <= 20 else (*names[:9], f"... {len(names) - 10} more ...", names[-1]))
    reason = reason.removeprefix(f"{place}: ").partition("; accepted")[0]
    because = f"; without it, the first column has to be the label: {reason}" if reason else ""
    return UsageError(f"{place}: name the column to learn: --target (columns: {shown}; 0 is the first){because}")


def check_label_first(place: Path, dataset: Dataset) -> None:
    """UsageError unless the first column of a .csv is its label beyond doubt: by its header, or before pixels."""
    pixels = dataset.x_train.dtype.kind == "u" and picture_shape(dataset.x_train.shape[1:])
    if not (pixels or is_label_first(place)):
        raise name_the_target(place)


def listed(notes: Sequence[str]) -> list[str]:
    """At most MAX_NOTES lines of notes about a table; columns that were left out for the same reason share one."""
    reasons: dict[str, list[str]] = {}
    lines = []
    for note in notes:
        name, found, reason = note.removeprefix(LEFT_OUT).partition(": ")
        if note.startswith(LEFT_OUT) and found:
            reasons.setdefault(reason, []).append(name)
        else:
            lines.append(note)
    lines += [f"{LEFT_OUT}{', '.join(names)}: {reason}" for reason, names in reasons.items()]
    return lines if len(lines) <= MAX_NOTES else [*lines[:MAX_NOTES], f"and {len(lines) - MAX_NOTES:,} more notes"]
