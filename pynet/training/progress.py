"""How far a training has come."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pynet._ffi import Array
from pynet.model.net import new_stats


@dataclass
class Progress:
    """Where a training is, between two calls of the core.

    rows: the figures of the epochs that are over. epoch: the one that stats (pn_stats *) and seconds are of, from 0;
    -1: none has begun. best: the weights that early stopping may restore.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    epoch: int = -1
    stats: Any = field(default_factory=new_stats)
    seconds: float = 0.0
    best: dict[str, Array] = field(default_factory=dict)

    def begin(self, epoch: int) -> None:
        """An epoch begins; nothing changes if the training was resumed within it."""
        if self.epoch != epoch:
            self.epoch, self.stats, self.seconds = epoch, new_stats(), 0.0
