"""The metrics of a training, epoch by epoch, and their file."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pynet.files import replacing
from pynet.model.task import TaskKind
from pynet.text import fields_text, figure_text, figure_words, json_text, parsed_json

USUAL = ("loss", "accuracy", "val_loss", "val_accuracy", "seconds")
COLUMNS = ("loss", "accuracy", "rmse", "r2", "val_loss", "val_accuracy", "val_rmse", "val_r2", "seconds")
PARTS = (("training", ""), ("validation", "val_"))  # which samples figures are of, and how their names begin
SHOWN_ROWS = 10  # epochs in the table of a notebook
FIGURES: dict[TaskKind, tuple[str, ...]] = {
    "classes": ("loss", "accuracy"),
    "multi-label": ("loss", "accuracy"),
    "regression": ("loss", "rmse", "r2"),
}


def columns_of(task: TaskKind) -> tuple[str, ...]:
    """The names of all figures of an epoch with validation data."""
    return (*FIGURES[task], *(f"val_{name}" for name in FIGURES[task]), "seconds")


class History:
    """A list of each figure, one number an epoch; val_ lists are empty without validation data. Seconds are training
    alone. Each metric that fit was given has a list besides these, `history.val_f1`; columns() names all.

    A classifier, of one label or several, has loss and accuracy, both measured while training. A regression has loss,
    rmse and r2, see pynet.metrics, and val_rmse and val_r2: those of the training are measured after the epoch on up to
    4,096 evenly spaced training samples; there are none if fit is given batches.
    """

    loss: list[float]
    accuracy: list[float]
    rmse: list[float]
    r2: list[float]
    val_loss: list[float]
    val_accuracy: list[float]
    val_rmse: list[float]
    val_r2: list[float]
    seconds: list[float]

    def __init__(
        self,
        loss: Sequence[float] = (),
        accuracy: Sequence[float] = (),
        val_loss: Sequence[float] = (),
        val_accuracy: Sequence[float] = (),
        seconds: Sequence[float] = (),
        **metrics: Sequence[float],
    ) -> None:
        for name, values in zip(USUAL, (loss, accuracy, val_loss, val_accuracy, seconds), strict=True):
            vars(self)[name] = list(map(_number, values))
        for name, values in metrics.items():
            self._column(name).extend(map(_number, values))

    def _column(self, name: str) -> list[float]:
        """The list of this name, created if needed. ValueError: the name is not accepted."""
        if name not in {*COLUMNS, *vars(self)} and not (name.startswith("val_") and name.isidentifier()):
            raise ValueError(f"a history has no {name!r}; names of metrics begin with val_")
        column: list[float] = vars(self).setdefault(name, [])
        return column

    def columns(self) -> dict[str, list[float]]:
        """All lists by name, including empty ones."""
        return vars(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return fields_text("History", vars(self))

    def _repr_html_(self) -> str:
        """The curves, and a table of the epochs."""
        from pynet import html  # imported here: notebooks alone need it

        columns = {name: values for name, values in vars(self).items() if values and name != "seconds"}
        drawn = [
            html.curves({part: columns[key + name] for part, key in PARTS if key + name in columns}, figure_words(name))
            for name in dict.fromkeys(name.removeprefix("val_") for name in columns)
        ]
        rows = [
            [str(i + 1), *(figure_text(name, value) if name != "seconds" else f"{value:.3f}" for name, value in row)]
            for i, row in enumerate(row.items() for row in self.rows())
        ]
        if len(rows) > SHOWN_ROWS:
            rows = [*rows[:3], ["..."] * len(rows[0]), *rows[4 - SHOWN_ROWS :]]
        head = ["epoch", *(name.replace("_", " ") for name in (self.rows() or [{}])[0])]
        return html.side_by_side(*drawn) + html.table(head, rows)

    def add(self, row: Mapping[str, float]) -> None:
        """Appends the metrics of one epoch."""
        for name, value in row.items():
            self._column(name).append(value)

    def rows(self) -> list[dict[str, float]]:
        """One dict for each epoch."""
        names = sorted(vars(self), key=lambda name: COLUMNS.index(name) if name in COLUMNS else len(COLUMNS))
        columns = {name: vars(self)[name] for name in names if vars(self)[name]}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def then(self, later: History) -> History:
        """Both histories, one after the other; only the later one if it has other columns."""
        mine, others = dict(vars(self)), vars(later)
        mine["seconds"] = mine["seconds"] or [0.0] * len(self.loss)  # histories from notes have no seconds
        if any(bool(mine.get(name)) != bool(others.get(name)) for name in mine | others):
            return later
        return History(**{name: mine[name] + others[name] for name in mine})

    def note(self) -> str:
        """All columns except seconds as JSON: equal trainings give equal text."""
        return json_text({name: values for name, values in vars(self).items() if values and name != "seconds"})

    @classmethod
    def from_note(cls, text: str) -> History:
        """The history of a note(); empty if the text is not one."""
        try:
            history = cls(**parsed_json(text))
        except (ValueError, TypeError, AttributeError, OverflowError):
            return cls()
        return cls() if history._fault() else history

    def _fault(self) -> str:
        """What no training gives, as the end of an error: columns of other lengths than loss, or such an accuracy."""
        for value in (*self.accuracy, *self.val_accuracy):
            if value < 0 or value > 1:
                return f": the accuracy {value:g} is not from 0 to 1"
        even = {len(values) for values in vars(self).values() if values} == {len(self.loss)}
        return "" if even else ", or has no epochs"

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> History:
        """Reads a .csv or .json that save() wrote. ValueError: it is not a history; OSError: it cannot be read."""
        content = Path(path).read_text("utf-8", errors="replace")
        history = cls()
        try:
            rows = parsed_json(content) if Path(path).suffix == ".json" else list(csv.DictReader(io.StringIO(content)))
            for row in rows:
                history.add({name: _number(value) for name, value in row.items() if name != "epoch"})
        except (ValueError, TypeError, AttributeError, OverflowError, csv.Error):
            raise ValueError(f"{os.fspath(path)} is not a history written by pynet train --history") from None
        if fault := history._fault():
            raise ValueError(f"{os.fspath(path)} is not a history written by pynet train --history{fault}")
        return history

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a .csv or .json file. ValueError: another suffix."""
        rows = self.rows()
        if Path(path).suffix == ".json":
            content = json_text(rows, indent=1) + "\n"
        elif Path(path).suffix == ".csv":
            table = io.StringIO()
            writer = csv.writer(table, lineterminator="\n")
            writer.writerow(["epoch", *(rows[0] if rows else [])])
            writer.writerows([i + 1, *row.values()] for i, row in enumerate(rows))
            content = table.getvalue()
        else:
            raise ValueError(f"history file {os.fspath(path)!r}; accepted suffixes: .csv, .json")
        with replacing(path) as file:
            file.write(content.encode())


def _number(value: float | str | None) -> float:
    """A number from a file; null stands for one that was not finite."""
    return math.nan if value is None else float(value)
