"""The mini-batches of a training: from arrays, shuffled, or from an iterable of batches.

Each class trains an epoch in several calls of the core. `stats` (pn_stats *) sums their results and is also the
position in the epoch: with the stats of an interrupted epoch, train() continues where that stopped.
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
from pynet.model.csr import CSR, is_sparse
from pynet.model.evaluation import measured
from pynet.model.net import Net
from pynet.model.samples import Samples, check_targets, targets_only
from pynet.model.task import TaskKind
from pynet.training.history import FIGURES

CALL_SECONDS = 0.05  # duration of one call of the core: Ctrl-C, callbacks and the progress bar wait for it
PROBE_SIZE = 256  # samples in probe()
MEASURED = 4096  # maximum number of samples on which a regression is evaluated after each epoch
MEASURED_BYTES = 64 << 20  # of the copy of their inputs: fewer of large samples, but PROBE_SIZE
MIN_WHITE = 128  # integers in 0..255 with a maximum of at least this are most likely pixels


class Batches(Protocol):
    """The interface that fit needs."""

    @property
    def steps(self) -> int | None:
        """Mini-batches in an epoch; None: unknown before its end."""

    @property
    def samples(self) -> int | None:
        """Samples in an epoch; None: unknown before its end."""

    def train(self, epoch: int, opt: Any, rates: Array | None, stats: Any) -> Iterator[int]:
        """Trains for the rest of an epoch; after each call of the core, yields its number of samples.

        opt: pn_optim *. rates: the learning rate of each step, (steps) float64; None: that of opt. LossNotFiniteError:
        the loss of the batch after stats is not finite.
        """

    def probe(self) -> tuple[Array, Array] | None:
        """A few samples, x and y, for diagnosis; None: there are none yet."""

    def batch(self, stats: Any) -> Array:
        """The inputs of the batch after stats, for which train() raised an error."""

    def task(self) -> TaskKind:
        """What the network learns here."""

    def columns(self, task: TaskKind) -> tuple[str, ...]:
        """The names of figures()."""

    def figures(self, task: TaskKind, stats: Any) -> dict[str, float]:
        """How good the network is on the samples after an epoch with these stats. FloatingPointError: not finite."""

    def samples_before(self, step: int) -> int | None:
        """Number of samples in an epoch before this step, counted from 0; None: unknown."""

    def facts(self) -> dict[str, str]:
        """What determines the batches, as text; a resumed training must have the same."""


class ArrayBatches:
    """Every sample once in an epoch, in calls of about CALL_SECONDS; seed and epoch determine the order, unless shuffle
    is False."""

    def __init__(self, net: Net, samples: Samples, batch_size: int, seed: int, shuffle: bool = True) -> None:
        self._net, self._data, self._seed, self._shuffle = net, samples, seed, shuffle
        self.samples = samples.n
        self.steps = -(-samples.n // batch_size)
        self._order = np.arange(samples.n, dtype=np.int32)
        self._measured: Samples | None = None
        self._steps_per_call = 1
        self._size = 0

    def _sizes(self, step: int) -> tuple[int, int]:
        """(number of following batches of equal size, that size): the core splits an epoch in the same way."""
        size, larger_batches = divmod(self.samples, self.steps)
        return (larger_batches - step, size + 1) if step < larger_batches else (self.steps - step, size)

    def samples_before(self, step: int) -> int | None:
        """See Batches."""
        size, larger_batches = divmod(self.samples, max(self.steps, 1))
        return step * size + min(step, larger_batches)

    def train(self, epoch: int, opt: Any, rates: Array | None, stats: Any) -> Iterator[int]:
        """See Batches."""
        from pynet.kernels import shuffle  # imported here: most programs do not need it

        if self._shuffle:
            self._order = shuffle(self.samples, self._seed, epoch)
        while stats.steps < self.steps:
            same_size, self._size = self._sizes(int(stats.steps))
            steps = min(self._steps_per_call, same_size)
            rows = self._order[stats.samples :][: steps * self._size]
            begin = time.perf_counter()
            self._net._train(self._data, rows, self._size, opt, stats, _after(rates, stats))
            seconds_per_step = max(time.perf_counter() - begin, 1e-7) / steps
            self._steps_per_call = max(1, min(int(CALL_SECONDS / seconds_per_step), 4 * steps))
            yield steps * self._size

    def batch(self, stats: Any) -> Array:
        """See Batches."""
        assert self._data.x is not None
        return _dense(self._data.x[self._order[stats.samples : stats.samples + self._size]])

    def probe(self) -> tuple[Array, Array] | None:
        """See Batches."""
        x, labels, targets, _ = self._data.arrays
        y = labels if labels is not None else targets
        if not self.samples or x is None or y is None:
            return None
        rows = self._some(PROBE_SIZE)
        return _dense(x[rows]), y[rows]

    def _some(self, most: int) -> Array:
        """The numbers of up to so many samples, from all places: they may lie sorted."""
        return np.linspace(0, self.samples - 1, min(most, self.samples)).astype(np.intp)

    def task(self) -> TaskKind:
        """See Batches."""
        return self._net._task_of(self._data)

    def columns(self, task: TaskKind) -> tuple[str, ...]:
        """See Batches."""
        return FIGURES[task]

    def figures(self, task: TaskKind, stats: Any) -> dict[str, float]:
        """See Batches."""
        counted = _counted(stats)
        if task != "regression":
            return counted
        if self._measured is None:
            x, _, targets, _ = self._data.arrays
            assert x is not None
            assert targets is not None
            most = max(PROBE_SIZE, min(MEASURED, MEASURED_BYTES // max(x[:1].nbytes, 1)))
            rows = self._some(most) if self.samples > most else slice(None)
            self._measured = Samples(x[rows], None, targets[rows], min(most, self.samples))
        assert self._measured.targets is not None
        found = measured(counted["loss"], self._measured.targets, self._net._outputs(self._measured))
        if found.samples and not math.isfinite(found.rmse):
            raise FloatingPointError
        return {name: getattr(found, name) for name in self.columns(task)}

    def facts(self) -> dict[str, str]:
        """See Batches."""
        return {
            "data": fingerprint(self._data),
            "augmentation": self._data.augmentation,
            "batches": str(self.steps),
            "seed of the order": str(self._seed) if self._shuffle else "none",
        }


class IterableBatches:
    """The batches (x, y) of an iterable, in its order, one step for each."""

    samples = None

    def __init__(
        self, net: Net, batches: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]], augment: Augment | None
    ) -> None:
        self._net, self._batches, self._augment = net, batches, augment
        self.steps = len(batches) if isinstance(batches, Sized) else None
        self._last: tuple[Array, Array] | None = None

    def train(self, epoch: int, opt: Any, rates: Array | None, stats: Any) -> Iterator[int]:
        """See Batches."""
        for pair in islice(self._batches, int(stats.steps), None):
            try:
                x, y = pair
            except (TypeError, ValueError):
                raise ValueError(f"batch {stats.steps + 1} is a {type(pair).__name__}; accepted: (x, y)") from None
            if rates is not None and stats.steps >= len(rates):
                raise ValueError(f"there are more batches than len() gave: {self.steps}")
            try:
                accept_whole_numbers(self._net, x)
                data = self._net._samples(x, y, augment=self._augment)
                check_targets(data)
                self._net._learns_labels(data)
                self._last = np.asarray(x), np.asarray(y)
                self._net._train(data, None, max(data.n, 1), opt, stats, _after(rates, stats))
            except ValueError as error:
                raise ValueError(f"batch {stats.steps + 1}: {error}") from None
            yield data.n
        if rates is not None and stats.steps < len(rates):  # the schedule would end too early
            raise ValueError(f"there were {stats.steps} batches in epoch {epoch + 1}, but len() gave {self.steps}")
        if not stats.steps:
            again = "a generator can be used only once: for several epochs, pass a list" if epoch else "there is none"
            raise ValueError(f"no batches in epoch {epoch + 1}; {again}")

    def batch(self, stats: Any) -> Array:
        """See Batches."""
        assert self._last
        return self._last[0]

    def probe(self) -> tuple[Array, Array] | None:
        """See Batches."""
        return self._last and (self._last[0][:PROBE_SIZE], self._last[1][:PROBE_SIZE])

    def samples_before(self, step: int) -> int | None:
        """See Batches: a batch may be of any size."""
        return None

    def task(self) -> TaskKind:
        """See Batches: that of the first batch of a list; of others nobody knows before they come."""
        if isinstance(self._batches, Sequence) and self._batches:
            with suppress(TypeError, ValueError, IndexError):  # train will say what is wrong with it
                return self._net._task_of(targets_only(self._net._signature, self._batches[0][1]))
        return self._net.task

    def columns(self, task: TaskKind) -> tuple[str, ...]:
        """See Batches; unknown, as past batches are not stored."""
        return ("loss",) if task == "regression" else FIGURES[task]

    def figures(self, task: TaskKind, stats: Any) -> dict[str, float]:
        """See Batches."""
        counted = _counted(stats)
        return {name: counted[name] for name in self.columns(task)}

    def facts(self) -> dict[str, str]:
        """See Batches; the contents are not known in advance."""
        augmentation = str(self._augment or "none").replace("default", "usual")  # as in checkpoints of earlier versions
        return {"data": "batches", "augmentation": augmentation}


def _counted(stats: Any) -> dict[str, float]:
    """Loss and accuracy as an epoch went."""
    n = max(stats.samples, 1)
    return {"loss": stats.loss / n, "accuracy": stats.correct / n}


def _after(rates: Array | None, stats: Any) -> Array | None:
    """The learning rates of the remaining steps."""
    return None if rates is None else rates[stats.steps :]


def _dense(rows: Array | CSR) -> Array:
    return rows.dense() if isinstance(rows, CSR) else rows


def fingerprint(data: Samples) -> str:
    """SHA-256 of x, y and weights."""
    import hashlib

    digest = hashlib.sha256()
    x, *others = data.arrays
    for part in (*(x.arrays if isinstance(x, CSR) else (x,)), *others):
        if part is not None:
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(part.data)
    return digest.hexdigest()


def accept_whole_numbers(net: Net, x: Any) -> None:
    """Lets the network accept integers other than uint8 if x, its training data, holds such integers.

    Other networks refuse them, as they could be pixels that should be divided by 255. ValueError: x most likely holds
    pixels.
    """
    values = np.empty(0) if is_sparse(x) else np.asarray(x)
    whole_numbers = values.dtype.kind in "bi" or (values.dtype.kind == "u" and values.dtype != np.uint8)
    if whole_numbers and values.size and values.min() >= 0 and MIN_WHITE <= values.max() <= 255:
        raise ValueError(
            f"x has dtype {values.dtype} and numbers from {values.min()} to {values.max()}; are they pixels? "
            "Accepted: x.astype(np.uint8), which means x/255, or x.astype(np.float32), the numbers as they are"
        )
    net._signature = net._signature._replace(whole_numbers=whole_numbers)
