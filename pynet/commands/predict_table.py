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

import numpy as np

from pynet.commands import cli
from pynet.commands.cli import UsageError
from pynet.data.inputs import NOTE as INPUTS
from pynet.data.inputs import Inputs
from pynet.data.read_table import is_table_file, read_names
from pynet.data.table_model import TrainedTable, table_of
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
    for name in OF_PICTURES:
        if getattr(options, name):
            raise UsageError(f"{cli.flag(name)} is for pictures; {path} is a table")
    if options.top and net.task == "regression":
        raise UsageError("--top is for classes; the model predicts numbers")
    table = table_of(net)
    found = (of_rows if table is None else of_table)(
        path, net, separator=options.separator, decimal=options.decimal, temperature=options.temperature
    )
    if found.warning:
        cli.print_stderr("predict", f"warning: {found.warning}")
    if options.json:
        print(json_text(list(_objects(found, options.top))))
    else:
        _write(found, _are_pixels(net, table, path), options.top)
    return 0


def _path(given: Sequence[Path]) -> Path:
    if len(given) > 1:
        raise UsageError(f"{len(given)} files; of tables, one at a time is predicted")
    if not is_table_file(given[0]):
        raise UsageError(f"{given[0]}: the model takes tables, .csv, .tsv, .data or .txt, also with .gz")
    return Path(os.path.expanduser(given[0]))


def _are_pixels(net: Network, table: TrainedTable | None, path: Path) -> bool:
    """Whether the rows are pictures: the model learnt bytes, or all columns of the model or the file are pixels."""
    if table is not None:
        return all(_PIXEL.fullmatch(column.name) for column in table.columns.inputs)
    note = net.meta.get(INPUTS)
    return (note is not None and Inputs.from_note(note).bytes) or all(map(_PIXEL.fullmatch, read_names(path)))


def _write(found: TablePrediction, pixels: bool, top: int | None) -> None:
    """Prints .csv lines, with the likeliest classes; of pixels, for Kaggle's Digit Recognizer."""
    lines = csv.writer(sys.stdout, lineterminator="\n")
    if found.probabilities is None:
        lines.writerow(["row", "prediction"])
        lines.writerows((i, str(value)) for i, value in enumerate(found.values, 1))
    elif pixels and not top:
        lines.writerow(["ImageId", "Label"])
        lines.writerows((i, printable(value)) for i, value in enumerate(found.values, 1))
    else:
        names, best = (
            list(map(printable, found.classes)),
            np.argsort(-found.probabilities, axis=1, kind="stable")[:, : top or 1],
        )
        ends = ["", *(f" {i}" for i in range(2, best.shape[1] + 1))]
        lines.writerow(["row", *(word + end for end in ends for word in ("prediction", "confidence"))])
        for row, (places, shares) in enumerate(zip(best.tolist(), found.probabilities, strict=True), 1):
            lines.writerow([row, *(cell for i in places for cell in (names[i], f"{shares[i]:.4f}"))])


def _objects(found: TablePrediction, top: int | None) -> Iterator[dict[str, Any]]:
    for i, value in enumerate(found.values):
        if found.probabilities is None:
            yield {"row": i + 1, "prediction": float(value)}
            continue
        shares = dict(zip(found.classes, found.probabilities[i].tolist(), strict=True))
        best = sorted(shares.items(), key=lambda item: -item[1])[:top]
        confidence = float(found.probabilities[i].max())
        yield {"row": i + 1, "prediction": value, "confidence": confidence, "probabilities": dict(best)}
