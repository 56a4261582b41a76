"""Compiles the core for browsers: pynet/play/pynet-relaxed.wasm and pynet-simd.wasm, which `pynet play` serves.

`python csrc/wasm.py` is `make wasm`; setup.py calls build() before it packs a wheel or a source distribution.
"""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLAY = ROOT / "pynet" / "play"
VARIANTS = {"relaxed": ["-msimd128", "-mrelaxed-simd"], "simd": ["-msimd128"]}
OLDEST_CLANG = 16  # the first with relaxed SIMD

MISSING = (
    f"no compiler for WebAssembly here: Clang {OLDEST_CLANG} or newer with lld, wasi-libc and the compiler's runtime "
    "(Debian, Ubuntu: apt install clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32), or pip install ziglang"
)

# Without the last, the conversion of a float that fits no integer would end the program.
TARGET = ["--target=wasm32-wasi", "-mbulk-memory", "-msign-ext", "-mnontrapping-fptoint"]
SWITCHES = ["-DPN_NO_THREADS", "-DPN_NO_FILES", "-DPN_NO_ENV"]
# Below 2 GB, addresses are positive numbers.
LINK = ["-mexec-model=reactor", "-nostartfiles", "-Wl,--no-entry", "-Wl,--strip-all"]
LINK += ["-Wl,-z,stack-size=1048576", "-Wl,--max-memory=2147483648"]
# The stack comes first, so that an overflow traps instead of overwriting data; Zig places it there by itself.
LINK_CLANG = ["-Wl,-O2", "-Wl,--compress-relocations", "-Wl,--stack-first"]
TRIAL = '#include <stdlib.h>\n__attribute__((export_name("take"))) void *take(size_t n) { return malloc(n); }\n'


def compilers() -> Iterator[list[str]]:
    """Commands that may compile for WebAssembly, the first choice first."""
    for name in ("clang", *(f"clang-{version}" for version in range(40, OLDEST_CLANG - 1, -1))):
        if shutil.which(name):
            yield [name]
    if find_spec("ziglang"):
        yield [sys.executable, "-m", "ziglang", "cc"]


def link(compiler: list[str], objects: list[Path], module: Path) -> subprocess.CompletedProcess[bytes]:
    """Links a module. Without -Os: with it Clang calls a wasm-opt that it finds, and old ones break relaxed SIMD."""
    options = LINK if "ziglang" in compiler else [*LINK, *LINK_CLANG]
    command: list[str | Path] = [*compiler, *TARGET, *options, "-o", module, *objects]
    return subprocess.run(command, capture_output=True)


def can_compile(compiler: list[str]) -> bool:
    """Does it compile and link a program with relaxed SIMD?"""
    with tempfile.TemporaryDirectory() as name:
        source, made = Path(name, "trial.c"), Path(name, "trial.o")
        source.write_text(TRIAL)
        command: list[str | Path] = [*compiler, *TARGET, *VARIANTS["relaxed"], "-c", "-o", made, source]
        if subprocess.run(command, capture_output=True).returncode:
            return False
        return link(compiler, [made], Path(name, "trial.wasm")).returncode == 0


def sources() -> list[Path]:
    """All C files, but the kernels of other CPUs."""
    kernels = {ROOT / "csrc" / "kernels" / name for name in ("avx512.c", "avx2.c", "neon.c", "portable.c")}
    return [*sorted(set((ROOT / "csrc").rglob("*.c")) - kernels), PLAY / "shim.c"]


def is_built() -> bool:
    """Are the modules newer than all they are made of?"""
    others = [PLAY / "shim.c", ROOT / "pyproject.toml", ROOT / "pynet" / "_build.py"]
    inputs = [*(ROOT / "csrc").rglob("*.[chip]*"), *others]
    newest = max(path.stat().st_mtime for path in inputs)
    modules = [PLAY / f"pynet-{variant}.wasm" for variant in VARIANTS]
    return all(module.exists() and module.stat().st_mtime >= newest for module in modules)


def compile_module(compiler: list[str], variant: str) -> None:
    """Compiles one module; its file appears when it is complete."""
    recipe = runpy.run_path(str(ROOT / "pynet" / "_build.py"))
    flags = [flag for flag in recipe["core_flags"]() if flag != "-pthread"]
    command = [*compiler, *TARGET, *VARIANTS[variant], *flags, *SWITCHES, f"-I{ROOT / 'csrc'}", "-c"]

    def compile_one(source: Path) -> Path:  # of several files in one command, Zig compiles the first
        made = folder / f"{source.parent.name}-{source.stem}.o"
        level = "-Os" if source.parent.name == "kernels" else "-Oz"
        subprocess.run([*command, level, "-o", made, source], check=True)
        return made

    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(os.cpu_count()) as pool:
        folder = Path(name)
        done = link(compiler, list(pool.map(compile_one, sources())), folder / "module.wasm")
        if done.returncode:
            raise RuntimeError(f"{' '.join(compiler)} could not link {variant}: {done.stderr.decode()}")
        shutil.copyfile(folder / "module.wasm", PLAY / f"pynet-{variant}.wasm")


def build() -> str:
    """Compiles both modules if they are older than their sources; returns what it did, or why it could not."""
    if is_built():
        return "the browser's core is up to date"
    found = next(filter(can_compile, compilers()), None)
    if found is None:
        stale = "; the modules in pynet/play are older than their sources" if any(PLAY.glob("*.wasm")) else ""
        return f"the browser's core was NOT compiled: {MISSING}{stale}"
    for variant in VARIANTS:
        compile_module(found, variant)
    sizes = [f"{module.name} {module.stat().st_size / 1000:.0f} kB" for module in sorted(PLAY.glob("*.wasm"))]
    return f"compiled the browser's core with {' '.join(found)}: {', '.join(sizes)}"


if __name__ == "__main__":
    print(build())
    sys.exit(not is_built())
