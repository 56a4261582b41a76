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
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from pynet._ffi import Array
from pynet.augment import Augment
from pynet.model.csr import CSR, is_sparse
from pynet.model.evaluation import measured
from pynet.model.net import Net
from pynet.model.samples import Samples, check_targets, targets_only
from pynet.model.task import TaskKind
from pynet.text import MIN_WHITE
from pynet.training.history import FIGURES

CALL_SECONDS = 0.05  # duration of one call of the core: Ctrl-C, callbacks and the progress bar wait for it
FEW_STEPS = 4  # up to so many longer ones make one call of at most so many times CALL_SECONDS: it checks all parameters
PROBE_SIZE = 256  # samples in probe()
MEASURED = 4096  # maximum number of samples on which a regression is evaluated after each epoch
MEASURED_BYTES = 64 << 20  # of the copy of their inputs: fewer of large samples, but PROBE_SIZE
PIECE = 4096  # samples that are copied at once to be hashed


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


def part_size(n: int, parts: int, i: int) -> int:
    """The size of part i of n samples in parts that differ by at most one, larger ones first, as the core's batches."""
    return n // parts + (i < n % parts)


def part_start(n: int, parts: int, i: int) -> int:
    """The number of samples before part i."""
    return i * (n // max(parts, 1)) + min(i, n % max(parts, 1))


class Calls:
    """Trains on samples in a given order, in calls of the core of about CALL_SECONDS."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self._steps_per_call = 1

    def train(self, samples: Samples, order: Array, steps: int, step: int, *options: Any) -> Iterator[int]:
        """Trains from this step on, of so many; after each call, yields its number of samples.

        options: opt, rates and stats of Batches.train.
        """
        opt, rates, stats = options
        self._samples, self._order, n = samples, order, len(order)
        while step < steps:
            size, at = part_size(n, steps, step), part_start(n, steps, step)
            same_size = (n % steps if step < n % steps else steps) - step
            count = min(self._steps_per_call, same_size)
            self._at, self._size, self._step = at, size, int(stats.steps)
            begin = time.perf_counter()
            self._net._train(samples, order[at : at + count * size], size, opt, stats, _after(rates, stats))
            seconds_per_step = max(time.perf_counter() - begin, 1e-7) / count
            fit = CALL_SECONDS / seconds_per_step
            self._steps_per_call = max(1, min(max(int(fit), min(int(FEW_STEPS * fit), FEW_STEPS)), 4 * count))
            step += count
            yield count * size
        del self._samples  # the memory of a window

    def batch(self, stats: Any) -> Array:
        """See Batches."""
        at = self._at + (int(stats.steps) - self._step) * self._size
        x: Any = self._samples.x
        return _dense(x[self._order[at : at + self._size]])


class DatasetBatches:
    """What the batches of a data set share: all of its samples are known, and any of them can be measured."""

    samples: int
    steps: int

    def __init__(self, net: Net, seed: int, shuffle: bool) -> None:
        self._net, self._seed, self._shuffle = net, seed, shuffle
        self._measured: Samples | None = None
        self._calls = Calls(net)

    def _some(self, most: int) -> Samples:
        """Up to so many of the samples, without weights, from all places: they may lie sorted."""
        raise NotImplementedError

    def _order_facts(self) -> dict[str, str]:
        """The part of facts() that all have."""
        return {"batches": str(self.steps), "seed of the order": str(self._seed) if self._shuffle else "none"}

    def batch(self, stats: Any) -> Array:
        """See Batches."""
        return self._calls.batch(stats)

    def probe(self) -> tuple[Array, Array] | None:
        """See Batches."""
        x, labels, targets, _ = self._some(PROBE_SIZE).arrays
        y = labels if labels is not None else targets
        return (_dense(x), y) if self.samples and x is not None and y is not None else None

    def columns(self, task: TaskKind) -> tuple[str, ...]:
        """See Batches."""
        return FIGURES[task]

    def figures(self, task: TaskKind, stats: Any) -> dict[str, float]:
        """See Batches."""
        if task != "regression":
            return counted(stats)
        if self._measured is None:
            sample: Any = self._some(1).x
            self._measured = self._some(max(PROBE_SIZE, min(MEASURED, MEASURED_BYTES // max(sample.nbytes, 1))))
        return regression_figures(self._net, self._measured, stats)


class ArrayBatches(DatasetBatches):
    """Every sample once in an epoch, or those of `rows`, (n,) int32; seed and epoch determine the order, unless shuffle
    is False."""

    def __init__(
        self, net: Net, samples: Samples, batch_size: int, seed: int, shuffle: bool = True, rows: Array | None = None
    ) -> None:
        super().__init__(net, seed, shuffle)
        self._data, self._rows = samples, rows
        self.samples = samples.n if rows is None else len(rows)
        self.steps = -(-self.samples // batch_size)

    def samples_before(self, step: int) -> int | None:
        """See Batches."""
        return part_start(self.samples, self.steps, step)

    def train(self, epoch: int, opt: Any, rates: Array | None, stats: Any) -> Iterator[int]:
        """See Batches."""
        from pynet.kernels import shuffle  # imported here: most programs do not need it

        order = shuffle(self.samples, self._seed, epoch) if self._shuffle else np.arange(self.samples, dtype=np.int32)
        order = order if self._rows is None else self._rows[order]
        yield from self._calls.train(self._data, order, self.steps, int(stats.steps), opt, rates, stats)

    def _some(self, most: int) -> Samples:
        rows: Any = slice(None)
        if self.samples > most or self._rows is not None:
            rows = np.linspace(0, self.samples - 1, min(most, self.samples)).astype(np.intp)
            rows = rows if self._rows is None else self._rows[rows]
        x, labels, targets, _ = (part if part is None else part[rows] for part in cast(Any, self._data.arrays))
        return Samples(x, labels, targets, min(most, self.samples))

    def task(self) -> TaskKind:
        """See Batches."""
        return self._net._task_of(self._data)

    def facts(self) -> dict[str, str]:
        """See Batches."""
        return {
            "data": fingerprint(self._data, self._rows),
            "augmentation": self._data.augmentation,
            **self._order_facts(),
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
        found = counted(stats)
        return {name: found[name] for name in self.columns(task)}

    def facts(self) -> dict[str, str]:
        """See Batches; the contents are not known in advance."""
        augmentation = str(self._augment or "none").replace("default", "usual")  # as in checkpoints of earlier versions
        return {"data": "batches", "augmentation": augmentation}


def counted(stats: Any) -> dict[str, float]:
    """Loss and accuracy as an epoch went."""
    n = max(stats.samples, 1)
    return {"loss": stats.loss / n, "accuracy": stats.correct / n}


def regression_figures(net: Net, samples: Samples, stats: Any) -> dict[str, float]:
    """The loss of an epoch with these stats, RMSE and R2 on samples with targets. FloatingPointError: not finite."""
    assert samples.targets is not None
    found = measured(counted(stats)["loss"], samples.targets, net._outputs(samples))
    if found.samples and not math.isfinite(found.rmse):
        raise FloatingPointError
    return {name: getattr(found, name) for name in FIGURES["regression"]}


def _after(rates: Array | None, stats: Any) -> Array | None:
    """The learning rates of the remaining steps."""
    return None if rates is None else rates[stats.steps :]


def _dense(rows: Array | CSR) -> Array:
    return rows.dense() if isinstance(rows, CSR) else rows


def fingerprint(data: Samples, rows: Array | None = None) -> str:
    """SHA-256 of x, y and weights, of all samples or of these."""
    import hashlib

    digest = hashlib.sha256()
    x, *others = data.arrays
    if isinstance(x, CSR):
        x = x if rows is None else x[rows]
        _hash(digest, x.arrays)
    _hash(digest, others if isinstance(x, CSR) else (x, *others), rows)
    return digest.hexdigest()


def _hash(digest: Any, arrays: Iterable[Array | None], rows: Array | None = None) -> None:
    for part in arrays:
        if part is None:
            continue
        digest.update(f"{part.dtype.str}{part.shape if rows is None else (len(rows), *part.shape[1:])}".encode())
        for piece in (part,) if rows is None else (part[rows[i : i + PIECE]] for i in range(0, len(rows), PIECE)):
            digest.update(piece.data)


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
