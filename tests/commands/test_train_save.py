"""A model at the path where a new one is to be saved: a better model is never lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from helpers.command import DIGITS, FEW, end, results, run, sha256, start, wait_for

import pynet
from pynet import data
from pynet.commands import evaluate
from pynet.inference import load_model

SLOW = ("--lr", "1e-9")


def accuracy(path: str) -> float:
    digits = data.load("digits")
    return pynet.load(path).evaluate(digits.x_test, digits.y_test).accuracy


@pytest.fixture
def good(folder: Path) -> str:
    """The hash of a good model in digits.safetensors."""
    assert run(*DIGITS, "--epochs", "12", "--quiet").status == 0
    return sha256("digits.safetensors")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--epochs", "0"), "no epoch was trained"),
        (("--epochs", "0", "--load", "digits.safetensors"), "no epoch was trained"),
        (("--epochs", "2", *SLOW), "the training accuracy is "),
        (("--epochs", "2", "--optimizer", "adam", "--lr", "3"), "the training accuracy is "),
        (("--epochs", "2", "--lr", "100"), "the training accuracy is "),
    ],
)
@pytest.mark.parametrize("output", ["--json", "--quiet", "--plot"])
def test_a_run_that_learnt_nothing_replaces_no_model(
    good: str, options: tuple[str, ...], why: str, output: str
) -> None:
    done = run(*DIGITS, *options, output)
    assert done.status == 1
    last = done.err.splitlines()[-1]
    assert last.startswith(f"pynet train: error: nothing was learnt: {why}")
    assert "; digits.safetensors is unchanged" in last
    assert last.endswith("; --save FILE saves it anyway")
    assert sha256("digits.safetensors") == good
    assert os.listdir() == ["digits.safetensors"]
    assert "saved to" not in done.out


def test_it_saves_where_nothing_is_lost(good: str) -> None:
    """No other model is there, or --save names the file; even then a better model is kept."""
    assert run(*DIGITS, "--epochs", "0", "--save", "new.safetensors").status == 0
    assert run(*DIGITS, "--epochs", "0", "--classes", "0,1", "--save", "digits.safetensors").status == 0
    assert pynet.load("digits.safetensors").classes == ["0", "1"]
    assert pynet.load("digits-previous.safetensors").classes == [str(i) for i in range(10)]


def test_diverging_at_once_replaces_no_model(good: str) -> None:
    done = run(*FEW, "--lr", "1e9")
    assert (done.status, sha256("digits.safetensors")) == (1, good)
    assert done.err.endswith("(nothing was saved)\n")


def test_a_better_model_is_kept(good: str) -> None:
    before = accuracy("digits.safetensors")
    done = run(*DIGITS, "--epochs", "2")
    now = accuracy("digits.safetensors")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[-1] == (
        "the previous model was better and is kept as digits-previous.safetensors: "
        f"accuracy {100 * before:.2f} % against {100 * now:.2f} % on the same samples"
    )
    assert sha256("digits-previous.safetensors") == good
    assert load_model()[0] == Path("digits.safetensors")
    assert run(command=evaluate).out.startswith("model        digits.safetensors: ")
    # an even worse model does not replace the best one
    worse = results(*DIGITS, "--epochs", "1")
    assert worse["previous"] == {"model": "digits-previous.safetensors", "test_accuracy": before}
    assert sha256("digits-previous.safetensors") == good
    quiet = run(*DIGITS, "--epochs", "1", "--lr", "0.05", "--quiet")
    assert quiet.out.startswith("test accuracy ")
    assert "pynet train: an earlier model is the best and stays digits-previous.safetensors: " in quiet.err
    assert f"accuracy {100 * before:.2f} % against {100 * accuracy('digits.safetensors'):.2f} %" in quiet.err
    assert quiet.err.endswith(f"; the model replaced now had {100 * worse['test_accuracy']:.2f} %\n")
    # a model better than all replaces both
    best = run(*DIGITS, "--epochs", "60", "--optimizer", "adam")
    assert accuracy("digits.safetensors") >= before
    assert "previous" not in best.out


def test_a_model_for_other_data_is_kept(folder: Path) -> None:
    assert run(*FEW, "--classes", "0,1,2").status == 0
    before = sha256("digits.safetensors")
    done = run(*FEW)
    last = "the previous model, for other data, is kept as digits-previous.safetensors"
    assert done.out.splitlines()[-1] == last
    assert sha256("digits-previous.safetensors") == before


def test_a_model_of_more_classes_is_evaluated_on_the_classes_of_the_new_one(good: str) -> None:
    done = run(*FEW, "--classes", "0,1,2")
    last = done.out.splitlines()[-1]
    assert last.startswith("the previous model was better and is kept as digits-previous.safetensors: ")
    assert sha256("digits-previous.safetensors") == good


def test_without_a_test_set_the_training_samples_decide(folder: Path) -> None:
    Path("xor.csv").write_text("label,a,b\n0,0,0\n1,0,1\n1,1,0\n0,1,1\n")
    xor = ("--data", "xor.csv", "--test-split", "0", "--hidden", "8", "--activation", "tanh", "--lr", "0.5")
    assert run(*xor, "--epochs", "400").status == 0
    before = sha256("xor.safetensors")
    assert run(*xor, "--epochs", "1", *SLOW).status == 1
    assert sha256("xor.safetensors") == before
    three = run(*xor, "--epochs", "1", "--seed", "5", "--save", "xor.safetensors")
    kept = "the previous model was better and is kept as xor-previous.safetensors: accuracy 100.00 % against"
    assert kept in three.out


def test_the_file_at_the_other_name_is_not_a_model(good: str) -> None:
    Path("digits-previous.safetensors").write_text("own")
    done = run(*FEW)
    assert (done.status, sha256("digits.safetensors")) == (1, good)
    assert "digits-previous.safetensors is not a pynet model, so it is not overwritten" in done.err


def test_previous_models_are_ignored_unless_there_is_no_other(good: str) -> None:
    pynet.load("digits.safetensors").save("digits-previous.safetensors")
    assert load_model()[0] == Path("digits.safetensors")
    os.remove("digits.safetensors")
    assert load_model()[0] == Path("digits-previous.safetensors")


def test_ctrl_c_prints_the_paths_and_how_to_resume(good: str) -> None:
    process = start(*DIGITS, "--epochs", "100000", "--checkpoint", "run.safetensors", "--lr", "1e-4")
    wait_for(process, "epoch      2/")
    process.send_signal(signal.SIGINT)
    _, err = end(process)
    assert process.returncode == 130
    assert (
        sha256("digits-previous.safetensors" if Path("digits-previous.safetensors").exists() else "digits.safetensors")
        == good
    )
    last = err.splitlines()[-1]
    assert last.startswith("pynet train: stopped (")
    assert "digits.safetensors" in last
    assert last.endswith("; --resume continues from run.safetensors)")
