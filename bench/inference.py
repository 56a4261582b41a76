"""The time of predictions: one image from Python and from C, and 10,000 images in one call."""

from __future__ import annotations

from bench import data
from bench.measurements import Rows
from bench.runner import Plan, Workers, c_program, compare, meet
from bench.training import W64

QUESTION = "inference"
MANY = 10_000
CALLS = 10_000  # from C, in one turn


def measure(workers: Workers, plan: Plan) -> Rows:
    """Rows in seconds per call, for the network W64 and images of the test set."""
    rows = Rows()
    for threads in plan.threads:
        for case, samples, call in (
            (f"class of {MANY:,} images", MANY, "predict"),
            ("class of one image", 1, "predict"),
            ("probabilities of one image", 1, "probabilities"),
        ):
            names = plan.contestants if call == "predict" else ["pynet", "numpy"]
            task = {"task": "classify", "widths": list(W64.widths), "samples": samples, "call": call}
            turns, _ = compare(workers, names, threads, task)
            loop = c_program(threads, "loop", "predict", W64.text, CALLS, data.path("test", "bytes"))
            if samples == 1:
                turns["C"] = loop.run
            rows += meet(QUESTION, case, threads, turns, plan)
            loop.close()
    return rows
