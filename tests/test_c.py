"""The core from C: the test programs, and the programs in the header."""

import re
import subprocess
from pathlib import Path

import pytest
from helpers import ROOT, make

import pynet

C = ROOT / "tests" / "c"
PROGRAMS = sorted(str(path.relative_to(C).with_suffix("")) for path in C.glob("*/test_*.c"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(libpynet: Path, name: str) -> None:
    make(f"build/c/{name}")
    done = subprocess.run([libpynet / "c" / name], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r": [1-9]\d* checks,.* 0 failures", done.stdout)


def compiled(source: Path, libpynet: Path, folder: Path, library: str) -> Path:
    """A program that uses only pynet.h and one of the two libraries."""
    program = folder / source.stem
    link = (
        [str(libpynet / "libpynet.a")]
        if library == "static"
        else [f"-L{libpynet}", "-lpynet", f"-Wl,-rpath,{libpynet}"]
    )
    command = [
        "cc",
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{ROOT / 'csrc'}",
        "-o",
        program,
        source,
        *link,
        "-lm",
        "-pthread",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


def test_the_programs_in_the_header_run(libpynet: Path, tmp_path: Path) -> None:
    header = (ROOT / "csrc" / "pynet.h").read_text("utf-8").partition("*/")[0]
    sources = re.findall(r"^ \*     #include.*?^ \*     }$", header, re.MULTILINE | re.DOTALL)
    assert len(sources) == 2
    printed = []
    for name, source in zip(["train", "predict"], sources, strict=True):
        (tmp_path / f"{name}.c").write_text(re.sub(r"^ \*(     )?", "", source, flags=re.MULTILINE) + "\n")
        program = compiled(tmp_path / f"{name}.c", libpynet, tmp_path, "static")
        done = subprocess.run([program], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    probability = float(pynet.load(tmp_path / "xor.safetensors").predict_proba([[1.0, 0.0]])[0, 1])
    assert printed == ["", f"probability of label 1: {probability:.3f}\n"]
    assert probability > 0.9

    (tmp_path / "xor.safetensors").write_bytes(b"")
    done = subprocess.run([program], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "xor.safetensors" in done.stderr
