"""The matrix product on every table: edges of tiles and panels, layouts, and the promised chain of roundings."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import product

import numpy as np
import pytest
from helpers.arithmetic import EDGES, FUSED, TINY, Array, U, bits, floats, on_each_table, two_tables
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from pynet import kernels, reference

CANARY = 1234.5

# One less, one more than the rows (4, 6, 8) of a tile, twice those, and than its columns (4, 8, 16, 24, 32).
ROWS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13)


def framed(rng: np.random.Generator, rows: int, columns: int, fill: float, inside: float | None = None) -> Array:
    """A matrix inside a larger one that is full of `fill`, so its stride is larger than its rows."""
    around = np.full((rows + 2, columns + 5), fill, np.float32)
    view = around[1 : rows + 1, 2 : columns + 2]
    view[...] = floats(rng, rows, columns) if inside is None else inside
    return view


@lru_cache(maxsize=1)
def problem(m: int, n: int, k: int, trans_a: bool, trans_b: bool, accumulate: bool) -> tuple[Array, ...]:
    """a and b, parts of larger matrices; the matrix around C; the result in float64, and how far C may be from it."""
    rng = np.random.default_rng([m, n, k])
    a = framed(rng, *((k, m) if trans_a else (m, k)), fill=np.nan)
    b = framed(rng, *((n, k) if trans_b else (k, n)), fill=np.nan)
    # without accumulate C must not be read: NaN would stay
    c = framed(rng, m, n, fill=CANARY, inside=None if accumulate else np.nan)
    start = c.astype(np.float64) if accumulate else np.zeros((m, n))
    exact = start + reference.gemm(a, b, trans_a=trans_a, trans_b=trans_b)
    # a chain of k multiply-adds: at most k roundings of the sums of magnitudes (Higham 2002, section 3.1)
    bound = (k + 1) * U * (abs(start) + reference.gemm(abs(a), abs(b), trans_a=trans_a, trans_b=trans_b))
    return a, b, np.asarray(c.base), exact, bound + 2 * TINY


def check_gemm(m: int, n: int, k: int, trans_a: bool, trans_b: bool, accumulate: bool = False) -> Array:
    """Compares one product with float64, its matrices being parts of larger ones."""
    a, b, around, exact, bound = problem(m, n, k, trans_a, trans_b, accumulate)
    around = around.copy()
    c = around[1 : m + 1, 2 : n + 2]
    assert kernels.gemm(a, b, out=c, accumulate=accumulate, trans_a=trans_a, trans_b=trans_b) is c
    outside = np.ones(around.shape, bool)
    outside[1 : m + 1, 2 : n + 2] = False
    assert (around[outside] == CANARY).all(), f"{m} x {n} x {k}: wrote outside of C"
    wrong = np.argwhere(~(abs(c - exact) <= bound))
    assert not len(wrong), f"{m} x {n} x {k}: wrong at {wrong[:5].tolist()}"
    return c


def bits_on_each_table(*problem: int) -> set[bytes]:
    return {bits(c) for c in on_each_table(check_gemm, *problem).values()}


transposed = pytest.mark.parametrize(("trans_a", "trans_b"), list(product((False, True), repeat=2)))


@transposed
def test_gemm_at_the_edges_of_tiles(table: str, trans_a: bool, trans_b: bool) -> None:
    for m, n, k in product(ROWS, EDGES, (1, 2, 9)):
        check_gemm(m, n, k, trans_a, trans_b)


@transposed
@pytest.mark.parametrize("accumulate", [False, True])
def test_gemm_real_sizes(table: str, trans_a: bool, trans_b: bool, accumulate: bool) -> None:
    for m, n, k in [(64, 128, 784), (64, 10, 64), (784, 128, 64), (10, 16, 784), (65, 49, 100)]:
        check_gemm(m, n, k, trans_a, trans_b, accumulate)


@transposed
def test_gemm_past_a_panel(table: str, trans_a: bool, trans_b: bool) -> None:
    for n, k, accumulate in product((31, 32, 33, 65), (255, 256, 257, 512, 600), (False, True)):
        check_gemm(5, n, k, trans_a, trans_b, accumulate)


# Beyond the blocks in which B is packed, and those of C = (B' A')' for few rows of A; one has more terms than a block.
BLOCKS = [(33, 290, 1030), (17, 290, 950), (16, 41, 4101), (300, 290, 920)]


@transposed
@pytest.mark.parametrize("accumulate", [False, True])
def test_gemm_past_a_block(trans_a: bool, trans_b: bool, accumulate: bool) -> None:
    for m, n, k in BLOCKS:
        assert len(bits_on_each_table(m, n, k, trans_a, trans_b, accumulate)) <= 1, f"{m} x {n} x {k}"


@transposed
@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize(("m", "n", "k"), [(0, 3, 2), (3, 0, 2), (3, 2, 0), (0, 0, 0), (0, 3, 0), (9, 33, 0)])
def test_gemm_of_nothing(table: str, m: int, n: int, k: int, accumulate: bool, trans_a: bool, trans_b: bool) -> None:
    check_gemm(m, n, k, trans_a, trans_b, accumulate)


SIZES = st.integers(0, 70)


@settings(max_examples=200)
@given(m=SIZES, n=SIZES, k=st.integers(0, 300), flags=st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_gemm_of_any_shape(m: int, n: int, k: int, flags: tuple[bool, bool, bool]) -> None:
    assert len(bits_on_each_table(m, n, k, *flags)) <= 1


@two_tables
def test_gemm_bits_are_the_same_on_each_table() -> None:
    for (trans_a, trans_b), accumulate in product(product((False, True), repeat=2), (False, True)):
        for m, n, k in [(64, 128, 784), (9, 33, 257), (5, 25, 600), (1, 10, 64), (13, 1, 17)]:
            found = bits_on_each_table(m, n, k, trans_a, trans_b, accumulate)
            assert len(found) == 1, f"{m} x {n} x {k}"


@pytest.mark.skipif(not FUSED, reason="needs a kernel table with fused multiply-add")
@transposed
def test_gemm_is_one_chain_of_fused_multiply_adds(trans_a: bool, trans_b: bool) -> None:
    rng = np.random.default_rng(0)
    a, b, c = floats(rng, 13, 300), floats(rng, 300, 41), floats(rng, 13, 41)
    chain = c.copy()
    for p in range(300):  # the product of two float32 is exact in float64
        chain = (chain.astype(np.float64) + np.multiply.outer(a[:, p].astype(np.float64), b[p])).astype(np.float32)
    left, right = (a.T.copy() if trans_a else a), (b.T.copy() if trans_b else b)
    for name in FUSED:
        kernels.set_cpu(name)
        got = kernels.gemm(left, right, trans_a=trans_a, trans_b=trans_b, out=c.copy(), accumulate=True)
        assert_array_equal(got, chain)


@pytest.mark.skipif(not FUSED, reason="needs a kernel table with fused multiply-add")
@pytest.mark.parametrize("k", [1, 15, 16, 17, 300])
@transposed
def test_gemm_of_a_row_or_a_column_sums_in_chains_or_in_lanes(trans_a: bool, trans_b: bool, k: int) -> None:
    rng = np.random.default_rng(k)
    a, b = floats(rng, 21, k), floats(rng, k, 37)
    wide = kernels.gemm(a, b)  # chains
    for rows, columns, in_lanes in ((1, 37, trans_b), (21, 1, not trans_a)):
        left, right = a[:rows], b[:, :columns]
        expected = wide[:rows, :columns]
        if in_lanes:
            lanes = np.zeros((rows, columns, 16), np.float32)
            for p in range(k):  # the product of two float32 is exact in float64
                products = np.multiply.outer(left[:, p].astype(np.float64), right[p].astype(np.float64))
                lanes[..., p % 16] = lanes[..., p % 16] + products
            while lanes.shape[-1] > 1:
                half = lanes.shape[-1] // 2
                lanes = lanes[..., :half] + lanes[..., half:]
            expected = lanes[..., 0]
        left, right = (left.T.copy() if trans_a else left), (right.T.copy() if trans_b else right)
        for name in FUSED:
            kernels.set_cpu(name)
            got = kernels.gemm(left, right, trans_a=trans_a, trans_b=trans_b)
            strided = np.zeros((rows, 50), np.float32)[:, :columns]
            kernels.gemm(left, right, trans_a=trans_a, trans_b=trans_b, out=strided)
            assert_array_equal(got, expected)
            assert_array_equal(strided, expected)


LARGE = [(1, 2100, 700), (2100, 1, 700), (5, 2100, 300), (1700, 900, 1), (161, 203, 130), (140, 300, 1100)]
LARGE += [(300, 450, 900), (700, 33, 1600), (40, 1100, 801)]


@transposed
@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize(("m", "n", "k"), LARGE)
def test_gemm_bits_are_the_same_for_each_number_of_threads(
    m: int, n: int, k: int, accumulate: bool, trans_a: bool, trans_b: bool
) -> None:
    for table in kernels.cpu_tables():
        kernels.set_cpu(table)
        found = set()
        for threads in (1, 2, 3, 8):
            kernels.set_threads(threads)
            c = check_gemm(m, n, k, trans_a, trans_b, accumulate)
            found.add(c.tobytes())
        assert len(found) == 1, table
        if k >= 700:  # roundings of sums of about sqrt(k), which stay far below the bound for any operands
            exact = problem(m, n, k, trans_a, trans_b, accumulate)[3]
            assert abs(c - exact).max() <= 6e-8 * k**1.5


def test_gemm_takes_any_layout(table: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(6, 5)), rng.normal(size=(5, 7))
    expected = kernels.gemm(a, b)
    assert_array_equal(kernels.gemm(np.asfortranarray(a), b.astype(np.float32)), expected)
    wide = np.repeat(a.astype(np.float32), 2, axis=1)
    assert_array_equal(kernels.gemm(wide[:, ::2], b), expected)
    assert_array_equal(kernels.gemm(a[::-1], b)[::-1], expected)
    assert_array_equal(kernels.gemm(np.broadcast_to(a[:1], (3, 5)), b), np.broadcast_to(expected[:1], (3, 7)))
    readonly = a.astype(np.float32)
    readonly.flags.writeable = False
    assert_array_equal(kernels.gemm(readonly, b), expected)


TWO = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernels.gemm(TWO, TWO), r"op\(a\) is \(2, 3\) and op\(b\) is \(2, 3\)"),
        (lambda: kernels.gemm(TWO[0], TWO), r"a has shape \(3,\); accepted: two axes"),
        (lambda: kernels.gemm(TWO, TWO[None]), r"b has shape \(1, 2, 3\)"),
        (lambda: kernels.gemm(TWO, TWO, trans_b=True, accumulate=True), "accumulate needs out"),
        (lambda: kernels.gemm(TWO, TWO, trans_b=True, out=TWO.copy()), r"out has shape \(2, 3\)"),
        (lambda: kernels.gemm(TWO, TWO, trans_b=True, out=np.zeros((2, 2))), "dtype float64"),
        (lambda: kernels.gemm(TWO, TWO, trans_b=True, out=np.zeros((4, 4), np.float32)[::2, ::2]), "accepted"),
    ],
)
def test_gemm_refuses(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
