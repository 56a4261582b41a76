"""`pynet train`: its output and files, its options, `python -m pynet`. Its errors: test_train_errors.py."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.command import DIGITS, FEW, end, results, run, sha256, start
from helpers.data_files import write_idx, write_npz
from helpers.terminal import terminal

import pynet
from pynet import __main__ as pynet_command
from pynet import data, kernels
from pynet.commands import train
from pynet.commands.train_options import parse
from pynet.data import download

KEYS = ["dataset", "train_samples", "test_samples", "net", "parameters", "threads", "cpu", "seed", "trial", "epochs"]
KEYS += ["test_accuracy", "seconds", "model", "previous", "weights_sha256"]
VIDEO = "input(784) dense(16) sigmoid dense(16) sigmoid dense(10) sigmoid"


# ---- what a run prints and writes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("output", "predicted"), [("--json", 0), ("--quiet", 0), ("--seed=0", 1)])
def test_the_test_set_is_measured_once_an_epoch(monkeypatch: pytest.MonkeyPatch, output: str, predicted: int) -> None:
    """The final figures are those of the last epoch; only the confusion matrix needs predictions."""
    calls: list[str] = []
    for name in ("_evaluate", "predict_proba"):
        method = getattr(pynet.Network, name)

        def count(self: pynet.Network, *args: Any, name: str = name, method: Any = method) -> Any:
            calls.append(name)
            return method(self, *args)

        monkeypatch.setattr(pynet.Network, name, count)
    run(*DIGITS, "--epochs", "3", output)
    assert calls == ["_evaluate"] * 3 + ["predict_proba"] * predicted
    notes = pynet.load("digits.safetensors").meta
    history = json.loads(notes["history"])
    assert float(notes["test_accuracy"]) == history["val_accuracy"][-1]


@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_digits_with_the_defaults(seed: str) -> None:
    found = results(*DIGITS, "--seed", seed)
    assert found["test_accuracy"] >= 0.96
    assert found["net"] == "input(64) dense(128) relu dense(64) relu dense(10) softmax"
    assert len(found["epochs"]) == 40


def test_no_options_and_no_mnist(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """`make train` in a new clone without an Internet connection."""
    monkeypatch.delenv("PYNET_DATA", raising=False)
    monkeypatch.setattr(download, "cache_folder", lambda: folder / "cache")
    monkeypatch.setattr(download, "MIRRORS", {"mnist": ()})
    done = run()
    assert (done.status, done.err) == (0, "")
    accuracy = re.search(r"^test accuracy (\d+\.\d\d) % \((\d+)/355\)$", done.out, re.M)
    assert accuracy and float(accuracy[1]) >= 96
    assert (
        len(re.findall(r"^source .*digits.*\n +MNIST is not on this machine.*\n.*PYNET_DATA/mnist", done.out, re.M))
        == 1
    )
    assert "saved to digits.safetensors" in done.out
    quiet = run("--quiet", "--epochs", "0", "--save", "none")
    assert re.fullmatch(r"test accuracy .* %.*\n", quiet.out)
    assert re.fullmatch(r"pynet train: using 8x8 digits .*: MNIST is not on this machine .*\n", quiet.err)


def test_output() -> None:
    done = start(*DIGITS, "--epochs", "12", "--seed", "3", "--threads", "1")
    out, err = end(done)
    assert (done.returncode, err) == (0, "")
    for line in (
        "data      digits: 1,442 samples for training, 355 for validation and testing; classes "
        "0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        "source    8x8 digits built into pynet (UCI, E. Alpaydin and C. Kaynak 1998, CC BY 4.0)",
        "inputs    8x8 pixels (bytes), divided by 255, flattened to 64",
        "network   input(64) dense(128) relu dense(64) relu dense(10) softmax",
        "0  dense(128)  (128)        8,320",
        "   total                   17,226",
        "training  12 epochs, batches of 64, learning rate 0.1, loss cross_entropy, seed 3",
        f"machine   {kernels.cpu()} kernels, threads: 1",
        "saved to digits.safetensors",
    ):
        assert line in out.splitlines()
    number = r"\d+\.\d\d"
    epoch = rf"^epoch +\d+/12  loss \d\.\d{{4}}  train {number} %  validation {number} %  \d\.\d+ s  [\d,]+ samples/s$"
    assert len(re.findall(epoch, out, re.M)) == 12
    net, digits = pynet.load("digits.safetensors"), data.load("digits")
    figures = net.evaluate(digits.x_test, digits.y_test)
    assert f"test accuracy {100 * figures.accuracy:.2f} % ({figures.correct}/355)" in out
    matrix = pynet.metrics.confusion_matrix(digits.y_test, net.predict(digits.x_test), 10)
    assert pynet.metrics.format_confusion(matrix) in out


def test_json_is_one_object_and_nothing_else() -> None:
    begin = time.perf_counter()
    done = start(*FEW, "--json", "--seed", "7")
    out, err = end(done)
    spent = time.perf_counter() - begin
    assert (done.returncode, err) == (0, "")
    found = json.loads(out)
    assert list(found) == KEYS
    assert [list(row) for row in found["epochs"]] == [["loss", "accuracy", "val_loss", "val_accuracy", "seconds"]] * 2
    net, digits = pynet.load("digits.safetensors"), data.load("digits")
    figures = net.evaluate(digits.x_test, digits.y_test)
    expected = {"dataset": "digits", "train_samples": 1442, "test_samples": 355, "net": net.spec, "threads": 1}
    expected |= {"parameters": 17226, "cpu": kernels.cpu(), "seed": 7, "model": "digits.safetensors"}
    expected |= {"weights_sha256": net.weights_sha256(), "test_accuracy": figures.accuracy}
    assert {key: found[key] for key in expected} == expected
    assert found["epochs"][-1]["val_accuracy"] == figures.accuracy
    assert found["epochs"][-1]["val_loss"] == pytest.approx(figures.loss)
    assert 0 < sum(row["seconds"] for row in found["epochs"]) < found["seconds"] < spent


def test_quiet() -> None:
    done = run(*FEW, "--quiet")
    assert (done.status, done.err) == (0, "")
    assert re.fullmatch(r"test accuracy \d\d\.\d\d % \(\d+/355\)\n", done.out)


def test_facts_in_the_model() -> None:
    assert run(*FEW, "--lr", "0.2", "--batch-size", "32", "--seed", "5", "--save", "m.safetensors").status == 0
    net, digits = pynet.load("m.safetensors"), data.load("digits")
    facts = {"dataset": "digits", "epochs": "2", "batch_size": "32", "learning_rate": "0.2", "seed": "5"}
    facts |= {"made_by": f"pynet {pynet.__version__}"}
    assert {name: net.meta[name] for name in facts} == facts
    assert float(net.meta["test_accuracy"]) == net.evaluate(digits.x_test, digits.y_test).accuracy


def test_progress_bar_on_a_terminal_only() -> None:
    for options, expected in (((), True), (("--quiet",), False), (("--json",), False)):
        with terminal() as shown:
            with open(shown.end, "w", closefd=False) as err, redirect_stderr(err), redirect_stdout(io.StringIO()):
                assert train.main([*FEW, *options]) == 0
            assert (b"epoch 2/2" in shown.printed()) == expected


def test_history(folder: Path) -> None:
    found = results(*FEW, "--history", "h.json")
    assert json.loads((folder / "h.json").read_text()) == found["epochs"]
    assert run(*FEW, "--history", "h.csv").status == 0
    with (folder / "h.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [float(row["val_loss"]) for row in rows] == [row["val_loss"] for row in found["epochs"]]


# ---- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("--hidden 20", "input(64) dense(20) relu dense(10) softmax"),
        ("--hidden 0", "input(64) dense(10) softmax"),
        ("--hidden=", "input(64) dense(10) softmax"),
        ("--hidden 9,8 --activation tanh", "input(64) dense(9) tanh dense(8) tanh dense(10) softmax"),
        ("--hidden 9 --init normal", "input(64) dense(9,init=normal) relu dense(10,init=normal) softmax"),
        ("--hidden 9 --activation sigmoid --loss mse", "input(64) dense(9) sigmoid dense(10) sigmoid"),
        ("--hidden 9 --loss cross_entropy", "input(64) dense(9) relu dense(10) softmax"),
        ("--net input(64)~dense(10,auto)~softmax", "input(64) dense(10) softmax"),
        ("--net input(1,8,8)~dense(10)~tanh", "input(1,8,8) dense(10) tanh"),
        ("--net input(64)~dense(10)~softmax --loss mse", "input(64) dense(10) softmax loss(mse)"),
    ],
)
def test_network_options(options: str, text: str) -> None:
    found = results(*DIGITS, "--epochs", "1", *(word.replace("~", " ") for word in options.split()))
    assert found["net"] == text
    assert pynet.load("digits.safetensors").spec == text


def test_one_output_for_two_classes() -> None:
    found = results(*DIGITS, "--classes", "3,7", "--net", "input(64) dense(1) sigmoid", "--epochs", "20")
    assert found["test_accuracy"] > 0.9


def test_data_options() -> None:
    found = results(*FEW, "--classes", "7,3,1", "--limit", "100")
    assert (found["train_samples"], found["test_samples"]) == (100, 107)
    assert pynet.load("digits.safetensors").classes == ["7", "3", "1"]


def test_validation_split() -> None:
    found = results(*FEW, "--val-split", "0.1")
    digits, net = data.load("digits"), pynet.load("digits.safetensors")
    x, _, x_val, y_val = data.split(digits.x_train, digits.y_train, 0.1)
    assert (found["train_samples"], found["test_samples"]) == (len(x), 355)
    assert found["epochs"][-1]["val_accuracy"] == net.evaluate(x_val, y_val).accuracy
    assert found["test_accuracy"] == net.evaluate(digits.x_test, digits.y_test).accuracy
    out = run(*FEW, "--val-split", "0.1").out
    assert f"{len(x):,} samples for training, {len(x_val)} for validation, 355 for testing" in out
    assert re.search(r"train .* %  validation .* %", out)


def test_own_data(folder: Path) -> None:
    for path in (write_idx(folder / "four"), write_npz(folder / "own.npz")):
        found = results("--data", path, "--hidden", "5", "--epochs", "1")
        assert found["dataset"] == found["model"].removesuffix(".safetensors") == path.stem
        assert found["net"] == "input(12) dense(5) relu dense(3) softmax"
        assert (found["train_samples"], found["test_samples"]) == (12, 6)


def test_data_whose_name_is_not_utf8(folder: Path) -> None:
    """A file name need not be UTF-8, and stdout need not be able to print it."""
    write_npz(folder / "a.npz").rename(folder / os.fsdecode(b"\xff\xc3\xa4.npz"))
    env = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = start("--data", os.fsdecode(b"\xff\xc3\xa4.npz"), "--epochs", "1", env=env)
    out, err = end(done)
    assert (done.returncode, err) == (0, "")
    assert os.path.exists(b"\xff\xc3\xa4.safetensors")
    assert "saved to " in out


def test_without_a_test_set(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = data.load("digits")
    bare = replace(digits, x_test=digits.x_test[:0], y_test=digits.y_test[:0])
    monkeypatch.setattr(data, "load", lambda _: bare)
    found = json.loads(run(*FEW, "--json").out)
    assert (found["test_samples"], found["test_accuracy"], found["epochs"][0]["val_loss"]) == (0, None, None)
    done = run(*FEW)
    assert (done.status, done.err) == (0, "")
    assert "no test samples\nsaved to digits.safetensors\n" in done.out
    assert "test_accuracy" not in pynet.load("digits.safetensors").meta
    assert json.loads(run(*FEW, "--val-split", "0.2", "--json").out)["epochs"][1]["val_accuracy"] > 0.3


def test_save_none(folder: Path) -> None:
    assert results(*FEW, "--save", "none")["model"] is None
    assert "not saved" in run(*FEW, "--save", "none").out
    assert list(folder.iterdir()) == []


def test_same_seed_same_file() -> None:
    hashes = {}
    for name, seed, threads in (("a", "1", "1"), ("b", "1", "2"), ("c", "2", "1")):
        options = ("--epochs", "2", "--batch-size", "512", "--hidden", "600,16", "--seed", seed, "--threads", threads)
        found = results(*DIGITS, *options, "--save", f"{name}.safetensors")
        hashes[name] = (sha256(f"{name}.safetensors"), found["weights_sha256"])
    assert hashes["a"] == hashes["b"]
    assert hashes["a"][0] != hashes["c"][0]
    assert hashes["a"][1] != hashes["c"][1]


def test_load_continues() -> None:
    options = ("--net", "input(64) dense(30) tanh dense(10) softmax", "--seed", "4")
    first = results(*FEW, *options)
    second = results(*FEW, "--load", "digits.safetensors")
    assert (second["net"], second["seed"]) == (first["net"], 4)
    assert second["epochs"][0]["loss"] < first["epochs"][1]["loss"]
    assert pynet.load("digits.safetensors").meta["epochs"] == "4"
    untouched = results(*DIGITS, "--load", "digits.safetensors", "--epochs", "0", "--save", "none")
    assert untouched["weights_sha256"] == second["weights_sha256"]
    assert untouched["test_accuracy"] == second["test_accuracy"]


def test_load_continues_with_the_options_of_the_model() -> None:
    adam = ("--optimizer", "adam", "--lr", "0.002", "--beta1", "0.8", "--weight-decay", "0.01", "--clip-norm", "5")
    others = ("--batch-size", "32", "--schedule", "cosine(final=0.1)", "--augment", "shift=1")
    assert run(*FEW, *adam, *others).status == 0
    first = pynet.load("digits.safetensors")
    on = ("--load", "digits.safetensors", "--epochs", "1", "--save", "a.safetensors")
    again = run(*on)
    assert (again.status, again.err) == (0, "")
    assert re.search(
        r"^training  1 epoch, batches of 32, adam, learning rate 0\.002, weight decay 0\.01, "
        r"schedule cosine\(final=0\.1\), augmentation shift=1, .*\n"
        r"          options of the loaded model: --batch-size=32 "
        r"'--schedule=cosine\(final=0\.1\)' --augment=shift=1 --optimizer=adam --lr=0\.002 --beta1=0\.8 "
        r"--weight-decay=0\.01 --clip-norm=5\.0$",
        again.out,
        re.M,
    )
    went_on = pynet.load("a.safetensors")
    assert run(*on, *DIGITS, *adam, *others).status == 0
    assert pynet.load("a.safetensors").weights_sha256() == went_on.weights_sha256()
    names = ("optimizer", "learning_rate", "optimizer_options", "batch_size", "schedule", "augment")
    assert {name: went_on.meta[name] for name in names} == {name: first.meta[name] for name in names}


def test_options_given_with_load_replace_those_of_the_model() -> None:
    assert run(*FEW, "--optimizer", "adam", "--clip-norm", "5", "--batch-size", "32").status == 0
    for options, words in (
        (["--optimizer", "sgd"], "--batch-size=32"),
        (["--lr=0.01"], "--batch-size=32 --optimizer=adam --clip-norm=5.0"),
        (["--clip-value", "1", "--batch-size", "64"], "--optimizer=adam --lr=0.001"),
    ):
        out = run("--load", "digits.safetensors", "--epochs", "1", "--save", "none", *options).out
        assert f"options of the loaded model: {words}\n" in out
    out = run("--load", "digits.safetensors", "--epochs", "1", "--save", "none", "--preset", "fast").out
    assert "as the model was trained" not in out
    assert "batches of 90, adam, learning rate 0.005, schedule onecycle" in out


@pytest.mark.parametrize(
    ("note", "value"), [("optimizer", "none"), ("learning_rate", "nan"), ("batch_size", "--help"), ("schedule", "(")]
)
def test_notes_that_are_not_options_are_ignored(note: str, value: str) -> None:
    net = pynet.Network("input(64) dense(10) softmax")
    net.meta.update({"dataset": "digits", "optimizer": "adam", note: value})
    net.save("m.safetensors")
    done = run("--load", "m.safetensors", "--epochs", "1", "--save", "none")
    assert (done.status, done.err) == (0, "")
    assert "batches of 64, learning rate 0.1" in done.out
    assert "as the model was trained" not in done.out


# ---- the commands themselves -----------------------------------------------------------------------------------------


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        train.main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    options = """dataset data size color center net hidden activation epochs batch-size lr loss init seed threads
        val-split test-split classes limit label-smoothing optimizer momentum beta1 beta2 epsilon weight-decay l2
        clip-norm clip-value schedule warmup save load history explain plot json quiet version"""
    assert [name for name in options.split() if f"  --{name}" not in text] == []
    assert "default: 10, for digits 40" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 120
    pynet.Network("input(784) dense(10) softmax").save("mnist.safetensors")  # an example continues from it
    examples = re.findall(r"^  pynet train(.*?)(?:   .*)?$", text, re.M)
    for example in examples:
        parse(re.findall(r'(?<=")[^"]+|[^\s"]+', example))
    assert len(examples) == 13


def test_pynet_command(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in ([], ["--help"]):
        assert pynet_command.main(argv) == 0
        assert re.search(r"^  train +train a network", capsys.readouterr().out, re.M)
    assert pynet_command.main(["--version"]) == 0
    assert capsys.readouterr().out == f"pynet {pynet.__version__}\n"
    assert pynet_command.main(["trian"]) == 2
    assert capsys.readouterr().err == "pynet: error: no command 'trian'; did you mean 'train'?\n"
    assert pynet_command.main(["xyz"]) == 2
    assert capsys.readouterr().err == f"pynet: error: no command 'xyz'; accepted: {', '.join(pynet_command.COMMANDS)}\n"
    assert pynet_command.main(["train", *FEW, "--quiet"]) == 0
    assert capsys.readouterr().out.startswith("test accuracy ")


def test_pynet_as_a_module() -> None:
    args = [sys.executable, "-m", "pynet", "train", *FEW, "--quiet"]
    done = subprocess.run(args, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("test accuracy ")


# ---- MNIST -----------------------------------------------------------------------------------------------------------


def accuracy(*options: str) -> float:
    """On MNIST's test samples."""
    return float(results("--dataset", "mnist", *options)["test_accuracy"])


@pytest.mark.mnist
def test_mnist(mnist_root: Path) -> None:
    assert accuracy() >= 0.975
    assert pynet.load("mnist.safetensors").parameters == 109_386


@pytest.mark.mnist
def test_three_digits(mnist_root: Path) -> None:
    options = ("--classes", "0,1,2", "--hidden", "128", "--batch-size", "32", "--epochs", "5")
    assert accuracy(*options) >= 0.99
    assert pynet.load("mnist.safetensors").classes == ["0", "1", "2"]


@pytest.mark.mnist
def test_network_of_the_video(mnist_root: Path) -> None:
    """784-16-16-10, sigmoid, squared error."""
    shape = ("--hidden", "16,16", "--activation", "sigmoid", "--loss", "mse")
    assert accuracy(*shape, "--lr", "0.3", "--batch-size", "10", "--epochs", "15") >= 0.94
    net = pynet.load("mnist.safetensors")
    assert (net.spec, net.parameters, net.loss_name) == (VIDEO, 13_002, "mse")
