"""The training loop: epochs of mini-batches, what is measured after each, and what ends it."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from pynet._ffi import Array, checked_seed, is_masked, optimizer_struct
from pynet.augment import Augment
from pynet.errors import LossNotFiniteError
from pynet.model.net import Net
from pynet.model.samples import Samples, check_finite, checked_weights, class_weights, targets_alone
from pynet.model.task import TaskKind
from pynet.optim import Optimizer
from pynet.training import report
from pynet.training.arguments import (
    Metric,
    Pair,
    early_stopping_for,
    metrics_for,
    one_of,
    optimizer_for,
    schedule_for,
    validation_for,
    whole,
)
from pynet.training.batches import ArrayFeed, BatchFeed, Feed, fingerprint, learns_from
from pynet.training.callbacks import EarlyStopping, Run, call, check
from pynet.training.diagnose import scaling_advice, source_of_nonfinite
from pynet.training.history import FIGURES, History
from pynet.training.progress import Progress

if TYPE_CHECKING:
    from pynet.schedules import Schedule
    from pynet.training.checkpoint import Checkpoint, Keeper


def fit(
    net: Net,
    x: npt.ArrayLike | Iterable[tuple[npt.ArrayLike, npt.ArrayLike]],
    y: npt.ArrayLike | None = None,
    *,
    epochs: int = 10,
    batch_size: int = 64,
    optimizer: Optimizer | str | None = None,
    schedule: Schedule | str | None = None,
    validation: Pair | float | None = None,
    validation_split: float = 0.0,
    metrics: Mapping[str, Metric] | Iterable[Metric] | Metric | None = None,
    sample_weight: npt.ArrayLike | None = None,
    class_weight: Mapping[int, float] | Sequence[float] | str | None = None,
    augment: Augment | None = None,
    seed: int | None = None,
    early_stopping: EarlyStopping | None = None,
    checkpoint: Checkpoint | None = None,
    callbacks: Iterable[Any] | Any = (),
    verbose: bool | int | str = "auto",
    progress: bool | None = None,
) -> History:
    """Trains for whole epochs of shuffled mini-batches and returns the History.

    x, y: all samples, arrays or lists; or x alone, anything that gives the batches (x, y) of an epoch each time it is
    iterated: each is a step then, in that order, whatever batch_size says. Whole numbers in x are taken as they are,
    but for uint8, which means x/255. optimizer: "adam" is Adam(), None SGD(). schedule: of the learning rate, over
    these epochs, or its text, "cosine"; see pynet.schedules. seed: of the order of the samples; None is the network's
    own.

    validation: (x, y) whose loss and accuracy are measured after each epoch; or the fraction of the samples to set
    aside for it, evenly from each class, also called validation_split. Loss, RMSE and R2 it is where y is numbers, see
    Network.task. metrics: {"f1": f} adds val_f1 to the history,
    the number that f(y, p) gives for the targets of the validation data and the network's outputs (n, *out_shape); [f]
    goes by the function's name; the history's own loss and accuracy keep theirs. early_stopping: see
    pynet.EarlyStopping. checkpoint: a file to save the training in, and to go on from; see pynet.Checkpoint. callbacks:
    one or more; see pynet.Callback.

    verbose: 1 prints a line for each epoch and, on a terminal, shows a bar; 0 does not; "auto" does where somebody
    looks on, in a terminal or a notebook. progress is another name for it.

    sample_weight (n,): what each sample's loss counts; class_weight: the same by class, a number for each of them or
    {class: weight}, or "balanced", so that all classes weigh alike; the mean is still over all samples. augment: how
    training changes the pictures x in each step, never those of the validation; see pynet.Augment.

    FloatingPointError if a loss is not finite, naming epoch, batch and layer; that batch's step is not taken. Ctrl-C
    raises KeyboardInterrupt within a tenth of a second, and what was learnt so far stays in the network.
    """
    epochs, batch_size = whole(epochs, "epochs", 0), whole(batch_size, "batch_size", 1)
    seed = net.seed if seed is None else checked_seed(seed)
    method, rates, stopping = optimizer_for(optimizer), schedule_for(schedule), early_stopping_for(early_stopping)
    listeners, prints = check(callbacks), report.wanted(verbose, progress)
    pair, fraction = validation_for(validation, validation_split)
    if fraction:
        if sample_weight is not None:
            raise ValueError("sample_weight with a fraction for validation: split the data yourself, and give (x, y)")
        if y is None:
            raise ValueError("a fraction for validation is for arrays; with batches, give validation=(x, y)")
        from pynet.data.splits import validation_split as split  # data sets: not needed by most who import pynet

        if net._task_of(targets_alone(net._signature, y)) == "regression":
            y = np.asarray(y, np.float32)  # whole numbers, too, are no classes here
        x, y, *aside = split(cast(Any, x), y, fraction, seed)
        pair = (aside[0], aside[1])
    if y is not None:
        samples = _samples(net, x, y, sample_weight, class_weight, augment)
        feed: Feed = ArrayFeed(net, samples, batch_size, seed)
    elif x is None:
        raise ValueError("x is None; accepted: an array, or an iterable that gives batches (x, y)")
    elif isinstance(x, np.ndarray):
        raise ValueError("y is missing: fit takes x and y, or an iterable that gives batches (x, y)")
    elif sample_weight is not None or class_weight is not None:
        raise ValueError("sample_weight and class_weight are for arrays, x and y")
    else:
        feed = BatchFeed(net, cast(Any, x), augment)
    task = feed.task()
    measured = _Validation(net, task, pair, metrics_for(metrics))
    columns = (*feed.columns(task), *measured.columns)
    if stopping and stopping.monitor not in columns:
        raise ValueError(f"early stopping monitors {stopping.monitor!r}; this training has {', '.join(columns)}")
    if stopping and stopping.guessed:
        higher = f"early stopping takes a higher {stopping.monitor} for better"
        _warn(f"{higher}; mode='max' or mode='min' says which it is", 3)
    if rates and feed.steps is None:
        raise ValueError("a schedule counts the steps of an epoch; give batches that have a length, as a list has")
    net.task = task
    return _Loop(
        net,
        feed,
        measured,
        method,
        schedule=rates,
        early_stopping=stopping,
        checkpoint=checkpoint,
        callbacks=listeners,
        epochs=epochs,
        report=report.Report(prints),
    ).run()


def partial_fit(
    net: Net,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    batch_size: int = 64,
    optimizer: Optimizer | str | None = None,
    sample_weight: npt.ArrayLike | None = None,
    class_weight: Mapping[int, float] | Sequence[float] | str | None = None,
    augment: Augment | None = None,
) -> dict[str, float]:
    """Trains once through these samples, for data that come piece by piece; returns loss, accuracy and seconds, of a
    regression loss, rmse, r2 and seconds: see History.

    What the optimizer remembers goes on from call to call. The order within a piece depends on the network's seed and
    on how many steps it was trained before.
    """
    batch_size = whole(batch_size, "batch_size", 1)
    feed = ArrayFeed(net, _samples(net, x, y, sample_weight, class_weight, augment), batch_size, net.seed)
    method = optimizer_for(optimizer)
    net.task = feed.task()
    return _Loop(net, feed, _Validation(net, net.task, None, {}), method).epoch(net.updates)


def _samples(
    net: Net, x: Any, y: npt.ArrayLike, weight: npt.ArrayLike | None, by_class: Any, augment: Augment | None
) -> Samples:
    """The training data, which must be finite, with the product of both weights."""
    learns_from(net, x)
    if by_class is not None:
        weights = class_weights(math.prod(net.out_shape), y, by_class)
        weight = weights if weight is None else weights * checked_weights(weight, len(weights))
    samples = net._samples(x, y, weight, augment)
    check_finite(samples)  # the core would name them when their batch comes, after steps with others
    return samples


class _Validation:
    """Measures the network on the validation data."""

    def __init__(self, net: Net, task: TaskKind, data: Pair | None, metrics: Mapping[str, Metric]) -> None:
        self._net, self._task, self._data, self._metrics = net, task, data, metrics
        for name, metric in metrics.items():
            _check_metric(name, metric)
        self._samples = net._samples(*data) if data else None
        usual = [f"val_{name}" for name in FIGURES[task]]
        self.columns = list(dict.fromkeys([*usual, *(f"val_{name}" for name in metrics)])) if data else []
        if self._samples:
            check_finite(self._samples, "validation ")
            if task == "regression" and self._samples.targets is None:
                raise ValueError("validation y holds labels, but the network learns numbers; accepted: targets alike")
        elif metrics:
            raise ValueError(f"metrics {', '.join(metrics)}: they need validation data")

    def figures(self) -> dict[str, float]:
        """Nothing without validation data. FloatingPointError: the loss is not finite."""
        if self._data is None or self._samples is None:
            return {}
        found = self._net._measured(self._samples, self._task)
        row = {f"val_{name}": getattr(found, name) for name in FIGURES[self._task]}
        if self._metrics:
            targets, outputs = np.asarray(self._data[1]), self._net.predict_proba(self._data[0])
            row |= {f"val_{name}": _figure(name, metric(targets, outputs)) for name, metric in self._metrics.items()}
        return row

    def facts(self) -> dict[str, str]:
        """What it measures, in words."""
        if self._samples is None:
            return {}
        return {"validation data": fingerprint(self._samples), "metrics": ", ".join(self._metrics) or "none"}


def _check_metric(name: str, metric: Metric) -> None:
    """ValueError, TypeError: the history could not hold it, or holds another under this name."""
    if name in ("loss", "accuracy"):
        raise ValueError(f"metrics has {name!r}, but the history has a val_{name} of its own; accepted: another name")
    if not isinstance(name, str) or not f"val_{name}".isidentifier():
        raise ValueError(f"metrics has {name!r:.40}; accepted: names of letters, digits and _, as in val_f1")
    if not callable(metric):
        raise TypeError(f"metric {name} is {metric!r:.40}; accepted: a function of y and the outputs")


def _figure(name: str, value: Any) -> float:
    """What a metric gave. ValueError: it is no number."""
    figure = np.asarray(value)
    if figure.ndim or figure.dtype.kind not in "biuf" or is_masked(value):
        raise ValueError(f"metric {name} gave {value!r:.40}; accepted: a number")
    return float(figure)


def _warn(message: str, level: int) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=level)  # where fit was called


@dataclass
class _Loop:
    """A training from its first epoch to the last."""

    net: Net
    feed: Feed
    validation: _Validation
    optimizer: Optimizer
    schedule: Schedule | None = None
    early_stopping: EarlyStopping | None = None
    checkpoint: Checkpoint | None = None
    callbacks: Sequence[Any] = ()
    epochs: int = 1
    report: report.Report = field(default_factory=lambda: report.Report(False))
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self._opt = optimizer_struct(self.optimizer)
        self._run = Run(self.net, self.epochs, self.feed, float(self._opt.learning_rate))
        self._keeper: Keeper | None = None

    def _facts(self) -> dict[str, str]:
        """All that decides a number of this training, in words."""
        return {
            "network": self.net.spec,
            "network seed": str(self.net.seed),
            **self.feed.facts(),
            "optimizer": str(self.optimizer),
            "schedule": f"{self.schedule}, {self.epochs} epochs" if self.schedule else "none",
            **self.validation.facts(),
            "early stopping": str(self.early_stopping or "none"),
        }

    def run(self) -> History:
        """All epochs, or as many as early stopping and callbacks let run."""
        if self.checkpoint:
            self._begin_checkpoints(self.checkpoint)
        try:
            self._epochs()
        except FloatingPointError:  # to go on from here would lead there again
            raise
        except BaseException:
            if self._keeper:
                self._keeper.write(self.progress)
            raise
        if self._keeper:
            self._keeper.write(self.progress, finished=not self._run.stopped)
        for name, tensor in self.progress.best.items():
            self.net.tensors[name][...] = tensor
        self.report.end(self.early_stopping, self.progress.rows, self._is_over())
        call(self.callbacks, "on_train_end", self._run)
        return self._run.history

    def _begin_checkpoints(self, checkpoint: Checkpoint) -> None:
        from pynet.training.checkpoint import Checkpoint, Keeper

        one_of(checkpoint, Checkpoint, "checkpoint", "pynet.Checkpoint('run.safetensors')")
        columns = (*self.feed.columns(self.net.task), *self.validation.columns, "seconds")
        self._keeper = Keeper(checkpoint, self.net, self._facts(), self.feed, columns)
        self.progress = self._keeper.begin(self.epochs)
        for row in self.progress.rows:
            self._run.history.add(row)

    def _epochs(self) -> None:
        run, rows = self._run, self.progress.rows
        call(self.callbacks, "on_train_begin", run)
        for epoch in range(len(rows), run.epochs):
            if run.stopped or self._is_over():
                break
            row = self.epoch(epoch)
            if not row:
                break
            rows.append(row)  # from here on the epoch counts
            self._check_monitored()
            self._keep_best()
            run.history.add(row)
            run.row = row
            self.report.epoch(run, int(self.progress.stats.samples))
            call(self.callbacks, "on_epoch_end", run)
            if self._keeper:
                self._keeper.epoch_is_over(self.progress)

    def epoch(self, epoch: int) -> dict[str, float]:
        """Every sample once; returns the figures. Nothing if a callback ends the training before the epoch is over."""
        run, progress = self._run, self.progress
        progress.begin(epoch)
        stats = progress.stats
        run.epoch, run.step, run.loss = epoch + 1, int(stats.steps), stats.loss / max(stats.samples, 1)
        call(self.callbacks, "on_epoch_begin", run)
        rates = self._rates(epoch)
        with self.report.bar(self.feed.samples, f"epoch {epoch + 1}/{run.epochs}") as advance:
            advance(int(stats.samples))
            calls = self.feed.train(epoch, self._opt, rates, stats)
            while not run.stopped:
                begin = time.perf_counter()
                samples = self._next(calls)
                progress.seconds += time.perf_counter() - begin
                if samples is None:
                    break
                run.step, run.loss = int(stats.steps), stats.loss / max(stats.samples, 1)
                advance(samples)
                call(self.callbacks, "on_batch_end", run)
                if self._keeper:
                    self._keeper.call_is_over(progress)
        if run.stopped and stats.steps != self.feed.steps:
            return {}
        learnt = self._measured("training", lambda: self.feed.figures(self.net.task, stats))
        return learnt | self._measured("validation", self.validation.figures) | {"seconds": progress.seconds}

    def _next(self, calls: Iterator[int]) -> int | None:
        """Runs the next call of the core; None: the epoch is over."""
        try:
            return next(calls, None)
        except FloatingPointError as error:
            reason, advice = str(error), ""
            if isinstance(error, LossNotFiniteError):
                batch = self.feed.batch(self.progress.stats)
                reason = f"the loss is not finite{source_of_nonfinite(self.net, batch)}"
                advice = scaling_advice(self.net, batch)
            advice = advice or "a smaller learning rate may help"
            raise FloatingPointError(f"{self._place(1)}: {reason}; {advice}") from None

    def _place(self, after: int) -> str:
        return f"epoch {self._run.epoch}, batch {self.progress.stats.steps + after}"

    def _measured(self, part: str, figures: Callable[[], dict[str, float]]) -> dict[str, float]:
        try:
            return figures()
        except FloatingPointError:
            raise FloatingPointError(
                f"{self._place(0)}: the {part} loss after it is not finite; a smaller learning rate may help"
            ) from None

    def _rates(self, epoch: int) -> Array | None:
        """The learning rate of each step of this epoch (steps), float64; None: always the same."""
        steps, history = self.feed.steps, self._run.history
        if self.schedule is None or steps is None:
            return None
        factors = self.schedule.factors(epoch, self._run.epochs, steps, history.val_loss or history.loss)
        return np.ascontiguousarray(self._opt.learning_rate * factors, np.float64)

    def _monitored(self) -> list[float]:
        return [row[self.early_stopping.monitor] for row in self.progress.rows] if self.early_stopping else []

    def _check_monitored(self) -> None:
        """Says once that an epoch is never the best."""
        *before, value = self._monitored() or [0.0]
        if self.early_stopping and not math.isfinite(value) and all(map(math.isfinite, before)):
            name = self.early_stopping.monitor
            _warn(
                f"epoch {self._run.epoch}: {name} is {value}; early stopping never takes such an epoch for the best", 6
            )

    def _is_over(self) -> bool:
        """Has early stopping had enough?"""
        return self.early_stopping is not None and self.early_stopping.is_over(self._monitored())

    def _keep_best(self) -> None:
        """Copies the weights if early stopping is to restore them and none were better."""
        if self.early_stopping and self.early_stopping.restore_best:
            values = self._monitored()
            if self.early_stopping.best(values) == len(values) - 1:
                self.progress.best = {name: tensor.copy() for name, tensor in self.net.tensors.items()}
