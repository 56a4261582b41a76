"""The time of a training step on images: a LeNet-like network, batches of 64."""

from __future__ import annotations

from bench.measurements import Rows
from bench.peers.lenet import LENET, flops_per_sample
from bench.runner import Plan, Workers, compare, meet

QUESTION = "convolution"
CASE = "LeNet-like, batch 64"
BATCH = 64
STEPS = 50  # in one turn
LEARNS = 0.6  # minimum accuracy on the test set after the first turn


def contestants(names: list[str]) -> list[str]:
    """The contestants among these with a convolution, and their variants."""
    return [name for name in LENET if name.partition("-")[0] in names]


def measure(workers: Workers, plan: Plan) -> Rows:
    """Rows in seconds a step; fact "accuracy" is that after the first turn, "gflops" counts all products."""
    rows = Rows()
    task = {"task": "train", "net": "lenet", "batch": BATCH, "data": "bytes", "samples": BATCH * STEPS}
    for threads in plan.threads:
        turns, replies = compare(workers, contestants(plan.contestants), threads, task)
        for row in meet(QUESTION, CASE, threads, turns, plan):
            row.seconds = [seconds / STEPS for seconds in row.seconds]
            row.facts |= {"gflops": flops_per_sample() * BATCH * 1e-9 / row.median} | replies[row.contestant]
            rows.append(row)
    return rows
