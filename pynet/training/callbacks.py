"""What may look into a training while it runs, and end it: callbacks, and stopping early."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pynet.model.net import Net
from pynet.training.batches import Feed
from pynet.training.history import History


@dataclass
class Run:
    """A training as it stands: what callbacks are given.

    net: the network, to look at and to change. epoch: the one that runs, from 1, of `epochs`. step: the mini-batches it
    has had so far, of `steps`; loss: their mean. history: the epochs that are over. row: the figures of the last one.
    """

    net: Net
    epochs: int
    feed: Feed = field(repr=False)
    learning_rate: float
    history: History = field(default_factory=History)
    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    row: dict[str, float] = field(default_factory=dict)
    stopped: bool = False

    @property
    def steps(self) -> int | None:
        """Mini-batches of an epoch; None where that is known at its end alone."""
        return self.feed.steps

    def stop(self) -> None:
        """Ends the training: after this call of the core, or, from on_epoch_end, before the next epoch."""
        self.stopped = True


class Callback:
    """Derive from this, or not: any object with some of these methods can be one of fit's callbacks.

    `run.stop()` in any of them ends the training. An error that one of them raises ends it, too: it reaches the
    caller of fit, the network keeps what it has learnt, and the checkpoint, if there is one, is written first.
    """

    def on_train_begin(self, run: Run) -> None:
        """Before the first epoch; run.history holds those of a checkpoint that is resumed."""

    def on_epoch_begin(self, run: Run) -> None:
        """Before each epoch."""

    def on_batch_end(self, run: Run) -> None:
        """After each call of the core: one trains many mini-batches, for a twentieth of a second, or a single one that
        takes longer. run.step tells how many the epoch has had. With an iterable each batch is a call."""

    def on_epoch_end(self, run: Run) -> None:
        """After each epoch, validation and all: run.row holds its figures."""

    def on_train_end(self, run: Run) -> None:
        """At the end, unless an error was it; the best weights are restored by then."""


FALL, RISE = ("loss", "rmse"), ("accuracy", "r2")  # ends of the names of figures that are better lower, and higher
EVENTS = [name for name in vars(Callback) if name.startswith("on_")]


def check(callbacks: Iterable[Any] | Any) -> list[Any]:
    """The callbacks, or a single one, as a list. TypeError: one has none of the methods."""
    given = list(callbacks) if isinstance(callbacks, Iterable) and not _listens(callbacks) else [callbacks]
    for callback in given:
        if not _listens(callback):
            raise TypeError(f"callback {callback!r:.80} has none of the methods {', '.join(EVENTS)}")
    return given


def _listens(callback: object) -> bool:
    return any(callable(getattr(callback, name, None)) for name in EVENTS)


def call(callbacks: Iterable[Any], event: str, run: Run) -> None:
    """Calls this method of those that have it."""
    for callback in callbacks:
        method = getattr(callback, event, None)
        if method:
            method(run)


@dataclass(frozen=True)
class EarlyStopping:
    """Stops when `patience` epochs in a row were not better than the best one before, by more than min_delta.

    monitor: a column of the history. mode: "min" or "max", which way it is better; None: a loss or an RMSE when it is
    lower, anything else when it is higher, which fit says where neither the name nor mode tells. An epoch whose figure
    is not finite is never the best. At the end, however it comes, the network gets back the weights of the best epoch
    (Prechelt 1998), unless restore_best is False.
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
            raise ValueError(f"mode is {self.mode!r:.40}; accepted: 'min', 'max', or None: decided by the name")

    def __str__(self) -> str:
        return repr(self) if self.mode else repr(self).replace(", mode=None", "")  # as in checkpoints of before

    @property
    def guessed(self) -> bool:
        """Does neither mode nor the name tell which way the figure is better?"""
        return self.mode is None and not self.monitor.endswith((*FALL, *RISE))

    def best(self, values: Sequence[float]) -> int:
        """The index of the best epoch; -1 of none."""
        falls = self.mode == "min" or (self.mode is None and self.monitor.endswith(FALL))
        sign = 1 if falls else -1
        best = -1
        for i, value in enumerate(values):
            if math.isfinite(value) and (best < 0 or sign * value < sign * values[best] - self.min_delta):
                best = i
        return best

    def is_over(self, values: Sequence[float]) -> bool:
        """Has it been long enough since the best epoch?"""
        return len(values) - 1 - self.best(values) >= self.patience
