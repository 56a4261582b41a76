"""Each test runs on both modules, with Python on the kernel table that must give the same bits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from wasm.module import Core

from pynet import kernels

TABLES = {"relaxed": {"avx2", "avx512", "neon"}, "simd": {"portable"}}


@pytest.fixture(params=TABLES)
def core(request: pytest.FixtureRequest) -> Iterator[Core]:
    tables = [name for name in kernels.cpu_tables() if name in TABLES[request.param]]
    if not tables:
        pytest.skip("this CPU has no fused multiply-add, and wasmtime then has none, either")
    kernels.set_cpu(tables[-1])
    yield Core(request.param)
    kernels.set_cpu(None)
