"""Optimizers, clipping and schedules against torch.optim, from equal weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from helpers.torch_twin import TorchNet, check_steps
from numpy.testing import assert_allclose

from pynet import SGD, Adam, AdamW, Momentum, Nesterov, Network, RMSProp, schedules
from pynet.optim import Optimizer

SPEC = "input(20) dense(16) tanh dense(12) sigmoid dense(5) softmax"
# Weights of every kind; without biases before batchnorm, which would cancel them.
LAYERS = (
    "input(2,8,7) conv(4,3,bias=no) batchnorm tanh residual(conv(6,3,pad=same)) dropout(0.2) avgpool(2) "
    "dense(8) sigmoid dense(5) softmax"
)
EPSILON = 1e-4  # with the default 1e-8, a gradient of only rounding errors would change a weight as much as others


def groups(twin: TorchNet, decay: float) -> list[dict[str, Any]]:
    """Parameter groups: weights, with decay, and biases, without."""
    return [
        {"params": twin.parameters(decayed=True), "weight_decay": decay},
        {"params": twin.parameters(decayed=False), "weight_decay": 0},
    ]


adam = {"lr": 0.02, "betas": (0.8, 0.99), "eps": EPSILON}
PAIRS: list[tuple[Optimizer, Callable[[TorchNet], torch.optim.Optimizer]]] = [
    (SGD(0.5, l2=0.01), lambda twin: torch.optim.SGD(groups(twin, 0.01), lr=0.5)),
    (Momentum(0.1, 0.9), lambda twin: torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9)),
    (
        Momentum(0.1, 0.9, l2=0.01, decay_all=True),
        lambda twin: torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01),
    ),
    (Nesterov(0.1, 0.9), lambda twin: torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9, nesterov=True)),
    (
        RMSProp(0.01, 0.9, EPSILON),
        lambda twin: torch.optim.RMSprop(twin.parameters(), lr=0.01, alpha=0.9, eps=EPSILON),
    ),
    (Adam(0.02, 0.8, 0.99, EPSILON), lambda twin: torch.optim.Adam(twin.parameters(), **adam)),
    (Adam(0.02, 0.8, 0.99, EPSILON, l2=0.01), lambda twin: torch.optim.Adam(groups(twin, 0.01), **adam)),
    (
        AdamW(0.02, 0.8, 0.99, EPSILON, weight_decay=0.1),
        lambda twin: torch.optim.AdamW(groups(twin, 0.1), **adam),
    ),
    (
        AdamW(0.02, 0.8, 0.99, EPSILON, decay_all=True),
        lambda twin: torch.optim.AdamW(twin.parameters(), **adam),  # 0.01 is PyTorch's default decay, too
    ),
]


@pytest.mark.parametrize("spec", [SPEC, LAYERS], ids=["dense", "layers"])
@pytest.mark.parametrize(("optimizer", "torch_optimizer"), PAIRS)
def test_ten_steps(
    optimizer: Optimizer, torch_optimizer: Callable[[TorchNet], torch.optim.Optimizer], spec: str
) -> None:
    check_steps(Network(spec, seed=1), optimizer, torch_optimizer)


@pytest.mark.parametrize("spec", [SPEC, LAYERS], ids=["dense", "layers"])
def test_clipping_by_norm(spec: str) -> None:
    check_steps(
        Network(spec, seed=1),
        Momentum(0.1, 0.9, clip_norm=0.2),
        lambda twin: torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9),
        before_step=lambda parameters: torch.nn.utils.clip_grad_norm_(parameters, 0.2),
    )


def test_clipping_by_value() -> None:
    check_steps(
        Network(SPEC, seed=1),
        SGD(0.5, clip_value=0.01),
        lambda twin: torch.optim.SGD(twin.parameters(), lr=0.5),
        before_step=lambda parameters: torch.nn.utils.clip_grad_value_(parameters, 0.01),
    )


lr_scheduler = torch.optim.lr_scheduler


@pytest.mark.parametrize(
    ("schedule", "torch_schedule"),
    [
        (schedules.StepDecay(3, 0.5, per_epoch=True), lambda o: lr_scheduler.StepLR(o, 3, 0.5)),
        (schedules.Exponential(0.8, per_epoch=True), lambda o: lr_scheduler.ExponentialLR(o, 0.8)),
        (schedules.Cosine(0.1, per_epoch=True), lambda o: lr_scheduler.CosineAnnealingLR(o, 10, eta_min=0.1)),
        (
            schedules.Constant(warmup=4),
            lambda o: lr_scheduler.LinearLR(o, start_factor=1 / 4, total_iters=3),
        ),
    ],
)
def test_schedules(schedule: schedules.Schedule, torch_schedule: Callable[[Any], Any]) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch_schedule(optimizer)
    for epoch in range(10):
        assert_allclose(schedule.factors(epoch, 10, 1), optimizer.param_groups[0]["lr"], rtol=1e-12)
        optimizer.step()
        scheduler.step()


def test_plateau() -> None:
    losses = [*np.random.default_rng(0).random(60), *np.random.default_rng(1).random(60) / 2]
    schedule = schedules.ReduceOnPlateau(0.5, patience=3, threshold=1e-3)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=3, threshold=1e-3, eps=0)
    for epoch in range(len(losses)):
        assert_allclose(schedule.factors(0, 1, 1, losses[:epoch]), optimizer.param_groups[0]["lr"], rtol=1e-12)
        scheduler.step(losses[epoch])
    assert schedule.plateau(losses) < 1e-5
