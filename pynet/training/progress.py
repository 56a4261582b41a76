"""The position of a training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pynet._ffi import Array
from pynet.model.net import new_stats, stats_numbers


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
