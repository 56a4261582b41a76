"""Output files that cannot be written are reported before the work, whose results would be lost."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from helpers.command import DIGITS, one_line, run
from PIL import Image

import pynet
from pynet.commands import predict, visualize

SHORT = (*DIGITS, "--epochs", "1", "--limit", "100", "--quiet")
LONG = "n" * 255  # the longest name that a file can have here; suffixes make it too long


def never(*_: object, **__: object) -> None:
    raise AssertionError("the work has begun")


def targets() -> None:
    """Creates files and folders that no command can write to."""
    os.mkfifo("pipe.csv")
    os.mkdir("folder.csv")
    os.symlink("nowhere", "link.csv")
    os.symlink("loop.csv", "loop.csv")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--save", f"{LONG}.safetensors"], "File name too long"),
        (["--save", "away/m.safetensors"], "cannot write away/m.safetensors: folder away: No such file or directory"),
        (["--checkpoint", f"{LONG}.safetensors"], "File name too long"),
        (["--checkpoint", "away/c"], "cannot write away/c: folder away: No such file or directory"),
        (["--checkpoint", "pipe.csv"], "cannot write pipe.csv: it is not a regular file"),
        (["--checkpoint", "link.csv"], "cannot write link.csv: it is a link to a file that does not exist"),
        (["--history", f"{LONG}.csv"], "File name too long"),
        (["--history", "away/h.csv"], "cannot write away/h.csv: folder away: No such file or directory"),
        (["--history", "pipe.csv"], "cannot write pipe.csv: it is not a regular file"),
        (["--history", "folder.csv"], "cannot write folder.csv: it is a folder"),
        (["--history", "link.csv"], "cannot write link.csv: it is a link to a file that does not exist"),
        (["--history", "loop.csv"], "cannot write loop.csv: Too many levels of symbolic links"),
        (
            ["--plot", "--save", f"{LONG[:243]}.safetensors"],
            ": File name too long",
        ),
        (["--plot", "--save", "busy.safetensors"], "cannot write busy-figures/busy-weights.png: it is a folder"),
        (["--find-lr", "--save", "busy.safetensors"], "cannot write busy-figures/busy-lr.png: it is a folder"),
    ],
)
def test_before_a_training(monkeypatch: pytest.MonkeyPatch, options: list[str], problem: str) -> None:
    pytest.importorskip("matplotlib")
    targets()
    os.makedirs("busy-figures/busy-weights.png")
    os.makedirs("busy-figures/busy-lr.png")
    before = sorted(os.listdir())
    monkeypatch.setattr(pynet.Network, "fit", never)
    monkeypatch.setattr("pynet.training.learning_rate.find_lr", never)
    done = run("--save", "none", *SHORT, *options)
    one_line(done, 1, problem)
    assert done.err.startswith("pynet train: error: ")
    assert sorted(os.listdir()) == before


def test_the_longest_names_work() -> None:
    pytest.importorskip("matplotlib")
    stem = "n" * 241
    done = run(*SHORT, "--save", f"{stem}.safetensors", "--history", f"{'h' * 251}.csv", "--plot")
    assert (done.status, done.err) == (0, "")
    assert sorted(os.listdir()) == sorted([f"{'h' * 251}.csv", f"{stem}-figures", f"{stem}.safetensors"])
    pictures = [f"{stem}-{name}.png" for name in ("confusion", "curves", "weights")]
    assert sorted(os.listdir(f"{stem}-figures")) == pictures


def test_a_link_to_a_history_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file behind a link to a history is written, and keeps its mode."""
    assert run(*SHORT, "--save", "none", "--history", "h.csv").status == 0
    os.chmod("h.csv", 0o600)
    os.symlink("h.csv", "l.csv")
    before = Path("h.csv").read_bytes()
    done = run(*SHORT, "--save", "none", "--seed", "3", "--history", "l.csv")
    assert (done.status, done.err) == (0, "")
    assert Path("l.csv").is_symlink()
    assert Path("h.csv").read_bytes() != before
    assert Path("h.csv").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("target", [f"{LONG}.png", "away/seen.png", "pipe.png"])
def test_before_a_prediction(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    os.mkfifo("pipe.png")
    pynet.Network("input(784) dense(10) softmax").save("m.safetensors")
    Image.fromarray(np.eye(28, dtype=np.uint8) * 255).save("a.png")
    monkeypatch.setattr(predict, "in_parallel", never)
    one_line(run("a.png", "--save-seen", target, command=predict), 1, f"cannot write {target}: ")


def test_before_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    os.makedirs("moons-figures/moons-boundary.png")
    monkeypatch.setattr(pynet.Network, "fit", never)
    message = "pynet visualize: error: cannot write moons-figures/moons-boundary.png: it is a folder\n"
    one_line(run("--toy", "moons", command=visualize), 1, message)


# ---- a bad note in a loaded model must not lose the training either ----


@pytest.mark.parametrize("note", ["9" * 5000, "-1", "x", "²", ""])
def test_a_note_on_epochs_that_is_not_a_number(note: str) -> None:
    net = pynet.Network("input(64) dense(10) softmax")
    net.meta["epochs"] = note
    net.save("m.safetensors")
    done = run(*SHORT, "--load", "m.safetensors", "--save", "n.safetensors")
    assert (done.status, done.err) == (0, "")
    assert pynet.load("n.safetensors").meta["epochs"] == "1"
