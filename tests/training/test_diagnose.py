"""Warnings about trainings that fail or do badly; gradient_stats."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from helpers.command import DIGITS, run

from pynet import SGD, Adam, Diagnosis, Momentum, Network, data
from pynet.optim import Optimizer
from pynet.training.batches import IterableBatches
from pynet.training.callbacks import Run
from pynet.training.diagnose import findings
from pynet.training.history import History

DATA = data.load("digits")
X, Y = DATA.x_train, DATA.y_train
PLAIN = "input(64) dense(128) relu dense(64) relu dense(10) softmax"


def warnings_of(spec: str, **options: Any) -> list[str]:
    messages: list[str] = []
    usual: dict[str, Any] = {"epochs": 4, "callbacks": [Diagnosis(messages.append)]}
    Network(spec).fit(X, Y, **(usual | options))
    return messages


SICK = [
    (
        "dense(128) relu dense(64) relu",
        {"optimizer": SGD(2.5)},
        r"layer 1, relu: \d+ of 128 units output 0 for each of 256",
    ),
    (
        "dense(32) sigmoid " * 6,
        {},
        r"layer 0: the gradient of 0\.W has .* of that of 12\.W \(it vanishes\)",
    ),
    (
        "dense(64,init=normal) relu " * 4,
        {"optimizer": SGD(1e-6)},
        r"layer \d: the gradient of .* times as large .*explodes",
    ),
    ("dense(32) sigmoid " * 6, {}, r"the loss is 2\.3\d+, log\(10\), that of guessing"),
    (
        "dense(64) relu",
        {"optimizer": SGD(1e-9)},
        r"the training accuracy is .*%, the largest class has .*%",
    ),
]


@pytest.mark.parametrize(("layers", "options", "message"), SICK)
def test_each_problem_is_reported_once(layers: str, options: dict[str, Any], message: str) -> None:
    messages = warnings_of(f"input(64) {layers} dense(10) softmax", **options)
    assert len([line for line in messages if re.match(rf"epoch \d: {message}", line)]) == 1, messages
    assert all("; try " in line for line in messages)


@pytest.mark.parametrize(
    ("layers", "optimizer"),
    [
        ("dense(128) relu dense(64) relu", SGD()),
        ("dense(64) relu " * 8, Momentum()),
        ("dense(32) tanh dense(32) tanh", Adam()),
        ("dense(9000) relu", SGD(0.02)),
        ("dense(64) batchnorm relu dropout(0.5) dense(64) relu", Adam()),
    ],
)
def test_a_good_training_causes_no_warning(layers: str, optimizer: Optimizer) -> None:
    options = {"epochs": 10, "validation": (DATA.x_test, DATA.y_test), "optimizer": optimizer}
    assert warnings_of(f"input(64) {layers} dense(10) softmax", **options) == []


def test_it_changes_nothing() -> None:
    spec = "input(64) dense(32) batchnorm relu dropout(0.5) dense(10) softmax"
    net, twin = Network(spec), Network(spec)
    net.fit(X, Y, epochs=3, callbacks=[Diagnosis(print)])
    twin.fit(X, Y, epochs=3)
    assert net.weights_sha256() == twin.weights_sha256()


def test_over_fitting() -> None:
    def messages(val_loss: list[float], loss: list[float]) -> list[str]:
        net = Network(PLAIN)
        history = History(loss, [0.9] * len(loss), val_loss, [0.9] * len(loss))
        feed = IterableBatches(net, [], None)
        run = Run(net, 9, feed, 0.1, history, len(loss), row=history.rows()[-1])
        return [message for _, message in findings(run)]

    falls = [1.0, 0.9, 0.8, 0.7, 0.65, 0.6, 0.55]
    (message,) = messages([0.9, 0.5, 0.65, 0.7, 0.65, 0.7, 0.8], falls)
    assert message.startswith(
        "the validation loss was lowest, 0.5000, after epoch 2 and is 0.8000 now, while the training"
    )
    assert messages([0.9, 0.5, 0.65, 0.7, 0.55, 0.7, 0.8], falls) == messages([0.9, 0.8, 0.5, *[0.9] * 4], falls) == []
    assert messages([0.9, 0.5, 0.65, 0.7, 0.65, 0.7, 0.8], falls[::-1]) == []


def test_the_default_is_a_python_warning() -> None:
    with pytest.warns(RuntimeWarning, match="epoch 1: layer 1, relu: "):
        Network(PLAIN).fit(X, Y, epochs=1, optimizer=SGD(2.5), callbacks=[Diagnosis()])


def test_the_command_warns_on_stderr_unless_quiet() -> None:
    options = (*DIGITS, "--lr", "2.5", "--epochs", "2", "--save", "none")
    done = run(*options)
    assert re.match(r"pynet train: warning: epoch 1: layer 1, relu: ", done.err)
    for terse in ("--quiet", "--json"):
        assert run(*options, terse).err == ""
    assert run(*DIGITS, "--save", "none").err == ""


@pytest.mark.parametrize("name", ["fast", "cnn"])
def test_a_slow_start_is_not_reported_as_guessing(name: str) -> None:
    """One-cycle schedules begin with small steps, and dropout lowers the training accuracy."""
    assert run(*DIGITS, "--preset", name, "--save", "none").err == ""


def test_a_training_loss_above_the_validation_loss_is_not_overfitting() -> None:
    net = Network(PLAIN)
    for loss, warned in (([0.5, 0.2, *[0.17] * 5], 0), ([0.5, 0.06, *[0.03] * 5], 1)):
        history = History(loss, [0.9] * 7, [0.4, 0.05, *[0.08] * 5], [0.9] * 7)
        run = Run(net, 9, IterableBatches(net, [], None), 0.1, history, 7, row=history.rows()[-1])
        assert len(list(findings(run))) == warned


@pytest.mark.filterwarnings("ignore:x is not scaled:UserWarning")
def test_inputs_that_are_not_scaled_are_named_first() -> None:
    x = X.astype(np.float32)
    messages: list[str] = []
    Network(PLAIN).fit(x, Y, epochs=3, callbacks=Diagnosis(messages.append))
    assert len(messages) == 1, messages
    assert re.match(
        r"epoch \d: x is not scaled: the root mean square of .*; layer \d, relu: \d+ of",
        messages[0],
    )
    with pytest.raises(FloatingPointError, match=r"the loss .*; x is not scaled: the root mean square"):
        Network("input(64) dense(10) loss(mse)").fit(x, Y, epochs=3, optimizer=SGD(10.0))
    healthy: list[str] = []
    Network(PLAIN).fit(x / 255, Y, epochs=3, callbacks=Diagnosis(healthy.append))
    assert healthy == []


# ---- gradient_stats ----


def test_gradient_stats() -> None:
    net = Network(PLAIN)
    with pytest.raises(RuntimeError, match=r"0\.W has no gradient yet"):
        net.gradient_stats()
    stats = net.gradient_stats(X[:100], Y[:100])
    assert stats == net.gradient_stats()
    assert list(stats) == list(net.gradients)
    for name, gradient in net.gradients.items():
        found = stats[name]
        rms, weights = (float(np.sqrt(np.mean(a.astype(np.float64) ** 2))) for a in (gradient, net.tensors[name]))
        assert found.rms == pytest.approx(rms)
        assert found.norm == pytest.approx(float(np.linalg.norm(gradient)))
        assert (found.largest, found.zeros) == (np.abs(gradient).max(), (gradient == 0).mean())
        assert found.relative == pytest.approx(rms / weights if weights else math.inf)


@pytest.mark.parametrize(("accuracy", "alarms"), [(0.625, 1), (0.7083, 0)])
def test_noisy_labels_are_not_called_chance(accuracy: float, alarms: int) -> None:
    """8 points above the largest class are more than the noise of 256 labels."""
    net = Network("input(2) dense(4) tanh dense(2) softmax")
    labels = np.arange(256) >= 159
    batches = IterableBatches(net, [(np.random.default_rng(0).normal(size=(256, 2)), labels.astype(np.int32))], None)
    batches.probe = lambda: (np.random.default_rng(0).normal(size=(256, 2)), labels.astype(np.int32))  # type: ignore[method-assign]
    history = History([0.6, 0.6], [accuracy] * 2)
    run = Run(net, 2, batches, 0.1, history, 2, row=history.rows()[-1])
    assert len([kind for kind, _ in findings(run) if kind == "guessing"]) == alarms
