"""The output of fit: epoch lines that fit the terminal, and the effect of early stopping."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from helpers.clusters import SPEC, X, Y
from helpers.terminal import terminal

from pynet import EarlyStopping, Network
from pynet.training import report
from pynet.training.report import ending, epoch_line

ROW = {"loss": 0.29313, "accuracy": 0.91331, "val_loss": 0.1, "val_accuracy": 0.9566, "seconds": 0.5134}


def test_no_output_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    for options in ({}, {"verbose": 0}, {"verbose": "auto"}, {"progress": False}, {"verbose": 1, "progress": False}):
        Network(SPEC).fit(X, Y, epochs=2, **options)
        assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("options", [{"verbose": 1}, {"verbose": True}, {"progress": True}])
def test_a_line_for_each_epoch(capsys: pytest.CaptureFixture[str], options: dict[str, Any]) -> None:
    net, twin = Network(SPEC), Network(SPEC)
    history = net.fit(X, Y, epochs=2, validation=(X, Y), **options)
    out, err = capsys.readouterr()
    expected = [
        f"epoch {i + 1}/2  loss {row['loss']:.4f}  train {100 * row['accuracy']:.2f} %  "
        f"validation {100 * row['val_accuracy']:.2f} %  {row['seconds']:.{3 if row['seconds'] >= 0.001 else 6}f} s"
        for i, row in enumerate(history.rows())
    ]
    assert [line.rpartition("  ")[0] for line in out.splitlines()] == expected
    assert err == ""
    twin.fit(X, Y, epochs=2)
    assert net.weights_sha256() == twin.weights_sha256()


def test_regression_has_no_accuracy(capsys: pytest.CaptureFixture[str]) -> None:
    x = np.linspace(0, 1, 40, dtype=np.float32).reshape(-1, 1)
    net = Network("input(1) dense(1) loss(mse)")
    history = net.fit(x, 3 * x, epochs=1, validation=(x, 3 * x), verbose=1)
    out = capsys.readouterr().out
    assert out.startswith("epoch 1/1  loss ")
    found = history.rows()[0]
    assert f"  train RMSE {found['rmse']:.4g} R2 {found['r2']:.4g}  " in out
    assert f"  validation RMSE {found['val_rmse']:.4g} R2 {found['val_r2']:.4g}  " in out
    assert "%" not in out


def test_notebooks_show_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Stream:
        __module__ = "ipykernel.iostream"

        def isatty(self) -> bool:
            return False

        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

        def flush(self) -> None: ...

    written: list[str] = []
    monkeypatch.setattr(sys, "stdout", Stream())
    Network(SPEC).fit(X, Y, epochs=2)
    assert [text.split("  ")[0] for text in written if text.strip()] == ["epoch 1/2", "epoch 2/2"]
    assert capsys.readouterr().err == ""  # no progress bar for such a short time
    monkeypatch.setattr(report, "NOTEBOOK_DELAY", 0)
    Network(SPEC).fit(X, Y, epochs=1)
    assert "epoch 1/1:" in capsys.readouterr().err


def test_lines_fit_the_terminal() -> None:
    full = "epoch  3/10  loss 0.2931  train 91.33 %  validation 95.66 %  0.513 s  116,868 samples/s"
    assert epoch_line(ROW, 3, 10, 60_000, 1000) == full
    assert epoch_line(ROW, 3, 10, 60_000, 80) == full.rpartition("  ")[0]
    assert epoch_line(ROW, 3, 10, 60_000, 60) == "epoch  3/10  loss 0.2931  train 91.33 %  val 95.66 %"
    narrow = epoch_line(ROW, 100, 100, 60_000, 60)
    assert narrow == "epoch 100/100  loss 0.2931  train 91.33 %  val 95.66 %"
    figures = {"loss": 5.394e-05, "rmse": 0.010391, "r2": 0.99981}
    numbers = figures | {f"val_{name}": value for name, value in figures.items()} | {"seconds": 0.5}
    assert epoch_line(numbers, 100, 100, 1, 60) == "epoch 100/100  loss 5.394e-05  val RMSE 0.01039 R2 0.9998"
    assert "  train RMSE 0.01039 R2 0.9998  val RMSE 0.01039 R2 0.9998" in epoch_line(numbers, 100, 100, 1, 90)
    metric = ROW | {"val_f1": 0.5}
    assert "validation 95.66 %  f1 0.5000  0.513 s" in epoch_line(metric, 3, 10, 60_000, 1000)


def test_early_stopping_prints_its_reason_and_the_kept_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    stop = EarlyStopping(2, monitor="accuracy")
    history = Network(SPEC).fit(X, Y, epochs=200, early_stopping=stop, verbose=1)
    last, best = len(history.loss), int(np.argmax(history.accuracy)) + 1
    assert last == best + 2 < 200
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"stopped after epoch {last}: the training accuracy has not improved for 2 epochs",
        f"restored the weights of epoch {best}, training accuracy {100 * max(history.accuracy):.2f} %",
    ]


def test_last_line() -> None:
    rows = [{"val_loss": 0.5}, {"val_loss": 0.25}, {"val_loss": 0.3}]
    kept = "restored the weights of epoch 2, validation loss 0.2500"
    assert ending(EarlyStopping(5), rows, False, True) == kept
    why = "stopped after epoch 3: the validation loss has not improved by more than 0.01 for an epoch"
    assert ending(EarlyStopping(1, 0.01), rows, True, True) == f"{why}\n{kept}"
    assert ending(EarlyStopping(1, 0.01), rows, True, False) == why
    assert ending(EarlyStopping(5), [], False, True) == ""


SCRIPT = "import numpy as np, pynet; x = np.eye(3, dtype=np.float32); pynet.Network('input(3) dense(3) softmax').fit("
SCRIPT += "x, [0, 1, 2], epochs=2)"


def test_lines_on_a_terminal_and_none_in_a_pipe() -> None:
    command = [sys.executable, "-c", SCRIPT]
    with terminal() as shown:
        subprocess.run(command, check=True, stdout=shown.end, timeout=60)
        assert shown.printed().count(b"epoch ") == 2
    assert subprocess.run(command, check=True, capture_output=True, timeout=60).stdout == b""
