"""What fit prints: a progress bar within an epoch, a line after it, and at the end what early stopping did."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pynet.text import percent
from pynet.training.callbacks import EarlyStopping, Run

NARROW = 80  # columns: on narrower terminals the progress bar has no numbers


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


def epoch_line(row: Mapping[str, float], epoch: int, epochs: int, samples: int, regression: bool, width: int) -> str:
    """An epoch's metrics in at most `width` columns, left out from the right if there are too many.

    regression: the targets are not classes, so no accuracy is shown.
    """
    parts = [f"epoch {epoch:>{len(str(epochs))}}/{epochs}", f"loss {row['loss']:.4f}"]
    if not regression:
        parts.append(f"train {percent(row['accuracy'])}")
    if "val_loss" in row:
        measured = f"loss {row['val_loss']:.4f}" if regression else percent(row["val_accuracy"])
        parts.append(f"validation {measured}")
    least = len(parts)
    parts += [f"{name.removeprefix('val_')} {row[name]:.4f}" for name in row if name not in _USUAL]
    parts += [f"{row['seconds']:.3f} s", f"{samples / max(row['seconds'], 1e-9):,.0f} samples/s"]
    while len("  ".join(parts)) > width and len(parts) > least:
        parts.pop()
    line = "  ".join(parts)
    return line if len(line) <= width else line.replace("validation", "val")


_USUAL = ("loss", "accuracy", "val_loss", "val_accuracy", "seconds")


def ending(stopping: EarlyStopping, rows: Sequence[Mapping[str, float]], is_over: bool, restored: bool) -> str:
    """Whether early stopping ended a training and why, and the epoch whose weights were restored."""
    values = [row[stopping.monitor] for row in rows]
    best = stopping.best(values)
    name = (
        f"validation {stopping.monitor[4:]}" if stopping.monitor.startswith("val_") else f"training {stopping.monitor}"
    )
    lines = []
    if is_over:
        delta = f" by more than {stopping.min_delta:g}" if stopping.min_delta else ""
        often = f"{stopping.patience} epochs" if stopping.patience > 1 else "an epoch"
        lines.append(f"stopped after epoch {len(rows)}: the {name} has not improved{delta} for {often}")
    if restored and best >= 0:
        figure = percent(values[best]) if name.endswith("accuracy") else f"{values[best]:.4f}"
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
            line = epoch_line(run.row, run.epoch, run.epochs, samples, _is_regression(run), width)
            print(line, flush=True)

    def end(self, stopping: EarlyStopping | None, rows: Sequence[Mapping[str, float]], is_over: bool) -> None:
        """Prints what early stopping did."""
        text = ending(stopping, rows, is_over, stopping.restore_best) if stopping and self._prints else ""
        if text:
            print(text, flush=True)

    def bar(self, total: int | None, title: str) -> Bar:
        """The progress bar for an epoch of `total` samples."""
        return Bar(self._prints and _is_terminal(sys.stderr), total, title)


def _is_regression(run: Run) -> bool:
    """Whether the targets are real numbers rather than classes."""
    probe = run.batches.probe() if run.net.loss_name == "mse" else None
    return probe is not None and probe[1].ndim > 1 and not np.isin(probe[1], (0, 1)).all()


class Bar:
    """A context manager with a tqdm bar on stderr, or none; its value is a function that advances the bar."""

    def __init__(self, is_verbose: bool, total: int | None, title: str) -> None:
        self._bar: Any = None
        if is_verbose:
            from tqdm import tqdm

            narrow = total is not None and (_columns(sys.stderr) or NARROW) < NARROW
            form = "{l_bar}{bar}|" if narrow else None
            self._bar = tqdm(total=total, desc=title, unit=" samples", unit_scale=True, leave=False, bar_format=form)

    def __enter__(self) -> Callable[[int], object]:
        return self._bar.update if self._bar else lambda _: None

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.close()
