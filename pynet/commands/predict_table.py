"""What `pynet predict` prints for a table: a line of .csv, or of JSON, for each row."""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pynet.commands import cli
from pynet.commands.cli import UsageError
from pynet.data.read_table import is_table_file
from pynet.data.table_model import table_of
from pynet.inference import TablePrediction
from pynet.inference import predict_rows as of_rows
from pynet.inference import predict_table as of_table
from pynet.network import Network
from pynet.text import json_text, printable

OF_PICTURES = ("invert", "show", "save_seen")  # options that only pictures take
_PIXEL = re.compile(r"pixel\d+")


def predict_table(options: argparse.Namespace, net: Network) -> int:
    """Predicts the rows of a table, for a model trained on columns or on pixels. Raises DataError, UsageError."""
    path = _path(options.images)
    for name in (*OF_PICTURES, *(() if options.json else ("top",))):
        if getattr(options, name):
            raise UsageError(f"{cli.flag(name)} is for pictures; {path} is a table")
    table = table_of(net)
    pixels = table is None or all(_PIXEL.fullmatch(column.name) for column in table.columns.inputs)
    found = (of_rows if table is None else of_table)(
        path, net, separator=options.separator, decimal=options.decimal, temperature=options.temperature
    )
    if found.warning:
        cli.print_stderr("predict", f"warning: {found.warning}")
    if options.json:
        print(json_text(list(_objects(found, options.top))))
    else:
        _write(found, pixels)
    return 0


def _path(given: Sequence[Path]) -> Path:
    if len(given) > 1:
        raise UsageError(f"{len(given)} files; of tables, one at a time is predicted")
    if not is_table_file(given[0]):
        raise UsageError(f"{given[0]}: the model takes tables, .csv, .tsv, .data or .txt, also with .gz")
    return Path(os.path.expanduser(given[0]))


def _write(found: TablePrediction, pixels: bool) -> None:
    """Prints .csv lines; for a table of pixels, in the format of a submission to Kaggle's Digit Recognizer."""
    lines = csv.writer(sys.stdout, lineterminator="\n")
    if found.probabilities is None:
        lines.writerow(["row", "prediction"])
        lines.writerows((i, str(value)) for i, value in enumerate(found.values, 1))
    elif pixels:
        lines.writerow(["ImageId", "Label"])
        lines.writerows((i, printable(value)) for i, value in enumerate(found.values, 1))
    else:
        lines.writerow(["row", "prediction", "confidence"])
        best = found.probabilities.max(axis=1)
        pairs = zip(found.values, best, strict=True)
        lines.writerows((i, printable(value), f"{share:.4f}") for i, (value, share) in enumerate(pairs, 1))


def _objects(found: TablePrediction, top: int | None) -> Iterator[dict[str, Any]]:
    for i, value in enumerate(found.values):
        if found.probabilities is None:
            yield {"row": i + 1, "prediction": float(value)}
            continue
        shares = dict(zip(found.classes, found.probabilities[i].tolist(), strict=True))
        best = sorted(shares.items(), key=lambda item: -item[1])[:top]
        confidence = float(found.probabilities[i].max())
        yield {"row": i + 1, "prediction": value, "confidence": confidence, "probabilities": dict(best)}
