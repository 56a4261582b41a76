"""What fit prints: a progress bar within an epoch, a line after it, and at the end what early stopping did."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from pynet.text import figure_text, figure_words, percent
from pynet.training.callbacks import EarlyStopping, Run
from pynet.training.history import columns_of

NOTEBOOK_DELAY = 1  # seconds until a notebook shows a bar: short epochs leave no trace in its file
NARROW = 80  # columns: on narrower terminals the progress bar has no numbers, and lines are shorter


def is_verbose(verbose: bool | int | str, progress: bool | None) -> bool:
    """Whether fit prints; "auto": in a terminal or notebook. progress replaces verbose unless None."""
    value = verbose if progress is None else progress
    if value == "auto":
        return _is_terminal(sys.stdout) or _is_notebook(sys.stdout)
    if not isinstance(value, (bool, int)):
        raise TypeError(f"verbose is {value!r:.80}; accepted: 'auto', 0 or 1")
    return bool(value)


def _is_terminal(stream: Any) -> bool:
    return stream is not None and stream.isatty()


def _is_notebook(stream: Any) -> bool:
    return type(stream).__module__.startswith("ipykernel")


def _columns(stream: Any) -> int | None:
    """The width of a terminal; None if the stream is not one."""
    return shutil.get_terminal_size().columns if _is_terminal(stream) else None


def epoch_line(row: Mapping[str, float], epoch: int, epochs: int, samples: int, width: int) -> str:
    """An epoch's figures in this many columns: the speed goes first where there are too few.

    Below NARROW columns, a regression with a validation set shows the loss of the training and no RMSE or R2 of it.
    """
    classes = "accuracy" in row
    usual = columns_of("classes" if classes else "regression")
    loss = f"{row['loss']:.4f}" if classes else f"{row['loss']:.4g}"  # a regression's loss may have any scale
    parts = [f"epoch {epoch:>{len(str(epochs))}}/{epochs}", f"loss {loss}"]
    if classes or ("rmse" in row and not (width < NARROW and "val_loss" in row)):
        parts.append(f"train {_measured(row, '')}")
    if "val_loss" in row:
        parts.append(f"{'val' if width < NARROW else 'validation'} {_measured(row, 'val_')}")
    least = len(parts)
    parts += [f"{name.removeprefix('val_')} {row[name]:.4f}" for name in row if name not in usual]
    seconds = f"{row['seconds']:.{3 if row['seconds'] >= 0.001 else 6}f} s"
    parts += [seconds, f"{samples / max(row['seconds'], 1e-9):,.0f} samples/s"]
    while len("  ".join(parts)) > width and len(parts) > least:
        parts.pop()
    line = "  ".join(parts)
    return line if len(line) <= width else line.replace("validation", "val")


def _measured(row: Mapping[str, float], part: str) -> str:
    """The accuracy, or RMSE and R2, of the training, "", or the validation, "val_"."""
    if f"{part}accuracy" in row:
        return percent(row[f"{part}accuracy"])
    return " ".join(f"{name.upper()} {figure_text(name, row[part + name])}" for name in ("rmse", "r2"))


def ending(stopping: EarlyStopping, rows: Sequence[Mapping[str, float]], is_over: bool, restored: bool) -> str:
    """Whether early stopping ended a training and why, and the epoch whose weights were restored."""
    values = [row[stopping.monitor] for row in rows]
    best = stopping.best(values)
    part = "validation" if stopping.monitor.startswith("val_") else "training"
    name = f"{part} {figure_words(stopping.monitor.removeprefix('val_'))}"
    lines = []
    if is_over:
        delta = f" by more than {stopping.min_delta:g}" if stopping.min_delta else ""
        often = f"{stopping.patience} epochs" if stopping.patience > 1 else "an epoch"
        lines.append(f"stopped after epoch {len(rows)}: the {name} has not improved{delta} for {often}")
    if restored and best >= 0:
        figure = figure_text(stopping.monitor, values[best])
        lines.append(f"restored the weights of epoch {best + 1}, {name} {figure}")
    return "\n".join(lines)


class Report:
    """Prints the progress of a training, or nothing."""

    def __init__(self, prints: bool) -> None:
        self._prints = prints

    def epoch(self, run: Run, samples: int) -> None:
        """Prints the line of an epoch."""
        if self._prints:
            width = _columns(sys.stdout) or 1000
            print(epoch_line(run.row, run.epoch, run.epochs, samples, width), flush=True)

    def end(self, stopping: EarlyStopping | None, rows: Sequence[Mapping[str, float]], is_over: bool) -> None:
        """Prints what early stopping did."""
        text = ending(stopping, rows, is_over, stopping.restore_best) if stopping and self._prints else ""
        if text:
            print(text, flush=True)

    def bar(self, total: int | None, title: str) -> Bar:
        """The progress bar for an epoch of `total` samples."""
        return Bar(self._prints and (_is_terminal(sys.stderr) or _is_notebook(sys.stdout)), total, title)


class Bar:
    """A context manager with a tqdm bar on stderr, or none; its value is a function that advances the bar."""

    def __init__(self, is_verbose: bool, total: int | None, title: str) -> None:
        self._bar: Any = None
        if is_verbose:
            notebook = _is_notebook(sys.stdout)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a notebook without ipywidgets gets a bar of text
                tqdm = import_module("tqdm.auto" if notebook else "tqdm").tqdm
            narrow = total is not None and (_columns(sys.stderr) or NARROW) < NARROW
            form = "{l_bar}{bar}|" if narrow else None
            options = {"unit": " samples", "unit_scale": True, "leave": False, "bar_format": form}
            self._bar = tqdm(total=total, desc=title, delay=NOTEBOOK_DELAY if notebook else 0, **options)

    def __enter__(self) -> Callable[[int], object]:
        return self._bar.update if self._bar else lambda _: None

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.close()
