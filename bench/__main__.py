"""The benchmark: checks the contestants, measures, reports. `make bench` and `make bench-peers` run it."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from bench import (
    convolution,
    data,
    estimators,
    inference,
    kernels,
    larger,
    machine,
    report,
    scaling,
    startup,
    training,
    variants,
)
from bench.measurements import Rows
from bench.peers import HEAVY, NUMPY
from bench.runner import Plan, Workers, cores, pinned

QUESTIONS = [
    "kernels",
    "training",
    "variants",
    "convolution",
    "inference",
    "larger",
    "startup",
    "scaling",
    "estimators",
]
NO_DATA = {"kernels", "larger"}  # measured on random numbers


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures pynet's speed against its peers.")
    parser.add_argument("--peers", action="store_true", help="PyTorch, JAX, scikit-learn and Keras, too")
    parser.add_argument("--check", action="store_true", help="only compare the results with float64")
    parser.add_argument("--only", choices=QUESTIONS, nargs="+", default=QUESTIONS, metavar="QUESTION",
                        help=f"of {', '.join(QUESTIONS)}; kernels and larger need no data set")  # fmt: skip
    parser.add_argument("--rounds", type=int, help="turns of each contestant at the least")
    parser.add_argument("--threads", type=int, nargs="+", help="numbers of threads; unsaid: 1, 2 and all cores")
    parser.add_argument("--samples", type=int, help="train on fewer: a trial, whose figures mean nothing")
    parser.add_argument("--out", type=Path, default=data.FOLDER, help="folder of the results")
    return parser.parse_args(words)


def make_plan(options: argparse.Namespace) -> Plan:
    """The plan: quick against NumPy, thorough against all contestants."""
    plan = Plan(["pynet", *NUMPY])
    if options.peers:
        plan = replace(plan, contestants=["pynet", *NUMPY, *HEAVY], seconds=4.0, full=True)
    if options.rounds:
        plan = replace(plan, rounds=options.rounds, seconds=0.0)
    return replace(plan, samples=options.samples, threads=options.threads or plan.threads)


def measure(plan: Plan, questions: Sequence[str]) -> tuple[Rows, list[str]]:
    """All rows, and the errors: after a failure of one question the rows of the others are still measured."""
    rows, few = Rows(), replace(plan, seconds=plan.seconds / 8)
    failures: list[str] = []
    parts: dict[str, Callable[[Workers], Rows]] = {
        "kernels": lambda workers: kernels.measure(workers, replace(few, seconds=0.0)),
        "training": lambda workers: training.measure(workers, plan),
        "variants": lambda _: variants.measure(plan),
        "convolution": lambda workers: convolution.measure(workers, plan),
        "inference": lambda workers: inference.measure(workers, few),
        "larger": lambda workers: larger.measure(
            workers, replace(plan, seconds=0.0, rounds=min(plan.rounds, 3 if plan.full else 2))
        ),
        "startup": lambda _: startup.measure(plan),
        "scaling": lambda workers: scaling.measure(workers, few),
        "estimators": lambda _: estimators.measure(plan),
    }
    for question in questions:
        print(f"{question}:", file=sys.stderr)
        begin = time.perf_counter()
        try:
            with Workers() as workers:  # closed after each question, because they hold a copy of the data
                rows += parts[question](workers)
        except (RuntimeError, subprocess.CalledProcessError) as error:
            failures.append(f"{question}: {error}")
        print(f"  {time.perf_counter() - begin:.0f} s", file=sys.stderr)
    for row in training.unlearnt(rows) if plan.samples is None else ():
        rows.remove(row)
        failures.append(
            f"{row.case}: {row.contestant} is right on {row.facts['accuracy']:.1%} after an epoch: left out"
        )
    return rows, failures


def main(words: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit status."""
    options, begin = parse(words), time.perf_counter()
    plan = make_plan(options)
    needs_data = not NO_DATA.issuperset(options.only)
    if needs_data:
        from pynet.data import DataError

        try:
            data.prepare()
        except DataError as error:
            print(
                f"bench: {error}\nbench: measured on MNIST; ARGS='--only kernels larger' needs none",
                file=sys.stderr,
            )
            return 2
    names = plan.contestants if needs_data else []
    check = [sys.executable, "-m", "bench.check", *names]
    with pinned(cores()) as environment:
        if subprocess.run(check, cwd=data.ROOT, env=environment).returncode:
            return 1
    if options.check:
        return 0
    about = machine.describe()
    rows, failures = measure(plan, options.only)
    about |= {"load_after": machine.load(), "seconds": round(time.perf_counter() - begin, 1)}
    run = {
        "machine": about,
        "plan": asdict(plan),
        "targets": report.verdicts(rows),
        "rows": [r.as_dict() for r in rows],
    }
    print("\n".join(report.machine_lines(about)))
    for heading, content in report.sections(rows).items():
        print(f"\n{heading}\n\n{content}")
    page = report.write(run, options.out, "peers" if options.peers else "numpy")
    print(f"\n{page}", *failures, sep="\n", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
