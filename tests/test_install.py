"""`make install` into a folder with a blank in its path: projects with pkg-config and CMake find the library there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers import ROOT

import pynet

PROGRAM = """\
#include <pynet.h>
#include <stdio.h>

int main(void)
{
    pn_net *net;
    if (pn_net_new(&net, "input(2) dense(3) relu dense(1)", 1, NULL) != PN_OK)
        return 1;
    pn_net_free(net);
    return puts(pn_version()) < 0;
}
"""
FILES = {
    *("include/pynet.h", "lib/libpynet.a", "lib/libpynet.so", "lib/libpynet.so.0", "lib/pkgconfig/pynet.pc"),
    *("lib/cmake/pynet/pynetConfig.cmake", "lib/cmake/pynet/pynetConfigVersion.cmake"),
}


def run(command: str, folder: Path, **env: str | Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    environment |= {name: str(value) for name, value in env.items()}
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def needs(tool: str) -> None:
    """Skips where the tool is missing; CI must have it."""
    if not shutil.which(tool) and not os.environ.get("CI"):
        pytest.skip(f"there is no {tool} here")


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


@pytest.fixture(scope="module")
def installed(libpynet: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder to which an installed tree was moved."""
    folder = tmp_path_factory.mktemp("a tree")
    printed = run("make install", ROOT, DESTDIR=folder / "first", PREFIX="/usr")
    assert printed.endswith(f"installed pynet {pynet.__version__} in {folder}/first/usr\n")
    return (folder / "first" / "usr").rename(folder / "moved here")


def test_it_installs_these_files(installed: Path) -> None:
    assert files(installed) == FILES
    assert (installed / "lib" / "libpynet.so").readlink() == Path("libpynet.so.0")
    assert re.search(r"SONAME +libpynet\.so\.0$", run("objdump -p libpynet.so.0", installed / "lib"), re.M)


@pytest.mark.parametrize("static", ["", "--static"])
def test_a_project_with_pkg_config(installed: Path, tmp_path: Path, static: str) -> None:
    needs("pkg-config")
    (tmp_path / "program.c").write_text(PROGRAM)
    build = f"eval cc {'-static' if static else ''} program.c -o program $(pkg-config --cflags --libs {static} pynet)"
    run(build, tmp_path, PKG_CONFIG_PATH=installed / "lib" / "pkgconfig")
    assert run("./program", tmp_path, LD_LIBRARY_PATH="" if static else installed / "lib") == f"{pynet.__version__}\n"


def test_a_project_with_cmake(installed: Path, tmp_path: Path) -> None:
    needs("cmake")
    (tmp_path / "program.c").write_text(PROGRAM)
    (tmp_path / "CMakeLists.txt").write_text(
        f"cmake_minimum_required(VERSION 3.10)\nproject(program C)\nfind_package(pynet {pynet.__version__} REQUIRED)\n"
        "foreach(library pynet static)\nadd_executable(with_${library} program.c)\n"
        "target_link_libraries(with_${library} pynet::${library})\nendforeach()\n"
    )
    run(f'cmake -S . -B build "-DCMAKE_PREFIX_PATH={installed}" && cmake --build build', tmp_path)
    assert run("build/with_pynet && build/with_static", tmp_path) == 2 * f"{pynet.__version__}\n"


VERSIONS = {"0.2": True, "0.1": False, "0.0.9": False, "0.2.1000": False, "0.20": False, "1.0": False}


@pytest.mark.parametrize("wanted", VERSIONS)
def test_cmake_accepts_versions_of_the_same_interface(installed: Path, tmp_path: Path, wanted: str) -> None:
    needs("cmake")
    (tmp_path / "version.cmake").write_text(
        f'set(PACKAGE_FIND_VERSION {wanted})\ninclude("{installed}/lib/cmake/pynet/pynetConfigVersion.cmake")\n'
        'file(WRITE found "${PACKAGE_VERSION_COMPATIBLE}")\n'
    )
    run("cmake -P version.cmake", tmp_path)
    assert (tmp_path / "found").read_text() == str(VERSIONS[wanted]).upper()


def test_the_first_program_of_the_document(libpynet: Path, tmp_path: Path) -> None:
    """The commands as printed, in the clone, with another home folder and the program there."""
    text = (ROOT / "docs" / "embedding.md").read_text("utf-8").partition("## The installed library")[2]
    commands = re.findall(r"^    (.*)$", text.partition("\n\n`make install`")[0], re.M)
    assert len(commands) == 2
    printed = run(
        "\n".join(commands).replace("xor -I", '"$HOME/xor" -I').replace("./xor", '"$HOME/xor"'), ROOT, HOME=tmp_path
    )
    assert printed.splitlines()[-1].startswith("1 xor 1: 0")


def test_uninstall_leaves_what_is_not_ours(installed: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "of others"
    shutil.copytree(installed, prefix)
    (prefix / "lib" / "libother.a").touch()
    run("make uninstall", ROOT, PREFIX=prefix)
    assert files(prefix) == {"lib/libother.a"}


def test_get_include_names_the_folder_of_the_header() -> None:
    assert (Path(pynet.get_include()) / "pynet.h").read_text() == (ROOT / "csrc" / "pynet.h").read_text()
