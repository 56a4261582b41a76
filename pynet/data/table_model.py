"""The columns that a model stores of its training table, and other tables converted to its inputs."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pynet._ffi import Array
from pynet.data.columns import NOTE, Columns, check_numbers, numbers_of, without_target
from pynet.data.csv import LABELS, as_pixels, compact
from pynet.data.dataset import Dataset, digest
from pynet.data.read_table import read_table
from pynet.data.table_set import stem
from pynet.data.tables import Table, of_frame
from pynet.errors import DataError
from pynet.model.net import Net


class TrainedTable(NamedTuple):
    """The columns of a model, and the means (inputs) float32 that replace missing numbers."""

    columns: Columns
    means: Array


def prepare(net: Net, data: Dataset) -> None:
    """Sets the layer standardize of a network to the means and scales of a table's training rows, and a last layer
    rescale to those of the target. The names of columns and classes are stored in the model file.

    Inputs that are 0 or 1 are not scaled. ValueError: data is not from a table, or does not fit the network.
    """
    if data.columns is None or data.means is None:
        raise ValueError(f"{data.name} is no table; accepted: what pynet.data.table gives")
    if not net.layers or net.layers[0].kind != "standardize":
        raise ValueError(f"the network {net.spec!r:.200} does not begin as input({len(data.means)}) standardize")
    net._adapt(net._samples(data.x_train, data.y_train))
    numbers, tensors = data.columns.are_numbers, net.tensors
    tensors["0.mean"][...] = data.means
    tensors["0.scale"][~numbers] = 1
    net.meta[NOTE] = data.columns.note()
    if data.classes:
        net.classes = list(data.classes)
    else:
        net.task = "regression"


def table_of(net: Net) -> TrainedTable | None:
    """The table that a model was trained on; None if it was trained on other data. ValueError: its note is damaged."""
    note = net.meta.get(NOTE)
    if note is None:
        return None
    columns, means = Columns.from_note(note), net.tensors.get("0.mean")
    if means is None or len(columns.names) != len(means):
        raise ValueError(f"the model's note on its table has {len(columns.names)} inputs, its network other ones")
    if columns.target.levels is None or net.task == "regression":
        suits = columns.target.levels is None and net.task == "regression"
    else:
        suits = len(columns.target.levels) == len(net.classes)
    if not suits:
        raise ValueError("the model's note on its table does not suit the outputs of its network")
    return TrainedTable(columns, np.array(means))


def table_for(columns: Columns, source: Any, separator: str | None = None, decimal: str | None = None) -> Table:
    """A table from a file or a data frame, read as the training table was: header, columns of texts, decimal mark.

    Raises DataError.
    """
    if hasattr(source, "columns"):
        return of_frame(source, columns.texts)
    texts = list(columns.texts)
    if not columns.header:  # names are indices; they are one less if the file lacks the target before them
        texts += [str(max(int(name) - 1, 0)) for name in texts]
    return read_table(
        Path(os.path.expanduser(source)),
        separator=separator or (None if columns.header else columns.separator),
        decimal=decimal or columns.decimal,
        texts=texts,
        known=[column.name for column in columns.inputs] if columns.header else (),
        header=None if columns.header else False,
        usual=columns.separator,
    )


def encode(source: Any, net: Net, *, separator: str | None = None, decimal: str | None = None) -> Array:
    """The inputs of a model of a table, x (n, inputs) float32, for each row of a text file or a data frame.

    A model exported to ONNX or C takes them. separator, decimal: as in table. UserWarning: values that the model does
    not know. Raises what predict_table raises.
    """
    x, warning = encoded(source, net, separator, decimal)
    if warning:
        warnings.warn(warning, UserWarning, stacklevel=2)
    return x


def encoded(source: Any, net: Net, separator: str | None, decimal: str | None) -> tuple[Array, str]:
    """See encode: (x, the warning or "")."""
    found = table_of(net)
    if found is None:
        raise ValueError("the model was not trained on a table; accepted: one of pynet train --target")
    return found.columns.encoded(table_for(found.columns, source, separator, decimal), found.means)


def dataset_for(net: Net, found: TrainedTable, path: Path, separator: str | None, decimal: str | None) -> Dataset:
    """A test set for a model: the rows of a file whose target is not missing. Raises DataError."""
    classes = tuple(net.classes) if found.columns.target.levels else ()
    return of_model(table_for(found.columns, path, separator, decimal), *found, classes, stem(path))


def reencoded(net: Net, found: TrainedTable, dataset: Dataset) -> Dataset:
    """The data set of another training as this model takes it: the test set alone, unless the columns are the same.

    DataError: there is no test set, or it does not have the columns.
    """
    if dataset.columns == found.columns and dataset.means is not None and np.array_equal(dataset.means, found.means):
        return dataset
    if dataset.test_rows is None or not len(dataset.test_rows):
        raise DataError(f"{dataset.name} has other columns than those of the model's training")
    classes = tuple(net.classes) if found.columns.target.levels else ()
    return of_model(dataset.test_rows, *found, classes, dataset.name)


def of_model(found: Table, columns: Columns, means: Array, classes: tuple[str, ...], name: str) -> Dataset:
    """A test set for a model, from all rows of a table whose target is not missing."""
    y, known = columns.targets(found)
    if not known.any():
        raise DataError(f"{found.source}: column {columns.target.name!r:.80}, the model's target, has no value")
    notes = without_target(found, found.place(columns.target.name), columns.target, known)
    found, y = found.rows(np.flatnonzero(known)), y[known]
    x, warning = columns.encoded(found, means)
    return Dataset(
        name,
        x[:0],
        y[:0],
        x,
        y,
        classes,
        found.source,
        samples_sha256=digest(x, y),
        features=columns.names,
        columns=columns,
        means=means,
        notes=tuple(notes),
        warnings=(warning,) if warning else (),
    )


def rows_of_numbers(path: Path, features: int, separator: str | None = None, decimal: str | None = None) -> Array:
    """x (n, features) from a .csv file, scaled as in pynet.data.load; a first column named label is left out.

    DataError: another number of columns, or values that are not numbers.
    """
    table = read_table(path, separator=separator, decimal=decimal)
    columns = table.columns
    if len(columns) == features + 1 and columns[0].name.lower() in LABELS:
        columns = columns[1:]
    if len(columns) != features:
        raise DataError(f"{path} has {len(columns):,} columns; the model takes {features:,} numbers")
    x = np.empty((len(table), features), np.float32)
    for i, column in enumerate(columns):
        column = numbers_of(table, column)
        if column.missing.any():
            row = int(column.missing.argmax())
            raise DataError(
                f"{path}: {table.where(row)}, column {column.name!r:.80} holds no number; accepted: numbers"
            )
        check_numbers(table, column)
        x[:, i] = column.values
    return as_pixels(compact(x))
