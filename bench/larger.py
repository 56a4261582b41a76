"""Networks one step beyond the digits: training steps and predictions, beside the limit of their products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.measurements import Rows
from bench.peers.larger import CASES, CONTESTANTS, Case
from bench.runner import Plan, Workers, c_program, compare, meet

QUESTION = "larger"
PREDICTED = 512  # rows in one call


@dataclass(frozen=True)
class Work:
    """What is timed: the name of a method of the contestants, and the number of rows of a call."""

    what: str
    method: str
    rows: int  # 0: the batch of the case


WORKS = [Work("step", "step", 0), Work(f"{PREDICTED} rows", "predict", PREDICTED), Work("one row", "predict", 1)]


def measure(workers: Workers, plan: Plan) -> Rows:
    """Rows in seconds per step or per call; fact "gflops" counts all products."""
    rows = Rows()
    for threads in plan.threads:
        peak = c_program(threads, "peak", threads)
        for case in CASES:
            for work in WORKS:
                rows += _meet(workers, plan, case, work, threads, peak.run)
        peak.close()
    return rows


def _meet(workers: Workers, plan: Plan, case: Case, work: Work, threads: int, peak: Callable[[], float]) -> Rows:
    task = {"task": "larger", "name": case.name, "method": work.method, "rows": work.rows or case.batch}
    known = [name for name in CONTESTANTS if name.partition("-")[0] in plan.contestants]
    names = [name for name in known if case.has_images or name != "torch-channels-last"]
    turns, replies = compare(workers, names, threads, task)
    flops = replies["pynet"]["flops"]
    turns["peak"] = lambda: peak() * flops * 1e-9
    found = Rows(meet(QUESTION, f"{case.name}, {work.what}", threads, turns, plan))
    for row in found:
        row.facts["gflops"] = flops * 1e-9 / row.median
    return found
