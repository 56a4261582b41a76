"""The position of a training, callbacks, and early stopping."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pynet._ffi import Array
from pynet.model.net import Net, new_stats, stats_numbers
from pynet.training.batches import Batches
from pynet.training.history import History


@dataclass
class Progress:
    """The position and results of a training between two calls of the core.

    rows: metrics of the completed epochs. epoch: the current epoch, from 0; -1 before the first. stats (pn_stats *),
    seconds: of the current epoch. best: the weights that early stopping may restore.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    epoch: int = -1
    stats: Any = field(default_factory=new_stats)
    seconds: float = 0.0
    best: dict[str, Array] = field(default_factory=dict)

    def parts(self) -> tuple[Any, ...]:
        """All of it, for another process."""
        return self.rows, self.epoch, stats_numbers(self.stats), self.seconds, self.best

    @classmethod
    def of(cls, parts: tuple[Any, ...]) -> Progress:
        """What parts() gave."""
        rows, epoch, stats, seconds, best = parts
        return cls(rows, epoch, new_stats(**stats), seconds, best)

    def begin(self, epoch: int) -> None:
        """Starts an epoch, unless the training was resumed within it."""
        if self.epoch != epoch:
            self.epoch, self.stats, self.seconds = epoch, new_stats(), 0.0


@dataclass
class Run:
    """The state of a running training, passed to callbacks.

    net: the network, which callbacks may change. epoch: the current one, from 1, of `epochs`. step: mini-batches of
    this epoch so far, of `steps`; loss: their mean loss. history: the completed epochs. row: metrics of the last one.
    """

    net: Net
    epochs: int
    batches: Batches = field(repr=False)
    learning_rate: float
    history: History = field(default_factory=History)
    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    row: dict[str, float] = field(default_factory=dict)
    stopped: bool = False

    @property
    def steps(self) -> int | None:
        """Mini-batches in an epoch; None: unknown before its end."""
        return self.batches.steps

    def stop(self) -> None:
        """Stops the training after the current call of the core, or, in on_epoch_end, before the next epoch."""
        self.stopped = True


class Callback:
    """The methods of callbacks. Any object with some of them can be a callback; it need not be a subclass.

    `run.stop()` in any method stops the training. So does an exception: it reaches the caller of fit, the network keeps
    its current weights, and the checkpoint, if there is one, is written first.
    """

    def on_train_begin(self, run: Run) -> None:
        """Before the first epoch; after a resume, run.history holds the epochs of the checkpoint."""

    def on_epoch_begin(self, run: Run) -> None:
        """Before each epoch."""

    def on_batch_end(self, run: Run) -> None:
        """After each call of the core, which trains mini-batches for about 50 ms, or up to four in 200 ms: at least 1.

        run.step counts the mini-batches of the epoch. With an iterable of batches, each batch is one call.
        """

    def on_epoch_end(self, run: Run) -> None:
        """After each epoch and its validation; run.row holds the metrics."""

    def on_train_end(self, run: Run) -> None:
        """After the training, with the best weights restored; not after an exception."""


FALL, RISE = ("loss", "rmse"), ("accuracy", "r2")  # ends of the names of figures that are better lower, and higher
EVENTS = [name for name in vars(Callback) if name.startswith("on_")]


def check(callbacks: Iterable[Any] | Any) -> list[Any]:
    """Callbacks, or a single one, as a list. TypeError: one has none of the methods."""
    given = list(callbacks) if isinstance(callbacks, Iterable) and not _has_event_method(callbacks) else [callbacks]
    for callback in given:
        if not _has_event_method(callback):
            raise TypeError(f"callback {callback!r:.80} has none of the methods {', '.join(EVENTS)}")
    return given


def _has_event_method(callback: object) -> bool:
    return any(callable(getattr(callback, name, None)) for name in EVENTS)


def call(callbacks: Iterable[Any], event: str, run: Run) -> None:
    """Calls the method `event` of each callback that has it."""
    for callback in callbacks:
        method = getattr(callback, event, None)
        if method:
            method(run)


@dataclass(frozen=True)
class EarlyStopping:
    """Stops when `patience` epochs in a row were not better than the best one before, by more than min_delta.

    monitor: a column of the history. mode: "min" or "max", which way it is better; None: a loss or an RMSE when it is
    lower, anything else when it is higher, with a warning if the name has no known ending. An epoch whose figure is
    not finite is never the best. However training ends, the network gets back the weights of the best epoch (Prechelt
    1998), unless restore_best is False.
    """

    patience: int = 5
    min_delta: float = 0.0
    monitor: str = "val_loss"
    restore_best: bool = True
    mode: str | None = None

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise ValueError(f"patience is {self.patience}; accepted: 1 epoch or more")
        if not 0 <= self.min_delta < float("inf"):
            raise ValueError(f"min_delta is {self.min_delta}; accepted: a finite number, 0 or more")
        if self.mode not in (None, "min", "max"):
            raise ValueError(f"mode is {self.mode!r:.40}; accepted: 'min', 'max', or None, which depends on the name")

    def __str__(self) -> str:
        return repr(self).replace(", mode=None", "")  # the same text as in older checkpoints

    @property
    def guessed(self) -> bool:
        """Whether the direction is an assumption: there is no mode, and the name has none of the known endings."""
        return self.mode is None and not self.monitor.endswith((*FALL, *RISE))

    def best(self, values: Sequence[float]) -> int:
        """The index of the best epoch; -1 if there is none."""
        lower_is_better = self.mode == "min" or (self.mode is None and self.monitor.endswith(FALL))
        sign = 1 if lower_is_better else -1
        best = -1
        for i, value in enumerate(values):
            if math.isfinite(value) and (best < 0 or sign * value < sign * values[best] - self.min_delta):
                best = i
        return best

    def is_over(self, values: Sequence[float]) -> bool:
        """Whether the best epoch was `patience` epochs ago."""
        return len(values) - 1 - self.best(values) >= self.patience
