"""A communicator as those of mpi4py whose processes are threads: tests of what they exchange need no MPI."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

GUARD = 60  # seconds: a thread that waits longer hangs


class Aborted(Exception):
    """Abort was called, which would end all processes."""


class _Meeting:
    """What all threads share: a place for the value of each, and a barrier."""

    def __init__(self, size: int) -> None:
        self.values: list[Any] = [None] * size
        self.barrier = threading.Barrier(size, timeout=GUARD)
        self.aborted = False

    def wait(self) -> None:
        try:
            self.barrier.wait()
        except threading.BrokenBarrierError:
            raise Aborted(self.aborted) from None


class Communicator:
    """The methods of mpi4py's Comm that pynet calls."""

    def __init__(self, meeting: _Meeting, rank: int) -> None:
        self._meeting, self._rank = meeting, rank
        self.sent = 0  # bytes of arrays

    def Get_rank(self) -> int:
        return self._rank

    def Get_size(self) -> int:
        return len(self._meeting.values)

    def allgather(self, value: Any) -> list[Any]:
        self._meeting.values[self._rank] = pickle.dumps(value)
        self._meeting.wait()
        found = [pickle.loads(sent) for sent in self._meeting.values]
        self._meeting.wait()
        return found

    def bcast(self, value: Any, root: int = 0) -> Any:
        return self.allgather(value)[root]

    def Sendrecv(self, sent: Any, dest: int, *, recvbuf: Any, source: int) -> None:
        assert dest == source != self._rank
        assert sent.flags.c_contiguous
        assert recvbuf.flags.c_contiguous
        self.sent += sent.nbytes
        np.copyto(recvbuf, self.allgather(sent.copy())[source])

    def Abort(self, status: int) -> None:
        self._meeting.aborted = True
        self._meeting.barrier.abort()
        raise Aborted(status)


def together(size: int, function: Callable[[Communicator], Any]) -> list[Any]:
    """The results, or exceptions, of function(comm) on so many threads at once, by rank."""
    meeting = _Meeting(size)

    def run(rank: int) -> Any:
        try:
            return function(Communicator(meeting, rank))
        except BaseException as error:
            return error

    with ThreadPoolExecutor(size) as threads:
        return list(threads.map(run, range(size)))
