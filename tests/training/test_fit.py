"""The training loop: its figures, the order of samples, what stops it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers.clusters import SPEC, X, Y, clouds
from numpy.testing import assert_allclose

from pynet import SGD, Network, data, kernels, reference
from pynet.training.history import History


def test_history_has_the_figures_of_each_epoch() -> None:
    net, begin = Network(SPEC), time.perf_counter()
    history = net.fit(X, Y, epochs=12, batch_size=32, validation=clouds(100, seed=1))
    spent = time.perf_counter() - begin
    assert isinstance(history, History)
    lengths = {name: len(values) for name, values in vars(history).items()}
    assert lengths == dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy", "seconds"), 12)
    assert history.loss[-1] < 0.6 * history.loss[0]
    assert history.accuracy[-1] > max(0.65, history.accuracy[0])
    assert history.val_accuracy[-1] > 0.6
    assert all(seconds > 0 for seconds in history.seconds) and sum(history.seconds) <= spent
    found = net.evaluate(*clouds(100, seed=1))
    assert (history.val_loss[-1], history.val_accuracy[-1]) == (found.loss, found.accuracy)
    assert history.rows()[3] == {name: values[3] for name, values in vars(history).items()}


def test_loss_is_the_mean_over_samples_before_each_step() -> None:
    x, y = clouds(202)
    twin, expected = reference.Network.from_net(Network(SPEC, seed=2)), []
    for epoch in range(3):
        losses = [twin.train_step(*batch, 0.1) * len(batch[0]) for batch in data.batches(x, y, 64, 5, epoch)]
        expected.append(sum(losses) / 202)
    assert Network(SPEC, seed=2).fit(x, y, epochs=3, batch_size=64, seed=5).loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"),
    [
        (200, 50, [50] * 4),
        (202, 64, [51, 51, 50, 50]),
        (65, 64, [33, 32]),
        (7, 3, [3, 2, 2]),
        (3, 8, [3]),
        (5, 1, [1] * 5),
    ],
)
def test_batches_are_as_equal_as_possible(n: int, batch_size: int, sizes: list[int]) -> None:
    x, y = clouds(n)
    assert [len(batch) for batch, _ in data.batches(x, y, batch_size)] == sizes
    net, twin, order = Network(SPEC), Network(SPEC), kernels.shuffle(n)
    net.fit(x, y, epochs=1, batch_size=batch_size)
    for end, size in zip(np.cumsum(sizes), sizes, strict=True):
        rows = order[end - size : end]
        twin.train_step(x[rows], y[rows], SGD(0.1))
    assert net.weights_sha256() == twin.weights_sha256()


def test_accuracy_counts_predictions_before_each_step() -> None:
    net, twin = Network(SPEC), Network(SPEC)
    history = net.fit(X, Y, epochs=1, batch_size=50)
    right = 0
    for x, y in data.batches(X, Y, 50):
        right += twin.evaluate(x, y).correct
        twin.train_step(x, y, SGD(0.1))
    assert history.accuracy == [right / 200]


def test_defaults() -> None:
    net, twin = Network(SPEC), Network(SPEC)
    assert len(net.fit(X, Y).loss) == 10
    twin.fit(X, Y, epochs=10, batch_size=64, optimizer=SGD(0.1), seed=0)
    assert net.weights_sha256() == twin.weights_sha256()
    third = Network(SPEC)
    third.fit(X, Y, optimizer=SGD())
    assert third.weights_sha256() == net.weights_sha256()


def test_without_validation_its_lists_are_empty() -> None:
    history = Network(SPEC).fit(X, Y, epochs=2)
    assert history.val_loss == history.val_accuracy == []
    assert list(history.rows()[0]) == ["loss", "accuracy", "seconds"]


def test_no_epochs() -> None:
    net = Network(SPEC)
    before = net.weights_sha256()
    assert net.fit(X, Y, epochs=0).rows() == []
    assert net.weights_sha256() == before


def test_validation_data_changes_nothing() -> None:
    net, twin = Network(SPEC), Network(SPEC)
    net.fit(X, Y, epochs=3, validation=clouds(1000, seed=3))
    twin.fit(X, Y, epochs=3)
    assert net.weights_sha256() == twin.weights_sha256()


def test_validation_split_splits_the_samples() -> None:
    net, twin = Network(SPEC), Network(SPEC)
    history = net.fit(X, Y, epochs=3, validation_split=0.25, seed=7)
    x, y, x_val, y_val = data.split(X, Y, 0.25, seed=7)
    assert len(x_val) == pytest.approx(50, abs=2)
    expected = twin.fit(x, y, epochs=3, validation=(x_val, y_val), seed=7)
    assert net.weights_sha256() == twin.weights_sha256()
    assert history.val_loss == expected.val_loss


def weights(seed: int | None, net_seed: int = 4, **options: Any) -> str:
    net = Network(SPEC, seed=4)
    net.seed = net_seed
    net.fit(X, Y, epochs=2, seed=seed, **options)
    return net.weights_sha256()


def test_the_seed_is_the_order() -> None:
    assert weights(None) == weights(None) == weights(4)
    assert len({weights(seed) for seed in (4, 5, 2**64 - 1)}) == 3
    assert weights(None, validation_split=0.5) == weights(4, validation_split=0.5) != weights(5, validation_split=0.5)


def test_a_batch_larger_than_the_data() -> None:
    net, twin = Network(SPEC), Network(SPEC)
    net.fit(X, Y, epochs=1, batch_size=10**9)
    order = kernels.shuffle(200)
    twin.train_step(X[order], Y[order], SGD(0.1))
    assert net.weights_sha256() == twin.weights_sha256()


def test_fit_again_continues() -> None:
    net, twin = Network(SPEC), Network(SPEC)
    net.fit(X, Y, epochs=2, seed=1)
    net.fit(X, Y, epochs=2, seed=1)
    for _ in range(2):
        for epoch in range(2):
            for x, y in data.batches(X, Y, 64, seed=1, epoch=epoch):
                twin.train_step(x, y, SGD(0.1))
    assert net.weights_sha256() == twin.weights_sha256()


def test_without_shuffling_the_samples_come_in_their_own_order() -> None:
    net, twin = Network(SPEC), Network(SPEC)
    net.fit(X, Y, epochs=2, batch_size=64, shuffle=False)
    for _ in range(2):
        for start in range(0, 200, 50):
            twin.train_step(X[start : start + 50], Y[start : start + 50], SGD(0.1))
    assert net.weights_sha256() == twin.weights_sha256()


def test_the_loss_of_the_validation_is_weighted() -> None:
    net, twice = Network(SPEC), np.where(np.arange(200) < 100, 2.0, 0.0)
    history = net.fit(X, Y, epochs=1, validation=(X, Y, twice))
    assert_allclose(history.val_loss, [net.evaluate(X[:100], Y[:100]).loss], rtol=1e-6)
    with pytest.raises(ValueError, match=r"sample_weight has shape \(3,\); these samples take \(200,\)"):
        net.fit(X, Y, epochs=1, validation=(X, Y, [1, 2, 3]))


# ---- what is refused ----

NAN = X.copy()
NAN[130, 4] = np.nan
INFINITE = np.tile(X, (40, 1))
INFINITE[7001, 2] = -np.inf


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": -1}, "epochs is -1; accepted: a whole number, 0 or more"),
        ({"batch_size": 0}, "batch_size is 0; accepted: a whole number, 1 or more"),
        ({"batch_size": -5}, "batch_size is -5; accepted: a whole number, 1 or more"),
        ({"seed": -1}, "seed is -1; accepted: 0 to 2"),
        ({"seed": 2**64}, "seed is 18446744073709551616; accepted: 0 to 2"),
        ({"optimizer": SGD(0)}, "learning rate is 0; accepted: a finite number above 0"),
        ({"optimizer": SGD(float("nan"))}, "learning rate is -?nan"),
        ({"validation_split": 1.0}, "validation_split is 1.0; accepted: a fraction from 0 to below 1"),
        ({"validation_split": -0.1}, "validation_split is -0.1; accepted: a fraction from 0 to below 1"),
        ({"validation_split": 0.5, "validation": (X, Y)}, "validation and validation_split are both given"),
        ({"validation": (X, Y[:3])}, "x has 200 samples, y has 3"),
        ({"validation": (X[:, :5], Y)}, r"x has shape \(200, 5\)"),
        ({"validation": (NAN, Y)}, "validation x holds nan in sample 130, feature 4; accepted: finite numbers"),
        ({"x": NAN}, "x holds nan in sample 130, feature 4; accepted: finite numbers"),
        ({"x": INFINITE, "y": np.tile(Y, 40)}, "x holds -inf in sample 7001, feature 2"),
        ({"x": X[:7]}, "x has 7 samples, y has 200"),
        ({"y": Y + 1}, "labels run from 1 to 3; this network takes 0 to 2"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    net = Network(SPEC)
    before = net.weights_sha256()
    with pytest.raises(ValueError, match=message):
        net.fit(**({"x": X, "y": Y} | options))
    assert net.weights_sha256() == before


@pytest.mark.parametrize("bad_batch", [1, 3, 4])
def test_a_loss_that_is_not_finite_names_epoch_and_batch(bad_batch: int) -> None:
    net, twin = Network("input(6) dense(3)"), Network("input(6) dense(3)")
    targets = np.eye(3, dtype=np.float32)[Y]
    order = kernels.shuffle(200, 0, 0)
    targets[order[(bad_batch - 1) * 50]] = 3e38  # its square is infinite
    message = f"epoch 1, batch {bad_batch}: the loss is not finite: the outputs are finite, but their loss"
    with pytest.raises(FloatingPointError, match=message):
        net.fit(X, targets, epochs=2, batch_size=50)
    for start in range(0, (bad_batch - 1) * 50, 50):
        rows = order[start : start + 50]
        twin.train_step(X[rows], targets[rows], SGD(0.1))
    assert net.weights_sha256() == twin.weights_sha256()


def test_too_large_a_learning_rate_is_an_error() -> None:
    net = Network("input(6) dense(16) relu dense(3)")
    with pytest.raises(FloatingPointError, match=r"epoch \d+, batch \d+: .*; a smaller learning rate may help"):
        net.fit(X, Y, epochs=1000, optimizer=SGD(50))


def test_a_validation_loss_that_is_not_finite() -> None:
    x = X.copy()
    x[0] = 3e38
    with pytest.raises(FloatingPointError, match="validation loss"):
        Network(SPEC).fit(X, Y, epochs=1, validation=(x, Y))


# ---- Ctrl-C ----


def test_ctrl_c_stops_soon_and_keeps_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = "input(784) dense(256) relu dense(10) softmax"
    net = Network(spec)
    before = net.weights_sha256()
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (20_000, 784), np.uint8), rng.integers(0, 10, 20_000)
    step, calls, in_the_core, at_the_press = net._train, 0, threading.Event(), []

    def counted(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 20:
            in_the_core.set()
        return step(*args)

    def press() -> None:
        in_the_core.wait(60)
        os.kill(os.getpid(), signal.SIGINT)
        at_the_press.append(calls)

    monkeypatch.setattr(net, "_train", counted)
    thread = threading.Thread(target=press)
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore SIGINT
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            net.fit(x, y, epochs=10_000)
        thread.join()
    finally:
        signal.signal(signal.SIGINT, kept)
    assert calls <= at_the_press[0] + 1, "a call of the core lasts 0.05 s, and no other follows"
    assert net.weights_sha256() != before
    assert all(np.isfinite(tensor).all() for tensor in net.tensors.values())
    net.fit(x[:100], y[:100], epochs=1)


# ---- the same everywhere ----

SCRIPT = f"""
import sys
import numpy as np
from pynet import Network
rng = np.random.default_rng(0)
x, y = rng.integers(0, 256, (300, 6), np.uint8), rng.integers(0, 3, 300)
net = Network({SPEC!r})
net.fit(x, y, epochs=3, batch_size=32, progress=len(sys.argv) > 1)
print(net.weights_sha256())
"""


def test_another_process_gives_the_same_bits() -> None:
    def run(*arguments: str, **env: str) -> str:
        command: list[str] = [sys.executable, "-c", SCRIPT, *arguments]
        done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1]

    fused: Callable[[str], bool] = "portable".__ne__
    found = {run(PYNET_CPU=name) for name in filter(fused, kernels.cpu_tables())} or {run()}
    assert len(found) == 1
    assert {run("progress", PYNET_CPU=next(filter(fused, kernels.cpu_tables()), "portable"))} == found
