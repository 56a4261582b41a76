"""The documentation tells the truth: each command in it is run, and prints what stands below it.

After a change, `python tests/test_docs.py docs/tutorial.md` writes what is printed now; read it before you commit.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from helpers import ROOT

from pynet import __main__ as pynet_command

PAGES = ("docs/tutorial.md", "docs/how-to.md")
NEEDS_MNIST = "This part needs MNIST"
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.M | re.S)
EXAMPLE = re.compile(r"(>>> .*\n(?:\.\.\. .*\n)*|\$ pynet .*\n)((?:(?!>>> |\$ ).*\n)*)")


class Part(NamedTuple):
    """What stands under a heading of a page."""

    page: str
    title: str
    text: str


def parts(page: str) -> Iterator[Part]:
    for text in re.split(r"^(?=## )", (ROOT / page).read_text("utf-8"), flags=re.M):
        yield Part(page, text.partition("\n")[0].lstrip("# "), text)


def printed(command: str, names: dict[str, Any]) -> str:
    """What a command of Python (>>>) or of the shell ($ pynet) prints; an error is printed, too."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        if command.startswith("$"):
            pynet_command.main(shlex.split(command)[2:])
        else:
            source = re.sub(r"^(>>>|\.\.\.) ", "", command, flags=re.M)
            try:
                exec(compile(source, "docs", "single"), names)
            except (ValueError, RuntimeError) as error:
                print(f"{type(error).__name__}: {error}")
    return out.getvalue()


def wrong(text: str, names: dict[str, Any]) -> list[str]:
    """What the commands of a block print otherwise than it says."""
    failures = []
    assert "".join(command + expected for command, expected in EXAMPLE.findall(text)) == text
    for command, expected in EXAMPLE.findall(text):
        got = printed(command, names)
        if not doctest.OutputChecker().check_output(expected, got, doctest.ELLIPSIS | doctest.DONT_ACCEPT_BLANKLINE):
            failures.append(f"{command}expected:\n{expected}got:\n{got}")
    return failures


def marked(part: Part) -> Any:
    marks = [pytest.mark.mnist] if NEEDS_MNIST in part.text else []
    return pytest.param(part, marks=marks, id=f"{part.page}: {part.title}")


@pytest.mark.parametrize("part", [marked(part) for page in PAGES for part in parts(page)])
def test_each_part(part: Part, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: Any) -> None:
    if NEEDS_MNIST in part.text:
        request.getfixturevalue("mnist_root")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    failures = [line for _, text in BLOCK.findall(part.text) for line in wrong(text, names)]
    assert not failures, "\n".join(failures)


def test_what_is_wrong_is_noticed() -> None:
    names: dict[str, Any] = {}
    assert wrong(">>> a = 2\n>>> a\n2\n>>> for i in range(2):\n...     print(i)\n0\n1\n", names) == []
    assert wrong(">>> print(a, end='\\n\\n3\\n')\n2\n\n3\n", names) == []
    assert wrong("$ pynet --version\npynet ...\n", names) == []
    for text in (">>> a\n3\n", ">>> a\n", ">>> a = 3\n3\n", "$ pynet --version\npynet\n", "$ pynet trian\n"):
        assert len(wrong(text, names)) == 1
    assert wrong(">>> int('x')\nValueError: ...\n", names) == []
    assert len(BLOCK.findall((ROOT / "docs/tutorial.md").read_text("utf-8"))) > 12


def test_what_pages_point_at_exists() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def fill(page: str) -> None:
    """Writes below each command of a page what it prints."""
    filled = ""
    for part in parts(page):
        names: dict[str, Any] = {}

        def block(found: re.Match[str], names: dict[str, Any] = names) -> str:
            commands = [command for command, _ in EXAMPLE.findall(found[2])]
            return f"```{found[1]}\n{''.join(command + printed(command, names) for command in commands)}```"

        filled += BLOCK.sub(block, part.text)
    (ROOT / page).write_text(filled, "utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name in sys.argv[1:]:
            fill(name)
