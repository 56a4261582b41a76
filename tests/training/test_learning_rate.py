"""The learning-rate finder: its suggestion trains the network, and it changes nothing."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.command import DIGITS, run

from pynet import SGD, Adam, Momentum, Network, data, figures, find_lr
from pynet.optim import Optimizer
from pynet.training.learning_rate import RateSearch

DATA = data.load("digits")
X, Y = DATA.x_train, DATA.y_train
PLAIN = "input(64) dense(128) relu dense(64) relu dense(10) softmax"


@pytest.mark.parametrize(
    ("layers", "optimizer", "accuracy"),
    [
        ("dense(128) relu dense(64) relu dense(10) softmax", SGD(), 0.95),
        ("dense(128) relu dense(64) relu dense(10) softmax", Momentum(), 0.95),
        ("dense(128) relu dense(64) relu dense(10) softmax", Adam(), 0.95),
        ("dense(64) batchnorm relu dense(10) softmax", Adam(), 0.95),
        ("dense(16) sigmoid dense(16) sigmoid dense(10) sigmoid", Adam(), 0.8),
    ],
)
def test_the_suggested_rate_trains(layers: str, optimizer: Optimizer, accuracy: float) -> None:
    for seed in range(3):
        net = Network(f"input(64) {layers}", seed=seed)
        found = find_lr(net, DATA, optimizer=optimizer)
        net.fit(X, Y, epochs=20, optimizer=replace(optimizer, learning_rate=found.suggestion))
        assert net.evaluate(DATA.x_test, DATA.y_test).accuracy > accuracy, found.suggestion


def test_find_lr_does_not_change_the_network() -> None:
    net, twin = Network(PLAIN, seed=2), Network(PLAIN, seed=2)
    found = find_lr(net, (X, Y))
    assert (net.weights_sha256(), net.updates) == (twin.weights_sha256(), 0)
    assert found == find_lr(net, DATA)
    assert found.rates == sorted(found.rates)
    assert len(found.rates) == len(found.losses) == len(found.smoothed) <= 150
    assert (found.rates[0], found.losses[0]) == (1e-6, twin.train_step(*next(data.batches(X, Y, 64, 2)), SGD(1e-6)))
    assert str(found).splitlines()[-1] == f"suggestion: {found.suggestion:g}"
    assert 15 < len(str(found).splitlines()) < 50


def test_a_large_loss_does_not_flatten_the_bars_of_the_others() -> None:
    losses = [2.0, 1.0, 2.8, 500.0]
    bars = [line.split()[2] for line in str(RateSearch([1e-3, 1e-2, 0.1, 1.0], losses, losses)).splitlines()[1:5]]
    assert [len(bar) for bar in bars] == [27, 13, 37, 41]
    assert bars[3] == "#" * 40 + ">"


@pytest.mark.parametrize(
    "options", [{"lowest": 0.0}, {"lowest": 1.0, "highest": 0.1}, {"steps": 9}, {"highest": math.inf}]
)
def test_bad_rates(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="accepted: 10 or more, from a rate above 0 to a larger one"):
        find_lr(Network(PLAIN), DATA, **options)


def test_no_samples() -> None:
    with pytest.raises(ValueError, match="there are no samples to try learning rates on"):
        find_lr(Network(PLAIN), (X[:0], Y[:0]))


def test_find_lr_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*DIGITS, "--optimizer", "adam", "--find-lr")
    assert (done.status, done.err) == (0, "")
    assert re.search(r"^learning rate +loss\n +1\.00e-06 .*#\n", done.out, re.M)
    assert re.search(r"^suggestion: 0\.00\d+\ndrew digits-figures/digits-lr\.png\n", done.out, re.M)
    assert [path.name for path in tmp_path.glob("*/*")] == ["digits-lr.png"]
    assert re.fullmatch(r"suggestion: 0\.\d+\n", run(*DIGITS, "--find-lr", "--quiet").out)
    assert sorted(json.loads(run(*DIGITS, "--find-lr", "--json").out)) == ["losses", "rates", "suggestion"]

    def missing() -> None:
        raise figures.MissingMatplotlib("no")

    monkeypatch.setattr(figures, "require", missing)
    done = run(*DIGITS, "--find-lr")
    assert (done.status, done.out.splitlines()[-1]) == (0, "(no picture: matplotlib is not installed)")


def test_no_rate_is_suggested_that_was_not_tried() -> None:
    for lowest, highest in ((0.34, 5.0), (0.0014, 0.0026), (1.0, 30.0)):
        found = find_lr(Network(PLAIN), DATA, lowest=lowest, highest=highest)
        assert found.rates[0] <= found.suggestion <= found.rates[-1]
    rising = RateSearch([0.34, 0.4, 0.5], [1.0, 2.0, 3.0], [1.0, 1.5, 2.0])
    assert rising.suggestion == 0.34
    assert "the loss fell at none of these rates" in str(rising)
