"""The time of a training epoch.

W64 and its neighbours: other batches, other networks, one thread and all, with zeros to skip (bytes) and without
(standardised floats); and what Python adds to the same loop in C. W64 trains on all of MNIST, the others on a quarter,
which saves time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from bench import data
from bench.measurements import Row, Rows
from bench.runner import Plan, Workers, c_program, compare, meet

QUESTION = "training"
PYTHON = "Python's share"
EPOCHS = 3  # in one call of fit, to see what Python adds


@dataclass(frozen=True)
class Case:
    """A network and its training. share: it uses 1 / share of the samples; learns: minimum accuracy after an epoch."""

    name: str
    widths: tuple[int, ...] = (784, 128, 64, 10)
    batch: int = 64
    data: str = "bytes"
    share: int = 4
    learns: float = 0.85

    @property
    def text(self) -> str:
        """The network as text for pynet."""
        hidden = " ".join(f"dense({n}) relu" for n in self.widths[1:-1])
        return f"input({self.widths[0]}) {hidden} dense({self.widths[-1]}) softmax"

    @property
    def flops_per_sample(self) -> int:
        """The operations of the dense products: forward, weight gradients, input gradients except the first layer's."""
        products = [a * b for a, b in pairwise(self.widths)]
        return 2 * (3 * sum(products) - products[0])

    def task(self, samples: int | None, kind: str = "train") -> dict[str, object]:
        """The task for bench.worker."""
        return {
            "task": kind,
            "widths": list(self.widths),
            "batch": self.batch,
            "data": self.data,
            "samples": samples,
            "epochs": EPOCHS,
        }


W64 = Case("W64", share=1, learns=0.92)
W64_STANDARDISED = replace(W64, name="W64, standardised", data="standardised")
LARGE = Case("784-512-512-10", widths=(784, 512, 512, 10), learns=0.8)
CASES = [
    W64,
    W64_STANDARDISED,
    Case("batch 32", batch=32),
    Case("batch 256", batch=256, learns=0.75),
    Case("batch 1024", batch=1024, learns=0.5),
    Case("784-32-10", widths=(784, 32, 10), learns=0.8),
    LARGE,
]


def measure(workers: Workers, plan: Plan) -> Rows:
    """Rows in seconds per epoch; facts: "accuracy" after the first epoch, "gflops" of the dense arithmetic."""
    rows = Rows()
    for threads in plan.threads:
        for case in CASES:
            rows += epochs(workers, plan, case, threads)
        rows += pythons_share(workers, plan, threads)
    return rows


def epochs(workers: Workers, plan: Plan, case: Case, threads: int) -> list[Row]:
    """The rows of all contestants in one case."""
    samples = samples_of(plan) // case.share
    turns, replies = compare(workers, plan.contestants, threads, case.task(samples))
    peak = c_program(threads, "peak", threads) if case is W64_STANDARDISED else None
    flops = case.flops_per_sample * samples
    if peak:
        turns["peak"] = lambda: peak.run() * flops * 1e-9
    more = 2 if case is W64 else 0
    rows = meet(QUESTION, case.name, threads, turns, replace(plan, rounds=plan.rounds + more))
    if peak:
        peak.close()
    for row in rows:
        row.facts["gflops"] = flops * 1e-9 / row.median
        if row.contestant in replies:
            row.facts |= replies[row.contestant]
    return rows


def unlearnt(rows: Rows) -> list[Row]:
    """The rows of contestants whose training failed, so that their times are meaningless."""
    limits = {case.name: case.learns for case in CASES}
    return [row for row in rows.pick(QUESTION) if row.facts.get("accuracy", 1) < limits[row.case]]


def samples_of(plan: Plan) -> int:
    """The number of training samples."""
    return plan.samples or data.path("train", "labels").stat().st_size // 4


def pythons_share(workers: Workers, plan: Plan, threads: int) -> list[Row]:
    """Rows for one call of fit with several epochs of W64, and for the same loop in C."""
    process, _ = workers.prepare("pynet", threads, W64.task(plan.samples, "fit"))
    files = data.path("train", "bytes"), data.path("train", "labels"), samples_of(plan)
    loop = c_program(threads, "loop", "train", "sgd", W64.text, W64.batch, EPOCHS, *files)
    turns = {"pynet": process.run, "C": loop.run}
    rows = meet(PYTHON, f"W64, {EPOCHS} epochs", threads, turns, replace(plan, rounds=plan.rounds + 3))
    loop.close()
    return rows
