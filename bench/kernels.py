"""The time of each kernel, at several sizes, against NumPy's fastest expression."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.measurements import Rows
from bench.peers import Array
from bench.peers.numpy_kernels import Calls
from bench.runner import Plan, Workers, compare, meet

PRODUCT, SINGLE = "matrix product", "kernels"
SHAPES = [(64, 128, 784), (1, 128, 784), *((n, n, n) for n in (64, 128, 256, 512, 1024, 2048))]  # m, n, k
LARGEST = (4096, 4096, 4096)
ODD = (65, 67, 63)  # not multiples of tile sizes: for bench.check
TRANSPOSED = {"A B": (False, False), "A' B": (True, False), "A B'": (False, True), "A' B'": (True, True)}
CLASSES = 10
ELEMENTS = (1_000, 100_000, 8_000_000)  # the last is beyond most caches
WHERE = ("new array", "buffer")  # pynet: pynet.kernels, and the C call; SGD and Adam work in place
# name -> function in bench/peers/*_kernels.py, operands, minimum number of arrays that cross the memory bus
SINGLES: dict[str, tuple[str, Callable[[Array, Array], tuple[Array, ...]], int]] = {
    "softmax": ("softmax", lambda x, labels: (x,), 2),
    "cross-entropy gradient": ("cross_entropy_grad", lambda x, labels: (x, labels), 2),
    "ReLU": ("relu", lambda x, labels: (x,), 2),
    "SGD": ("sgd", lambda x, labels: (x, x), 3),
    "Adam": ("adam", lambda x, labels: (x, x), 7),
}


@dataclass(frozen=True)
class Case:
    """A kernel at one size. operands(): equal arrays for every contestant; bytes: minimum that must cross the bus."""

    question: str
    name: str
    function: str
    where: str
    operands: Callable[[], tuple[Any, ...]]
    bytes: int = 0

    def calls(self, contestant: str) -> Calls:
        """The contestant's variants; the contestant "copy" copies as many bytes."""
        if contestant == "copy":
            source = np.ones(self.bytes // 8, np.float32)  # 4 bytes read, 4 written
            target = np.empty_like(source)
            return {"copy": lambda: np.copyto(target, source)}
        module = importlib.import_module(f"bench.peers.{contestant}_kernels")
        calls: Calls = getattr(module, self.function)(*self.operands())[WHERE.index(self.where)]
        return calls


def product(m: int, n: int, k: int, transposed: str) -> Case:
    """C (m,n) = op(A) (m,k) op(B) (k,n) into a buffer."""

    def operands() -> tuple[Array, Array, bool, bool]:
        rng, (trans_a, trans_b) = np.random.default_rng(0), TRANSPOSED[transposed]
        a = rng.standard_normal((k, m) if trans_a else (m, k), np.float32)
        b = rng.standard_normal((n, k) if trans_b else (k, n), np.float32)
        return a, b, trans_a, trans_b

    return Case(PRODUCT, f"{m} x {n} x {k}, {transposed}", "matmul", "buffer", operands)


def single(kernel: str, elements: int, where: str) -> Case:
    """A kernel on this number of elements, in rows of ten."""
    function, select, passes = SINGLES[kernel]

    def operands() -> tuple[Array, ...]:
        rng, m = np.random.default_rng(0), elements // CLASSES
        x = rng.standard_normal((m, CLASSES), np.float32)
        return select(x, rng.integers(0, CLASSES, m).astype(np.int32))

    return Case(SINGLE, f"{kernel}, {elements:,}, {where}", function, where, operands, 4 * passes * elements)


def cases(shapes: Iterable[tuple[int, int, int]], elements: Iterable[int]) -> list[Case]:
    """All transpositions of products of these shapes, and all kernels of these sizes.

    The largest kernels only write into a buffer, because a new array is slower for both.
    """
    products = [product(*shape, transposed) for shape in shapes for transposed in TRANSPOSED]
    places = {n: WHERE if n < ELEMENTS[-1] else WHERE[1:] for n in elements}
    return products + [single(kernel, n, where) for n in elements for kernel in SINGLES for where in places[n]]


SMALL = cases([(64, 128, 784), (1, 128, 784), ODD], ELEMENTS[:1])  # for bench.check
CASES = {case.name: case for case in [*cases([*SHAPES, LARGEST], ELEMENTS), *SMALL]}


def measure(workers: Workers, plan: Plan) -> Rows:
    """Rows in seconds per call."""
    shapes, elements = [*SHAPES, LARGEST] if plan.full else SHAPES, ELEMENTS
    if plan.samples:  # a trial
        shapes, elements = SHAPES[:1], ELEMENTS[:1]
    rows = Rows()
    for threads in plan.threads:
        for case in cases(shapes, elements):
            names = ["pynet", "numpy", "copy"] if case.bytes else ["pynet", "numpy"]
            turns, _ = compare(workers, names, threads, {"task": "kernel", "case": case.name})
            rows += meet(case.question, case.name, threads, turns, plan)
    return rows
