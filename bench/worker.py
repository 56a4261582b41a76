"""A contestant in a separate process; bench.runner sets its number of threads before its library is imported.

    python -m bench.worker numpy-out

Each line on stdin is a task or "run", each line on stdout a reply, both JSON. For a task, the worker prepares it, warms
up and replies with facts; for "run", it runs the task once and replies with the seconds. Between lines it sleeps.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

CALL_SECONDS = 0.02  # a short call is repeated for about this time
LONG_SECONDS = 0.2  # epochs of the larger networks

Run = Callable[[], float]


def seconds_of(call: Callable[[], object], repeats: int = 1) -> float:
    """Seconds per call, the mean over `repeats` calls."""
    begin = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - begin) / repeats


def repeated(call: Callable[[], object], seconds: float = CALL_SECONDS) -> Run:
    """A run that repeats the call for about this time; warms up here."""
    call()
    repeats = 1
    while (once := seconds_of(call, repeats)) * repeats < seconds / 4:
        repeats *= 4
    return lambda: seconds_of(call, max(1, int(seconds / once)))


def network(name: str, task: dict[str, Any]) -> Any:
    """The contestant's network of these widths."""
    from bench.peers import CONTESTANTS, initial, lenet

    if task.get("net") == "lenet":
        return lenet.LENET[name].create(lenet.initial())
    return CONTESTANTS[name].create(initial(task["widths"]))


def train(name: str, task: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    """A run of one epoch. The first epoch is not timed: it measures the accuracy, and compiles if the library does."""
    from bench import data

    net, batch = network(name, task), task["batch"]
    net.load(*data.read("train", task["data"], task["samples"]))

    def run() -> float:
        begin = time.perf_counter()
        own = net.epoch(batch)
        return own if own is not None else time.perf_counter() - begin

    run()
    test = data.read("test", task["data"])
    return run, {"accuracy": float((net.predict(net.ready(test.x)) == test.y).mean())}


def fit(name: str, task: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    """A run of several epochs in one call of pynet's fit; returns seconds per epoch."""
    from bench import data

    net = network(name, task)
    net.load(*data.read("train", task["data"], task["samples"]))
    net.epochs_at_once(task["batch"], 1)
    return lambda: seconds_of(lambda: net.epochs_at_once(task["batch"], task["epochs"])) / task["epochs"], {}


def classify(name: str, task: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    """A run that predicts classes, or probabilities, of the first rows of the test set in one call."""
    from bench import data

    net = network(name, task)
    x = net.ready(data.read("test", "bytes", task["samples"]).x)
    call = getattr(net, task["call"])
    return repeated(lambda: call(x)), {}


def kernel(name: str, task: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    """A run of the fastest variant of the contestant."""
    from bench import kernels

    variants = [repeated(call, seconds=0.01) for call in kernels.CASES[task["case"]].calls(name).values()]
    return (min(variants, key=lambda run: run()) if len(variants) > 1 else variants[0]), {}


def larger(name: str, task: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    """A run of training steps, or of predictions of so many rows, on random data; seconds a step or a call."""
    from bench.peers import larger

    [case] = [case for case in larger.CASES if case.name == task["name"]]
    net, rows = larger.CONTESTANTS[name].create(case), task["rows"]
    training = task["method"] == "step"
    facts = {"flops": rows * larger.flops_per_sample(case, training)}
    if not training:
        return repeated(lambda: net.predict(rows)), facts
    net.train(1)
    epochs = max(1, int(LONG_SECONDS / net.train(1)))
    return lambda: net.train(epochs) / epochs / larger.BATCHES, facts


TASKS = {"train": train, "fit": fit, "classify": classify, "kernel": kernel, "larger": larger}


def main(name: str) -> None:
    """Replies until stdin ends."""
    stdout = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # the output of a library must not look like a reply
    run: Run | None = None
    for line in sys.stdin:
        task = json.loads(line)
        if task == "run":
            assert run is not None, "run before a task"
            reply: dict[str, Any] = {"seconds": run()}
        else:
            run = None  # frees the last task's data before the next one's arrive
            run, reply = TASKS[task["task"]](name, task)
        print(json.dumps(reply), file=stdout)


if __name__ == "__main__":
    main(sys.argv[1])
