"""The training loop: epochs of mini-batches, validation, early stopping, checkpoints, callbacks."""

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
from pynet.model.samples import Samples, check_finite, checked_weights, class_weights, targets_only
from pynet.model.task import TaskKind
from pynet.optim import Optimizer
from pynet.training import report
from pynet.training.arguments import (
    Metric,
    Pair,
    Weighted,
    early_stopping_for,
    metrics_for,
    one_of,
    optimizer_for,
    schedule_for,
    validation_for,
    whole,
)
from pynet.training.batches import ArrayBatches, Batches, IterableBatches, accept_whole_numbers, fingerprint
from pynet.training.callbacks import EarlyStopping, Run, call, check
from pynet.training.diagnose import scaling_advice, source_of_nonfinite
from pynet.training.history import FIGURES, History
from pynet.training.progress import Progress

if TYPE_CHECKING:
    from pynet.schedules import Schedule
    from pynet.training.checkpoint import Checkpoint, CheckpointWriter


def fit(
    net: Net,
    x: npt.ArrayLike | Iterable[tuple[npt.ArrayLike, npt.ArrayLike]],
    y: npt.ArrayLike | None = None,
    *,
    epochs: int = 10,
    batch_size: int = 64,
    optimizer: Optimizer | str | None = None,
    schedule: Schedule | str | None = None,
    validation: Pair | Weighted | float | None = None,
    validation_split: float = 0.0,
    metrics: Mapping[str, Metric] | Iterable[Metric] | Metric | None = None,
    sample_weight: npt.ArrayLike | None = None,
    class_weight: Mapping[int, float] | Sequence[float] | str | None = None,
    augment: Augment | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    early_stopping: EarlyStopping | None = None,
    checkpoint: Checkpoint | None = None,
    callbacks: Iterable[Any] | Any = (),
    verbose: bool | int | str = "auto",
    progress: bool | None = None,
) -> History:
    """Trains for whole epochs of shuffled mini-batches and returns the History.

    x, y: all samples, arrays or lists; or only x, an iterable that yields the batches (x, y) of an epoch each time it
    is iterated: then each batch is a step, and batch_size is ignored. uint8 means x/255; other numbers are used
    unchanged. optimizer: "adam" is Adam(), None is SGD(). schedule: of the learning rate over these epochs, or its
    text, "cosine"; see pynet.schedules. seed: for the order of the samples; None is that of the network. shuffle: False
    uses the samples of arrays in their own order in each epoch.

    validation: (x, y), evaluated after each epoch: loss and accuracy, or loss, RMSE and R2 for a regression; (x, y,
    sample_weight) weights that loss; or a fraction of the samples, stratified by class, also called validation_split.
    metrics: {"f1": f} adds val_f1 to the history, the result of f(y, p) for the validation targets and the network's
    outputs p (n, *out_shape); [f] uses the function's name; the names loss and accuracy are reserved. early_stopping:
    see pynet.EarlyStopping. checkpoint: a file to save the training in, and to continue from; see pynet.Checkpoint.
    callbacks: one or more; see pynet.Callback.

    verbose: 1 prints a line for each epoch and, on a terminal, a progress bar; 0 does not; "auto" does in a terminal or
    a notebook. progress is another name for it.

    sample_weight (n,): factor of each sample's loss; class_weight: factor for each class, as a list or {class: weight},
    or "balanced", which gives all classes the same total weight. The loss is still divided by the number of samples.
    augment: random changes of the training pictures x in each step; see pynet.Augment.

    FloatingPointError: a loss is not finite; the message names epoch, batch and layer, and the network is not updated
    by that batch. Ctrl-C raises KeyboardInterrupt within a tenth of a second; the network keeps its current weights.
    """
    epochs, batch_size = whole(epochs, "epochs", 0), whole(batch_size, "batch_size", 1)
    seed = net.seed if seed is None else checked_seed(seed)
    optimizer_, rates, stopping = optimizer_for(optimizer), schedule_for(schedule), early_stopping_for(early_stopping)
    callback_list, prints = check(callbacks), report.is_verbose(verbose, progress)
    pair, fraction = validation_for(validation, validation_split)
    if fraction:
        if sample_weight is not None:
            raise ValueError("sample_weight cannot be used with a validation fraction; accepted: validation=(x, y)")
        if y is None:
            raise ValueError("a validation fraction needs arrays; accepted with batches: validation=(x, y)")
        from pynet.data.splits import validation_split as split  # imported here: most programs do not need it

        if net._task_of(targets_only(net._signature, y)) == "regression":
            y = np.asarray(y, np.float32)  # whole numbers, too, are no classes here
        x, y, *validation_arrays = split(cast(Any, x), y, fraction, seed)
        pair = (validation_arrays[0], validation_arrays[1])
    if y is not None:
        samples = _samples(net, x, y, sample_weight, class_weight, augment)
        batches: Batches = ArrayBatches(net, samples, batch_size, seed, shuffle)
    elif x is None:
        raise ValueError("x is None; accepted: an array, or an iterable that gives batches (x, y)")
    elif isinstance(x, np.ndarray):
        raise ValueError("y is missing: fit takes x and y, or an iterable that gives batches (x, y)")
    elif sample_weight is not None or class_weight is not None:
        raise ValueError("sample_weight and class_weight need arrays x and y, not batches")
    else:
        batches = IterableBatches(net, cast(Any, x), augment)
    task = batches.task()
    measured = _Validation(net, task, pair, metrics_for(metrics))
    columns = (*batches.columns(task), *measured.columns)
    if stopping and stopping.monitor not in columns:
        raise ValueError(f"early stopping monitors {stopping.monitor!r}; this training has {', '.join(columns)}")
    if stopping and stopping.guessed:
        higher = f"early stopping assumes that a higher {stopping.monitor} is better"
        _warn(f"{higher}; give mode='max' or mode='min'", 3)
    if rates and batches.steps is None:
        raise ValueError(
            "a schedule needs the number of steps in an epoch; accepted: batches with a length, such as a list"
        )
    net.task = task
    return _Loop(
        net,
        batches,
        measured,
        optimizer_,
        schedule=rates,
        early_stopping=stopping,
        checkpoint=checkpoint,
        callbacks=callback_list,
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

    The optimizer state is kept from call to call. The order within a piece depends on the network's seed and
    on how many steps it was trained before.
    """
    batch_size = whole(batch_size, "batch_size", 1)
    batches = ArrayBatches(net, _samples(net, x, y, sample_weight, class_weight, augment), batch_size, net.seed)
    optimizer_ = optimizer_for(optimizer)
    net.task = batches.task()
    return _Loop(net, batches, _Validation(net, net.task, None, {}), optimizer_).epoch(net.updates)


def _samples(
    net: Net, x: Any, y: npt.ArrayLike, weight: npt.ArrayLike | None, by_class: Any, augment: Augment | None
) -> Samples:
    """The training samples, checked for finite numbers, with the product of both weights."""
    accept_whole_numbers(net, x)
    if by_class is not None:
        weights = class_weights(math.prod(net.out_shape), y, by_class)
        weight = weights if weight is None else weights * checked_weights(weight, len(weights))
    samples = net._samples(x, y, weight, augment)
    check_finite(samples)  # now, as the core would find them only in their batch
    return samples


class _Validation:
    """Measures the network on the validation data."""

    def __init__(self, net: Net, task: TaskKind, data: Pair | Weighted | None, metrics: Mapping[str, Metric]) -> None:
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
            raise ValueError(f"metrics {', '.join(metrics)} need validation data")

    def figures(self) -> dict[str, float]:
        """Loss and metrics; empty without validation data. FloatingPointError: the loss is not finite."""
        if self._data is None or self._samples is None:
            return {}
        evaluation = self._net._measured(self._samples, self._task)
        row = {f"val_{name}": getattr(evaluation, name) for name in FIGURES[self._task]}
        if self._metrics:
            x, y = self._data[:2]
            targets, outputs = np.asarray(y), self._net.predict_proba(x)
            row |= {f"val_{name}": _figure(name, metric(targets, outputs)) for name, metric in self._metrics.items()}
        return row

    def facts(self) -> dict[str, str]:
        """What determines the metrics, as text."""
        if self._samples is None:
            return {}
        return {"validation data": fingerprint(self._samples), "metrics": ", ".join(self._metrics) or "none"}


def _check_metric(name: str, metric: Metric) -> None:
    """ValueError, TypeError: the name is not accepted in the history, or the metric is not a function."""
    if name in ("loss", "accuracy"):
        raise ValueError(f"metrics has {name!r}, but the history already has val_{name}; accepted: another name")
    if not isinstance(name, str) or not f"val_{name}".isidentifier():
        raise ValueError(f"metrics has {name!r:.40}; accepted: names of letters, digits and _, as in val_f1")
    if not callable(metric):
        raise TypeError(f"metric {name} is {metric!r:.40}; accepted: a function of y and the outputs")


def _figure(name: str, value: Any) -> float:
    """The value of a metric as float. ValueError: it is not a number."""
    figure = np.asarray(value)
    if figure.ndim or figure.dtype.kind not in "biuf" or is_masked(value):
        raise ValueError(f"metric {name} returned {value!r:.40}; accepted: a number")
    return float(figure)


def _warn(message: str, level: int) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=level)  # the level of the caller of fit


@dataclass
class _Loop:
    """A training with all its parts; run() trains all epochs."""

    net: Net
    batches: Batches
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
        self._run = Run(self.net, self.epochs, self.batches, float(self._opt.learning_rate))
        self._checkpoint_writer: CheckpointWriter | None = None

    def _facts(self) -> dict[str, str]:
        """Everything that determines the results of this training, as text, for checkpoints."""
        return {
            "network": self.net.spec,
            "network seed": str(self.net.seed),
            **self.batches.facts(),
            "optimizer": str(self.optimizer),
            "schedule": f"{self.schedule}, {self.epochs} epochs" if self.schedule else "none",
            **self.validation.facts(),
            "early stopping": str(self.early_stopping or "none"),
        }

    def run(self) -> History:
        """Trains until the last epoch, early stopping, or a callback that stops."""
        if self.checkpoint:
            self._begin_checkpoints(self.checkpoint)
        try:
            self._epochs()
        except FloatingPointError:  # no checkpoint: a resumed training would fail again
            raise
        except BaseException:
            if self._checkpoint_writer:
                self._checkpoint_writer.write(self.progress)
            raise
        if self._checkpoint_writer:
            self._checkpoint_writer.write(self.progress, finished=not self._run.stopped)
        for name, tensor in self.progress.best.items():
            self.net.tensors[name][...] = tensor
        self.report.end(self.early_stopping, self.progress.rows, self._is_stopped_early())
        call(self.callbacks, "on_train_end", self._run)
        return self._run.history

    def _begin_checkpoints(self, checkpoint: Checkpoint) -> None:
        from pynet.training.checkpoint import Checkpoint, CheckpointWriter

        one_of(checkpoint, Checkpoint, "checkpoint", "pynet.Checkpoint('run.safetensors')")
        columns = (*self.batches.columns(self.net.task), *self.validation.columns, "seconds")
        self._checkpoint_writer = CheckpointWriter(checkpoint, self.net, self._facts(), self.batches, columns)
        self.progress = self._checkpoint_writer.begin(self.epochs)
        for row in self.progress.rows:
            self._run.history.add(row)

    def _epochs(self) -> None:
        run, rows = self._run, self.progress.rows
        call(self.callbacks, "on_train_begin", run)
        for epoch in range(len(rows), run.epochs):
            if run.stopped or self._is_stopped_early():
                break
            row = self.epoch(epoch)
            if not row:
                break
            rows.append(row)  # now the epoch is complete
            self._check_monitored()
            self._store_best_weights()
            run.history.add(row)
            run.row = row
            self.report.epoch(run, int(self.progress.stats.samples))
            call(self.callbacks, "on_epoch_end", run)
            if self._checkpoint_writer:
                self._checkpoint_writer.after_epoch(self.progress)

    def epoch(self, epoch: int) -> dict[str, float]:
        """Trains one epoch; returns its metrics, empty if a callback stops the training within it."""
        run, progress = self._run, self.progress
        progress.begin(epoch)
        stats = progress.stats
        run.epoch, run.step, run.loss = epoch + 1, int(stats.steps), stats.loss / max(stats.samples, 1)
        call(self.callbacks, "on_epoch_begin", run)
        rates = self._rates(epoch)
        with self.report.bar(self.batches.samples, f"epoch {epoch + 1}/{run.epochs}") as advance:
            advance(int(stats.samples))
            calls = self.batches.train(epoch, self._opt, rates, stats)
            while not run.stopped:
                begin = time.perf_counter()
                samples = self._next(calls)
                progress.seconds += time.perf_counter() - begin
                if samples is None:
                    break
                run.step, run.loss = int(stats.steps), stats.loss / max(stats.samples, 1)
                advance(samples)
                call(self.callbacks, "on_batch_end", run)
                if self._checkpoint_writer:
                    self._checkpoint_writer.after_call(progress)
        if run.stopped and stats.steps != self.batches.steps:
            return {}
        learnt = self._measured("training", lambda: self.batches.figures(self.net.task, stats))
        return learnt | self._measured("validation", self.validation.figures) | {"seconds": progress.seconds}

    def _next(self, calls: Iterator[int]) -> int | None:
        """Runs the next call of the core; returns its number of samples, None at the end of the epoch."""
        try:
            return next(calls, None)
        except FloatingPointError as error:
            reason, advice = str(error), ""
            if isinstance(error, LossNotFiniteError):
                batch = self.batches.batch(self.progress.stats)
                reason = f"the loss is not finite{source_of_nonfinite(self.net, batch)}"
                advice = scaling_advice(self.net, batch)
            advice = advice or "a smaller learning rate may help"
            raise FloatingPointError(f"{self._position(1)}: {reason}; {advice}") from None

    def _position(self, after: int) -> str:
        return f"epoch {self._run.epoch}, batch {self.progress.stats.steps + after}"

    def _measured(self, part: str, figures: Callable[[], dict[str, float]]) -> dict[str, float]:
        try:
            return figures()
        except FloatingPointError:
            raise FloatingPointError(
                f"{self._position(0)}: the {part} loss after it is not finite; a smaller learning rate may help"
            ) from None

    def _rates(self, epoch: int) -> Array | None:
        """The learning rate of each step of this epoch (steps), float64; None without a schedule."""
        steps, history = self.batches.steps, self._run.history
        if self.schedule is None or steps is None:
            return None
        factors = self.schedule.factors(epoch, self._run.epochs, steps, history.val_loss or history.loss)
        return np.ascontiguousarray(self._opt.learning_rate * factors, np.float64)

    def _monitored(self) -> list[float]:
        return [row[self.early_stopping.monitor] for row in self.progress.rows] if self.early_stopping else []

    def _check_monitored(self) -> None:
        """Warns once if the monitored value is not finite."""
        *before, value = self._monitored() or [0.0]
        if self.early_stopping and not math.isfinite(value) and all(map(math.isfinite, before)):
            name = self.early_stopping.monitor
            _warn(
                f"epoch {self._run.epoch}: {name} is {value}; early stopping never selects such an epoch as the best", 6
            )

    def _is_stopped_early(self) -> bool:
        """Whether early stopping ends the training now."""
        return self.early_stopping is not None and self.early_stopping.is_over(self._monitored())

    def _store_best_weights(self) -> None:
        """Copies the weights if this is the best epoch and early stopping will restore them."""
        if self.early_stopping and self.early_stopping.restore_best:
            values = self._monitored()
            if self.early_stopping.best(values) == len(values) - 1:
                self.progress.best = {name: tensor.copy() for name, tensor in self.net.tensors.items()}
