"""Which module of pynet may import which: checked by paths and import statements alone, those in functions, too."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "pynet"

# A part of the package may import parts of the rows above its own, but not parts of its own row.
ROWS = """
text _core _build
errors files html layers optim schedules augment reference
_ffi
kernels
model pictures
data metrics
training
network
inference formats figures sklearn
play
commands
__init__ __main__ train
"""
HEIGHT = {part: i for i, row in enumerate(ROWS.split("\n")) for part in row.split()}
CORE = {"_ffi", "kernels", "model"}  # where ffi and lib, the compiled core itself, may appear


def modules(sources: Mapping[str, str]) -> dict[str, ast.Module]:
    """The syntax trees by dotted name without "pynet."; "" is pynet/__init__.py."""
    names = {path: path.removesuffix(".py").removesuffix("__init__").strip("/").replace("/", ".") for path in sources}
    return {names[path]: ast.parse(source) for path, source in sources.items()}


def imports(tree: ast.Module, known: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """(module, name) of all imports from pynet, those in functions and under TYPE_CHECKING, too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import hides where it points"
            top, _, inner = (node.module or "").partition(".")
            for alias in node.names if top == "pynet" else []:
                module = f"{inner}.{alias.name}".strip(".")
                yield (module, "") if module in known else (inner, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                top, _, inner = alias.name.partition(".")
                if top == "pynet":
                    yield inner, ""


def part(module: str) -> str:
    return module.partition(".")[0] or "__init__"


def circle(edges: Mapping[str, set[str]]) -> list[str]:
    """The modules that import themselves through others, and those that import such modules."""
    left = dict(edges)
    while ends := [module for module, imported in left.items() if not imported & left.keys()]:
        for module in ends:
            del left[module]
    return sorted(left)


def faults(sources: Mapping[str, str]) -> list[str]:
    """The violations of the rules, a line each."""
    trees = modules(sources)
    known = {**trees, "_core": None}
    found, edges = [], {}
    for module, tree in trees.items():
        if part(module) not in HEIGHT:
            found.append(f"{module} has no place")
            continue
        imported = set(imports(tree, known))
        edges[module] = {target for target, _ in imported}
        for target, name in imported:
            if not target and name:
                found.append(f"{module} takes {name} from __init__")
            elif part(target) != part(module) and HEIGHT.get(part(target), 99) >= HEIGHT[part(module)]:
                found.append(f"{module} imports {target}")
            if part(target) in ("_ffi", "_core") and name in ("ffi", "lib", "*", "") and part(module) not in CORE:
                found.append(f"{module} uses the core itself")
    if together := circle(edges):
        found.append(f"a circle: {', '.join(together)}")
    return found


def test_the_package() -> None:
    paths = list(PACKAGE.rglob("*.py"))
    assert len(paths) > 60
    assert faults({str(path.relative_to(PACKAGE)): path.read_text("utf-8") for path in paths}) == []


GOOD = {"__init__.py": "", "data/__init__.py": "from pynet.data.csv import x", "data/csv.py": "", "text.py": ""}


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        ("text.py", "from pynet.errors import DataError", "text imports errors"),
        ("data/idx.py", "def f():\n    import pynet.training.fit", "data.idx imports training.fit"),
        ("model/net.py", "if TYPE_CHECKING:\n    from pynet.network import Network", "model.net imports network"),
        ("metrics.py", "from pynet import data", "metrics imports data"),
        ("commands/cli.py", "from pynet import __version__", "commands.cli takes __version__ from __init__"),
        ("training/fit.py", "from pynet._ffi import Array, ffi", "training.fit uses the core itself"),
        ("training/fit.py", "from pynet import _ffi", "training.fit uses the core itself"),
        ("data/csv.py", "from pynet.data import y", "a circle: data, data.csv"),
        ("odds.py", "", "odds has no place"),
    ],
)
def test_violations_are_found(path: str, source: str, fault: str) -> None:
    files = {"errors.py": "", "training/fit.py": "", "network.py": "", "_ffi.py": "from pynet._core import ffi, lib"}
    assert faults(GOOD | files) == []
    assert faults(GOOD | files | {path: source}) == [fault]
