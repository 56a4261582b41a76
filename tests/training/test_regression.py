"""Regressions: what fit measures, prints and saves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.interruptions import After, Crash

from pynet import (
    SGD,
    Adam,
    Checkpoint,
    Diagnosis,
    EarlyStopping,
    History,
    Network,
    data,
    explain,
    gradient_check,
)
from pynet.training.batches import MEASURED, MEASURED_BYTES, PROBE_SIZE
from pynet.training.report import ending

X = np.linspace(-3, 3, 120, dtype=np.float32)[:, None]
Y = np.sin(X[:, 0])
XV, YV = X[1::7] + 0.01, np.sin(X[1::7, 0] + 0.01)
SPEC = "input(1) dense(16) tanh dense(1)"
COLUMNS = ["loss", "rmse", "r2", "val_loss", "val_rmse", "val_r2", "seconds"]


def fitted(**options: Any) -> tuple[Network, History]:
    net = Network(SPEC, seed=1)
    return net, net.fit(X, Y, **({"epochs": 4, "optimizer": Adam(0.01)} | options))


def test_a_sine_is_learnt() -> None:
    net, history = fitted(epochs=200, validation=(XV, YV))
    assert abs(net.predict(X) - Y).max() < 0.2
    assert history.r2[-1] > 0.98
    learnt, found = net.evaluate(X, Y), net.evaluate(XV, YV)
    assert (history.rmse[-1], history.r2[-1]) == (learnt.rmse, learnt.r2)
    assert (history.val_loss[-1], history.val_rmse[-1], history.val_r2[-1]) == (found.loss, found.rmse, found.r2)
    assert history.val_loss[-1] == pytest.approx(history.val_rmse[-1] ** 2 / 2)


def test_history_has_no_accuracy(tmp_path: Path) -> None:
    _, history = fitted(validation=(XV, YV))
    assert [list(row) for row in history.rows()] == [COLUMNS] * 4
    assert "accuracy" not in repr(history)
    for name in ("h.csv", "h.json"):
        history.save(tmp_path / name)
        assert History.load(tmp_path / name) == history
    assert (tmp_path / "h.csv").read_text().splitlines()[0] == ",".join(["epoch", *COLUMNS])
    assert History.from_note(history.note()).val_rmse == history.val_rmse
    assert len(history.then(history).r2) == 8


@pytest.mark.parametrize(("size", "most"), [(MEASURED_BYTES, MEASURED), (4 * 1000, 1000), (1, PROBE_SIZE)])
def test_many_samples_are_measured_by_some(size: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of large samples by fewer: they are copied."""
    monkeypatch.setattr("pynet.training.batches.MEASURED_BYTES", size)
    n = 2 * MEASURED
    x = np.linspace(-1, 1, n, dtype=np.float32)[:, None]
    net = Network("input(1) dense(1)")
    history = net.fit(x, x[:, 0] ** 2, epochs=1)
    rows = np.linspace(0, n - 1, most).astype(int)
    found = net.evaluate(x[rows], x[rows, 0] ** 2)
    assert (history.rmse, history.r2) == ([found.rmse], [found.r2])


@pytest.mark.parametrize(("monitor", "choose"), [("val_rmse", np.argmin), ("val_r2", np.argmax), ("r2", np.argmax)])
def test_early_stopping(monitor: str, choose: Any) -> None:
    net = Network(SPEC, seed=1)
    stop = EarlyStopping(2, monitor=monitor)
    history = net.fit(X, Y, epochs=60, optimizer=SGD(0.9), validation=(XV, YV), early_stopping=stop, seed=3)
    best = int(choose(history.columns()[monitor]))
    assert len(history.loss) == best + 3
    found = net.evaluate(XV, YV) if monitor.startswith("val_") else net.evaluate(X, Y)
    assert getattr(found, monitor.removeprefix("val_")) == history.columns()[monitor][best]


def test_last_line() -> None:
    rows = [{"val_rmse": 12.34567}, {"val_rmse": 20.0}]
    assert ending(EarlyStopping(1, monitor="val_rmse"), rows, True, True) == (
        "stopped after epoch 2: the validation RMSE has not improved for an epoch\n"
        "restored the weights of epoch 1, validation RMSE 12.35"
    )


def test_accuracy_cannot_be_monitored() -> None:
    with pytest.raises(ValueError, match="monitors 'val_accuracy'; this training has loss, rmse, r2, val_loss, val_r"):
        fitted(validation=(XV, YV), early_stopping=EarlyStopping(2, monitor="val_accuracy"))


def test_resumed_to_the_same_bits(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    options: dict[str, Any] = {"validation": (XV, YV), "early_stopping": EarlyStopping(9, monitor="val_r2")}
    net, whole = fitted(**options)
    with pytest.raises(Crash):
        fitted(**options, checkpoint=Checkpoint(path), callbacks=After("on_epoch_end", 2))
    twin, history = fitted(**options, checkpoint=Checkpoint(path, resume=True))
    assert twin.weights_sha256() == net.weights_sha256()
    assert history.note() == whole.note()
    assert twin.task == "regression"


def test_batches_have_no_figures_but_the_loss() -> None:
    net = Network(SPEC, seed=1)
    history = net.fit(list(data.batches(X, Y, 40)), epochs=2, validation=(XV, YV))
    assert list(history.rows()[0]) == ["loss", "val_loss", "val_rmse", "val_r2", "seconds"]
    labels = Network("input(1) dense(2)")
    history = labels.fit([(X, (Y > 0).astype(int))], epochs=1)
    assert list(history.rows()[0]) == ["loss", "accuracy", "seconds"]


def test_partial_fit() -> None:
    net = Network(SPEC)
    row = net.partial_fit(X, Y)
    assert list(row) == ["loss", "rmse", "r2", "seconds"]
    assert row["rmse"] == net.evaluate(X, Y).rmse


def test_a_fraction_for_validation_is_of_all_samples() -> None:
    for y in (Y, Y[:, None], np.arange(120), np.repeat([0, 250], 60)):
        net = Network(SPEC)
        assert len(net.fit(X, y / np.max(y) if y.dtype.kind == "f" else y, epochs=1, validation=0.25).val_r2) == 1


def test_own_metrics_replace_the_default_ones() -> None:
    _, history = fitted(
        validation=(XV, YV), metrics={"r2": lambda y, p: 0.25, "mae": lambda y, p: abs(y - p[:, 0]).max()}
    )
    assert history.val_r2 == [0.25] * 4
    assert list(history.rows()[0]) == [*COLUMNS, "val_mae"]


def test_targets_that_are_all_the_same(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    for resume in (False, True):
        history = Network(SPEC).fit(
            X, np.full(120, 0.5), epochs=2, verbose=1, checkpoint=Checkpoint(path, resume=resume)
        )
        assert math.isnan(history.r2[-1])
    assert "R2 undefined" in capsys.readouterr().out


def test_no_samples() -> None:
    for row in (Network(SPEC).fit(X[:0], Y[:0], epochs=1).rows()[0], Network(SPEC).partial_fit(X[:0], Y[:0])):
        assert row["loss"] == 0
        assert math.isnan(row["rmse"]) and math.isnan(row["r2"])


def test_labels_that_come_in_batches() -> None:
    """The batches of a generator are not read in advance."""
    net = Network("input(1) dense(2)")
    net.fit(((x, (y > 0).astype(int)) for x, y in data.batches(X, Y, 40)), epochs=1)
    assert net.task == "classes"


def test_guessing_is_the_mean_of_the_targets() -> None:
    said: list[str] = []
    history = Network(SPEC).fit(X, Y + 5, epochs=3, optimizer=SGD(1e-20), callbacks=Diagnosis(said.append))
    assert history.r2[-1] <= 0
    [message] = [line for line in said if "guesses" in line]
    assert message.startswith(f"epoch 2: the training R2 is {history.r2[1]:.4g}, and the mean of the targets for all")
    said.clear()
    fitted(epochs=100, callbacks=Diagnosis(said.append))
    assert said == []
    net = Network("input(1) standardize dense(1) rescale")
    net.adapt(1000 * X, Y)
    net.fit(1000 * X, Y, epochs=3, optimizer=SGD(1e-20), callbacks=Diagnosis(said.append))
    assert not any("not scaled" in line for line in said)


def test_a_step_is_explained() -> None:
    for loss, text, limit in (
        ("mse", "half the sum of ((p - y) / scale)^2 = ", 9),
        ("mae", "the sum of |(p - y) / scale| = ", 1),
        ("huber", "the sum of ((p - y) / scale)^2 / 2, and on a straight line beyond delta = ", 1),
    ):
        net = Network(f"input(1) dense(1) rescale loss({loss})", seed=1)
        net.adapt(y=100 * Y + 500)
        found = explain(net, X[3], 750.0)
        shown = str(found)
        assert f"{text}{found.loss:.4f}" in shown
        assert "It says" not in shown and "class" not in shown
        error = (found.output[0] - 750) / net.layers[-1].scale[0]
        assert found.error == pytest.approx(error, rel=1e-5)
        assert abs(found.gradients["0.b"][0]) == pytest.approx(min(abs(error), limit), rel=1e-5)


def test_gradients_are_checked() -> None:
    for y in (Y[:9], Y[:9, None], np.arange(9)):
        assert gradient_check(Network("input(1) dense(3) tanh dense(1)"), X[:9], y).worst < 1e-5


def test_outputs_that_are_no_longer_finite() -> None:
    with np.errstate(over="ignore"):
        y = np.full(120, 1e30, np.float32) * np.sign(Y)
    with pytest.raises(FloatingPointError, match="epoch"):
        Network("input(1) dense(1)").fit(X, y, epochs=3, optimizer=SGD(1e9))
