"""The first screen of the README: its picture is there, and is named as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers import ROOT
from helpers.command import run

import pynet
from pynet.commands import predict


@pytest.fixture
def beside_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder but for examples/, as a fresh clone's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


@pytest.mark.usefixtures("beside_examples")
def test_the_picture_is_a_three_to_a_model_of_the_digits_built_in() -> None:
    assert run("--dataset", "digits").status == 0
    assert pynet.predict_image("examples/three.png").prediction == "3"


@pytest.mark.mnist
@pytest.mark.usefixtures("mnist_root", "beside_examples")
def test_the_first_screen_prints_what_mnist_says_to_the_picture() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    [(options, expected)] = re.findall(r"^\$ \.venv/bin/pynet predict (.*)\n((?:.+\n)+)```$", text, re.MULTILINE)
    done = run("--dataset", "mnist")
    assert done.status == 0
    assert "".join(line + "\n" for line in done.out.splitlines() if line.startswith("test accuracy")) in text
    assert run(*options.split(), command=predict) == (0, expected, "")
