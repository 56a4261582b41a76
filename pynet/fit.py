"""The training loop: epochs of shuffled mini-batches, with their figures."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pynet._ffi import checked_seed, ffi, lib, optimizer_struct, pointer
from pynet.files import replacing
from pynet.optim import Optimizer
from pynet.samples import Samples, class_weights

if TYPE_CHECKING:
    from pynet.network import Network
    from pynet.schedules import Schedule

__all__ = ["History", "fit"]

CALL_SECONDS = 0.05  # how long one call of the core may take: Ctrl-C and the progress bar wait for it


@dataclass
class History:
    """Figures of each epoch; val_ lists are empty without validation data. Seconds are training alone."""

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, row: dict[str, float]) -> None:
        """Appends the figures of one epoch."""
        for name, value in row.items():
            getattr(self, name).append(value)

    def rows(self) -> list[dict[str, float]]:
        """One dict an epoch."""
        columns = {name: values for name, values in asdict(self).items() if values}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def then(self, later: History) -> History:
        """Both, one after the other; the later one alone if it has other columns."""
        mine, others = asdict(self), asdict(later)
        mine["seconds"] = mine["seconds"] or [0.0] * len(self.loss)  # notes have none
        if any(bool(mine[name]) != bool(others[name]) for name in mine):
            return later
        return History(**{name: mine[name] + others[name] for name in mine})

    def note(self) -> str:
        """The figures of the epochs but for the seconds, as JSON: equal for equal training."""
        return json.dumps({name: values for name, values in asdict(self).items() if values and name != "seconds"})

    @classmethod
    def from_note(cls, text: str) -> History:
        """What note() gave; empty if the text is something else."""
        try:
            columns = json.loads(text)
            return cls(**{name: [float(value) for value in values] for name, values in columns.items()})
        except (ValueError, TypeError, AttributeError):
            return cls()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> History:
        """Reads a .csv or .json that save() wrote. ValueError: it is none; OSError: it cannot be read."""
        content = Path(path).read_text("utf-8", errors="replace")
        history = cls()
        try:
            rows = json.loads(content) if Path(path).suffix == ".json" else list(csv.DictReader(io.StringIO(content)))
            for row in rows:
                history.add({name: float(value) for name, value in row.items() if name != "epoch"})
        except (ValueError, TypeError, AttributeError):
            raise ValueError(f"{os.fspath(path)} is no history that pynet train --history wrote") from None
        if len({len(values) for values in asdict(history).values() if values}) != 1:
            raise ValueError(f"{os.fspath(path)} is no history that pynet train --history wrote, or has no epoch")
        return history

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the epochs as .csv or .json, by the suffix; ValueError for another."""
        rows = self.rows()
        if Path(path).suffix == ".json":
            content = json.dumps(rows, indent=1) + "\n"
        elif Path(path).suffix == ".csv":
            table = io.StringIO()
            writer = csv.writer(table, lineterminator="\n")
            writer.writerow(["epoch", *(rows[0] if rows else [])])
            writer.writerows([i + 1, *row.values()] for i, row in enumerate(rows))
            content = table.getvalue()
        else:
            raise ValueError(f"history file {os.fspath(path)!r}; accepted suffixes: .csv, .json")
        with replacing(Path(path)) as partial:
            partial.write_text(content, "utf-8")


def fit(
    net: Network,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    epochs: int,
    batch_size: int,
    optimizer: Optimizer,
    schedule: Schedule | None = None,
    validation: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    validation_split: float = 0.0,
    sample_weight: npt.ArrayLike | None = None,
    class_weight: Mapping[int, float] | Sequence[float] | None = None,
    seed: int | None = None,
    progress: bool = False,
    on_epoch_end: Callable[[dict[str, float]], None] | None = None,
) -> History:
    """Trains a network and returns the History.

    validation: (x, y) whose loss and accuracy are measured after each epoch; or validation_split, the share of the
    samples to set aside for it, evenly from each class. schedule: of the learning rate, over these epochs; see
    pynet.schedules. sample_weight (n,): what each sample's loss counts; class_weight: the same by class, a number for
    each of them or {class: weight}; the mean is still over all samples. seed: of the order of the samples; None is the
    network's own. progress: a bar on stderr. on_epoch_end: called with each epoch's row of the history.

    FloatingPointError if a loss is not finite, naming epoch and batch; that batch's step is not taken. Ctrl-C raises
    KeyboardInterrupt within a tenth of a second, and what was learnt so far stays in the network.
    """
    if epochs < 0:
        raise ValueError(f"epochs is {epochs}; accepted: 0 or more")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; accepted: 1 or more")
    seed = net.seed if seed is None else checked_seed(seed)
    if validation_split:
        from pynet.data import split

        if validation:
            raise ValueError("validation and validation_split are both given; one of them sets the validation data")
        if sample_weight is not None:
            raise ValueError("sample_weight with validation_split: split the data yourself, and give validation")
        x, y, *held_out = split(np.asarray(x), np.asarray(y), validation_split, seed)
        validation = (held_out[0], held_out[1])
    if class_weight is not None:
        weights = class_weights(net, y, class_weight)
        sample_weight = weights if sample_weight is None else weights * np.asarray(sample_weight, np.float32)
    samples = net._samples(x, y, sample_weight)
    held = net._samples(*validation) if validation else None
    for part, name in ((samples, "x"), (held, "validation x")):
        _check_finite(part, name)
    history = History()
    runner = _Runner(net, samples, batch_size, optimizer, schedule, seed)
    for epoch in range(epochs):
        row = runner.epoch(epoch, epochs, history.val_loss or history.loss, progress)
        if held is not None:
            row |= _measure(net, held, f"epoch {epoch + 1}, batch {-(-samples.n // batch_size)}")
        history.add(row)
        if on_epoch_end:
            on_epoch_end(row)
    return history


def _measure(net: Network, held: Samples, place: str) -> dict[str, float]:
    """Loss and accuracy on the validation data after the epoch that ended at `place`."""
    try:
        figures = net._evaluate(held)
    except FloatingPointError:
        raise FloatingPointError(
            f"{place}: the validation loss after it is not finite; a smaller learning rate may help"
        ) from None
    return {"val_loss": figures.loss, "val_accuracy": figures.accuracy}


def _check_finite(samples: Samples | None, name: str) -> None:
    """NaN and infinity in the inputs are found before they can spoil the weights."""
    x = None if samples is None else samples.x
    if x is None or x.dtype == np.uint8:
        return
    for start in range(0, len(x), 4096):  # a part at a time: no mask as large as the data
        bad = np.argwhere(~np.isfinite(x[start : start + 4096].reshape(len(x[start : start + 4096]), -1)))
        if len(bad):
            sample, feature = int(bad[0, 0]) + start, int(bad[0, 1])
            value = x.reshape(len(x), -1)[sample, feature]
            raise ValueError(f"{name} holds {value} in sample {sample}, feature {feature}; accepted: finite numbers")


def _equal_batches(n: int, batch_size: int) -> list[tuple[int, int]]:
    """How an epoch of n samples is cut, as (batches, samples in each); the core would cut the whole of it alike."""
    batches = -(-n // batch_size)
    if not batches:
        return []
    size, larger = divmod(n, batches)
    return [(larger, size + 1), (batches - larger, size)]


class _Runner:
    """Runs epochs in calls of about CALL_SECONDS; remembers how many steps that is."""

    def __init__(
        self,
        net: Network,
        samples: Samples,
        batch_size: int,
        optimizer: Optimizer,
        schedule: Schedule | None,
        seed: int,
    ) -> None:
        self._net, self._samples, self._batch_size, self._seed = net, samples, batch_size, seed
        self._opt = optimizer_struct(optimizer)
        self._schedule = schedule
        self._order = np.empty(samples.n, np.int32)
        self._steps_a_call = 1

    def epoch(self, epoch: int, epochs: int, losses: list[float], progress: bool) -> dict[str, float]:
        """Trains on every sample once, after epochs with these losses; returns loss, accuracy and seconds."""
        n, order = self._samples.n, pointer(self._order, writable=True)
        stats = ffi.new("pn_stats *")
        begin = time.perf_counter()
        rates = self._rates(epoch, epochs, losses)
        lib.pn_shuffle(order, n, self._seed, epoch)
        with _bar(progress, n, f"epoch {epoch + 1}/{epochs}") as advance:
            for batches, size in _equal_batches(n, self._batch_size):
                while batches:
                    steps = min(self._steps_a_call, batches)
                    self._opt.rates = rates + int(stats.steps) if rates else ffi.NULL
                    self._call(order + int(stats.samples), steps, size, epoch, stats)
                    batches -= steps
                    advance(steps * size)
        seconds = time.perf_counter() - begin
        n = max(n, 1)
        return {"loss": stats.loss / n, "accuracy": stats.correct / n, "seconds": seconds}

    def _rates(self, epoch: int, epochs: int, losses: list[float]) -> Any:
        """The learning rate of each step of this epoch, as the core takes them; NULL: always the same."""
        steps = -(-self._samples.n // self._batch_size)
        if self._schedule is None or not steps:
            return ffi.NULL
        rates = self._opt.learning_rate * self._schedule.factors(epoch, epochs, steps, losses)
        self._kept = np.ascontiguousarray(rates, np.float64)  # while the core reads it
        return ffi.from_buffer("double[]", self._kept)

    def _call(self, order: Any, steps: int, size: int, epoch: int, stats: Any) -> None:
        begin = time.perf_counter()
        try:
            self._net._train(self._samples, order, steps * size, size, self._opt, stats)
        except FloatingPointError as error:
            reason = str(error) if str(error).startswith("parameter") else "the loss is not finite"
            raise FloatingPointError(
                f"epoch {epoch + 1}, batch {stats.steps + 1}: {reason}; a smaller learning rate may help"
            ) from None
        a_step = max(time.perf_counter() - begin, 1e-7) / steps
        self._steps_a_call = max(1, min(int(CALL_SECONDS / a_step), 4 * steps))


class _bar:
    """A tqdm bar on stderr, or nothing; gives a function that advances it."""

    def __init__(self, wanted: bool, total: int, title: str) -> None:
        self._bar: Any = None
        if wanted:
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=title, unit=" samples", unit_scale=True, leave=False)

    def __enter__(self) -> Callable[[int], object]:
        return self._bar.update if self._bar else lambda _: None

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.close()
