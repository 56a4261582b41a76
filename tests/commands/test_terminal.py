"""Foreign text (names of classes, data sets and files, notes, error messages) cannot control a terminal."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pynet
from pynet import commands
from pynet.commands import evaluate, info, predict, train, visualize
from pynet.data import DataError, folders
from pynet.text import printable

ESCAPE, C1, OVERRIDE, ISOLATE = "\x1b[31m", "\x9b2J", "\u202e", "\u2066"
EVIL = f"{ESCAPE}{C1}{OVERRIDE}{ISOLATE}\x07\r\n\x7f\u2028"
SHOWN = r"\x1b[31m\x9b2J\u202e\u2066\x07\r\n\x7f\u2028"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folders, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path


def draw(path: Path, i: int = 0, ring: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ink = np.tri(28) if ring else np.eye(28)
    Image.fromarray((np.roll(ink, i) * 255).astype(np.uint8)).save(path)


def run(main: Callable[[list[str]], int], *args: str | Path) -> tuple[int, str]:
    """The exit status and the output, in which line ends are the only control characters."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        status = main([str(arg) for arg in args])
    wild = {c for c in out.getvalue() if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert wild == set(), out.getvalue()
    return status, out.getvalue()


# ---- the function ----


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (EVIL, SHOWN),
        ("\u200b\u200e\u200f\u061c\ufeff\u2069", r"\u200b\u200e\u200f\u061c\ufeff\u2069"),
        ("a\udcffb", r"a\udcffb"),  # a byte of a file name that is not UTF-8
        ("\x00\x1b\x1f\x7f\x80\x9f", r"\x00\x1b\x1f\x7f\x80\x9f"),
        ("\U000e0041", r"\U000e0041"),
        ("Größe 日本 😀 $x$ \\x1b '\"", "Größe 日本 😀 $x$ \\x1b '\""),
        (Path("a/b"), "a/b"),
        (ValueError("a\nb"), r"a\nb"),
        ("", ""),
    ],
)
def test_printable(text: object, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_all_commands_print_escaped_text() -> None:
    """print() appears only in cli.py, and for JSON, which escapes by itself."""
    places = list(Path(commands.__file__).parent.glob("*.py"))
    assert len(places) > 8
    for path in places:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "print",
                "sys.stdout.write",
                "sys.stderr.write",
            ):
                first = ast.unparse(node.args[0]) if node.args else ""
                assert path.name == "cli.py" or first.startswith("json_text("), f"{path.name}: {ast.unparse(node)}"


# ---- the commands ----


def test_names_of_classes_and_files() -> None:
    data = Path(f"d{EVIL}")
    for i in range(10):
        draw(data / f"a{EVIL}" / f"{i}{EVIL}.png", i)
        draw(data / "b" / f"{i}.png", i, ring=True)
    (data / "b" / f"gone{EVIL}.png").symlink_to("nowhere")
    (data / "b" / f"broken{EVIL}.png").write_bytes(b"none")
    model, history = f"m{EVIL}.safetensors", f"h{EVIL}.csv"
    options = ["--data", data, "--epochs", "2", "--lr", "0.01", "--hidden", "5"]
    status, out = run(train.main, *options, "--save", model, "--history", history, "--plot", "--checkpoint", f"c{EVIL}")
    assert status == 0, out
    for line in (f"data      d{SHOWN}: ", f"classes a{SHOWN}, b", f"saved to m{SHOWN}.safetensors", f"gone{SHOWN}.png"):
        assert line in out
    status, out = run(train.main, *options, "--save", model, "--checkpoint", f"c{EVIL}", "--resume", "--epochs", "3")
    assert (status, f"resumed from c{SHOWN}; epochs completed: 2" in out) == (0, True)
    picture = data / f"a{EVIL}" / f"1{EVIL}.png"
    status, out = run(predict.main, "--model", model, picture, "--show")
    assert status == 0
    assert out.startswith(f"model m{SHOWN}.safetensors: trained on d{SHOWN}, test accuracy ")
    assert f"\nd{SHOWN}/a{SHOWN}/1{SHOWN}.png: " in out
    assert f"a{SHOWN} " in out
    status, out = run(predict.main, "--model", model, picture.parent, data / "b" / f"broken{EVIL}.png", f"no{EVIL}")
    assert (status, out.count("\n")) == (1, 13)
    status, out = run(evaluate.main, "--model", model, "--data", data)
    assert (status, f"model        m{SHOWN}.safetensors: " in out) == (0, True)
    assert f"data         d{SHOWN}: 4 test samples, split off before the training" in out
    status, out = run(info.main, model)
    assert (status, f"classes     a{SHOWN}, b" in out) == (0, True)
    _, out = run(info.main, model, "--json")
    assert json.loads(out)["classes"] == [f"a{EVIL}", "b"]
    _, out = run(evaluate.main, "--model", model, "--data", data, "--json")
    assert json.loads(out[out.index("{") :])["dataset"] == f"d{EVIL}"
    run(visualize.main, "--model", model, "--data", data, "--out", f"o{EVIL}")
    assert any(name.endswith(".png") for name in os.listdir(f"o{EVIL}"))
    assert run(visualize.main, "--history", history)[0] == 0


def test_a_folder_whose_name_is_not_utf8() -> None:
    names = [os.fsdecode(b"a\xff"), "é"]
    try:
        for i in range(10):
            draw(Path("d", names[0], f"{i}.png"), i)
            draw(Path("d", names[1], f"{i}.png"), i, ring=True)
    except OSError:
        pytest.skip("this file system takes no such name")
    status, out = run(train.main, "--data", "d", "--epochs", "1", "--save", "m.safetensors")
    assert (status, r"classes a\udcff, é" in out) == (0, True)
    assert pynet.load("m.safetensors").classes == names
    assert run(evaluate.main, "--data", "d")[0] == 0
    assert run(predict.main, Path("d", names[0]))[0] == 0


def test_notes_of_a_model() -> None:
    net = pynet.Network("input(784) dense(2) softmax")
    net.classes = [f"a{EVIL}", "b"]
    net.meta.update({"dataset": EVIL, "test_accuracy": EVIL, EVIL: EVIL, "pictures": EVIL})
    net.save("m.safetensors")
    draw(Path("a.png"))
    for command, args, status in (
        (info, [], 0),
        (predict, ["a.png"], 1),
        (evaluate, [], 2),
        (visualize, [], 0),
        (train, ["--load", "m.safetensors", "--dataset", "digits"], 1),
    ):
        assert run(command.main, *args)[0] == status
    del net.meta["pictures"]
    net.save("m.safetensors")
    status, out = run(predict.main, "a.png")
    assert (status, out.splitlines()[0]) == (0, f"model m.safetensors: trained on {SHOWN}")


@pytest.mark.parametrize(
    ("command", "args"),
    [
        (train, ["--save", f"{EVIL}/m"]),
        (train, ["--history", f"{EVIL}/h.csv"]),
        (train, ["--history", EVIL]),
        (train, ["--checkpoint", f"{EVIL}/c"]),
        (train, ["--checkpoint", EVIL, "--resume"]),
        (train, ["--load", EVIL]),
        (train, ["--data", EVIL]),
        (train, ["--net", EVIL]),
        (train, ["--schedule", EVIL]),
        (train, ["--augment", EVIL]),
        (train, ["--dataset", EVIL]),
        (train, ["--optimizer", EVIL]),
        (train, ["--classes", EVIL]),
        (train, [f"--{EVIL}"]),
        (train, [EVIL]),
        (predict, [EVIL]),
        (predict, ["a.png", "--model", EVIL]),
        (predict, ["a.png", "--save-seen", f"{EVIL}/s.png"]),
        (evaluate, ["--model", EVIL]),
        (info, [EVIL]),
        (visualize, [EVIL]),
        (visualize, ["--history", EVIL]),
        (visualize, ["--toy", EVIL]),
    ],
)
def test_errors(command: object, args: list[str]) -> None:
    draw(Path("a.png"))
    pynet.Network("input(784) dense(10) softmax").save("m.safetensors")
    extra = ["--dataset", "digits"] if command is train and not {"--data", "--dataset"} & {*args} else []
    status, out = run(command.main, *args, *extra)  # type: ignore[attr-defined]
    assert status in (1, 2)
    *before, last = out.splitlines()
    assert last.startswith("pynet ")
    assert before in ([], ["model m.safetensors"])


@pytest.mark.parametrize("header", [f"label,{EVIL}", f"{ESCAPE},{C1}"])
def test_the_header_of_a_csv(header: str) -> None:
    Path("d.csv").write_text(f"{header}\n0,1\n1,{ESCAPE}\n")
    status, out = run(train.main, "--data", "d.csv", "--save", "none")
    assert (status, out.count("\n")) == (2, 1)
    Path("h.csv").write_text(f"epoch,loss,{ESCAPE}\n1,2,{C1}\n")
    assert run(visualize.main, "--history", "h.csv")[0] == 1


def test_a_data_error_is_one_line() -> None:
    assert str(DataError(f"a{EVIL}")) == f"a{SHOWN}"
