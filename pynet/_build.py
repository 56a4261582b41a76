"""The cffi recipe of pynet._core, and the flags that every build of the C core shares.

`python pynet/_build.py` prints the flags, quoted for a shell, `python pynet/_build.py FILE ...` the optimization
level of each file, as FILE=-O3: the Makefile has no list of its own.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent

# Contraction is off because the compiler would choose which products to fuse by the surrounding code, which changes
# the last bits; the kernels name each fused multiply-add instead. math-errno would keep sqrtf from being vectorised.
CFLAGS = ["-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden", "-pthread"]
CFLAGS += ["-fno-asynchronous-unwind-tables"]  # a twentieth of the library, which only a debugger would read
# The first that fits a path. -O3 costs a tenth of the library; only what loops over numbers gains by it. The portable
# kernels are 30 kB smaller for size than with -O2, and 5 % slower.
LEVELS = {
    "csrc/kernels/portable.c": "-Os",
    **dict.fromkeys(["csrc/kernels/", "csrc/base/rng.c", "csrc/net/batch.c"], "-O3"),
    "csrc/base/": "-O2",
    **dict.fromkeys([f"csrc/arrays/{name}.c" for name in ("augment", "gemm")], "-O2"),
    **dict.fromkeys([f"csrc/net/{name}.c" for name in ("loss", "run", "train")], "-O2"),
    "": "-Os",
}
LIBS = ["m"]
# The module exports its entry point alone: no libpynet.so in the process takes the place of its functions.
EXPORTS = ["-Wl,--version-script=csrc/module.map", "-Wl,--build-id=none"] if sys.platform == "linux" else []


def version() -> str:
    """The version of pynet, in pyproject.toml. A test compares the numbers in pynet.h."""
    found = re.search(r'^version = "([^"]+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    if not found:
        raise RuntimeError(f'{ROOT / "pyproject.toml"} has no line version = "..."')
    return found[1]


def core_flags() -> list[str]:
    """Compiler flags of every file in csrc/."""
    return CFLAGS


def level(source: str) -> str:
    """The optimization of one file, named from the project's folder; what is not in csrc is cffi's wrappers."""
    return next(flag for start, flag in LEVELS.items() if source.startswith(start))


def declarations() -> str:
    """The part of pynet.h between its two markers, which cffi reads."""
    header = (ROOT / "csrc" / "pynet.h").read_text("utf-8")
    begin, end = "/* [cffi */", "/* cffi] */"
    if header.count(begin) != 1 or header.count(end) != 1:
        raise RuntimeError(f"csrc/pynet.h must have the markers {begin} and {end} once each")
    text = header.partition(begin)[2].partition(end)[0]
    return re.sub(r"^#(?:ifndef PN_NO_FILES|endif)\n", "", text, flags=re.MULTILINE)  # cffi refuses them


def recipe() -> FFI:
    """The FFI for cffi_modules in setup.py. Paths are relative to the project's folder.

    PYNET_CFLAGS adds flags for instrumented builds (sanitizers, coverage), which are not stripped.
    """
    from cffi import FFI

    extra = shlex.split(os.environ.get("PYNET_CFLAGS", ""))
    inputs = [path for pattern in ("*.h", "*.inc") for path in sorted(Path("csrc").rglob(pattern))]
    ffi = FFI()
    ffi.cdef(declarations())
    ffi.set_source(
        "pynet._core",
        '#include "pynet.h"',
        sources=[str(path) for path in sorted(Path("csrc").rglob("*.c"))],
        depends=[str(path) for path in (*inputs, Path("pynet/_build.py"), Path("pyproject.toml"))],
        include_dirs=["csrc"],
        extra_compile_args=[*core_flags(), *extra],
        extra_link_args=["-pthread", *(extra or ["-s", *EXPORTS])],
        libraries=LIBS,
    )
    return ffi


if __name__ == "__main__":
    if sys.version_info < (3, 10):  # noqa: UP036, make runs this before pip can check it
        sys.exit(f"pynet needs Python 3.10 or newer, and {sys.executable} is {sys.version.split()[0]}")
    print(shlex.join([f"{source}={level(source)}" for source in sys.argv[1:]] or core_flags()))
