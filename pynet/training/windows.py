"""Training on data that may be larger than memory: consecutive samples, a window, are read at once, the next ones while
the network trains. The windows of an epoch come in random order, and the samples of each are shuffled."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np

from pynet._ffi import Array
from pynet.augment import Augment
from pynet.data.array_rows import FileRows, NpyRows, Rows
from pynet.model.net import Net
from pynet.model.samples import Samples, check_finite, check_weights, targets_only
from pynet.model.task import TaskKind
from pynet.training.arguments import is_paths
from pynet.training.batches import PROBE_SIZE, DatasetBatches, part_start
from pynet.training.memory import available_memory
from pynet.training.validation import Piece

WINDOW_BYTES = 100 << 20  # of a window's x, where fit chooses its size
PARTS = 1 << 32  # numbers of orders for each epoch: shuffles of its windows, and of the samples of each
RUNS = 64  # places of a data set from which samples are taken to measure or diagnose


def part_order(n: int, seed: int, epoch: int, part: int) -> Array:
    """0..n-1 (int32) shuffled for a part of the data in an epoch: 0 are the windows themselves, then each of them."""
    from pynet.kernels import shuffle  # imported here: most programs do not need it

    return shuffle(n, seed, epoch * PARTS + part)


def opened(x: Any) -> Any:
    """A path, or a list of paths, of .npy files as their rows; anything else as it is."""
    return NpyRows(x if isinstance(x, (list, tuple)) else [x]) if is_paths(x) else x


def in_files(x: Any) -> bool:
    """Whether x are rows of files, which are read as they are asked for."""
    return isinstance(x, FileRows)


def window_for(x: Any, window: int | None, batch_size: int) -> int | None:
    """The number of samples in a window: as given, or chosen with a note if x is too large; None: all fit in memory.

    ValueError: a window would be smaller than a batch.
    """
    if window is not None:
        if window < batch_size:
            raise ValueError(f"window is {window}; accepted: {batch_size}, the batch size, or more")
        return window
    if not (in_files(x) or isinstance(x, np.memmap)):
        return None
    free = available_memory()
    size = int(x.nbytes)
    if free is None or size <= free // 2:
        return None
    sample = max(size // max(len(x), 1), 1)
    rows = max(min(WINDOW_BYTES, free // 8) // sample, 1)
    chosen = max(1 << (rows.bit_length() - 1), batch_size)
    warnings.warn(
        f"x takes {size / 1e9:.1f} GB, more than half of the {free / 1e9:.1f} GB of memory that are available: fit "
        f"reads windows of {chosen:,} samples; window={chosen} gives the same training on any machine",
        RuntimeWarning,
        stacklevel=4,
    )
    return chosen


class Windows:
    """Samples x, y with weights (n,) in windows of about `size`: those of all samples, or of these numbers, sorted."""

    def __init__(
        self,
        net: Net,
        x: Rows | Array,
        y: Rows | Array,
        size: int,
        *,
        weights: Array | None = None,
        augment: Augment | None = None,
        rows: Array | None = None,
        name: str = "",
    ) -> None:
        if len(x) != len(y):
            raise ValueError(f"{name}x has {len(x)} samples, {name}y has {len(y)}")
        if weights is not None:
            check_weights(weights)  # now, as the core would count the samples from the start of a window
        self._net, self._x, self._y, self._weights, self._augment = net, x, y, weights, augment
        self._rows, self._name = rows, name
        self.n = len(x) if rows is None else len(rows)
        self.count = max(-(-len(x) // size), 1)
        self._bounds = [part_start(len(x), self.count, w) for w in range(self.count + 1)]
        within = self._bounds if rows is None else np.searchsorted(rows, self._bounds).tolist()
        self.sizes = [after - first for first, after in pairwise(within)]
        first = self._samples(slice(0, min(self._bounds[1], PROBE_SIZE)))  # faults of shape and dtype, before training
        self.has_targets = first.targets is not None

    def _samples(self, part: slice, augment: Augment | None = None) -> Samples:
        """The samples of a slice of all, in arrays of their own."""
        x, y = (a[part] if in_files(a) else np.array(a[part]) for a in (self._x, self._y))
        weights = None if self._weights is None else self._weights[part]
        try:
            samples = self._net._samples(x, y, weights, augment)
        except ValueError as error:
            if len(self._x) == part.stop - part.start:
                raise
            raise ValueError(f"samples {part.start} to {part.stop - 1}: {error}") from None
        check_finite(samples, self._name, part.start)
        return samples

    def load(self, w: int) -> tuple[Samples, Array | None]:
        """The samples of window w, and the numbers (int32) of those that count; None: all."""
        first, after = self._bounds[w : w + 2]
        samples = self._samples(slice(first, after), self._augment)
        if self._rows is None:
            return samples, None
        low, high = np.searchsorted(self._rows, (first, after))
        return samples, (self._rows[low:high] - first).astype(np.int32)

    def each(self, order: Sequence[int]) -> Iterator[tuple[int, Samples, Array | None]]:
        """(number, samples, numbers of those that count) of these windows; a thread reads the next one meanwhile."""
        with ThreadPoolExecutor(1, "pynet-window") as reader:
            coming = reader.submit(self.load, order[0]) if order else None
            for i, w in enumerate(order):
                assert coming
                samples, rows = coming.result()
                coming = reader.submit(self.load, order[i + 1]) if i + 1 < len(order) else None
                yield w, samples, rows
                del samples, rows  # before the one after the next is read

    def pieces(self) -> Iterator[Piece]:
        """See Pieces of validation.py."""
        for w, samples, rows in self.each([w for w in range(self.count) if self.sizes[w]]):
            y = np.asarray(self._y[slice(*self._bounds[w : w + 2])])
            yield Piece(samples, rows, y if rows is None else y[rows])

    def fingerprint(self) -> str:
        """SHA-256 of all samples that count, read once."""
        import hashlib

        form = f"{self.n} {self._x.dtype.str}{self._x.shape[1:]} {self._y.dtype.str}{self._y.shape[1:]}"
        digests = [hashlib.sha256(form.encode()) for _ in range(4)]
        for _, samples, rows in self.each(range(self.count)):
            for digest, part in zip(digests, samples.arrays, strict=True):
                if isinstance(part, np.ndarray):
                    digest.update((part if rows is None else part[rows]).data)
        return hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()

    def some(self, most: int) -> Samples:
        """The samples that count, or so many of them from RUNS places: they may lie sorted. Few in between are read."""
        runs = 1 if self.n <= most else min(RUNS, most)
        length = max(min(most, self.n) // runs, 1)
        starts = np.linspace(0, max(self.n - length, 0), runs).astype(np.intp).tolist()
        x, y = (np.concatenate([self._run(part, at, length) for at in starts]) for part in (self._x, self._y))
        return self._net._samples(x, y)

    def _run(self, part: Rows | Array, at: int, length: int) -> Array:
        """So many of the samples that count, from the one at this place among them."""
        if self._rows is None:
            return np.asarray(part[at : at + length])
        rows = self._rows[at : at + length]
        found: Array = np.asarray(part[int(rows[0]) : int(rows[-1]) + 1])[rows - rows[0]]
        return found

    def task(self) -> TaskKind:
        """What the network learns here; all targets decide, as the first ones may be 0 and 1 where others are not."""
        net, task = self._net, self._net.task
        for bounds in pairwise(self._bounds) if len(net._tasks) > 1 else ():
            task = net._task_of(targets_only(net._signature, np.asarray(self._y[slice(*bounds)])))
            if task != "classes":
                break
        return task

    @property
    def augmentation(self) -> str:
        """The augmentation as text."""
        return self._samples(slice(0, 1), self._augment).augmentation


class WindowBatches(DatasetBatches):
    """Every sample once in an epoch, window after window, in batches that lie within a window."""

    def __init__(self, net: Net, windows: Windows, window: int, batch_size: int, seed: int, shuffle: bool) -> None:
        super().__init__(net, seed, shuffle)
        self._windows, self._window = windows, window
        self._steps = [-(-size // batch_size) for size in windows.sizes]
        self.samples, self.steps = windows.n, sum(self._steps)

    def _order(self, n: int, epoch: int, part: int) -> Array:
        return part_order(n, self._seed, epoch, part) if self._shuffle else np.arange(n, dtype=np.int32)

    def train(self, epoch: int, opt: Any, rates: Array | None, stats: Any) -> Iterator[int]:
        """See Batches."""
        step = int(stats.steps)  # in the end: within the first window that is left
        rest: list[int] = []
        for w in self._order(self._windows.count, epoch, 0).tolist():
            if rest or step < self._steps[w]:
                rest.append(w)
            else:
                step -= self._steps[w]
        for w, samples, rows in self._windows.each([w for w in rest if self._steps[w]]):
            order = self._order(self._windows.sizes[w], epoch, w + 1)
            order = order if rows is None else rows[order]
            yield from self._calls.train(samples, order, self._steps[w], step, opt, rates, stats)
            step = 0

    def _some(self, most: int) -> Samples:
        return self._windows.some(most)

    def task(self) -> TaskKind:
        """See Batches."""
        return self._windows.task()

    def samples_before(self, step: int) -> int | None:
        """See Batches: it depends on the order of the windows."""
        return None

    def facts(self) -> dict[str, str]:
        """See Batches."""
        return {
            "data": self._windows.fingerprint(),
            "augmentation": self._windows.augmentation,
            "window": str(self._window),
            **self._order_facts(),
        }
