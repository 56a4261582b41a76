"""Compiles exported C files, without warnings, and calls their functions."""

from __future__ import annotations

import ctypes
import math
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pynet import Network, kernels

Array = np.ndarray[Any, Any]
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
STRICT = "-std=c99 -trigraphs -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror"
# What makes the compiler fuse multiply-adds, as the kernel tables of the core do, other than the portable one.
FUSED = {"avx512": "-mfma", "avx2": "-mfma", "neon": "", "portable": None}[kernels.cpu()]
GUARD = 1024  # numbers after the work memory that must not change


def compiled(compiler: str, sources: Sequence[Path], flags: str, to: Path) -> Path:
    command = [compiler, *STRICT.split(), *flags.split(), *map(str, sources), "-o", str(to), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return to


def library(compiler: str, sources: Sequence[Path], flags: str, to: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(compiled(compiler, sources, f"-shared -fPIC {flags}", to)))


def status(program: Path) -> int:
    """The exit status of a program without arguments."""
    return subprocess.run([program], timeout=60).returncode


def predicted(loaded: ctypes.CDLL, header: Path, net: Network, x: Array) -> Array:
    """What NAME_predict of a library gives for x (n, ...), of the type that it takes; NAME is that of the header.

    Work memory and results hold NaN, or -1, before each call.
    """
    name, text = header.stem, header.read_text("utf-8")
    sizes = {end: int(text.split(f"{name}_{end} ".upper())[1].split()[0]) for end in ("INPUTS", "OUTPUTS", "WORK")}
    assert (sizes["INPUTS"], sizes["OUTPUTS"]) == (math.prod(net.in_shape), math.prod(net.out_shape))
    dtype = np.int16 if "int16_t *y" in text else np.float32
    results = np.empty((len(x), *net.out_shape), dtype)
    for sample, result in zip(x, results, strict=True):
        work = np.full(sizes["WORK"] + GUARD, -1 if dtype == np.int16 else np.nan, dtype)
        given, y = np.ascontiguousarray(sample), np.full(sizes["OUTPUTS"] + GUARD, work[0], dtype)
        getattr(loaded, f"{name}_predict")(*(ctypes.c_void_p(a.ctypes.data) for a in (y, given, work)))
        for array, end in ((work, "WORK"), (y, "OUTPUTS")):
            assert np.array_equal(array[sizes[end] :], np.full(GUARD, work[-1]), equal_nan=True), f"written past {end}"
        result[...] = y[: sizes["OUTPUTS"]].reshape(net.out_shape)
    return results
