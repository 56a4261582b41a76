"""The README is short, its figures are those of the measurements, and its example picture is classified correctly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers import ROOT
from helpers.command import run
from PIL import Image

import pynet

README = (ROOT / "README.md").read_text("utf-8")


def test_it_is_read_in_five_minutes() -> None:
    assert 100 < README.count("\n") < 150


def test_the_picture_is_a_three_to_a_model_of_the_built_in_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("--dataset", "digits").status == 0
    assert pynet.predict_image(ROOT / "examples/three.png").prediction == "3"


def test_its_pictures_are_small() -> None:
    pictures = re.findall(r'src="([^"]+)"', README)
    assert pictures == ["examples/three.png", "docs/pictures/three.png", "docs/pictures/play.png"]
    for picture in pictures:
        assert (ROOT / picture).stat().st_size < 40_000
        with Image.open(ROOT / picture) as image:
            image.verify()


def table_lines(name: str) -> str:
    """The results of a benchmark, one blank between columns."""
    return re.sub(r" +", " ", (ROOT / "bench/results" / name).read_text("utf-8"))


def test_its_speeds_are_those_of_the_last_measurement() -> None:
    rows = re.findall(r"^\| (.+) \| ([\d.]+) \| ([\d.]+) \|$", README, re.M)
    assert len(rows) == 7
    for name, time, ratio in rows:
        row = rf"^\| W64 \| 1 \| {re.escape(name)} \| {re.escape(time)} ms \| [\d.]+ ms \| {ratio} \|"
        assert re.search(row, table_lines("peers.md"), re.M), name
    [two_threads] = re.findall(r"\[([\d.]+) ms\]\(bench/results/numpy.md\)", README)
    assert f"| W64 | 2 | pynet | {two_threads} ms |" in table_lines("numpy.md")
