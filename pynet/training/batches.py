"""Where a training gets its mini-batches from: arrays, shuffled, or batches that somebody else makes.

A feed runs one epoch in calls of the core. What a call learnt is in `stats` (pn_stats *), which is also the position in
the epoch: an epoch that begins with the stats of an interrupted one goes on where that ended.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import suppress
from itertools import islice
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pynet._ffi import Array
from pynet.augment import Augment
from pynet.model.evaluation import measured
from pynet.model.net import Net
from pynet.model.samples import Samples, check_targets, targets_alone
from pynet.model.task import TaskKind
from pynet.training.history import FIGURES

CALL_SECONDS = 0.05  # how long one call of the core may take: Ctrl-C and the progress bar wait for it
PROBE = 256  # samples that stand for all of them
MEASURED = 4096  # and those on which a regression is measured after each epoch
DARKEST_WHITE = 128  # whole numbers of 0 to 255 that reach this are most likely pixels


class Feed(Protocol):
    """What fit asks of its data."""

    @property
    def steps(self) -> int | None:
        """Of an epoch; None: nobody knows before its end."""

    @property
    def samples(self) -> int | None:
        """Of an epoch; None: as steps."""

    def train(self, epoch: int, opt: Any, rates: Array | None, stats: Any) -> Iterator[int]:
        """Trains for the rest of an epoch; after each call of the core yields how many samples that was.

        opt: pn_optim *. rates: the learning rate of each step (steps) float64, None: that of opt. LossNotFiniteError:
        stats tells before which step.
        """

    def probe(self) -> tuple[Array, Array] | None:
        """A few samples, x and y, for a look at the network; None: there are none yet."""

    def batch(self, stats: Any) -> Array:
        """The inputs of the batch after stats, which train() ran into an error with."""

    def task(self) -> TaskKind:
        """What the network learns here."""

    def columns(self, task: TaskKind) -> tuple[str, ...]:
        """The names of figures()."""

    def figures(self, task: TaskKind, stats: Any) -> dict[str, float]:
        """How good the network is on the samples after an epoch with these stats. FloatingPointError: not finite."""

    def samples_before(self, step: int) -> int | None:
        """How many samples of an epoch come before this step, from 0; None: nobody knows."""

    def facts(self) -> dict[str, str]:
        """What decides which batches come, in words."""


class ArrayFeed:
    """All samples once in an epoch, in an order that seed and epoch decide, in calls of about CALL_SECONDS."""

    def __init__(self, net: Net, samples: Samples, batch_size: int, seed: int) -> None:
        self._net, self._data, self._seed = net, samples, seed
        self.samples = samples.n
        self.steps = -(-samples.n // batch_size)
        self._order = np.empty(samples.n, np.int32)
        self._measured: Samples | None = None
        self._steps_a_call = 1
        self._size = 0

    def _sizes(self, step: int) -> tuple[int, int]:
        """Of the batches from this step on as many as are alike, and their size: an epoch is cut as the core would."""
        size, larger = divmod(self.samples, self.steps)
        return (larger - step, size + 1) if step < larger else (self.steps - step, size)

    def samples_before(self, step: int) -> int | None:
        """See Feed."""
        size, larger = divmod(self.samples, max(self.steps, 1))
        return step * size + min(step, larger)

    def train(self, epoch: int, opt: Any, rates: Array | None, stats: Any) -> Iterator[int]:
        """See Feed."""
        from pynet.kernels import shuffle  # with all the kernels: not needed by most who import pynet

        self._order = shuffle(self.samples, self._seed, epoch)
        while stats.steps < self.steps:
            alike, self._size = self._sizes(int(stats.steps))
            steps = min(self._steps_a_call, alike)
            rows = self._order[stats.samples :][: steps * self._size]
            begin = time.perf_counter()
            self._net._train(self._data, rows, self._size, opt, stats, _after(rates, stats))
            a_step = max(time.perf_counter() - begin, 1e-7) / steps
            self._steps_a_call = max(1, min(int(CALL_SECONDS / a_step), 4 * steps))
            yield steps * self._size

    def batch(self, stats: Any) -> Array:
        """See Feed."""
        assert self._data.x is not None
        return self._data.x[self._order[stats.samples : stats.samples + self._size]]

    def probe(self) -> tuple[Array, Array] | None:
        """See Feed."""
        x, labels, targets, _ = self._data.arrays
        y = labels if labels is not None else targets
        if not self.samples or x is None or y is None:
            return None
        rows = self._some(PROBE)
        return x[rows], y[rows]

    def _some(self, most: int) -> Array:
        """The numbers of up to so many samples, from all places: they may lie sorted."""
        return np.linspace(0, self.samples - 1, min(most, self.samples)).astype(np.intp)

    def task(self) -> TaskKind:
        """See Feed."""
        return self._net._task_of(self._data)

    def columns(self, task: TaskKind) -> tuple[str, ...]:
        """See Feed."""
        return FIGURES[task]

    def figures(self, task: TaskKind, stats: Any) -> dict[str, float]:
        """See Feed."""
        counted = _counted(stats)
        if task != "regression":
            return counted
        if self._measured is None:
            x, _, targets, _ = self._data.arrays
            assert x is not None
            assert targets is not None
            rows = self._some(MEASURED)
            self._measured = Samples(x[rows], None, targets[rows], len(rows))
        assert self._measured.targets is not None
        found = measured(counted["loss"], self._measured.targets, self._net._outputs(self._measured))
        if found.samples and not math.isfinite(found.rmse):
            raise FloatingPointError
        return {name: getattr(found, name) for name in self.columns(task)}

    def facts(self) -> dict[str, str]:
        """See Feed."""
        return {
            "data": fingerprint(self._data),
            "augmentation": self._data.augmentation,
            "batches": str(self.steps),
            "seed of the order": str(self._seed),
        }


class BatchFeed:
    """Batches (x, y) as they come, each a step."""

    samples = None

    def __init__(
        self, net: Net, batches: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]], augment: Augment | None
    ) -> None:
        self._net, self._batches, self._augment = net, batches, augment
        self.steps = len(batches) if isinstance(batches, Sized) else None
        self._last: tuple[Array, Array] | None = None

    def train(self, epoch: int, opt: Any, rates: Array | None, stats: Any) -> Iterator[int]:
        """See Feed."""
        for pair in islice(self._batches, int(stats.steps), None):
            try:
                x, y = pair
            except (TypeError, ValueError):
                raise ValueError(f"batch {stats.steps + 1} is a {type(pair).__name__}; accepted: (x, y)") from None
            if rates is not None and stats.steps >= len(rates):
                raise ValueError(f"there are more batches than their length says: {self.steps}")
            try:
                learns_from(self._net, x)
                data = self._net._samples(x, y, augment=self._augment)
                check_targets(data)
                self._net._learns_labels(data)
                self._last = np.asarray(x), np.asarray(y)
                self._net._train(data, None, max(data.n, 1), opt, stats, _after(rates, stats))
            except ValueError as error:
                raise ValueError(f"batch {stats.steps + 1}: {error}") from None
            yield data.n
        if rates is not None and stats.steps < len(rates):  # the schedule would never come to its end
            raise ValueError(f"there were {stats.steps} batches in epoch {epoch + 1}, their length says {self.steps}")
        if not stats.steps:
            again = "a generator gives them once: for several epochs, pass a list" if epoch else "there is none"
            raise ValueError(f"no batches in epoch {epoch + 1}; {again}")

    def batch(self, stats: Any) -> Array:
        """See Feed."""
        assert self._last
        return self._last[0]

    def probe(self) -> tuple[Array, Array] | None:
        """See Feed."""
        return self._last and (self._last[0][:PROBE], self._last[1][:PROBE])

    def samples_before(self, step: int) -> int | None:
        """See Feed: a batch may be of any size."""
        return None

    def task(self) -> TaskKind:
        """See Feed: that of the first batch of a list; of others nobody knows before they come."""
        if isinstance(self._batches, Sequence) and self._batches:
            with suppress(TypeError, ValueError, IndexError):  # train will say what is wrong with it
                return self._net._task_of(targets_alone(self._net._signature, self._batches[0][1]))
        return self._net.task

    def columns(self, task: TaskKind) -> tuple[str, ...]:
        """See Feed: nobody keeps the batches until they could be measured again."""
        return ("loss",) if task == "regression" else FIGURES[task]

    def figures(self, task: TaskKind, stats: Any) -> dict[str, float]:
        """See Feed."""
        counted = _counted(stats)
        return {name: counted[name] for name in self.columns(task)}

    def facts(self) -> dict[str, str]:
        """See Feed; the batches are not looked at before they come."""
        return {"data": "batches", "augmentation": str(self._augment or "none")}


def _counted(stats: Any) -> dict[str, float]:
    """Loss and accuracy as an epoch went."""
    n = max(stats.samples, 1)
    return {"loss": stats.loss / n, "accuracy": stats.correct / n}


def _after(rates: Array | None, stats: Any) -> Array | None:
    """The learning rates of the steps that are still to be taken."""
    return None if rates is None else rates[stats.steps :]


def fingerprint(data: Samples) -> str:
    """SHA-256 of x, y and weights."""
    import hashlib

    digest = hashlib.sha256()
    for part in data.arrays:
        if part is not None:
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(part.data)
    return digest.hexdigest()


def learns_from(net: Net, x: Any) -> None:
    """Whole numbers are taken as they are by a network that is trained on them, and by no other: they could be pixels.

    ValueError: they are most likely pixels.
    """
    values = np.asarray(x)
    whole_numbers = values.dtype.kind in "bi" or (values.dtype.kind == "u" and values.dtype != np.uint8)
    if whole_numbers and values.size and values.min() >= 0 and DARKEST_WHITE <= values.max() <= 255:
        raise ValueError(
            f"x has dtype {values.dtype} and numbers from {values.min()} to {values.max()}; are they pixels? "
            "Accepted: x.astype(np.uint8), which means x/255, or x.astype(np.float32), the numbers as they are"
        )
    net._signature = net._signature._replace(whole_numbers=whole_numbers)
