"""The core in one file: it compiles alone without a warning. `make test-amalgamation` compares its trained weights."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers import ROOT

amalgamate = runpy.run_path(str(ROOT / "csrc" / "amalgamate.py"))


@pytest.fixture(scope="module")
def one_file() -> str:
    return amalgamate["amalgamated"]()


def test_it_needs_only_the_header(one_file: str) -> None:
    assert re.findall(r'#\s*include "(.*)"', one_file) == ["pynet.h"]
    assert all(f"\n/* ---- {path.relative_to(ROOT / 'csrc')} ---- */\n" in one_file for path in ROOT.glob("csrc/*/*.c"))


@pytest.mark.parametrize("switches", ["", "-DPN_NO_THREADS", "-DPN_NO_THREADS -DPN_NO_FILES -DPN_NO_ENV"])
@pytest.mark.parametrize("compiler", ["cc", "clang"])
def test_it_compiles_without_a_warning(tmp_path: Path, one_file: str, compiler: str, switches: str) -> None:
    if not shutil.which(compiler):
        pytest.skip(f"there is no {compiler} here")
    (tmp_path / "pynet.c").write_text(one_file)
    shutil.copy(ROOT / "csrc" / "pynet.h", tmp_path)
    warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    command = [compiler, "-std=c11", *warnings, *switches.split(), "-fsyntax-only", "pynet.c"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_names_get_an_ending_and_members_do_not() -> None:
    text = "INLINE vf relu(vf x)\nstatic void gemm(void)\n.gemm = gemm, g->relu, sgemm, relu(x)"
    expected = "INLINE vf relu_avx2(vf x)\nstatic void gemm_avx2(void)\n.gemm = gemm_avx2, g->relu, sgemm, relu_avx2(x)"
    assert amalgamate["suffixed"](text, "avx2") == expected


def test_private_functions_and_tables_become_static() -> None:
    text = "extern const t a[N];\nconst t a[N] = {\nint f(int x,\n      int y);\nint f(int x, int y)\n{\n"
    expected = (
        "static const t a[N];\nstatic const t a[N] = {\nstatic int f(int x,\n      int y);\nint f(int x, int y)\n{\n"
    )
    assert amalgamate["made_static"](text) == expected
    assert amalgamate["made_static"]("typedef int (*g)(void);\n") == "typedef int (*g)(void);\n"
