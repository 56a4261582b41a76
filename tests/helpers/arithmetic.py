"""Comparison of float32 kernels with float64: error bounds, sizes, kernel tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from pynet import kernels

Array = np.ndarray[Any, Any]
# got, expected (float64), largest |got - expected| allowed
Result = tuple[Array, Array, Array | float]
# The results of a kernel for random arguments of size m x n
Kernel = Callable[[np.random.Generator, int, int], Iterator[Result]]

U = 2.0**-24  # unit roundoff of float32: one correctly rounded operation is off by at most U times its result
TINY = 2.0**-126  # below it float32 is denormal, which the core flushes to zero
EXP = 2e-7  # relative error of the core's exp and log, their own 1.2e-7 and a rounding or two

# The lengths of vectors (4, 8, 16) and one or two rounds of the 16 lanes, each also minus 1 and plus 1.
EDGES = (1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33)
SHAPES = [*product((1, 3, 4, 5, 8, 9, 15, 16, 17), EDGES), (2, 100), (64, 10), (64, 128), (64, 784)]
FUSED = [name for name in kernels.cpu_tables() if name != "portable"]


def floats(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> Array:
    return (rng.normal(size=shape) * scale).astype(np.float32)


def bits(x: Array) -> bytes:
    return np.ascontiguousarray(x).tobytes()


def off_by_more(got: Array, expected: Array, bound: Array | float) -> Array:
    """The indices at which got, float32, differs by more than bound. Numbers below TINY may become zero."""
    assert got.dtype == np.float32
    assert got.shape == np.shape(expected)
    return np.argwhere(~(np.abs(got - expected) <= bound + 2 * TINY))


def on_each_table(run: Callable[..., Any], *args: Any) -> dict[str, Any]:
    """The results of run(*args) on each table with fused multiply-add, by name; it runs on the others, too."""
    found = {}
    for name in kernels.cpu_tables():
        kernels.set_cpu(name)
        found[name] = run(*args)
    kernels.set_cpu(None)
    return {name: found[name] for name in FUSED}


two_tables = pytest.mark.skipif(len(FUSED) < 2, reason="needs two kernel tables with fused multiply-add")


def check_against_reference(kernel: Kernel) -> None:
    """Each result of the kernel is within its bound, at all SHAPES."""
    for m, n in SHAPES:
        for i, (got, expected, bound) in enumerate(kernel(np.random.default_rng([m, n]), m, n)):
            wrong = off_by_more(got, expected, bound)
            assert not len(wrong), f"{m} x {n}, result {i}: wrong at {wrong[:5].tolist()}"


def check_same_bits(kernel: Kernel) -> None:
    """The kernel gives the same bits on both tables with fused multiply-add, at all SHAPES."""

    def run(m: int, n: int) -> list[bytes]:
        return [bits(got) for got, _, _ in kernel(np.random.default_rng([m, n]), m, n)]

    for m, n in SHAPES:
        found = on_each_table(run, m, n)
        assert found["avx2"] == found["avx512"], f"{m} x {n}"
