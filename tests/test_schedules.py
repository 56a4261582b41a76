"""Schedules: closed forms, the same bits as single steps, plateaus, their text, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pynet import SGD, Adam, Network, data, kernels
from pynet.schedules import Constant, Cosine, Exponential, OneCycle, ReduceOnPlateau, Schedule, StepDecay, parse

Array = np.ndarray[Any, Any]

SPEC = "input(12) dense(9) tanh dense(4) softmax"
EPOCHS, STEPS = 6, 5
TIME = np.arange(EPOCHS * STEPS) / STEPS


def whole(schedule: Schedule) -> Array:
    """The factors of the learning rate for all steps."""
    return np.concatenate([schedule.factors(epoch, EPOCHS, STEPS) for epoch in range(EPOCHS)])


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Constant(), np.ones(30)),
        (StepDecay(2, 0.5), np.repeat([1, 0.5, 0.25], 10)),
        (StepDecay(1.5, 0.5), 0.5 ** (TIME // 1.5)),
        (Exponential(0.5), 0.5**TIME),
        (Exponential(0.5, per_epoch=True), np.repeat(0.5 ** np.arange(6), 5)),
        (Cosine(), (1 + np.cos(np.pi * TIME / 6)) / 2),
        (Cosine(0.2), 0.2 + 0.8 * (1 + np.cos(np.pi * TIME / 6)) / 2),
        (Cosine(per_epoch=True), np.repeat((1 + np.cos(np.pi * np.arange(6) / 6)) / 2, 5)),
        (Constant(warmup=1), np.concatenate([[0.2, 0.4, 0.6, 0.8], np.ones(26)])),
        (Constant(warmup=0.5), np.concatenate([[0.4, 0.8], np.ones(28)])),
        (Cosine(warmup=2), np.where(TIME < 2, (TIME + 0.2) / 2, (1 + np.cos(np.pi * (TIME - 2) / 4)) / 2)),
        (
            OneCycle(0.5, 0.1, 0.01),
            np.where(
                TIME < 3,
                1 + (0.1 - 1) * (1 + np.cos(np.pi * TIME / 3)) / 2,
                0.01 + 0.99 * (1 + np.cos(np.pi * (TIME - 3) / 3)) / 2,
            ),
        ),
    ],
    ids=str,
)
def test_closed_forms(schedule: Schedule, expected: Array) -> None:
    assert_allclose(whole(schedule), expected, rtol=1e-12, atol=1e-15)


def test_plateau() -> None:
    schedule = ReduceOnPlateau(0.5, patience=1, threshold=0.1)
    losses = [1.0, 0.95, 0.85, 0.8, 0.8, 0.8, 0.8, 0.1]
    found = [schedule.factors(0, 9, 2, losses[:epoch])[0] for epoch in range(len(losses) + 1)]
    # 0.95 is less than 10 % below 1, 0.85 is more; 0.8, four times, is less than 10 % below 0.85
    assert found == [1, 1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25]


def test_plateau_uses_the_validation_loss() -> None:
    net = Network(SPEC)
    x = np.random.default_rng(0).normal(size=(40, 12))
    labels = np.arange(40) % 4
    seen: list[list[float]] = []

    class Spy(ReduceOnPlateau):
        def plateau(self, losses: Any) -> float:
            seen.append(list(losses))
            return super().plateau(losses)

    history = net.fit(x, labels, epochs=3, schedule=Spy(), validation=(x, labels[::-1]))
    assert seen == [history.val_loss[:epoch] for epoch in range(3)]
    seen.clear()
    history = net.fit(x, labels, epochs=3, schedule=Spy())
    assert seen == [history.loss[:epoch] for epoch in range(3)]


SCHEDULES = [Cosine(0.1, warmup=1), StepDecay(1, 0.5), Exponential(0.7, per_epoch=True)]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("optimizer", [SGD(0.3), Adam(0.01, weight_decay=0.1), SGD(0.3, clip_norm=0.1)], ids=str)
def test_fit_is_single_steps_at_these_rates(schedule: Schedule, optimizer: SGD | Adam) -> None:
    net, twin = Network(SPEC), Network(SPEC)
    x = np.random.default_rng(0).normal(size=(90, 12))
    y = np.arange(90) % 4
    net.fit(x, y, epochs=3, batch_size=20, optimizer=optimizer, schedule=schedule, seed=7)
    for epoch in range(3):
        factors = schedule.factors(epoch, 3, 5)
        batches = list(data.batches(x, y, batch_size=20, seed=7, epoch=epoch))
        assert len(batches) == 5
        for factor, (rows, labels) in zip(factors, batches, strict=True):
            assert optimizer.learning_rate is not None
            twin.train_step(rows, labels, replace(optimizer, learning_rate=optimizer.learning_rate * factor))
    assert net.weights_sha256() == twin.weights_sha256()


def test_threads_and_calls_change_nothing() -> None:
    spec = "input(70) dense(130) relu dense(61) tanh dense(10) softmax"
    x = np.random.default_rng(0).normal(size=(900, 70))
    found = set()
    for threads in (1, 2, 3):
        kernels.set_threads(threads)
        net = Network(spec)
        net.fit(x, np.arange(900) % 10, epochs=2, batch_size=30, optimizer=Adam(), schedule=OneCycle())
        found.add(net.weights_sha256())
    assert len(found) == 1


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("constant", Constant()),
        ("cosine", Cosine()),
        (" cosine( final = 0.1 , warmup=2) ", Cosine(0.1, warmup=2)),
        ("step(every=5,factor=0.5)", StepDecay(5, 0.5)),
        ("exponential(factor=0.9,per_epoch=1)", Exponential(0.9, per_epoch=True)),
        ("onecycle()", OneCycle()),
        ("plateau(patience=4)", ReduceOnPlateau(patience=4)),
    ],
)
def test_text(text: str, schedule: Schedule) -> None:
    assert parse(text) == schedule
    assert parse(str(schedule)) == schedule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cosin", "unknown schedule 'cosin'; accepted: constant, step, exponential, cosine, onecycle, plateau"),
        ("", "unknown schedule ''"),
        ("step(5", "unknown schedule"),
        ("step(often=5)", "schedule step has no 'often=5'; accepted: warmup=, per_epoch=, every=, factor="),
        ("step(5)", "schedule step has no '5'"),
        ("step(every=soon)", "every of the schedule step is 'soon'; accepted: a number"),
        ("step(every=0)", "every of the schedule step is 0.0; accepted: a number, 1e-06 or more"),
        ("step(factor=1.5)", "factor of the schedule step is 1.5; accepted: a number from 0 to 1"),
        ("exponential(factor=nan)", "factor of the schedule exponential is nan; accepted"),
        ("cosine(warmup=-1)", "warmup of the schedule cosine is -1.0; accepted: a number, 0 or more"),
        ("cosine(warmup=inf)", "warmup of the schedule cosine is inf"),
        ("onecycle(rise=2)", "rise of the schedule onecycle is 2.0; accepted: a number from 0 to 1"),
        ("plateau(patience=-1)", "patience of the schedule plateau is -1.0; accepted"),
    ],
)
def test_bad_text(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert message in str(caught.value)


def test_bad_rates_are_refused_by_step() -> None:
    class Wrong(Constant):
        def shape(self, time: Array, epochs: float) -> Array:
            return np.where(np.arange(len(time)) == 1, np.nan, 1.0)

    net = Network(SPEC)
    before = net.weights_sha256()
    with pytest.raises(ValueError, match=r"learning rate of step \d is -?nan; accepted: a finite number, 0 or more"):
        net.fit(np.ones((40, 12)), np.zeros(40, int), batch_size=10, schedule=Wrong())
    assert_array_equal(net.optimizer_state.steps, 1)
    assert net.weights_sha256() != before
