"""Compiles the C core into pynet._core, and for browsers; all else about the package is in pyproject.toml."""

import os
import runpy
import shutil
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist
from setuptools.errors import CompileError

# Flags that change the bits of results. With some, GCC also links crtfastmath.o, which flushes denormals to zero in the
# whole process that imports the core.
FAST_MATH = {
    "-Ofast",
    "-ffast-math",
    "-funsafe-math-optimizations",
    "-fassociative-math",
    "-freciprocal-math",
    "-ffinite-math-only",
    "-fno-signed-zeros",
    "-mdaz-ftz",
}


class BuildCore(build_ext):
    """Compiles on all cores, and in an existing build folder only files that have changed."""

    def finalize_options(self):
        super().finalize_options()
        if self.inplace:
            self.build_temp = "build/temp"  # an editable install would use a new folder each time

    def build_extension(self, ext):
        leave_out_fast_math([vars(self.compiler), vars(ext)])
        compiler, compile_files = self.compiler, self.compiler.compile
        check_tools(compiler.compiler_so[0])
        stamp = Path(self.build_temp, "flags.txt")
        flags = repr((compiler.compiler_so, self.include_dirs, ext.extra_compile_args))
        level = runpy.run_path("pynet/_build.py")["level"]
        same_flags = stamp.exists() and stamp.read_text() == flags

        def compile_all(sources, output_dir, depends, extra_postargs, **options):
            def is_old(source, target):
                inputs = [source, *depends]
                return not same_flags or not os.path.exists(target) or any(is_newer(path, target) for path in inputs)

            def compile_one(source):
                postargs = [level(source), *extra_postargs]
                compile_files([source], output_dir=output_dir, depends=depends, extra_postargs=postargs, **options)

            targets = compiler.object_filenames(sources, output_dir=output_dir)
            old = [source for source, target in zip(sources, targets, strict=True) if is_old(source, target)]
            if old:
                print(f"compiling {len(old)} C files", flush=True)
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(compile_one, old))
            stamp.write_text(flags)
            return targets

        compiler.compile = compile_all
        super().build_extension(ext)


class BuildPackage(build_py):
    """Adds the core compiled for browsers, and the header, whose folder pynet.get_include() names."""

    def run(self):
        if not self.editable_mode:
            compile_for_browsers()
        super().run()
        if not self.editable_mode:
            folder = Path(self.build_lib, "pynet", "include")
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy("csrc/pynet.h", folder)


class SourceDistribution(sdist):
    """Adds the core in one file, for C programs that are built without Python; and compiled for browsers."""

    def run(self):
        compile_for_browsers()
        super().run()

    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        folder = Path(base_dir, "amalgamation")
        folder.mkdir()
        (folder / "pynet.c").write_text(runpy.run_path("csrc/amalgamate.py")["amalgamated"](), "utf-8")
        shutil.copy("csrc/pynet.h", folder)


def compile_for_browsers():
    """Prints what it did, or that it could not: `pynet play` then says so, all else works."""
    print(f"pynet: {runpy.run_path('csrc/wasm.py')['build']()}", flush=True)


def check_tools(compiler):
    """Names a missing tool and the package that has it, which is clearer than the errors of a compiler."""
    if shutil.which(compiler) is None:
        raise CompileError(
            f"there is no C compiler {compiler!r} here; GCC or Clang is needed, CC=... names another "
            "(Debian, Ubuntu: apt install build-essential; Fedora: dnf install gcc)"
        )
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        raise CompileError(
            f"there is no {header}, which this Python's development package has "
            "(Debian, Ubuntu: apt install python3-dev; Fedora: dnf install python3-devel)"
        )


def leave_out_fast_math(owners):
    """Removes FAST_MATH flags (from CFLAGS, for example) from all commands of compiler and linker, and prints them."""
    found = set()
    for owner in owners:
        for words in owner.values():
            if isinstance(words, list) and FAST_MATH.intersection(map(str, words)):
                found |= FAST_MATH.intersection(words)
                words[:] = [word for word in words if word not in FAST_MATH]
    if found:
        print(f"pynet: built without {', '.join(sorted(found))}: they change the arithmetic of the whole process")


def is_newer(path, than):
    return os.stat(path).st_mtime >= os.stat(than).st_mtime


# Free-threaded CPython has no stable ABI.
abi3 = {} if sysconfig.get_config_var("Py_GIL_DISABLED") else {"py_limited_api": "cp310"}

setup(
    cffi_modules=["pynet/_build.py:recipe"],
    cmdclass={"build_ext": BuildCore, "build_py": BuildPackage, "sdist": SourceDistribution},
    options={"bdist_wheel": abi3},
)
