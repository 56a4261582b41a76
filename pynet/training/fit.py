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

from pynet._ffi import Array, checked_seed, optimizer_struct
from pynet.augment import Augment
from pynet.errors import LossNotFiniteError
from pynet.model.net import Net
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
from pynet.training.batches import Batches, IterableBatches
from pynet.training.callbacks import EarlyStopping, Progress, Run, call, check
from pynet.training.diagnose import source_of_nonfinite
from pynet.training.feed import Feed, Weights, validation_pieces
from pynet.training.history import History
from pynet.training.parallel import Processes
from pynet.training.scaling import unscaled
from pynet.training.validation import Pieces, Validation

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
    window: int | None = None,
    chunks: int | None = None,
    comm: Any = None,
    early_stopping: EarlyStopping | None = None,
    checkpoint: Checkpoint | None = None,
    callbacks: Iterable[Any] | Any = (),
    verbose: bool | int | str = "auto",
    progress: bool | None = None,
) -> History:
    """Trains for whole epochs of shuffled mini-batches and returns the History.

    x, y: all samples, arrays or lists; or only x, an iterable that yields the batches (x, y) of an epoch each time it
    is iterated: then each batch is a step, and batch_size is ignored. x and y may also be .npy files or lists of them,
    and x what pynet.data.parquet gives. uint8 means x/255; other numbers are used unchanged. optimizer: "adam" is
    Adam(), None is SGD(). schedule: of the learning rate over these epochs, or its text, "cosine"; see pynet.schedules.
    seed: for the order of the samples; None is that of the network. shuffle: False uses the samples of arrays in their
    own order in each epoch.

    window: for x that is larger than memory, an np.memmap or files: so many consecutive samples are read at once, the
    next ones while the network trains. Windows come in random order, and each is shuffled by seed, epoch and its
    number; no batch has samples of two. It is part of what determines the bits, as batch_size is. None: chosen, with a
    note, if x takes more than half of the memory that is available.

    chunks: a power of two; each batch is the sum of so many parts, whose samples are from as many shards of the data.
    With comm, a communicator of mpi4py, its processes share the chunks: `net.fit(x, y, comm=MPI.COMM_WORLD, chunks=8)`
    in 1, 2, 4 or 8 processes gives the same bits as without comm in one. All processes give the same arguments; each
    reads its shards of x alone. The first one prints, validates, calls the callbacks and writes the checkpoint. An
    error on one of them is raised on all. Not with batchnorm. See docs/scaling.md.

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

    UserWarning, of a new network: the root mean square of a feature of x is above 20, where neither standardize nor
    batchnorm comes first; or bytes are 0 and 1 alone.
    FloatingPointError: a loss is not finite; the message names epoch, batch and layer, and the network is not updated
    by that batch. Ctrl-C raises KeyboardInterrupt after the current steps, a fifth of a second or a single longer step;
    the network keeps its current weights.
    """
    processes = Processes(comm)
    with processes.ending_together(), processes.sharing():
        epochs, batch_size = whole(epochs, "epochs", 0), whole(batch_size, "batch_size", 1)
        window = None if window is None else whole(window, "window", 1)
        chunks = None if chunks is None else whole(chunks, "chunks", 1)
        seed = net.seed if seed is None else checked_seed(seed)
        if chunks is not None:
            from pynet.training.chunks import check_chunks  # imported here: most programs do not need it

            check_chunks(net, chunks, processes)
        elif comm is not None:
            raise ValueError("comm needs chunks, in how many parts its processes share a batch; for example chunks=8")
        optimizer_, rates = optimizer_for(optimizer), schedule_for(schedule)
        stopping = early_stopping_for(early_stopping)
        callback_list, prints = check(callbacks), report.is_verbose(verbose, progress)
        pair, fraction = validation_for(validation, validation_split)
        if fraction:
            if sample_weight is not None:
                raise ValueError("sample_weight cannot be used with a validation fraction; accepted: validation=(x, y)")
            if y is None:
                raise ValueError("a validation fraction needs arrays; accepted with batches: validation=(x, y)")
        pieces: Pieces | None = None
        if y is not None:
            feed = Feed(
                net,
                x,
                y,
                weights=Weights(sample_weight, class_weight),
                augment=augment,
                fraction=fraction,
                seed=seed,
                window=window,
                batch_size=batch_size,
            )
            batches, pieces = feed.batches(batch_size, seed, shuffle, chunks, processes)
            if (text := processes.of_first(feed.unscaled)) and processes.first:
                _warn(text, 3, UserWarning)
        else:
            _check_batches(x, (sample_weight, class_weight), (window, chunks, comm))
            batches = IterableBatches(net, cast(Any, x), augment)
        task = batches.task()
        pieces = validation_pieces(net, pair, batch_size) if pair else pieces
        measured = Validation(net, task, pieces, metrics_for(metrics))
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
        loop = _Loop(
            net,
            batches,
            measured,
            optimizer_,
            schedule=rates,
            early_stopping=stopping,
            checkpoint=checkpoint,
            callbacks=callback_list,
            epochs=epochs,
            report=report.Report(prints and processes.first),
            processes=processes,
        )
    with processes.ending_together():
        loop.compare()
        return loop.run()


def _check_batches(x: Any, weights: tuple[Any, ...], divided: tuple[Any, ...]) -> None:
    """ValueError: x is no iterable of batches, or what weighs or divides samples is given, which needs arrays."""
    if x is None:
        raise ValueError("x is None; accepted: an array, or an iterable that gives batches (x, y)")
    if isinstance(x, np.ndarray):
        raise ValueError("y is missing: fit takes x and y, or an iterable that gives batches (x, y)")
    if any(given is not None for given in weights):
        raise ValueError("sample_weight and class_weight need arrays x and y, not batches")
    if any(given is not None for given in divided):
        raise ValueError("window, chunks and comm need arrays x and y, not batches")


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
    feed = Feed(net, x, y, weights=Weights(sample_weight, class_weight), augment=augment, batch_size=batch_size)
    batches, _ = feed.batches(batch_size, net.seed, True)
    if text := feed.unscaled():
        _warn(text, 3, UserWarning)
    optimizer_ = optimizer_for(optimizer)
    net.task = batches.task()
    return _Loop(net, batches, Validation(net, net.task, None, {}), optimizer_).epoch(net.updates)


def _warn(message: str, level: int, category: type[Warning] = RuntimeWarning) -> None:
    warnings.warn(message, category, stacklevel=level)  # the level of the caller of fit


@dataclass
class _Loop:
    """A training with all its parts; run() trains all epochs."""

    net: Net
    batches: Batches
    validation: Validation
    optimizer: Optimizer
    schedule: Schedule | None = None
    early_stopping: EarlyStopping | None = None
    checkpoint: Checkpoint | None = None
    callbacks: Sequence[Any] = ()
    epochs: int = 1
    report: report.Report = field(default_factory=lambda: report.Report(False))
    progress: Progress = field(default_factory=Progress)
    processes: Processes = field(default_factory=Processes)

    def __post_init__(self) -> None:
        self._opt = optimizer_struct(self.optimizer)
        self.callbacks = self.callbacks if self.processes.first else ()
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

    def compare(self) -> None:
        """ValueError, on all processes: they differ in network, data or options."""
        facts: dict[str, str] = {}
        with self.processes.sharing():
            if self.processes.size > 1:
                facts = {
                    "network": self.net.spec,
                    "network seed": str(self.net.seed),
                    "number of earlier updates": str(self.net.updates),
                    "SHA-256 of its weights": self.net.weights_sha256(),
                    **cast(Any, self.batches).compared(),
                    "epochs": str(self.epochs),
                    "optimizer": str(self.optimizer),
                    "schedule": str(self.schedule),
                    "early stopping": str(self.early_stopping),
                    "columns of the history": ", ".join(self.validation.columns),
                    "checkpoint": str(self.checkpoint and self.checkpoint.resume),
                }
        self.processes.compare(facts)

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
        self._call("on_train_end")
        return self._run.history

    def _begin_checkpoints(self, checkpoint: Checkpoint) -> None:
        from pynet.training.checkpoint import Checkpoint, CheckpointWriter

        one_of(checkpoint, Checkpoint, "checkpoint", "pynet.Checkpoint('run.safetensors')")
        columns = (*self.batches.columns(self.net.task), *self.validation.columns, "seconds")
        writer = CheckpointWriter(checkpoint, self.net, self._facts(), self.batches, columns)

        def begun() -> Any:
            self.progress, self._checkpoint_writer = writer.begin(self.epochs), writer
            return (self.progress.parts(), self.net._state()) if self.processes.size > 1 and checkpoint.resume else None

        resumed = self.processes.of_first(begun)
        if resumed and not self.processes.first:
            self.progress = Progress.of(resumed[0])
            self.net._restore(*resumed[1])
        for row in self.progress.rows:
            self._run.history.add(row)

    def _epochs(self) -> None:
        run, rows = self._run, self.progress.rows
        self._call("on_train_begin")
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
            self._call("on_epoch_end")
            if self._checkpoint_writer:
                self._checkpoint_writer.after_epoch(self.progress)

    def epoch(self, epoch: int) -> dict[str, float]:
        """Trains one epoch; returns its metrics, empty if a callback stops the training within it."""
        run, progress = self._run, self.progress
        progress.begin(epoch)
        stats = progress.stats
        run.epoch, run.step, run.loss = epoch + 1, int(stats.steps), stats.loss / max(stats.samples, 1)
        self._call("on_epoch_begin")
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
                self._call("on_batch_end")
                if self._checkpoint_writer:
                    self._checkpoint_writer.after_call(progress)
        if run.stopped and stats.steps != self.batches.steps:
            return {}
        self.processes.compare({"SHA-256 of the weights": self.net.weights_sha256()} if self.processes.size > 1 else {})
        return self.processes.of_first(self._figures)

    def _figures(self) -> dict[str, float]:
        """The metrics of the epoch."""
        progress = self.progress
        learnt = self._measured("training", lambda: self.batches.figures(self.net.task, progress.stats))
        return learnt | self._measured("validation", self.validation.figures) | {"seconds": progress.seconds}

    def _call(self, event: str) -> None:
        """Calls the callbacks, on the first process; all processes stop if one of them stops the training."""
        call(self.callbacks, event, self._run)
        self._run.stopped = self.processes.from_first(self._run.stopped)

    def _next(self, calls: Iterator[int]) -> int | None:
        """Runs the next call of the core; returns its number of samples, None at the end of the epoch."""
        try:
            return next(calls, None)
        except FloatingPointError as error:
            reason, advice = str(error), ""
            if isinstance(error, LossNotFiniteError) and self.processes.size == 1:
                batch = self.batches.batch(self.progress.stats)
                reason = f"the loss is not finite{source_of_nonfinite(self.net, batch)}"
                advice = unscaled(self.net, batch)
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
