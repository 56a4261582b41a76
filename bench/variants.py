"""The time of W64 with other optimizers and layers, beside plain W64, all from C."""

from __future__ import annotations

from dataclasses import replace

from bench import data
from bench.measurements import Rows
from bench.runner import Plan, c_program, meet
from bench.training import W64, samples_of

QUESTION = "variants"
# contestant -> optimizer and network; "pynet" is W64 itself
VARIANTS = {
    "pynet": ("sgd", W64.text),
    "momentum": ("momentum", W64.text),
    "Adam": ("adam", W64.text),
    "batchnorm": ("sgd", W64.text.replace(" relu", " batchnorm relu", 1)),
    "dropout": ("sgd", W64.text.replace(" relu", " relu dropout(0.2)", 1)),
}


def measure(plan: Plan) -> Rows:
    """Rows in seconds per epoch."""
    rows = Rows()
    files = data.path("train", "bytes"), data.path("train", "labels"), samples_of(plan)
    for threads in plan.threads:
        loops = {
            name: c_program(threads, "loop", "train", optimizer, text, W64.batch, 1, *files)
            for name, (optimizer, text) in VARIANTS.items()
        }
        turns = {name: loop.run for name, loop in loops.items()}
        rows += meet(QUESTION, W64.name, threads, turns, replace(plan, rounds=plan.rounds + 6))
        for loop in loops.values():
            loop.close()
    return rows
