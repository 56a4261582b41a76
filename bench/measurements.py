"""Measurements as rows, and selections of rows for tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Row:
    """The seconds of each turn of one contestant in one case; facts: other figures of it, such as MB."""

    question: str
    case: str
    threads: int
    contestant: str
    seconds: list[float]
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def minimum(self) -> float:
        return min(self.seconds)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: medians, minima and every turn, to four digits."""
        rounded = [float(f"{s:.4g}") for s in self.seconds]
        return {**asdict(self), "median": statistics.median(rounded), "minimum": min(rounded), "seconds": rounded}


def from_dict(values: dict[str, Any]) -> Row:
    """The row that as_dict wrote."""
    return Row(**{name: values[name] for name in ("question", "case", "threads", "contestant", "seconds", "facts")})


class Rows(list[Row]):
    """All rows of a run."""

    def pick(self, question: str, case: str | None = None, threads: int | None = None) -> Rows:
        """The rows of a question; case, threads: only those, None: all."""
        return Rows(
            row
            for row in self
            if row.question == question and case in (None, row.case) and threads in (None, row.threads)
        )

    def one(self, contestant: str) -> Row | None:
        """The contestant's row, if it has one."""
        return next((row for row in self if row.contestant == contestant), None)

    def best(self, contestants: Iterable[str]) -> Row | None:
        """The row with the lowest median among these contestants."""
        names = set(contestants)
        return min((row for row in self if row.contestant in names), key=lambda row: row.median, default=None)

    def cases(self) -> list[tuple[str, int]]:
        """The cases with their number of threads, in order."""
        return list(dict.fromkeys((row.case, row.threads) for row in self))


def ratio(rows: Rows, ours: str, theirs: Iterable[str]) -> float | None:
    """The lowest median of theirs divided by ours, so above 1 if ours is faster. None if either is missing."""
    mine, best = rows.one(ours), rows.best(theirs)
    return None if mine is None or best is None else best.median / mine.median
