"""The time of imports, and of a whole process: start, import, load MNIST, ten epochs, test, end.

python -m bench.startup NAME EPOCHS      runs this process for a contestant; pynet uses its own command instead
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

from bench.data import ROOT
from bench.measurements import Row, Rows
from bench.runner import Plan, alternate, pinned

QUESTION = "start-up"
EPOCHS = 10
IMPORTS = {
    "python": "pass",
    "numpy": "import numpy",
    "pynet": "import pynet",
    "torch": "import torch",
    "jax": "import jax",
    "sklearn": "import sklearn.neural_network",
    "keras": "import os; os.environ['KERAS_BACKEND'] = 'jax'; import keras",
}
# Runs a command and prints its seconds and peak memory. It is a small process, because the system counts the peak of a
# child from the memory of its parent.
STOPWATCH = """
import json, os, sys, time
begin = time.perf_counter()
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
_, status, usage = os.wait4(pid, 0)
print(json.dumps([time.perf_counter() - begin, usage.ru_maxrss / 1024, status]))
"""


class Command:
    """A command that is timed several times; keeps the highest peak memory in MB."""

    def __init__(self, threads: int, *arguments: str) -> None:
        self.words, self.threads, self.peak = [sys.executable, *arguments], threads, 0.0

    def __call__(self) -> float:
        begin = [sys.executable, "-S", "-c", STOPWATCH, *self.words]
        with pinned(self.threads) as environment:
            done = subprocess.run(begin, cwd=ROOT, env=environment, capture_output=True, text=True)
        seconds, peak, status = json.loads(done.stdout)
        if status:
            raise RuntimeError(f"{' '.join(self.words)} failed:\n{done.stderr}")
        self.peak = max(self.peak, peak)
        return float(seconds)


def measure(plan: Plan) -> Rows:
    """Rows in seconds per process; fact "peak_mb" is its peak memory."""
    rows = Rows()
    names = {"python", *(name.removesuffix("-out") for name in plan.contestants)}
    imports = {name: Command(1, "-c", code) for name, code in IMPORTS.items() if name in names}
    rows += _rows("import", 1, imports, plan, plan.rounds + 3)
    threads = max(plan.threads)
    epochs = "1" if plan.samples else str(EPOCHS)
    contestants = plan.contestants if plan.full else ["pynet", "numpy-out"]
    whole = {name: Command(threads, "-m", "bench.startup", name, epochs) for name in contestants}
    whole["pynet"] = Command(
        threads, "-m", "pynet.train", "--dataset", "mnist", "--epochs", epochs, "--threads", str(threads)
    )
    rows += _rows("whole process", threads, whole, plan, 3 if plan.full else 2)
    return rows


def _rows(case: str, threads: int, commands: dict[str, Command], plan: Plan, rounds: int) -> list[Row]:
    print(f"  {case}: {', '.join(commands)}", file=sys.stderr, flush=True)
    turns: dict[str, Callable[[], float]] = {**commands}
    commands["pynet"]()  # fills the caches
    found = alternate(turns, rounds, 0)
    return [Row(QUESTION, case, threads, name, s, {"peak_mb": commands[name].peak}) for name, s in found.items()]


def process(name: str, epochs: int) -> None:
    """Trains W64 with this contestant and tests it after every epoch, as pynet's command does."""
    from bench import data
    from bench.peers import CONTESTANTS, initial

    train, test = data.read("train", "bytes"), data.read("test", "bytes")
    net = CONTESTANTS[name].create(initial([784, 128, 64, 10]))
    net.load(*train)
    del train
    rows = net.ready(test.x)
    for epoch in range(epochs):
        net.epoch(64)
        print(f"epoch {epoch + 1}  accuracy {(net.predict(rows) == test.y).mean():.4f}")


if __name__ == "__main__":
    process(sys.argv[1], int(sys.argv[2]))
