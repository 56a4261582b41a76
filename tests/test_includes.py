"""The folders of csrc: which may include which, and names that are unique over all files."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from helpers import ROOT

CSRC = ROOT / "csrc"
# The folders that each folder may include; all may include pynet.h.
MAY_INCLUDE = {
    "kernels": set(),
    "base": {"kernels"},
    "arrays": {"kernels", "base"},
    "spec": {"kernels", "base"},
    "layers": {"kernels", "base", "arrays", "spec"},
    "net": {"kernels", "base", "arrays", "spec", "layers"},
    "file": {"kernels", "base", "arrays", "spec", "layers", "net"},
}
FILES = sorted(path for path in CSRC.rglob("*.*") if path.suffix in {".c", ".h", ".inc"})


def without_comments(path: Path) -> str:
    return re.sub(r"/\*.*?\*/|__attribute__\(\(.*?\)\)|\"(?:\\.|[^\"\\\n])*\"", "", path.read_text("utf-8"), flags=re.S)


def names_of(text: str) -> set[str]:
    """Static functions and objects, types, macros and enum constants."""
    types = re.findall(r"^\}\s*(\w+);|^typedef\b[^{};]*?\b(\w+);", text, re.M)
    functions = re.findall(r"^(?:static|INLINE)\b[^;{}()=]*?(\w+)\s*(?:\[[^\]]*\])*\s*(?=[(=;])", text, re.M)
    macros = re.findall(r"^\s*#\s*define\s+(\w+)", text, re.M)
    undone = re.findall(r"^\s*#\s*undef\s+(\w+)", text, re.M)
    constants = [
        name
        for body in re.findall(r"\benum\b\s*\w*\s*\{([^}]*)\}", text)
        for name in re.findall(r"(?:^|,)\s*(\w+)", body)
    ]
    return {*functions, *constants, *(name for pair in types for name in pair if name), *(set(macros) - set(undone))}


def test_includes_have_one_direction() -> None:
    wrong = []
    for path in FILES:
        folder = path.parent.name if path.parent != CSRC else ""
        for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text("utf-8"), re.M):
            target = name.rpartition("/")[0]
            if name != "pynet.h" and target != folder and target not in MAY_INCLUDE.get(folder, set()):
                wrong.append(f"{path.relative_to(CSRC)} includes {name}")
            assert (CSRC / name).is_file(), f"{path.relative_to(CSRC)} includes {name}, which is not there"
    assert wrong == []


def test_layer_kinds_do_not_include_each_other() -> None:
    home = {}
    for path in (CSRC / "layers").glob("*.c"):
        for name in re.findall(r"^const layer_ops (\w+_ops) =", path.read_text("utf-8"), re.M):
            home[name] = path.name
    assert len(home) > 10
    wrong = []
    for path in sorted((CSRC / "layers").glob("*.c")):
        for name in re.findall(r"\b\w+_ops\b", without_comments(path)):
            if path.name != "kinds.c" and home.get(name, path.name) != path.name:
                wrong.append(f"{path.name} names {name}")
    assert wrong == []


def test_names_are_unique_across_files() -> None:
    homes = defaultdict(set)
    for path in FILES:
        if path.suffix != ".h":
            text = without_comments(path)
            for name in names_of(text):
                homes[name].add(str(path.relative_to(CSRC)))
    # Each kernel table defines these for itself, and undefines them at its end. _GNU_SOURCE is the system's name.
    table_macros = {"_GNU_SOURCE"} | set(
        re.findall(r"#undef (\w+)", (CSRC / "kernels" / "table.inc").read_text("utf-8"))
    )
    clashes = {name: sorted(files) for name, files in homes.items() if len(files) > 1 and name not in table_macros}
    assert not clashes, clashes
