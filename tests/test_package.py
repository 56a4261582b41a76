"""The build: names that binaries export, words that sources must not contain, files of the wheel."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from helpers import ROOT

SOURCES = sorted(path for path in (ROOT / "csrc").rglob("*.*") if path.suffix in {".c", ".h", ".inc"})
X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="a kernel table of x86-64")


@pytest.fixture(scope="module")
def build() -> dict[str, object]:
    """pynet/_build.py of the source tree: it is not meant to be imported from an installed package."""
    return runpy.run_path(str(ROOT / "pynet" / "_build.py"))


@pytest.fixture(scope="module")
def declared(build) -> set[str]:
    """The functions that pynet.h declares."""
    plain = re.sub(r"/\*.*?\*/", "", build["declarations"](), flags=re.DOTALL)
    names = set(re.findall(r"\b(pn_\w+)\(", plain))
    assert {"pn_gemm", "pn_net_train", "pn_version"} <= names
    return names


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel of the source tree; the objects of the last in-place build are used again."""
    folder = tmp_path_factory.mktemp("wheel")
    outputs = ["--build-base", folder / "base", "--build-lib", folder / "lib", "--build-temp", "build/temp"]
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", folder, "build", *outputs]
    run(*command, "bdist_wheel", "--bdist-dir", folder / "tree", "--dist-dir", folder)
    [path] = folder.glob("*.whl")
    return path


def run(*command: object) -> str:
    done = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}{done.stderr}"
    return done.stdout


def exported(*options: object) -> set[str]:
    """The names that nm lists as defined and exported."""
    lines = run("nm", "--defined-only", "--extern-only", "--format=posix", *options).splitlines()
    return {line.split()[0] for line in lines if len(line.split()) > 1} - {"_init", "_fini"}


def without_comments(path: Path) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text("utf-8"), flags=re.DOTALL)


def fused_multiply_adds(path: Path, operand: str) -> int:
    """The number of fused multiply-add instructions on vectors of this kind in a binary."""
    return len(re.findall(rf"\bvfn?m(?:add|sub)\d+ps\b.*{operand}", run("objdump", "-d", path)))


def test_extension_exports_its_entry_point_alone():
    """A libpynet.so in the same process cannot take the place of its functions."""
    [extension] = (ROOT / "pynet").glob("_core*.so")
    assert exported("--dynamic", extension) == {"PyInit__core"}


def test_libraries_export_exactly_the_header(libpynet, declared):
    """csrc/symbols.txt shows in a review that a symbol was added, or one that programs are linked with was removed."""
    assert (ROOT / "csrc" / "symbols.txt").read_text("utf-8").split() == sorted(declared)
    assert exported("--dynamic", libpynet / "libpynet.so") == declared
    assert exported(libpynet / "libpynet.a") == declared


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("-U__BYTE_ORDER__ -D__BYTE_ORDER__=__ORDER_BIG_ENDIAN__", "pynet needs a little-endian machine"),
        pytest.param("-m32 -mno-sse", "for x86 of 32 bits add -msse2 -mfpmath=sse", marks=X86),
        pytest.param("-m32 -msse2 -mfpmath=sse", "", marks=X86),
        ("", ""),
    ],
)
def test_machines_with_other_arithmetic_are_refused(flags, message):
    header = ROOT / "csrc" / "kernels" / "platform.h"  # without the C library, which may not be there for 32 bits
    command = ["cc", "-fsyntax-only", "-DPN_NO_ENV", *flags.split(), "-xc", header]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode == 0) == (message == "")
    assert message in done.stderr


@X86
def test_the_library_is_small(libpynet):
    assert (libpynet / "libpynet.so").stat().st_size <= 400_000  # three kernel tables


@pytest.mark.parametrize("compiler", ["-xc -std=c99", "-xc -std=gnu11", "-xc++ -std=c++11"])
def test_header_compiles_alone(tmp_path, compiler):
    if "c++" in compiler and not shutil.which("c++"):
        pytest.skip("there is no C++ compiler here")
    program = tmp_path / "alone.c"
    program.write_text('#include "pynet.h"\nint main(void) { return pn_version() == 0; }\n')
    command = ["cc", *compiler.split(), "-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", "-Icsrc", program]
    run(*command)
    program.write_text(
        "#define restrict __restrict__\n" + program.read_text() + "int f(int *restrict p) { return *p; }\n"
        "int pn_net_save(void) { return pn_checkpoint_free == 0; }\n"
    )
    run(*command[:-1], "-Wno-address", "-DPN_NO_FILES", program)  # the program's macro stays; files are not declared


# The product of a tile has a fused instruction for each accumulator, far more than the bound. If the compiler did not
# fuse, there would be none.
@X86
@pytest.mark.parametrize(("name", "vector"), [("avx2", "%ymm"), ("avx512", "%zmm")])
def test_products_are_fused(libpynet, name, vector):
    assert fused_multiply_adds(libpynet / "obj" / "kernels" / f"{name}.o", vector) > 100
    [extension] = (ROOT / "pynet").glob("_core*.so")
    assert fused_multiply_adds(extension, vector) > 100


@X86
def test_portable_kernels_use_no_instruction_beyond_the_baseline(libpynet):
    assert not re.search(r"%[yz]mm", run("objdump", "-d", libpynet / "obj" / "kernels" / "portable.o"))


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        (r"Python\.h", ()),
        (r"\b(?:v?printf|puts|putchar|perror)\s*\(|\b(?:stdout|stderr)\b", ()),
        (r"\b(?:_?exit|abort|assert)\s*\(", ()),
        (r"\b(?:secure_)?getenv\s*\(|\bsetenv\s*\(", ("kernels/platform.h",)),
        (r"\b(?:malloc|calloc|realloc|free|aligned_alloc|strdup)\s*\(", ("base/allocator.c",)),
        (r"\b(?:qsort|open_memstream|getline|asprintf)\s*\(|realpath\(\w+, NULL", ()),  # they call malloc
        (r"fast-math|Ofast|optimize\s*\(|\bnative\b", ()),
        (r"__(?:x86_64|aarch64|AVX\w*|FMA|ARM\w*)__", ("kernels/", "base/")),
    ],
)
def test_core_is_free_of(pattern, allowed):
    found = [str(path.relative_to(ROOT / "csrc")) for path in SOURCES if re.search(pattern, without_comments(path))]
    assert [name for name in found if not name.startswith(allowed)] == []


def test_flags_keep_arithmetic_exact(build):
    assert {"-std=c11", "-ffp-contract=off", "-fvisibility=hidden"} <= set(build["core_flags"]())
    for name in ("pyproject.toml", "Makefile", "pynet/_build.py"):  # setup.py contains some flags, which it removes
        text = (ROOT / name).read_text("utf-8")
        assert not re.findall(r"-ffast-math|-Ofast|-march|-mtune|-funsafe-math", text), name


def test_import_loads_only_what_it_needs():
    """The import of each of these takes milliseconds, and most programs do not need them."""
    heavy = {"PIL", "argparse", "hashlib", "matplotlib", "platformdirs", "tqdm", "urllib.request", "zipfile"}
    later = {
        f"pynet.{name}"
        for name in ("commands", "data", "figures", "inference", "kernels", "pictures", "reference", "schedules")
    }
    loaded = "import sys, numpy; before = set(sys.modules); import pynet; print(*set(sys.modules) - before)"
    assert not set(run(sys.executable, "-c", loaded).split()) & (heavy | later)


def test_version_is_defined_once(build):
    import pynet
    from pynet._core import ffi, lib

    version = build["version"]()
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert ffi.string(lib.pn_version()).decode() == version
    assert version == f"{lib.PN_VERSION_MAJOR}.{lib.PN_VERSION_MINOR}.{lib.PN_VERSION_PATCH}"
    assert pynet.__version__ == version
    assert importlib.metadata.version("pynet-nn") == version
    files = [*SOURCES, *sorted((ROOT / "pynet").glob("*.py")), ROOT / "setup.py", ROOT / "Makefile"]
    assert [path.name for path in files if version in path.read_text("utf-8")] == []


def test_a_folder_called_pynet_does_not_hide_the_package(tmp_path):
    """Such a folder may contain a clone, or models."""
    (tmp_path / "pynet").mkdir()
    (tmp_path / "job.py").write_text("import pynet\nprint(pynet.load)\n")
    for words in (["-c", "import pynet; pynet.load"], ["job.py"], ["-m", "pynet", "--version"]):
        done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{words}: {done.stderr}"


def test_the_error_of_a_clone_that_is_not_built(tmp_path):
    shutil.copytree(ROOT / "pynet", tmp_path / "pynet", ignore=shutil.ignore_patterns("*.so", "__pycache__"))

    def last_line() -> str:
        command = [sys.executable, "-c", "import pynet"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        return done.stderr.splitlines()[-1]

    missing = "ModuleNotFoundError: No module named 'pynet._core'"
    assert last_line() == missing  # an installed package without its core is not a clone
    (tmp_path / "csrc").mkdir()
    message = last_line()
    assert message.startswith(f"{missing}: pynet was imported from the clone in {tmp_path},")
    assert "`make train`" in message and f"{tmp_path}/.venv/bin/python" in message


def test_a_build_names_what_is_missing(tmp_path, monkeypatch):
    command = [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", tmp_path, "--build-temp", tmp_path]
    monkeypatch.setenv("CC", "no-such-compiler")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "error: there is no C compiler 'no-such-compiler' here" in done.stderr

    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    with pytest.raises(SystemExit, match=r"needs Python 3\.10 or newer"):
        runpy.run_path(str(ROOT / "pynet" / "_build.py"), run_name="__main__")


def test_a_build_without_a_compiler_for_webassembly_says_so(monkeypatch):
    script = runpy.run_path(str(ROOT / "csrc" / "wasm.py"))
    inside = script["build"].__globals__
    monkeypatch.setitem(inside, "is_built", lambda: False)
    monkeypatch.setitem(inside, "compilers", lambda: [[sys.executable, "-c", "exit(1)"]])
    assert re.match(
        r"the browser's core was NOT compiled: .*apt install clang-19.*pip install ziglang", script["build"]()
    )


def test_wheel_is_small_stable_and_complete(wheel):
    tags = "cp310-abi3" if "abi3" in wheel.name else f"cp{sys.version_info.major}{sys.version_info.minor}"
    assert wheel.name.startswith(f"pynet_nn-{importlib.metadata.version('pynet-nn')}-{tags}-")
    members = {member.filename: member.compress_size for member in zipfile.ZipFile(wheel).infolist()}
    names = set(members)
    browser = sum(size for name, size in members.items() if name.startswith("pynet/play/"))
    assert wheel.stat().st_size - browser < 690_000  # Python is two thirds of it
    assert browser < 450_000
    assert [size < 225_000 for name, size in members.items() if name.endswith(".so")] == [True]  # three kinds of CPU
    assert [name for name in names if name.endswith((".h", ".inc"))] == ["pynet/include/pynet.h"]
    parts = {f"pynet/formats/{name}.c" for name in ("c_layers", "c_layers_any", "c_layers_int8")}  # of exported files
    assert {name for name in names if name.endswith(".c")} == parts
    assert not [name for name in names if name.startswith("tests")]
    assert not [name for name in names if "__pycache__" in name]
    package = [path for path in (ROOT / "pynet").rglob("*") if path.is_file() and path.suffix not in {".pyc", ".so"}]
    package.remove(ROOT / "pynet" / "play" / "shim.c")  # compiled with the core, for browsers
    assert {str(path.relative_to(ROOT)) for path in package} <= names
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)


def test_wheel_asks_for_few_packages(wheel):
    [metadata] = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("dist-info/METADATA")]
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    needed = re.findall(r"^Requires-Dist: ([\w-]+)(?!.*extra ==)", text, re.MULTILINE)
    assert sorted(needed) == ["cffi", "numpy", "pillow", "platformdirs", "tqdm"]


def test_source_distribution_has_what_a_build_needs(tmp_path):
    run(sys.executable, "setup.py", "-q", "egg_info", "--egg-base", tmp_path, "sdist", "--dist-dir", tmp_path)
    [path] = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {str(source.relative_to(ROOT)) for source in SOURCES} <= names
    assert {"Makefile", "LICENSE", "README.md", "pynet/_build.py", "tests/conftest.py", "examples/three.png"} <= names
    assert {"amalgamation/pynet.c", "amalgamation/pynet.h"} <= names
    assert not [name for name in names if name.endswith((".so", ".o", ".pyc"))]


def test_make_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text("utf-8").replace("\\\n", " ")
    targets = set(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split()) - {"c-tests", "fuzzers", "werror"}
    listed = set(re.findall(r"^  (\S+)", run("make", "--no-print-directory", "help"), re.MULTILINE))
    assert listed == targets
