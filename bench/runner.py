"""Runs contestants in separate processes and in turns, so that other load of the machine affects all alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from bench.data import ROOT
from bench.measurements import Row

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PYNET_NUM_THREADS")
LONGEST_SPIN = 0.3  # seconds that idle threads may spin on a core: 0.1 in OpenBLAS, 0.2 in some OpenMP


@dataclass
class Plan:
    """How much to measure: at least `rounds` turns of each contestant, and at least `seconds` for each case."""

    contestants: list[str] = field(default_factory=lambda: ["pynet", "numpy", "numpy-out"])
    threads: list[int] = field(default_factory=lambda: sorted({1, min(2, cores()), cores()}))
    rounds: int = 3
    seconds: float = 1.0
    samples: int | None = None  # None: all of MNIST
    full: bool = False  # include sizes that take long


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def pinned(threads: int) -> Iterator[dict[str, str]]:
    """A context in which a child, started with the environment that it yields, uses this number of threads.

    Most libraries obey the variables; others only look at the CPU affinity, which the child inherits.
    """
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
    environment = os.environ | dict.fromkeys(VARIABLES, str(threads)) | {"PYTHONPATH": path}
    if threads == 1:
        environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    if not hasattr(os, "sched_setaffinity"):
        yield environment
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[-threads:])  # the first core serves interrupts
    try:
        yield environment
    finally:
        os.sched_setaffinity(0, before)


def runs(pid: int) -> bool:
    """Whether a thread of this process is running; True where the system does not report it."""
    try:
        states = [file.read_text().rpartition(") ")[2][0] for file in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:  # a thread ended in the meantime
        return True
    return "R" in states or not states


class Process:
    """A program that reads lines and replies to each with a line."""

    def __init__(self, command: list[str], threads: int) -> None:
        with pinned(threads) as environment:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        self.name = " ".join(command)

    def ask(self, line: str) -> str:
        """Sends a line; returns the reply when all threads sleep. Raises RuntimeError: the program has ended."""
        stdin, stdout = _open(self._process.stdin), _open(self._process.stdout)
        try:
            stdin.write(line + "\n")
            stdin.flush()
            reply = stdout.readline()
        except BrokenPipeError:
            reply = ""
        if not reply:
            raise RuntimeError(f"{self.name} ended with status {self._process.wait()}")
        end = time.perf_counter() + LONGEST_SPIN
        while runs(self._process.pid) and time.perf_counter() < end:
            time.sleep(0.001)
        return reply

    def run(self) -> float:
        """Runs one turn; returns its seconds."""
        seconds = json.loads(self.ask('"run"'))["seconds"]
        assert seconds > 0, f"{self.name} took {seconds} s: nothing was timed"
        return float(seconds)

    def close(self) -> None:
        """Ends the program and waits for it."""
        _open(self._process.stdin).close()
        _open(self._process.stdout).close()
        self._process.wait()


def _open(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


class Workers:
    """The processes of the Python contestants, started on first use."""

    def __init__(self) -> None:
        self._processes: dict[tuple[str, int], Process] = {}

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.close()

    def prepare(self, name: str, threads: int, task: Mapping[str, Any]) -> tuple[Process, dict[str, Any]]:
        """A contestant's process, prepared for a task of bench.worker, and the facts in its reply."""
        if (name, threads) not in self._processes:
            self._processes[name, threads] = Process([sys.executable, "-m", "bench.worker", name], threads)
        process = self._processes[name, threads]
        reply = json.loads(process.ask(json.dumps(task)))
        return process, reply


def c_program(threads: int, name: str, *arguments: object) -> Process:
    """A program that `make` compiled from bench/c."""
    return Process([str(ROOT / "build" / "bench" / name), *map(str, arguments)], threads)


def alternate(turns: Mapping[str, Callable[[], float]], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Runs rounds of one turn each, every other round in reverse order; returns the seconds of all turns."""
    found: dict[str, list[float]] = {name: [] for name in turns}
    end, done = time.perf_counter() + seconds, 0
    while done < rounds or time.perf_counter() < end:
        for name in list(turns)[:: -1 if done % 2 else 1]:
            found[name].append(turns[name]())
        done += 1
    return found


def meet(question: str, case: str, threads: int, turns: Mapping[str, Callable[[], float]], plan: Plan) -> list[Row]:
    """Measures one case; returns its rows."""
    print(f"  {case}, {threads} thread{'s' * (threads > 1)}: {', '.join(turns)}", file=sys.stderr, flush=True)
    found = alternate(turns, plan.rounds, plan.seconds)
    return [Row(question, case, threads, name, seconds) for name, seconds in found.items()]


def compare(
    workers: Workers, names: Iterable[str], threads: int, task: Mapping[str, Any]
) -> tuple[dict[str, Callable[[], float]], dict[str, dict[str, Any]]]:
    """A function for a turn of each contestant at one task, and the facts that each replied."""
    ready = {name: workers.prepare(name, threads, task) for name in names}
    return {name: process.run for name, (process, _) in ready.items()}, {n: reply for n, (_, reply) in ready.items()}
