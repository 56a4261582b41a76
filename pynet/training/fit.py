"""The training loop: epochs of mini-batches, what is measured after each, and what ends it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from pynet._ffi import checked_seed, ffi, lib, optimizer_struct
from pynet.augment import Augment
from pynet.model.samples import Samples, class_weights
from pynet.optim import SGD, Optimizer
from pynet.training.callbacks import EarlyStopping, Run, call, check
from pynet.training.diagnose import source_of_nonfinite
from pynet.training.feed import ArrayFeed, BatchFeed, Feed, check_finite, fingerprint
from pynet.training.history import History

if TYPE_CHECKING:
    from pynet.network import Network
    from pynet.schedules import Schedule
    from pynet.training.checkpoint import Checkpoint, State

__all__ = ["fit", "partial_fit"]

Metric = Callable[[npt.NDArray[Any], npt.NDArray[np.float32]], float]


def fit(
    net: Network,
    x: npt.ArrayLike | Iterable[tuple[npt.ArrayLike, npt.ArrayLike]],
    y: npt.ArrayLike | None = None,
    *,
    epochs: int = 10,
    batch_size: int = 64,
    optimizer: Optimizer | None = None,
    schedule: Schedule | None = None,
    validation: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    validation_split: float = 0.0,
    metrics: Mapping[str, Metric] | None = None,
    sample_weight: npt.ArrayLike | None = None,
    class_weight: Mapping[int, float] | Sequence[float] | None = None,
    augment: Augment | None = None,
    seed: int | None = None,
    early_stopping: EarlyStopping | None = None,
    checkpoint: Checkpoint | None = None,
    callbacks: Iterable[Any] = (),
    progress: bool = False,
) -> History:
    """Trains for whole epochs of shuffled mini-batches and returns the History.

    x, y: all samples; or x alone, anything that gives the batches (x, y) of an epoch each time it is iterated: each is
    a step then, in that order, whatever batch_size says. optimizer None: SGD(). schedule: of the learning rate, over
    these epochs; see pynet.schedules. seed: of the order of the samples; None is the network's own.

    validation: (x, y) whose loss and accuracy are measured after each epoch; or validation_split, the share of the
    samples to set aside for it, evenly from each class. metrics: {"f1": f} adds val_f1 to the history, the number that
    f(y, p) gives for the answers of the validation data and the network's outputs (n, *out_shape). early_stopping: see
    pynet.EarlyStopping. checkpoint: a file to write the training down in, and to go on from; see pynet.Checkpoint.
    callbacks: see pynet.Callback. progress: a bar on stderr.

    sample_weight (n,): what each sample's loss counts; class_weight: the same by class, a number for each of them or
    {class: weight}; the mean is still over all samples. augment: how training changes the pictures x in each step,
    never those of the validation; see pynet.Augment.

    FloatingPointError if a loss is not finite, naming epoch, batch and layer; that batch's step is not taken. Ctrl-C
    raises KeyboardInterrupt within a tenth of a second, and what was learnt so far stays in the network.
    """
    if epochs < 0:
        raise ValueError(f"epochs is {epochs}; accepted: 0 or more")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; accepted: 1 or more")
    seed = net.seed if seed is None else checked_seed(seed)
    listeners = check(callbacks)
    if validation_split:
        if validation:
            raise ValueError("validation and validation_split are both given; one of them sets the validation data")
        if sample_weight is not None:
            raise ValueError("sample_weight with validation_split: split the data yourself, and give validation")
        if y is None:
            raise ValueError("validation_split is for arrays; batches take validation")
        from pynet.data import validation_split as split

        x, y, *held_out = split(np.asarray(x), np.asarray(y), validation_split, seed)
        validation = (held_out[0], held_out[1])
    feed: Feed
    if y is None:
        if isinstance(x, np.ndarray):
            raise ValueError("y is missing: fit takes x and y, or an iterable that gives batches (x, y)")
        if sample_weight is not None or class_weight is not None:
            raise ValueError("sample_weight and class_weight are for arrays, x and y")
        feed = BatchFeed(net, cast(Any, x), augment)
    else:
        feed = ArrayFeed(net, _samples(net, x, y, sample_weight, class_weight, augment), batch_size, seed)
    judge = _Judge(net, validation, metrics or {})
    column = early_stopping.monitor if early_stopping else ""
    if early_stopping and column not in ("loss", "accuracy", *judge.columns):
        accepted = ", ".join(("loss", "accuracy", *judge.columns))
        raise ValueError(f"early stopping monitors {column!r}; this training has {accepted}")
    how = optimizer or SGD()
    loop = _Loop(net, feed, how, schedule, judge, early_stopping, checkpoint, listeners, progress, epochs)
    return loop.run()


def partial_fit(
    net: Network,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    batch_size: int = 64,
    optimizer: Optimizer | None = None,
    sample_weight: npt.ArrayLike | None = None,
    class_weight: Mapping[int, float] | Sequence[float] | None = None,
    augment: Augment | None = None,
) -> dict[str, float]:
    """Trains once through these samples, for data that come piece by piece; returns loss, accuracy and seconds.

    What the optimizer remembers goes on from call to call. The order within a piece depends on the network's seed and
    on how many steps it was trained before.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; accepted: 1 or more")
    feed = ArrayFeed(net, _samples(net, x, y, sample_weight, class_weight, augment), batch_size, net.seed)
    return _Loop(net, feed, optimizer or SGD(), None, _Judge(net, None, {})).epoch(net.updates)


def _samples(
    net: Network, x: Any, y: npt.ArrayLike, weight: npt.ArrayLike | None, by_class: Any, augment: Augment | None
) -> Samples:
    """The training data, which must be finite, with the product of both weights."""
    if by_class is not None:
        weights = class_weights(net, y, by_class)
        weight = weights if weight is None else weights * np.asarray(weight, np.float32)
    samples = net._samples(x, y, weight, augment)
    check_finite(samples, "x")
    return samples


class _Judge:
    """Measures the network on the validation data."""

    def __init__(
        self, net: Network, data: tuple[npt.ArrayLike, npt.ArrayLike] | None, metrics: Mapping[str, Metric]
    ) -> None:
        self._net, self._data, self._metrics = net, data, metrics
        self._samples = net._samples(*data) if data else None
        self.columns = ["val_loss", "val_accuracy", *(f"val_{name}" for name in metrics)] if data else []
        if self._samples:
            check_finite(self._samples, "validation x")
        elif metrics:
            raise ValueError(f"metrics {', '.join(metrics)}: they need validation data")

    def figures(self) -> dict[str, float]:
        """Nothing without validation data. FloatingPointError: the loss is not finite."""
        if self._data is None or self._samples is None:
            return {}
        found = self._net._evaluate(self._samples)
        row = {"val_loss": found.loss, "val_accuracy": found.accuracy}
        if self._metrics:
            answers, outputs = np.asarray(self._data[1]), self._net.predict_proba(self._data[0])
            row |= {f"val_{name}": float(metric(answers, outputs)) for name, metric in self._metrics.items()}
        return row

    def facts(self) -> dict[str, str]:
        """What it measures, in words."""
        if self._samples is None:
            return {}
        return {"validation data": fingerprint(self._samples), "metrics": ", ".join(self._metrics) or "none"}


class _Loop:
    """A training from its first epoch to the last."""

    def __init__(
        self,
        net: Network,
        feed: Feed,
        optimizer: Optimizer,
        schedule: Schedule | None,
        judge: _Judge,
        early_stopping: EarlyStopping | None = None,
        checkpoint: Checkpoint | None = None,
        callbacks: Sequence[Any] = (),
        progress: bool = False,
        epochs: int = 1,
    ) -> None:
        self._net, self._feed, self._schedule, self._judge = net, feed, schedule, judge
        self._optimizer, self._opt = optimizer, optimizer_struct(optimizer)
        self._early, self._callbacks, self._progress = early_stopping, callbacks, progress
        self._run = Run(net, epochs, feed, float(self._opt.learning_rate))
        self._at, self._stats, self._seconds = -1, ffi.new("pn_stats *"), 0.0
        self._rows: list[dict[str, float]] = []
        self._best: dict[str, npt.NDArray[np.float32]] = {}
        self._checkpoint = checkpoint
        self._facts: dict[str, str] = {}
        self._written = time.monotonic()
        if schedule and feed.steps is None:
            raise ValueError("a schedule counts the steps of an epoch; give batches that have a length, as a list has")

    def run(self) -> History:
        """All epochs, or as many as early stopping and callbacks let run."""
        if self._checkpoint:
            self._begin_checkpoints(self._checkpoint)
        try:
            self._epochs()
        except FloatingPointError:  # to go on from here would lead there again
            raise
        except BaseException:
            self._write()
            raise
        self._write(finished=not self._run.stopped)
        for name, tensor in self._best.items():
            self._net.tensors[name][...] = tensor
        call(self._callbacks, "on_train_end", self._run)
        return self._run.history

    def _epochs(self) -> None:
        run = self._run
        call(self._callbacks, "on_train_begin", run)
        for epoch in range(len(self._rows), run.epochs):
            if run.stopped or (self._early and self._early.is_over(self._monitored())):
                break
            row = self.epoch(epoch)
            if not row:
                break
            self._keep_best(row)
            self._rows.append(row)  # from here on the epoch counts
            run.history.add(row)
            run.row = row
            call(self._callbacks, "on_epoch_end", run)
            every = self._checkpoint.epochs if self._checkpoint else 0
            if every and len(self._rows) % every == 0:
                self._write()

    def epoch(self, epoch: int) -> dict[str, float]:
        """Every sample once; returns the figures. Nothing if a callback ends the training before the epoch is over."""
        if self._at != epoch:  # else it was resumed within the epoch
            self._stats, self._seconds = ffi.new("pn_stats *"), 0.0
            self._at = epoch
        run, stats = self._run, self._stats
        run.epoch, run.step, run.loss = epoch + 1, int(stats.steps), stats.loss / max(stats.samples, 1)
        call(self._callbacks, "on_epoch_begin", run)
        rates = self._rates(epoch)
        with _bar(self._progress, self._feed.samples, f"epoch {epoch + 1}/{run.epochs}") as advance:
            advance(int(stats.samples))
            calls = self._feed.train(epoch, self._opt, rates, stats)
            while not run.stopped:
                begin = time.perf_counter()
                samples = self._next(calls)
                self._seconds += time.perf_counter() - begin
                if samples is None:
                    break
                run.step, run.loss = int(stats.steps), stats.loss / max(stats.samples, 1)
                advance(samples)
                call(self._callbacks, "on_batch_end", run)
                every = self._checkpoint.seconds if self._checkpoint else 0
                if every and time.monotonic() - self._written >= every:
                    self._write()
        if run.stopped and stats.steps != self._feed.steps:
            return {}
        n = max(stats.samples, 1)
        row = {"loss": stats.loss / n, "accuracy": stats.correct / n}
        return row | self._judged() | {"seconds": self._seconds}

    def _next(self, calls: Any) -> int | None:
        """Runs the next call of the core; None: the epoch is over."""
        try:
            samples: int | None = next(calls, None)
            return samples
        except FloatingPointError as error:
            reason = str(error)
            if not reason.startswith("parameter"):
                reason = "the loss is not finite" + source_of_nonfinite(self._net, self._feed.batch(self._stats))
            raise FloatingPointError(f"{self._place(1)}: {reason}; a smaller learning rate may help") from None

    def _place(self, after: int) -> str:
        return f"epoch {self._run.epoch}, batch {self._stats.steps + after}"

    def _judged(self) -> dict[str, float]:
        try:
            return self._judge.figures()
        except FloatingPointError:
            raise FloatingPointError(
                f"{self._place(0)}: the validation loss after it is not finite; a smaller learning rate may help"
            ) from None

    def _rates(self, epoch: int) -> Any:
        """The learning rate of each step of this epoch, as the core takes them; NULL: always the same."""
        steps, history = self._feed.steps, self._run.history
        if self._schedule is None or not steps:
            return ffi.NULL
        factors = self._schedule.factors(epoch, self._run.epochs, steps, history.val_loss or history.loss)
        rates = self._opt.learning_rate * factors
        self._kept = np.ascontiguousarray(rates, np.float64)  # while the core reads it
        return ffi.from_buffer("double[]", self._kept)

    # ---- the best weights ----

    def _monitored(self) -> list[float]:
        return [row[self._early.monitor] for row in self._rows] if self._early else []

    def _keep_best(self, row: dict[str, float]) -> None:
        """Copies the weights if early stopping is to restore them and none were better."""
        if self._early and self._early.restore_best:
            values = [*self._monitored(), row[self._early.monitor]]
            if self._early.best(values) == len(values) - 1:
                self._best = {name: tensor.copy() for name, tensor in self._net.tensors.items()}

    # ---- checkpoints ----

    def _begin_checkpoints(self, checkpoint: Checkpoint) -> None:
        """Takes up the training that the file holds, or writes the first: what cannot be written fails here."""
        from pynet.training.checkpoint import read, write

        checkpoint.check()
        self._facts = {
            "network": self._net.spec,
            "network seed": str(self._net.seed),
            **self._feed.facts(),
            "optimizer": str(self._optimizer),
            "schedule": f"{self._schedule}, {self._run.epochs} epochs" if self._schedule else "none",
            **self._judge.facts(),
            "early stopping": str(self._early or "none"),
        }
        if checkpoint.resume:
            self._take_up(*read(checkpoint.path), os.fspath(checkpoint.path))
        else:
            write(checkpoint.path, self._net, self._state(False))

    def _take_up(self, state: State, tensors: dict[str, npt.NDArray[np.float32]], place: str) -> None:
        state.check_suits(self._facts, place)
        if len(state.rows) > self._run.epochs:
            raise ValueError(f"{place} has come to the end of epoch {len(state.rows)}, of {self._run.epochs} wanted")
        for name, tensor in tensors.items():
            self._net.tensors[name][...] = tensor
        self._net.optimizer_state = state.optimizer
        self._net._call(lib.pn_net_set_updates, state.updates)
        self._rows, self._best, self._seconds = state.rows, state.best, state.seconds
        self._at, self._stats = len(state.rows), ffi.new("pn_stats *", state.stats)
        for row in state.rows:
            self._run.history.add(row)

    def _state(self, finished: bool) -> State:
        from pynet.training.checkpoint import State

        stats, begun = self._stats, self._at == len(self._rows)
        numbers: dict[str, float] = {"loss": stats.loss, "correct": stats.correct, "samples": stats.samples}
        numbers["steps"] = stats.steps
        return State(
            self._facts,
            self._rows,
            numbers if begun else dict.fromkeys(numbers, 0),
            self._seconds if begun else 0.0,
            self._net.optimizer_state,
            self._net.updates,
            self._best,
            finished,
        )

    def _write(self, finished: bool = False) -> None:
        if self._checkpoint:
            from pynet.training.checkpoint import write

            try:
                write(self._checkpoint.path, self._net, self._state(finished))
            except OSError as error:
                self._checkpoint.on_error(error)
            self._written = time.monotonic()


class _bar:
    """A tqdm bar on stderr, or nothing; gives a function that advances it."""

    def __init__(self, wanted: bool, total: int | None, title: str) -> None:
        self._bar: Any = None
        if wanted:
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=title, unit=" samples", unit_scale=True, leave=False)

    def __enter__(self) -> Callable[[int], object]:
        return self._bar.update if self._bar else lambda _: None

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.close()
