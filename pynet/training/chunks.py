"""Training in batches that are cut into chunks, whose gradients are added up in a fixed tree: the same bits for every
number of processes that share the chunks, and for every number of threads of each.

The samples are `chunks` shards, one after the other, each shuffled on its own; chunk i of a batch is from shard i. Of R
processes, number r computes chunks r, r + R, r + 2 R, ... and reads those shards alone. The tree adds chunk i and
i + chunks / 2 first, then the sums whose numbers differ by chunks / 4, and so on: the last log2 R levels are between
processes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from pynet._ffi import Array
from pynet.errors import LossNotFiniteError
from pynet.model.net import Net, new_stats
from pynet.model.samples import Samples, check_finite
from pynet.training.batches import CALL_SECONDS, ArrayBatches, fingerprint, part_size, part_start
from pynet.training.diagnose import source_of_nonfinite
from pynet.training.parallel import Processes
from pynet.training.windows import part_order

MOST_CHUNKS = 1 << 16
COMPARED = 16  # samples that processes compare


def check_chunks(net: Net, chunks: int, processes: Processes) -> None:
    """ValueError: not a power of two that the number of processes divides, or the network has batchnorm."""
    if chunks & (chunks - 1) or chunks > MOST_CHUNKS:
        raise ValueError(f"chunks is {chunks}; accepted: a power of two, up to {MOST_CHUNKS}")
    if chunks % processes.size:
        divisors = ", ".join(str(1 << i) for i in range(chunks.bit_length()))
        raise ValueError(f"{processes.size} processes cannot share {chunks} chunks; accepted numbers: {divisors}")
    for layer in net.layers:
        if layer.kind == "batchnorm" and chunks > 1:
            raise ValueError(
                f"layer {layer.path} is batchnorm, which needs all rows of a batch, not chunks; accepted: layernorm"
            )


class ChunkBatches(ArrayBatches):
    """Every sample, or those of `rows`, once in an epoch, in batches of `chunks` chunks."""

    def __init__(
        self,
        net: Net,
        samples: Samples,
        batch_size: int,
        seed: int,
        shuffle: bool,
        chunks: int,
        processes: Processes,
        *,
        rows: Array | None = None,
        window: int | None = None,
    ) -> None:
        super().__init__(net, samples, batch_size, seed, shuffle, rows)
        self._chunks, self._processes, self._window = chunks, processes, window
        smallest = self.samples // chunks
        if smallest < self.steps:
            raise ValueError(
                f"{self.samples} samples are {chunks} shards of {smallest}, too few for a chunk each of {self.steps} "
                f"batches; accepted: fewer chunks, larger batches, or more samples"
            )
        self._mine = range(processes.rank, chunks, processes.size)
        self._sizes = np.array([part_size(self.samples, chunks, i) for i in range(chunks)])  # of the shards
        self._block = net._gradient_block
        self._failed = np.empty(0, np.int32)  # the samples of this process in the batch whose loss is not finite

    # ---- shards ----

    def _shard(self, chunk: int) -> slice:
        return slice(*(part_start(self.samples, self._chunks, i) for i in (chunk, chunk + 1)))

    def _order(self, chunk: int, epoch: int) -> Array:
        """The samples of a shard in the order of this epoch, int32."""
        shard = self._shard(chunk)
        n = shard.stop - shard.start
        order = self._shuffled(n, epoch, chunk) if self._shuffle else np.arange(n, dtype=np.int32)
        order += np.int32(shard.start)
        return order if self._rows is None else self._rows[order]

    def _shuffled(self, n: int, epoch: int, chunk: int) -> Array:
        """0..n-1 shuffled; within windows, which come in random order, if there are any."""
        count = 1 if self._window is None else max(-(-n // self._window), 1)
        first = 1 + chunk * (1 + (1 << 15))  # number of this shard's first order; its windows follow
        if count == 1:
            return part_order(n, self._seed, epoch, first)
        bounds = [part_start(n, count, w) for w in range(count + 1)]
        return np.concatenate(
            [
                part_order(bounds[w + 1] - bounds[w], self._seed, epoch, first + 1 + w) + np.int32(bounds[w])
                for w in part_order(count, self._seed, epoch, first).tolist()
            ]
        )

    def check_finite(self) -> None:
        """ValueError: a sample of this process's shards holds NaN or infinity, or one for validation between them."""
        x, _, targets, _ = self._data.arrays
        for chunk in self._mine:
            first, after = self._shard(chunk).start, self._shard(chunk).stop
            if self._rows is not None:  # it is sorted: these shards, and what lies between them, are all samples
                first = int(self._rows[first]) if chunk else 0
                after = int(self._rows[after]) if chunk + 1 < self._chunks else self._data.n
            part = slice(first, after)
            samples = Samples(None if x is None else x[part], None, None if targets is None else targets[part], 0)
            check_finite(samples, first=first)

    # ---- training ----

    def train(self, epoch: int, opt: Any, rates: Array | None, stats: Any) -> Iterator[int]:
        """See Batches; each process yields after the same steps."""
        order = np.concatenate([self._order(chunk, epoch) for chunk in self._mine])
        first, after = int(self._net.updates) - int(stats.steps), new_stats()
        self._begin, samples = time.perf_counter(), int(stats.samples)
        try:
            while stats.steps < self.steps:
                step = int(stats.steps)
                totals = self._gradient(order, step)
                after.loss, after.correct = stats.loss + totals[0], stats.correct + int(totals[1])
                after.samples, after.steps = stats.samples + int(totals[2]), step + 1
                self._update(opt, None if rates is None else rates[step:])
                stats[0] = after[0]
                if totals[4] or after.steps == self.steps:
                    yield int(stats.samples) - samples
                    samples, self._begin = int(stats.samples), time.perf_counter()
        except BaseException:
            if self._net.updates - first == after.steps:  # interrupted between the update and its record
                stats[0] = after[0]
            raise

    def _gradient(self, order: Array, step: int) -> Array:
        """Computes the gradient of a batch and returns its totals; raises on all processes what one of them meets."""
        error: BaseException | None = None
        (parts, batch_rows), found = self._parts(step), new_stats()
        try:
            self._net._gradient(self._data, order, parts, batch_rows, found)
        except LossNotFiniteError as cause:
            self._failed = np.concatenate([order[at : at + n] for at, n, _ in parts])
            error = LossNotFiniteError(f"the loss is not finite{source_of_nonfinite(self._net, self.batch(None))}")
            error.__cause__ = cause
        except Exception as cause:
            error = cause
        due = self._processes.first and time.perf_counter() - self._begin >= CALL_SECONDS
        totals = np.array([found.loss, found.correct, found.samples, error is not None, due])
        self._processes.add(totals)
        if totals[3]:
            self._processes.share(error)
        self._processes.add(self._block)
        return totals

    def _parts(self, step: int) -> tuple[Array, int]:
        """The chunks of this process, (chunks, 3), and the rows of the whole batch: see Net._gradient."""
        rows = self._sizes // self.steps + (step < self._sizes % self.steps)
        ends, mine = np.cumsum(rows), slice(self._processes.rank, None, self._processes.size)
        sizes = self._sizes[mine]
        at = np.cumsum(sizes) - sizes + step * (sizes // self.steps) + np.minimum(step, sizes % self.steps)
        return np.stack([at, rows[mine], (ends - rows)[mine]], axis=1), int(ends[-1])

    def _update(self, opt: Any, rates: Array | None) -> None:
        """A step of the optimizer: all processes have the same gradients, and find alike if they are not finite."""
        try:
            self._net._step(opt, rates)
        except LossNotFiniteError as error:
            self._processes.share(error)

    # ---- what fit needs besides ----

    def batch(self, stats: Any) -> Array:
        """See Batches: those of this process."""
        x: Any = self._data.x
        rows = x[self._failed]
        return rows.dense() if hasattr(rows, "dense") else rows  # type: ignore[no-any-return]

    def samples_before(self, step: int) -> int | None:
        """See Batches."""
        steps = max(self.steps, 1)
        return int((step * (self._sizes // steps) + np.minimum(step, self._sizes % steps)).sum())

    def compared(self) -> dict[str, str]:
        """What must be the same for all processes, as text; of the data, a few samples."""
        x: Any = self._data.x
        rows = np.linspace(0, max(self._data.n - 1, 0), min(self._data.n, COMPARED)).astype(np.intp)
        shown = f"{self._data.n} samples {x.dtype if isinstance(x, np.ndarray) else 'sparse'}, {x.shape[1:]}"
        return {
            "data": f"{shown}, some of SHA-256 {fingerprint(self._data, rows)[:16]}",
            "augmentation": self._data.augmentation,
            "chunks": str(self._chunks),
            "window": str(self._window),
            **self._order_facts(),
        }

    def facts(self) -> dict[str, str]:
        """See Batches; each process reads its own shards."""
        import hashlib

        rows = np.arange(self._data.n, dtype=np.int32) if self._rows is None else self._rows
        mine = [fingerprint(self._data, rows[self._shard(chunk)]) for chunk in self._mine]
        gathered = self._processes.gather(mine)
        shards = [part[i] for i in range(len(mine)) for part in gathered]
        return {
            "chunks": str(self._chunks),
            "data": hashlib.sha256("".join(shards).encode()).hexdigest(),
            "augmentation": self._data.augmentation,
            **({"window": str(self._window)} if self._window else {}),
            **self._order_facts(),
        }
