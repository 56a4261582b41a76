"""`pynet evaluate`: figures against NumPy, the choice of model and data, errors; its help and that of info."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.command import DIGITS, FEW, one_line, results, run, save_model
from helpers.data_files import write_npz
from numpy.testing import assert_array_equal

import pynet
from pynet import data, metrics
from pynet.commands import evaluate, info


def found(*args: str, command: Any = evaluate) -> dict[str, Any]:
    return results(*args, command=command)


# ---- evaluate --------------------------------------------------------------------------------------------------------


def test_figures(model: pynet.Network) -> None:
    digits = data.load("digits")
    for on, x, y in (("test", digits.x_test, digits.y_test), ("train", digits.x_train, digits.y_train)):
        report = found("--on", on)
        p, predicted = model.predict_proba(x), model.predict(x)
        assert report["accuracy"] == (predicted == y).mean()
        assert (report["samples"], report["correct"]) == (len(y), (predicted == y).sum())
        assert report["loss"] == pytest.approx(-np.log(p[np.arange(len(y)), y]).mean(), rel=1e-5)
        assert report["confidence"] == pytest.approx(p.max(axis=1).mean())
        for c, row in enumerate(report["classes"]):
            assert row["name"] == str(c)
            assert row["recall"] == pytest.approx((predicted == y)[y == c].mean())
            if (predicted == c).any():
                assert row["precision"] == pytest.approx((predicted == y)[predicted == c].mean())
        assert report["confusion"][3][5] == ((y == 3) & (predicted == 5)).sum()
        assert report["calibration_error"] == pytest.approx(by_intervals(p, y))


def by_intervals(p: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> float:
    """Calibration error by the definition of Guo et al. 2017, interval by interval."""
    confidence, right = p.max(axis=1).astype(np.float64), p.argmax(axis=1) == y
    total = 0.0
    for m in range(15):
        inside = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        if inside.any():
            total += inside.sum() * abs(right[inside].mean() - confidence[inside].mean())
    return total / len(y)


def test_text(model: pynet.Network) -> None:
    digits = data.load("digits")
    done = run(command=evaluate)
    assert (done.status, done.err) == (0, "")
    assert "model        digits.safetensors: input(64)" in done.out
    figures = model.evaluate(digits.x_test, digits.y_test)
    assert f"accuracy     {100 * figures.accuracy:.2f} % ({figures.correct}/355)" in done.out
    assert f"loss         {figures.loss:.4f} (cross_entropy)" in done.out
    assert re.search(
        r"^calibration  error \d+\.\d\d %; mean confidence \d+\.\d\d %: (over|under)confident$", done.out, re.M
    )
    assert (
        pynet.metrics.format_confusion(pynet.metrics.confusion_matrix(digits.y_test, model.predict(digits.x_test), 10))
        in done.out
    )
    assert "`pynet visualize mistakes`" in done.out


def test_the_confusion_matrix_fits_the_terminal(model: pynet.Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    table = run(command=evaluate).out.partition("\ntrue \\ pred")[2]
    assert table.count("true \\ pred") == 1  # the first columns, then the others
    assert max(len(line) for line in table.partition("`")[0].splitlines()) <= 40


def test_the_newest_model_is_taken(model: pynet.Network) -> None:
    save_model("a.safetensors")
    os.utime("digits.safetensors", (1, 1))
    report = found(*DIGITS)
    assert report["model"] == "a.safetensors"
    Path("z.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")  # of another program
    assert found(*DIGITS)["model"] == "a.safetensors"
    assert found("--model", "digits.safetensors")["model"] == "digits.safetensors"


def test_classes_of_the_model(folder: Path) -> None:
    assert run(*FEW, "--classes", "7,3,1").status == 0
    report = found()
    digits = data.load("digits").only(["7", "3", "1"])
    assert [row["name"] for row in report["classes"]] == ["7", "3", "1"]
    net = pynet.load("digits.safetensors")
    assert report["accuracy"] == net.evaluate(digits.x_test, digits.y_test).accuracy


def test_one_output_and_outputs_that_are_not_probabilities(folder: Path) -> None:
    options = ("--classes", "3,7", "--net", "input(64) dense(1) sigmoid", "--epochs", "9", "--save", "one.safetensors")
    assert run(*DIGITS, *options).status == 0
    report = found("--classes", "3,7")
    digits, net = data.load("digits").only(["3", "7"]), pynet.load("one.safetensors")
    p = net.predict_proba(digits.x_test)[:, 0]
    assert report["accuracy"] == ((p > 0.5) == digits.y_test).mean()
    assert report["confidence"] == pytest.approx(np.maximum(p, 1 - p).mean())
    assert run(*FEW, "--net", "input(64) dense(10)", "--save", "linear.safetensors").status == 0
    report = found("--model", "linear.safetensors")
    assert (report["calibration_error"], report["confidence"]) == (None, None)
    assert "undefined" in run("--model", "linear.safetensors", command=evaluate).out


def test_own_data(folder: Path) -> None:
    path = write_npz(folder / "own.npz")
    assert run("--data", path, "--epochs", "1").status == 0
    assert found("--data", str(path))["samples"] == 6
    assert found()["samples"] == 6  # the model stores the path
    net = pynet.load("own.safetensors")
    del net.meta["data"]
    net.save("own.safetensors")
    one_line(run(command=evaluate), 2, "the model was trained on 'own'; give --data PATH or --dataset NAME")


def test_function(model: pynet.Network) -> None:
    digits = data.load("digits")
    report = metrics.measure(model, digits.x_test, digits.y_test)
    assert report.accuracy == model.evaluate(digits.x_test, digits.y_test).accuracy
    assert_array_equal(report.confusion.sum(axis=1), np.bincount(digits.y_test))
    for y in (digits.y_test[:0], np.eye(10)[digits.y_test]):
        with pytest.raises(ValueError, match="accepted: \\(n,\\) labels"):
            metrics.measure(model, digits.x_test, y)


def test_errors_of_evaluate(folder: Path) -> None:
    one_line(run(command=evaluate), 1, "no model in this folder")
    one_line(run("--model", "none.safetensors", command=evaluate), 1, "none.safetensors")
    Path("damaged.safetensors").write_bytes(b"\x00" * 20)
    one_line(run("--model", "damaged.safetensors", command=evaluate), 1, "damaged.safetensors")
    one_line(run(command=evaluate), 1, "cannot read damaged.safetensors")
    save_model("m.safetensors", "input(9) dense(10) softmax")
    one_line(run(*DIGITS, command=evaluate), 1, "takes 9 inputs, the samples of digits have 8x8 = 64")
    one_line(run(command=evaluate), 2, "has no note of its data set")
    one_line(run("--on", "moon", command=evaluate), 2, "pynet evaluate --help lists the options")
    one_line(run(*DIGITS, "--classes", "x", command=evaluate), 2, "argument --classes")


# ---- info ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [evaluate, info])
def test_help_has_examples(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        command.main(["--help"])
    assert stop.value.code == 0
    name = command.__name__.rpartition(".")[2]
    text = capsys.readouterr().out
    examples = re.findall(rf"^  pynet {name}(.*?)(?:   .*|  [a-z].*| > .*)?$", text, re.M)
    assert len(examples) >= 3
    for example in examples:
        command._parse(example.split())
    assert max(map(len, text.splitlines())) <= 120


def test_as_modules(model: pynet.Network) -> None:
    for name in ("evaluate", "info"):
        command = [sys.executable, "-m", "pynet", name, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)
