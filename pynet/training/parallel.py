"""One training by several processes: what they exchange, over an MPI communicator or, alone, with nobody.

An error on one process is raised on all of them, so that none waits for a message that never comes; one that cannot be
shared, since the others are already waiting for something else, ends them all.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import numpy as np

from pynet._ffi import Array
from pynet.errors import LossNotFiniteError
from pynet.text import printable

T = TypeVar("T")
SMALL = 1 << 11  # numbers: below, a sum takes fewer messages if each carries all of them

# What may be raised again on another process; other errors become that of these from which they derive.
_SHARED: dict[str, type[Exception]] = {
    kind.__name__: kind
    for kind in (LossNotFiniteError, FloatingPointError, ValueError, TypeError, OSError, MemoryError, RuntimeError)
}


def _add(y: Array, x: Array) -> None:
    """y += x; float32 with the core's arithmetic, which flushes denormals, as where it adds gradients itself."""
    from pynet.kernels import add_to  # imported here: most programs do not need it

    if y.dtype == np.float32:
        add_to(y, x)
    else:
        y += x


class Processes:
    """The processes of a training: `size` of them, a power of two, of which this is number `rank`.

    kinds: of errors, besides Python's and pynet's own, that are raised on all processes as they are.
    """

    def __init__(self, comm: Any = None, kinds: Sequence[type[Exception]] = ()) -> None:
        if comm is not None and not all(hasattr(comm, name) for name in ("Get_rank", "allgather", "Sendrecv")):
            raise TypeError(f"comm is {comm!r:.80}; accepted: an mpi4py communicator, as MPI.COMM_WORLD, or None")
        self.comm = comm
        self.rank: int = comm.Get_rank() if comm is not None else 0
        self.size: int = comm.Get_size() if comm is not None else 1
        self._kinds = {kind.__name__: kind for kind in kinds} | _SHARED
        self._memory: dict[Any, Array] = {}
        self._stderr = sys.stderr  # commands redirect it on all processes but the first
        self._agreed = False  # on the error that is being raised

    @property
    def first(self) -> bool:
        """Whether this process prints, validates and writes files."""
        return self.rank == 0

    # ---- errors ----

    def share(self, error: BaseException | None) -> None:
        """Raises the error that one of the processes has, on all of them. All must call this; None: no error."""
        if self.size == 1:
            if error:
                raise error
            return
        found = self.comm.allgather(error and self._report(error))
        for rank, report in enumerate(found):
            if report:
                self._agreed = True
                kind, text = report
                place = "" if all(other == report for other in found) else f"rank {rank}: "
                raise self._kinds[kind](place + text) from error

    def _report(self, error: BaseException) -> tuple[str, str]:
        """Kind and text of an error, for other processes."""
        kind = next((kind.__name__ for kind in type(error).__mro__ if kind.__name__ in self._kinds), "")
        text = re.sub(r"^\[Errno -?\d+\] ", "", str(error))  # the words that follow say the same
        return (kind, text) if kind else ("RuntimeError", f"{type(error).__name__}: {text}")

    @contextmanager
    def sharing(self) -> Iterator[None]:
        """Errors of what is done within are shared."""
        try:
            yield
        except Exception as error:
            if self._agreed:
                raise
            self.share(error)
            raise
        self.share(None)

    @contextmanager
    def ending_together(self) -> Iterator[None]:
        """An error that is not shared ends all processes, as they may be waiting for this one."""
        try:
            yield
        except SystemExit:  # of --help, say
            raise
        except BaseException:
            if self.size > 1 and not self._agreed:
                traceback.print_exc(file=self._stderr)
                print(f"rank {self.rank} failed: all {self.size} processes end", file=self._stderr, flush=True)
                self.comm.Abort(1)
            raise

    # ---- values ----

    def from_first(self, value: T) -> T:
        """The value that the first process has."""
        return value if self.size == 1 else cast(T, self.comm.bcast(value))

    def of_first(self, function: Callable[[], T]) -> T:
        """What this function gives on the first process, where alone it is called; its errors are shared."""
        if self.size == 1:
            return function()
        result: T | None = None
        with self.sharing():
            if self.first:
                result = function()
        return cast(T, self.from_first(result))

    def compare(self, facts: Mapping[str, str]) -> None:
        """ValueError, on all processes, that names the first fact which differs, with both values."""
        if self.size == 1:
            return
        found = self.comm.allgather(dict(facts))
        for name in facts:
            for rank, other in enumerate(found):
                if other.get(name) != found[0].get(name):
                    self._agreed = True
                    here, there = (printable(str(values.get(name)))[:200] for values in (other, found[0]))
                    raise ValueError(f"rank {rank} has another {name} than rank 0: {here}, not {there}")

    def gather(self, value: T) -> list[T]:
        """The value of each process, by rank."""
        return [value] if self.size == 1 else self.comm.allgather(value)

    def add(self, block: Array) -> None:
        """Replaces block (n,), float32 or float64, by its sum over all processes, in a fixed tree.

        At distance size / 2, ..., 2, 1 each adds what the process with rank XOR distance has: every number is added in
        the same order on all of them, so all have the same bits. Large blocks are halved before each exchange, and the
        sums of the halves sent back in the end (Rabenseifner 2004); that moves less and adds in the same order.
        """
        if self.size == 1:
            return
        other = self._received(block)
        distances = [self.size >> i for i in range(1, self.size.bit_length())]
        if len(block) < SMALL:
            for distance in distances:
                self._exchange(distance, block, other)
                _add(block, other)
            return
        mine, done = slice(0, len(block)), []
        for distance in distances:
            middle = (mine.start + mine.stop) // 2
            low, high = slice(mine.start, middle), slice(middle, mine.stop)
            mine, theirs = (high, low) if self.rank & distance else (low, high)
            self._exchange(distance, block[theirs], other[mine])
            _add(block[mine], other[mine])
            done.append((distance, mine, theirs))
        for distance, mine, theirs in reversed(done):
            self._exchange(distance, block[mine], block[theirs])

    def _received(self, block: Array) -> Array:
        """Memory for what comes in, kept for the next time."""
        key = block.dtype.str, len(block)
        if key not in self._memory:
            self._memory[key] = np.empty_like(block)
        return self._memory[key]

    def _exchange(self, distance: int, mine: Array, theirs: Array) -> None:
        partner = self.rank ^ distance
        self.comm.Sendrecv(mine, partner, recvbuf=theirs, source=partner)
