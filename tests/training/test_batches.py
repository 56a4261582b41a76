"""Feeds: how long a call of the core lasts, by a clock that the test sets; what identifies data."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from helpers.clusters import SPEC, X, Y

from pynet import SGD, Augment, Network
from pynet._ffi import ffi
from pynet.training import batches, fit
from pynet.training.batches import ArrayBatches, IterableBatches, fingerprint


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class FakeNet:
    """A network that learns nothing; a step advances the clock by `step` seconds."""

    def __init__(self, clock: Clock, step: float) -> None:
        self.clock, self.step = clock, step
        self.calls: list[int] = []  # steps

    def _train(self, data: Any, rows: Any, batch: int, opt: Any, stats: Any, rates: Any) -> None:
        n = len(rows)
        self.calls.append(n // batch)
        self.clock.now += self.step * self.calls[-1]
        stats.samples += n
        stats.steps += self.calls[-1]


def calls(monkeypatch: pytest.MonkeyPatch, step: float, n: int = 4000) -> list[int]:
    """The number of steps of each call of the core, in an epoch of n batches."""
    clock = Clock()
    monkeypatch.setattr(batches, "time", clock)
    net: Any = FakeNet(clock, step)
    samples = Network(SPEC)._samples(np.zeros((2 * n, 6)), np.zeros(2 * n, int))
    stats = ffi.new("pn_stats *")
    taken = list(ArrayBatches(net, samples, 2, 0).train(0, ffi.new("pn_optim *"), None, stats))
    assert (sum(taken), stats.steps, stats.samples) == (2 * n, n, 2 * n)
    assert sum(net.calls) == n
    return net.calls


@pytest.mark.parametrize("step", [0.0, 1e-6, 0.001, 0.0124, 0.02, 0.05, 0.2, 3.0])
def test_a_call_lasts_a_twentieth_of_a_second(monkeypatch: pytest.MonkeyPatch, step: float) -> None:
    """A call has at least one step, and at most four times as many as the last call, whose speed may have been luck.
    Steps too long for that make calls of up to four steps and a fifth of a second."""
    found = calls(monkeypatch, step)
    assert found[0] == 1
    longest = batches.CALL_SECONDS * (batches.FEW_STEPS if step > batches.CALL_SECONDS / batches.FEW_STEPS else 1)
    assert all(steps * step <= longest or steps == 1 for steps in found)
    assert all(now <= 4 * last for last, now in pairwise(found))
    assert max(found) > 0.6 * min(batches.CALL_SECONDS / max(step, 1e-9), 4000)
    if longest > batches.CALL_SECONDS:
        assert max(found) == max(1, min(int(longest / step), batches.FEW_STEPS))


def test_the_seconds_of_an_epoch_are_those_of_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of callbacks and validation does not count."""
    clock, net = Clock(), Network(SPEC)
    monkeypatch.setattr(fit, "time", clock)
    step = net._train

    def slow(*args: Any) -> Any:
        clock.now += 0.5
        return step(*args)

    class Idles:
        def on_batch_end(self, run: Any) -> None:
            clock.now += 100

    monkeypatch.setattr(net, "_train", slow)
    history = net.fit(((X, Y), (X, Y), (X, Y)), epochs=2, validation=(X, Y), optimizer=SGD(0.1), callbacks=[Idles()])
    assert history.seconds == [1.5, 1.5]


def test_the_fingerprint_depends_on_the_numbers_alone() -> None:
    net = Network(SPEC)
    found = fingerprint(net._samples(X, Y))
    assert found == fingerprint(net._samples(X.copy(), Y.astype(np.int64)))
    others = [(X[:-1], Y[:-1]), (X + 1, Y), (X, (Y + 1) % 3), (X.astype(np.float64) * 1.5, Y)]
    prints = {fingerprint(net._samples(x, y)) for x, y in others} | {fingerprint(net._samples(X, Y, np.ones(len(X))))}
    assert len(prints) == 5
    assert found not in prints


def test_checkpoints_of_earlier_versions_agree_on_the_default_augmentation() -> None:
    assert str(Augment()) == "default"
    assert IterableBatches(Network(SPEC), [], Augment()).facts() == {"data": "batches", "augmentation": "usual"}
