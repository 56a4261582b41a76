"""A model remembers where its own data lie and how they were divided, so that what is advised after training works."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers.command import DIGITS, one_line, results, run
from helpers.data_files import write_npz

import pynet
from pynet.commands import evaluate, visualize

XOR = ("--data", "xor.csv", "--test-split", "0", "--hidden", "8", "--activation", "tanh")
LEARN = ("--epochs", "400", "--batch-size", "4", "--lr", "0.5")


@pytest.fixture
def xor(folder: Path) -> Path:
    place = folder / "xor.csv"
    place.write_text("0,0,0\n1,0,1\n1,1,0\n0,1,1\n")
    return place


def test_all_four_rows_are_learnt_from(xor: Path) -> None:
    done = run(*XOR, *LEARN)
    assert (done.status, done.err) == (0, "")
    assert "4 samples for training, none for testing" in done.out
    assert "xor.csv, labels in the first column, all for training" in done.out
    assert "no test samples" in done.out
    report = run(command=evaluate).out
    assert "data         xor: 4 training samples: there is no test set\n" in report
    assert "accuracy     100.00 % (4/4)" in report
    assert run("confusion", command=visualize).out.endswith("4 of 4 right\n")
    on = results("--load", "xor.safetensors", "--epochs", "1", "--save", "none")
    assert (on["train_samples"], on["test_samples"], on["dataset"]) == (4, 0, "xor")
    again = results("--load", "xor.safetensors", "--data", xor, "--epochs", "1", "--save", "none")
    assert again["train_samples"] == 4


def test_another_fraction(folder: Path) -> None:
    rows = [f"{i % 2},{i % 2},{i}" for i in range(100)]
    (folder / "a.csv").write_text("\n".join(rows))
    found = results("--data", "a.csv", "--test-split", "0.4", "--epochs", "1")
    assert (found["train_samples"], found["test_samples"]) == (60, 40)
    assert "data         a: 40 test samples, split off before the training" in run(command=evaluate).out
    assert "40.00 % of each class for testing" in run("--data", "a.csv", "--test-split", "0.4", "--epochs", "1").out
    one_line(run(*DIGITS, "--test-split", "0"), 2, "--test-split is for data without a test set; digits")


@pytest.mark.parametrize("typed", ["data/own.npz", "./data/own.npz", "{folder}/data/own.npz"])
def test_the_path_is_remembered_as_it_was_typed(folder: Path, typed: str) -> None:
    (folder / "data").mkdir()
    write_npz(folder / "data" / "own.npz")
    typed = typed.format(folder=folder)
    assert run("--data", typed, "--hidden", "5", "--epochs", "1").status == 0
    assert pynet.load("own.safetensors").meta["data"] == str(Path(typed))
    assert "data         own: 6 samples for testing" in run(command=evaluate).out
    assert run("samples", command=visualize).status == 0
    assert results("--load", "own.safetensors", "--epochs", "1")["dataset"] == "own"
    os.rename("data", "elsewhere")
    gone = "own.npz, which the model was trained on, does not exist in this folder; --data PATH names its"
    one_line(run(command=evaluate), 1, gone)
    one_line(run("--load", "own.safetensors"), 1, gone)
    assert run("--data", "elsewhere/own.npz", command=evaluate).status == 0


def test_a_data_set_by_name_is_gone_on_with_and_replaces_a_path(folder: Path) -> None:
    write_npz(folder / "digits.npz")
    assert run("--data", "digits.npz", "--epochs", "1").status == 0
    assert pynet.load("digits.safetensors").meta["data"] == "digits.npz"
    assert run(*DIGITS, "--epochs", "1").status == 0
    assert "data" not in pynet.load("digits.safetensors").meta
    found = results("--load", "digits.safetensors", "--epochs", "1")
    assert (found["dataset"], found["test_samples"]) == ("digits", 355)


def test_damaged_notes_are_passed_over(xor: Path) -> None:
    assert run(*XOR, "--epochs", "1").status == 0
    net = pynet.load("xor.safetensors")
    for split in ("", "nan", "7", "x"):
        net.meta["test_split"] = split
        net.save("xor.safetensors")
        assert "2 samples for testing" in run(command=evaluate).out
