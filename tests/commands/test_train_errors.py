"""Errors of `pynet train` and of options that commands share, and runs that end early; nothing is lost."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.command import DIGITS, FEW, GUARD, end, results, run, save_model, sha256, start, stream, wait_for
from helpers.data_files import write_npz

import pynet
from pynet import data

ENDLESS = (*DIGITS, "--epochs", "100000000", "--threads", "1", "--save", "m.safetensors")


# ---- errors ----------------------------------------------------------------------------------------------------------

USAGE = [
    ("--lr 0", "argument --lr: '0' is not accepted; accepted: a number from 1e-37 to 3e38"),
    ("--lr -0.1", "'-0.1' is not accepted"),
    ("--lr nan", "'nan' is not accepted"),
    ("--lr inf", "'inf' is not accepted"),
    ("--lr 1e-60", "'1e-60' is not accepted"),
    ("--lr fast", "'fast' is not accepted"),
    ("--epochs -1", "argument --epochs: '-1' is not accepted; accepted: a whole number, 0 or more"),
    ("--batch-size 0", "accepted: a whole number, 1 to 2147483647"),
    ("--batch-size 1.5", "'1.5' is not accepted"),
    ("--batch-size 99999999999999999999", "1 to 2147483647"),
    ("--seed -1", "argument --seed"),
    ("--threads 0", "argument --threads: '0' is not accepted; accepted: a whole number, 1 to 64"),
    ("--threads 65", "1 to 64"),
    ("--val-split 1", "accepted: a number from 0 to below 1"),
    ("--limit 0", "argument --limit"),
    ("--classes 0,x", "class 'x': digits has the classes 0, 1, 2"),
    ("--classes 0,0", "different names"),
    ("--classes 0,,1", "different names"),
    ("--hidden 12,-3", "argument --hidden: '-3' is not accepted"),
    ("--hidden 0,5", "'0' is not accepted"),
    (
        "--hidden 64;32",
        "accepted: whole numbers, 1 or more, with commas between them, as in 128,64; 0 for no hidden layer",
    ),
    ("--hidden 64 32", "no argument '32', did you mean --hidden 64,32?"),
    ("--hidden 64, 32", "no argument '32', did you mean --hidden 64,32?"),
    ("--dataset mnits", "invalid choice: 'mnits'; did you mean 'mnist'? accepted: mnist, fashion-mnist, digits"),
    ("--hidden 999999999", "units of dense is 999999999"),
    ("--activation rleu", "invalid choice: 'rleu'"),
    ("--init zero", "invalid choice: 'zero'"),
    ("--loss hinge", "invalid choice: 'hinge'"),
    ("--net input(64)~dnse(10)~softmax", 'column 11: unknown layer "dnse"; did you mean dense?'),
    ("--net=", "network '': column 1: the network has no layers"),
    ("--net input(65)~dense(10)", "the network takes 65 inputs, the samples of digits have 8x8 = 64"),
    ("--net input(64)~dense(9)~softmax", "the network has 9 outputs, digits has 10 classes"),
    ("--net input(64)~dense(10) --loss cross_entropy", "needs softmax as the last layer"),
    ("--net input(64)~dense(10) --hidden 3", "--hidden cannot be used with --net"),
    ("--net input(64)~dense(10) --init he", "--init cannot be used with --net"),
    ("--load m.safetensors --net input(64)~dense(10)", "--net cannot be used with --load"),
    ("--load m.safetensors --loss mse", "--loss cannot be used with --load"),
    ("--data x.npz", "not allowed with argument --dataset"),
    ("--dataset minst", "invalid choice: 'minst'"),
    ("--history h.txt", "argument --history: 'h.txt' is not accepted; accepted: a file with the suffix .csv or .json"),
    ("--save=", "'' is not accepted; accepted: the name of a file"),
    ("--epoch 3", "there is no option '--epoch', did you mean --epochs? pynet"),
    ("more", "there is no argument 'more'"),
]


@pytest.mark.parametrize(("options", "message"), USAGE, ids=[options for options, _ in USAGE])
def test_usage(options: str, message: str) -> None:
    before = save_model("digits.safetensors"), save_model("m.safetensors")
    done = run(*DIGITS, *(word.replace("~", " ") for word in options.split()))
    assert (done.status, done.out) == (2, "")
    assert message in done.err
    assert re.fullmatch(r"pynet train: error: .*[;?] pynet train --help lists the options\n", done.err)
    assert before == (sha256("digits.safetensors"), sha256("m.safetensors"))


def prepare_other_errors(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    (folder / "other.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    (folder / "damaged.safetensors").write_bytes((folder / "digits.safetensors").read_bytes()[:-1])
    (folder / "sub.json").mkdir()
    (folder / "link").symlink_to("nowhere")
    save_model(folder / "big.safetensors", "input(784) dense(10) softmax")
    save_model(folder / "three.safetensors", "input(64) dense(3) softmax")
    (folder / "cut.npz").write_bytes(write_npz(folder / "good.npz").read_bytes()[:-100])
    write_npz(folder / "nan.npz", x_train=np.full((12, 4, 3), np.nan), x_test=np.zeros((6, 4, 3)))


OTHER = [
    ("--dataset digits --save notes.txt", "notes.txt is not a pynet model, so it is not overwritten"),
    ("--dataset digits --save other.safetensors", "other.safetensors is not a pynet model"),
    ("--dataset digits --save damaged.safetensors", "it was cut short"),
    ("--dataset digits --save sub.json", "it is a folder"),
    ("--dataset digits --save link", "link is not a pynet model"),
    ("--dataset digits --save away/m.safetensors", "away: No such file or directory"),
    ("--dataset digits --save notes.txt/m", "Not a directory"),
    ("--dataset digits --history away/h.csv", "cannot write away/h.csv"),
    ("--dataset digits --history sub.json", "cannot write sub.json: it is a folder"),
    ("--dataset digits --load away.safetensors", "cannot read away.safetensors: No such file or directory"),
    ("--dataset digits --load damaged.safetensors", "cannot read damaged.safetensors"),
    ("--dataset digits --load big.safetensors", "takes 784 inputs, the samples of digits have 8x8 = 64"),
    ("--dataset digits --load three.safetensors", "three.safetensors has 3 outputs, digits has 10 classes"),
    ("--data away.npz", "away.npz"),
    ("--data cut.npz", "cut.npz"),
    ("--data nan.npz", "accepted are finite float32 numbers"),
]


@pytest.mark.parametrize(("options", "message"), OTHER, ids=[options for options, _ in OTHER])
def test_other_errors(folder: Path, options: str, message: str) -> None:
    save_model("digits.safetensors")
    prepare_other_errors(folder)
    before = {path: sha256(path) for path in folder.iterdir() if path.is_file()}
    done = run(*options.split())
    assert (done.status, done.out) == (1, "")
    assert message in done.err
    assert re.fullmatch(r"pynet train: error: .*\n", done.err)
    assert before == {path: sha256(path) for path in folder.iterdir() if path.is_file()}


def test_history_is_not_written_over_something_else(folder: Path) -> None:
    (folder / "notes.csv").write_text("precious,data\n")
    done = run(*DIGITS, "--epochs", "1", "--history", "notes.csv")
    assert (done.status, done.err) == (
        1,
        "pynet train: error: notes.csv is not a history written by pynet; it is not overwritten\n",
    )
    assert (folder / "notes.csv").read_text() == "precious,data\n"
    for _ in range(2):
        assert run(*DIGITS, "--epochs", "1", "--history", "h.csv").status == 0


def test_history_is_not_written_over_data(folder: Path) -> None:
    (folder / "d.csv").write_text("label,a,b\n" + "0,1,2\n1,2,3\n" * 9)
    done = run("--data", "d.csv", "--history", folder / "d.csv", "--epochs", "1")
    assert (done.status, "used for something else" in done.err) == (2, True)
    assert (folder / "d.csv").read_text() == "label,a,b\n" + "0,1,2\n1,2,3\n" * 9


def test_write_protected_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = save_model("digits.safetensors")
    monkeypatch.setattr(os, "access", lambda *_, **__: False)  # root may write to any file
    assert "digits.safetensors: it is write-protected" in run(*FEW).err
    assert sha256("digits.safetensors") == before


def test_full_disk() -> None:
    """If a model cannot be written, the old one is kept."""
    before = save_model("m.safetensors")
    command = 'ulimit -f 2048; exec "$0" -m pynet.train "$@"'
    args = ["sh", "-c", command, sys.executable, *FEW, "--hidden", "9000", "--save", "m.safetensors"]
    done = subprocess.run(
        args, capture_output=True, text=True, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}, timeout=60
    )
    assert done.returncode == 1
    assert re.fullmatch(r"pynet train: error: .*cannot write m.safetensors: File too large\n", done.stderr)
    assert sha256("m.safetensors") == before


def test_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(data, "load", fails)
    assert run(*DIGITS) == (1, "", "pynet train: error: out of memory\n")


# ---- runs that end early ---------------------------------------------------------------------------------------------


def test_loss_not_finite_in_the_first_epoch() -> None:
    before = save_model("digits.safetensors")
    done = run(*DIGITS, "--lr", "1e30")
    assert done.status == 1
    assert re.fullmatch(
        r"pynet train: error: epoch 1, batch \d+: the loss is not finite: layer \d, dense\(\d+\), outputs (inf|nan); "
        r"a smaller learning rate may help \(nothing was saved\)\n",
        done.err,
    )
    assert sha256("digits.safetensors") == before


def test_loss_not_finite_later() -> None:
    options = (*DIGITS, "--net", "input(64) dense(10)", "--lr", "0.4", "--history", "h.json")
    done = run(*options, "--save", "a.safetensors", "--quiet")
    found = re.fullmatch(
        r"pynet train: error: epoch (\d+), batch \d+: .* \(the model so far was saved to a.safetensors\)\n", done.err
    )
    assert done.status == 1
    assert found and int(found[1]) > 1
    finite = int(found[1]) - 1
    assert len(json.loads(Path("h.json").read_text())) == finite
    expected = results(*options, "--epochs", str(finite))["weights_sha256"]
    net = pynet.load("a.safetensors")
    assert (net.weights_sha256(), net.meta["epochs"]) == (expected, str(finite))


def test_validation_loss_not_finite(folder: Path) -> None:
    """Training works, but numbers in the test set have an infinite loss, so no epoch counts."""
    random = np.random.default_rng(0)
    x = random.random((12, 4, 3), np.float32)
    write_npz(folder / "own.npz", x_train=x, x_test=np.full((6, 4, 3), 3e38, np.float32))
    done = run("--data", "own.npz", "--net", "input(12) dense(3)", "--batch-size", "5")
    assert done.status == 1
    assert "error: epoch 1, batch 3: the validation loss after it is not finite" in done.err
    assert not (folder / "own.safetensors").exists()


def test_weight_not_finite(folder: Path) -> None:
    """The loss of the only batch is finite, but the step overflows a weight."""
    x = np.full((12, 12), 1e18, np.float32)
    write_npz(folder / "own.npz", x_train=x, x_test=x[:6])
    done = run("--data", "own.npz", "--net", "input(12) dense(3) loss(mse)", "--lr", "1e10", "--quiet")
    assert done.status == 1
    assert re.match(r"pynet train: error: epoch 1, batch 2: parameter 0\.W holds -?inf at position \d+", done.err)
    assert done.err.endswith("(nothing was saved)\n")


def test_ctrl_c() -> None:
    old = save_model("m.safetensors")
    process = start(*ENDLESS, "--history", "h.json")
    wait_for(process, "epoch   ")
    process.send_signal(signal.SIGINT)
    _, err = end(process)
    assert (process.returncode, err) == (130, "pynet train: stopped (the model so far was saved to m.safetensors)\n")
    assert sha256("m.safetensors") != old
    assert len(json.loads(Path("h.json").read_text())) == int(pynet.load("m.safetensors").meta["epochs"]) > 0


@pytest.mark.parametrize("output", ["--json", "--quiet"])
def test_ctrl_c_within_an_epoch(monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    """The weights of the unfinished epoch are kept."""
    steps = pynet.Network._train

    def interrupted(self: pynet.Network, *args: Any) -> Any:
        steps(self, *args)
        stats = args[4]
        if stats.steps >= 5:
            raise KeyboardInterrupt
        return stats

    monkeypatch.setattr(pynet.Network, "_train", interrupted)
    stopped = "pynet train: stopped (the model so far was saved to digits.safetensors)\n"
    assert run(*DIGITS, output) == (130, "", stopped)
    net = pynet.load("digits.safetensors")
    assert net.meta["epochs"] == "0"
    assert net.weights_sha256() != pynet.Network(net.spec).weights_sha256()


@pytest.mark.parametrize("where", [(data, "load"), (pynet.Network, "fit")])
def test_ctrl_c_before_the_first_step(monkeypatch: pytest.MonkeyPatch, where: tuple[Any, str]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    before = save_model("digits.safetensors")
    monkeypatch.setattr(*where, interrupted)
    done = run(*DIGITS, "--json")
    assert (done.status, done.out) == (130, "")
    assert done.err.startswith("pynet train: stopped")
    assert sha256("digits.safetensors") == before


def test_the_reader_of_a_pipe_closes_it() -> None:
    process = start(*ENDLESS)
    wait_for(process, "epoch   ")
    stream(process.stdout).close()
    assert process.wait(GUARD) == 1
    problem = "the output pipe was closed (the model so far was saved to m.safetensors)"
    assert stream(process.stderr).read() == f"pynet train: error: {problem}\n"
    assert int(pynet.load("m.safetensors").meta["epochs"]) > 0
    stream(process.stderr).close()


def test_output_on_a_full_disk() -> None:
    with open("/dev/full", "w") as full:
        process = start(*FEW, "--json", stdout=full)
        _, err = end(process)
    assert (process.returncode, err) == (1, "pynet train: error: No space left on device\n")
    assert pynet.load("digits.safetensors").meta["epochs"] == "2"
