"""How fast is each kernel alone, over sizes, against NumPy's best expression?

    python -m bench.kernels THREADS PLAN     measures in this process, with so many threads; prints the rows as JSON

Both work in one process here, on the same arrays, in turns.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import numpy as np

from bench.arena import Plan, meet, pinned
from bench.data import ROOT
from bench.peers import Array, numpy_kernels
from bench.peers.numpy_kernels import RATE, Calls
from bench.rows import Row, Rows, from_dict
from bench.worker import repeated

PRODUCT, SINGLE = "matrix product", "kernels"
SHAPES = [(64, 128, 784), (1, 128, 784), *((n, n, n) for n in (64, 128, 256, 512, 1024, 2048))]  # m, n, k
LARGEST = (4096, 4096, 4096)
TRANSPOSED = {"A B": (False, False), "A' B": (True, False), "A B'": (False, True), "A' B'": (True, True)}
CLASSES = 10
ELEMENTS = (1_000, 100_000, 8_000_000)  # the last is beyond most caches


@dataclass
class Case:
    """Calls that give the same result: ours, and NumPy's. bytes: what must cross the memory bus at the least."""

    question: str
    name: str
    ours: Callable[[], Any]
    numpy: Calls
    wanted: Callable[[], Any]  # float64's answer, from the arrays as they are before a call
    bytes: int = 0


# ---- cases ----


def product(m: int, n: int, k: int, transposed: str) -> Case:
    """C (m,n) = op(A) (m,k) op(B) (k,n) into a buffer."""
    from pynet import kernels, reference

    rng, (trans_a, trans_b) = np.random.default_rng(0), TRANSPOSED[transposed]
    a = rng.standard_normal((k, m) if trans_a else (m, k), np.float32)
    b = rng.standard_normal((n, k) if trans_b else (k, n), np.float32)
    c = np.empty((m, n), np.float32)
    return Case(
        PRODUCT,
        f"{m} x {n} x {k}, {transposed}",
        lambda: kernels.gemm(a, b, trans_a=trans_a, trans_b=trans_b, out=c),
        numpy_kernels.matmul(a.T if trans_a else a, b.T if trans_b else b),
        lambda: reference.gemm(a, b, trans_a=trans_a, trans_b=trans_b),
    )


def products(shapes: list[tuple[int, int, int]]) -> Iterator[Case]:
    """All transpositions of all shapes."""
    return (product(*shape, transposed) for shape in shapes for transposed in TRANSPOSED)


def singles(elements: int) -> Iterator[Case]:
    """Softmax, cross-entropy gradient, ReLU, SGD and Adam on so many elements in rows of ten.

    Each as pynet.kernels has it, into a new array, and as the C call, into a buffer. SGD and Adam work in place.
    """
    from pynet import kernels, reference
    from pynet._ffi import lib, pointer

    rng, m = np.random.default_rng(0), elements // CLASSES
    x = rng.standard_normal((m, CLASSES), np.float32)
    labels = rng.integers(0, CLASSES, m).astype(np.int32)
    y, losses, w, v = np.empty_like(x), np.empty(m, np.float32), x.copy(), x.copy()
    w_adam, *memory = x.copy(), np.zeros_like(x), np.zeros_like(x)
    v_adam, *checked_memory = x.copy(), np.zeros_like(x), np.zeros_like(x)

    def softmax() -> Array:
        lib.pn_softmax(pointer(y), pointer(x), m, CLASSES, 1.0)
        return y

    def cross_entropy() -> Array:
        lib.pn_cross_entropy(pointer(losses), pointer(y), pointer(x), pointer(labels), m, CLASSES, 1 / m, 0.0)
        return y

    def relu() -> Array:
        lib.pn_relu(pointer(y), pointer(x), x.size)
        return y

    def sgd() -> Array:
        lib.pn_sgd(pointer(w), pointer(x), w.size, RATE)
        return w

    def checked_sgd() -> Array:
        kernels.sgd(v, x, float(RATE))
        return v

    def adam() -> Array:
        lib.pn_adam(*map(pointer, (w_adam, *memory, x)), x.size, 1, RATE, 0.9, 0.999, 1e-8, 0.0)
        return w_adam

    def checked_adam() -> Array:
        kernels.adam(v_adam, *checked_memory, x, 1, float(RATE))
        return v_adam

    def adam_in_float64() -> Array:
        wanted, *more = x.astype(np.float64), np.zeros(x.shape), np.zeros(x.shape)
        reference.adam(wanted, *more, x, 1, float(RATE))
        return wanted

    # name, NumPy's ways, ours, float64's answer, how often the array crosses the memory bus
    for name, theirs, new, buffer, wanted, passes in (
        ("softmax", numpy_kernels.softmax(x), lambda: kernels.softmax(x), softmax, lambda: reference.softmax(x), 2),
        (
            "cross-entropy gradient",
            numpy_kernels.cross_entropy_grad(x, labels),
            lambda: kernels.cross_entropy(x, labels)[1],
            cross_entropy,
            lambda: reference.cross_entropy(x, labels)[1],
            2,
        ),
        ("ReLU", numpy_kernels.relu(x), lambda: kernels.relu(x), relu, lambda: reference.relu(x), 2),
        ("SGD", numpy_kernels.sgd(x, x), checked_sgd, sgd, lambda: x - RATE * x.astype(np.float64), 3),
        ("Adam", numpy_kernels.adam(x, x), checked_adam, adam, adam_in_float64, 7),
    ):
        for where, ours, numpy in (("new array", new, theirs[0]), ("buffer", buffer, theirs[1])):
            yield Case(SINGLE, f"{name}, {elements:,}, {where}", ours, numpy, wanted, passes * x.nbytes)


# ---- checking ----


def check() -> None:
    """All cases at small sizes, pynet and NumPy, against float64. RuntimeError: one of them is wrong."""
    small = [(64, 128, 784), (1, 128, 784), (65, 67, 63)]
    for case in (*products(small), *singles(1_000)):
        wanted = case.wanted()
        # a sum of k products of numbers around 1, rounded each time: 2^-24 sqrt(k) of its size, with room
        room = 1e-5 * np.abs(wanted).max()
        for name, call in {"pynet": case.ours, **case.numpy}.items():
            far = np.abs(call() - wanted).max()
            if not far <= room:
                raise RuntimeError(f"{case.name}: {name} is {far:.1e} from float64, accepted is {room:.1e}")


# ---- measuring ----


def measure_here(plan: Plan, threads: int) -> Rows:
    """Rows in seconds a call. Of NumPy's ways the fastest stays, as "numpy"."""
    rows = Rows()
    shapes, elements = [*SHAPES, LARGEST] if plan.full else SHAPES, list(ELEMENTS)
    if plan.samples:  # a trial
        shapes, elements = SHAPES[:1], elements[:1]
    for case in chain(products(shapes), *map(singles, elements)):
        rows += _measure_case(case, plan, threads)
    return rows


def _measure_case(case: Case, plan: Plan, threads: int) -> list[Row]:
    turns = {name: repeated(call, seconds=0.01) for name, call in {"pynet": case.ours, **case.numpy}.items()}
    if case.bytes:  # a copy moves its bytes twice
        source = np.ones(case.bytes // 8, np.float32)
        target = np.empty_like(source)
        turns["copy"] = repeated(lambda: np.copyto(target, source), seconds=0.01)
    rows = Rows(meet(case.question, case.name, threads, turns, plan))
    best = rows.best(case.numpy)
    assert best is not None
    best.contestant = "numpy"
    return [row for row in rows if row.contestant in ("pynet", "numpy", "copy")]


def measure(plan: Plan) -> Rows:
    """The rows of a process for each number of threads: NumPy's number is fixed at its import."""
    rows = Rows()
    for threads in plan.threads:
        command = [sys.executable, "-m", "bench.kernels", str(threads), json.dumps(asdict(plan))]
        with pinned(threads) as environment:
            done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        rows += [from_dict(row) for row in json.loads(done.stdout)]
    return rows


if __name__ == "__main__":
    found = measure_here(Plan(**json.loads(sys.argv[2])), int(sys.argv[1]))
    print(json.dumps([row.as_dict() for row in found]))
