"""The time of pynet's training by number of samples, width, depth and threads."""

from __future__ import annotations

import sys

from bench.measurements import Row, Rows
from bench.runner import Plan, Workers, alternate
from bench.training import Case, samples_of

QUESTION = "scaling"
SAMPLES = (7_500, 15_000, 30_000, 60_000)
WIDTHS = (32, 64, 128, 256, 512)
DEPTHS = (1, 2, 4, 8)  # hidden layers of 128
PARTS = 4  # widths and depths are measured on one part of the samples


def cases(plan: Plan) -> list[tuple[Case, int]]:
    """Networks and numbers of samples; batches of 64."""
    everything = samples_of(plan)
    found = [(Case(f"samples {n:,}"), n) for n in SAMPLES if n <= everything]
    few = max(everything // PARTS, 1)
    found += [(Case(f"width {n}", (784, n, n, 10)), few) for n in WIDTHS]
    found += [(Case(f"depth {n}", (784, *[128] * n, 10)), few) for n in DEPTHS]
    return found


def measure(workers: Workers, plan: Plan) -> Rows:
    """Rows in seconds per epoch; facts: "samples" in it, "gflops" of the dense arithmetic.

    The numbers of threads are measured in turns.
    """
    rows = Rows()
    for case, samples in cases(plan):
        print(f"  {case.name}", file=sys.stderr, flush=True)
        turns = {str(n): workers.prepare("pynet", n, case.task(samples))[0].run for n in plan.threads}
        for threads, seconds in alternate(turns, plan.rounds, plan.seconds).items():
            row = Row(QUESTION, case.name, int(threads), "pynet", seconds, {"samples": samples})
            row.facts["gflops"] = case.flops_per_sample * samples * 1e-9 / row.median
            rows.append(row)
    return rows
