"""A contestant in a process of its own, whose number of threads bench.runner fixes before its library is imported.

    python -m bench.worker numpy-out

Each line on stdin is a task or "run", each line on stdout the answer, both JSON. A task is prepared and warmed up, and
answered with facts; "run" does it once more and answers with the seconds. Between lines it sleeps.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

CALL_SECONDS = 0.02  # a run of something short repeats it for about so long

Run = Callable[[], float]


def seconds_of(call: Callable[[], object], repeats: int = 1) -> float:
    """Seconds of one call, as the mean of so many."""
    begin = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - begin) / repeats


def repeated(call: Callable[[], object], seconds: float = CALL_SECONDS) -> Run:
    """A run of as many calls as take about so many seconds; they warm up here."""
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
    """One epoch. The first one, not timed, tells whether it learns; it compiles, too, where something is compiled."""
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
    """Several epochs in one call of pynet's fit, from the call to the return; seconds of one of them."""
    from bench import data

    net = network(name, task)
    net.load(*data.read("train", task["data"], task["samples"]))
    net.epochs_at_once(task["batch"], 1)
    return lambda: seconds_of(lambda: net.epochs_at_once(task["batch"], task["epochs"])) / task["epochs"], {}


def classify(name: str, task: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    """The classes, or probabilities, of the first rows of the test set in one call."""
    from bench import data

    net = network(name, task)
    x = net.ready(data.read("test", "bytes", task["samples"]).x)
    call = getattr(net, task["call"])
    return repeated(lambda: call(x)), {}


def kernel(name: str, task: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
    """The fastest of the contestant's ways."""
    from bench import kernels

    ways = [repeated(call, seconds=0.01) for call in kernels.CASES[task["case"]].calls(name).values()]
    return (min(ways, key=lambda run: run()) if len(ways) > 1 else ways[0]), {}


TASKS = {"train": train, "fit": fit, "classify": classify, "kernel": kernel}


def main(name: str) -> None:
    """Answers until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints must not look like an answer
    run: Run | None = None
    for line in sys.stdin:
        task = json.loads(line)
        if task == "run":
            assert run is not None, "run before a task"
            answer: dict[str, Any] = {"seconds": run()}
        else:
            run = None  # frees the last task's data before the next one's arrive
            run, answer = TASKS[task["task"]](name, task)
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main(sys.argv[1])
