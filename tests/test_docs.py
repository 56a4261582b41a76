"""The documentation is true: each command in it is run and prints what stands below it, each list names what there is.

After a change, `make docs` writes what is printed now; read it before you commit.
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
from helpers import ROOT, api_page

from pynet import __main__ as pynet_command

REFERENCE = "docs/reference.md"
PAGES = ("README.md", "docs/tutorial.md", "docs/how-to.md", "docs/models.md", "docs/scaling.md", REFERENCE)
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.M | re.S)
EXAMPLE = re.compile(r"(>>> .*\n(?:\.\.\. .*\n)*|\$ .*\n)((?:(?!>>> |\$ ).*\n)*)")
GENERATED = re.compile(r"(<!-- generated .*-->\n)(.*)(<!-- end of the generated part -->)", re.S)
WIDTH = "100"  # of the terminal that --help is printed on


class Part(NamedTuple):
    """The text under a heading of a page."""

    page: str
    title: str
    text: str

    @property
    def needs_mnist(self) -> bool:
        return any("mnist" in command for _, block in BLOCK.findall(self.text) for command, _ in EXAMPLE.findall(block))


def parts(page: str) -> Iterator[Part]:
    for text in re.split(r"^(?=## )", (ROOT / page).read_text("utf-8"), flags=re.M):
        yield Part(page, text.partition("\n")[0].lstrip("# "), text)


def shell(line: str) -> list[str]:
    """The arguments of pynet in a line of the shell: "$ pynet train", or "$ make train ARGS='--epochs 3'"."""
    words = shlex.split(line.removeprefix("$ "))
    if words[:2] == ["make", "train"]:
        return ["train", *(word for text in words[2:] for word in text.removeprefix("ARGS=").split())]
    assert os.path.basename(words[0]) == "pynet", f"this is not run: {line}"
    return words[1:]


def printed(command: str, names: dict[str, Any]) -> str:
    """The output of a command of Python (>>>) or of the shell ($), errors included."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        if command.startswith("$"):
            with contextlib.suppress(SystemExit):  # --help
                pynet_command.main(shell(command))
        else:
            source = re.sub(r"^(>>>|\.\.\.) ", "", command, flags=re.M)
            try:
                exec(compile(source, "docs", "single"), names)
            except (ValueError, RuntimeError) as error:
                print(f"{type(error).__name__}: {error}")
    return out.getvalue()


def agree(expected: str, got: str) -> bool:
    """Whether the output matches; [...] and ... match any text, and a measured speed matches any other."""
    pattern = re.sub(r"^\[\.\.\..*\]$", "...", expected, flags=re.M)
    pattern = re.sub(r"[\d.]+ s +[\d,]+ samples/s", "...", pattern)
    return doctest.OutputChecker().check_output(pattern, got, doctest.ELLIPSIS | doctest.DONT_ACCEPT_BLANKLINE)


def wrong(text: str, names: dict[str, Any]) -> list[str]:
    """The commands of a block whose output differs from the text below them."""
    assert "".join(command + expected for command, expected in EXAMPLE.findall(text)) == text
    found = []
    for command, expected in EXAMPLE.findall(text):
        got = printed(command, names)
        if not agree(expected, got):
            found.append(f"{command}expected:\n{expected}got:\n{got}")
    return found


def marked(part: Part) -> Any:
    marks = [pytest.mark.mnist] if part.needs_mnist else []
    return pytest.param(part, marks=marks, id=f"{part.page}: {part.title}")


RUNNABLE = [part for page in PAGES for part in parts(page) if BLOCK.search(part.text)]


@pytest.mark.parametrize("part", [marked(part) for part in RUNNABLE])
def test_each_part(part: Part, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: Any) -> None:
    if part.needs_mnist:
        request.getfixturevalue("mnist_root")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", WIDTH)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    names: dict[str, Any] = {}
    found = [line for _, text in BLOCK.findall(part.text) for line in wrong(text, names)]
    assert not found, "\n".join(found)


def test_wrong_output_is_detected() -> None:
    names: dict[str, Any] = {}
    assert wrong(">>> a = 2\n>>> a\n2\n>>> for i in range(2):\n...     print(i)\n0\n1\n", names) == []
    assert wrong(">>> print(a, end='\\n\\n3\\n')\n2\n\n3\n", names) == []
    assert wrong(">>> print('a\\nb\\nc')\n[...]\nc\n", names) == []
    assert wrong(">>> print('1 s  5 samples/s')\n0.2 s  4,000 samples/s\n", names) == []
    assert wrong("$ pynet --version\npynet ...\n", names) == []
    for text in (">>> a\n3\n", ">>> a\n", ">>> a = 3\n3\n", "$ pynet --version\npynet\n", "$ pynet trian\n"):
        assert len(wrong(text, names)) == 1
    assert wrong(">>> int('x')\nValueError: ...\n", names) == []
    assert [len(list(BLOCK.finditer((ROOT / page).read_text("utf-8")))) > 2 for page in PAGES] == [True] * len(PAGES)


def test_link_targets_exist() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        text = page.read_text("utf-8")
        for target, heading in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
            there = page.parent / target if target else page
            assert there.exists(), f"{page.name}: {target}"
            titles = re.findall(r"^#+ (.*)", there.read_text("utf-8"), re.M) if heading else []
            anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
            assert not heading or heading in anchors, f"{page.name}: {target}#{heading}"


def test_the_tutorial_defines_each_word_once() -> None:
    text = " ".join((ROOT / "docs/tutorial.md").read_text("utf-8").split())
    words = "sample target output weight loss gradient batch epoch default logit label prediction accuracy"
    words += " activations overfitting"
    for word in [*words.split(), "learning rate", "training set", "validation set", "test set", "activation function"]:
        assert text.count(f"**{word}**") == 1, word


def paths_in(text: str) -> set[str]:
    """Paths of the repository in backquotes; NAME matches any name."""
    quoted = re.findall(r"`([\w./]+)`", text)
    top = {path.name for path in ROOT.iterdir()} - {"build", "dist"}
    found = {name for name in quoted if name.split("/")[0] in top or re.search(r"\.(md|py|c|h|inc)$", name)}
    return {name for name in found if "NAME" not in name}


def test_the_files_that_pages_name_exist() -> None:
    inside = ("", "csrc/kernels", "csrc/arrays", "csrc/layers", "csrc/net", "csrc", "pynet", "tests/campaign", "docs")
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        named = paths_in(page.read_text("utf-8"))
        missing = [name for name in named if not any((ROOT / folder / name).exists() for folder in inside)]
        assert not missing, f"{page.name} names {', '.join(missing)}"
    assert len(paths_in((ROOT / "CONTRIBUTING.md").read_text("utf-8"))) > 40


def test_contributing_shows_the_rules_that_the_tests_of_direction_check() -> None:
    text = " ".join((ROOT / "CONTRIBUTING.md").read_text("utf-8").split())
    [rows] = re.findall(r'^ROWS = """$(.*?)^"""$', (ROOT / "tests/test_directions.py").read_text("utf-8"), re.M | re.S)
    assert " ".join(rows.split()) in text
    [chain] = re.findall(r"kernels <- .*? <- file", text)
    assert set(re.findall(r"\w+", chain)) == {path.name for path in (ROOT / "csrc").iterdir() if path.is_dir()}


def test_inside_lists_every_folder_and_module() -> None:
    text = (ROOT / "docs/inside.md").read_text("utf-8")
    core, package = re.findall(r"^\|---\|---\|\n((?:\|.*\n)+)", text, re.M)
    listed = [
        set(re.findall(r"`([^`]+)`", " ".join(row.split("|")[1] for row in rows.splitlines())))
        for rows in (core, package)
    ]
    assert listed[0] == {f"{path.name}/" for path in (ROOT / "csrc").iterdir() if path.is_dir()}
    modules = {path.name for path in (ROOT / "pynet").glob("*.py")}
    folders = {f"{path.parent.name}/" for path in (ROOT / "pynet").glob("*/*") if path.parent.name != "__pycache__"}
    assert listed[1] == modules | folders


# ---- the reference ----


def test_the_reference_lists_every_public_name_of_the_package() -> None:
    [(_, listed, _)] = GENERATED.findall((ROOT / REFERENCE).read_text("utf-8"))
    assert listed.strip() == api_page.page(), "make docs writes the list anew"


def test_the_reference_lists_what_a_network_is_written_with_and_every_function_in_c() -> None:
    from pynet import layers, optim, schedules

    text = (ROOT / REFERENCE).read_text("utf-8")
    words = [value.word for value in vars(layers).values() if isinstance(value, type) and "word" in vars(value)]
    functions = set(re.findall(r"\b(pn_\w+)\(", (ROOT / "csrc/pynet.h").read_text("utf-8")))
    assert len(words) > 15
    assert len(functions) > 60
    missing = [word for word in words if f"`{word}`" not in text and f"`{word}(" not in text]
    missing += [name for name in (*optim.OPTIMIZERS, *schedules.SCHEDULES) if f"| `{name}` |" not in text]
    missing += [f for f in functions if f"`{f}`" not in text and f"`{f.removesuffix('_grad')}`" not in text]
    assert missing == []


# ---- writing ----


def fill(page: str) -> None:
    """Replaces outdated output below commands, and the list of public names. Without PYNET_DATA, parts on MNIST are not
    changed."""
    filled = ""
    for part in parts(page):
        names: dict[str, Any] = {}

        def block(found: re.Match[str], names: dict[str, Any] = names) -> str:
            lines = ""
            for command, expected in EXAMPLE.findall(found[2]):
                got = printed(command, names)
                lines += command + (expected if agree(expected, got) else got)
            return f"```{found[1]}\n{lines}```"

        if part.needs_mnist and "PYNET_DATA" not in os.environ:
            filled += part.text
            continue
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            Path("examples").symlink_to(ROOT / "examples")
            filled += BLOCK.sub(block, part.text)
            os.chdir(ROOT)
    filled = GENERATED.sub(lambda found: f"{found[1]}\n{api_page.page()}\n\n{found[3]}", filled)
    (ROOT / page).write_text(filled, "utf-8")


if __name__ == "__main__":
    os.environ["COLUMNS"] = WIDTH
    for name in sys.argv[1:]:
        fill(name)
