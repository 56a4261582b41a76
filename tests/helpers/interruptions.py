"""Callbacks that end a training at a chosen moment."""

from __future__ import annotations

from pynet.training.callbacks import Run


class Crash(Exception):
    """What After raises unless it is given another error."""


class After:
    """Raises at this occurrence of an event, on_batch_end (a call of the core) or another."""

    def __init__(self, event: str, times: int, error: type[BaseException] = Crash) -> None:
        self.times, self.error = times, error
        setattr(self, event, self._count)

    def _count(self, run: Run) -> None:
        self.times -= 1
        if self.times == 0:
            self.end(run)

    def end(self, run: Run) -> None:
        raise self.error


class Stop(After):
    """Stops the training at this occurrence of an event."""

    def end(self, run: Run) -> None:
        run.stop()
