"""Every layer against PyTorch: forward, all gradients, ten steps of gradient descent from equal weights."""

from __future__ import annotations

import pytest
import torch
from torch_twin import batch, check_gradients, check_steps

from pynet import SGD, Network

SPECS = [
    "input(20) dense(16) relu dense(5) softmax",
    "input(784) dense(128) relu dense(64) relu dense(10) softmax",
    "input(2,3,4) dense(7) tanh dense(4)",
    "input(9) dense(8) sigmoid dense(3) sigmoid loss(mse)",
    "input(6) dense(5) softmax dense(4) softmax loss(mse)",
    "input(6) dense(5) tanh dense(4) softmax loss(cross_entropy,smoothing=0.1)",
    "input(6) dense(5) tanh dense(1) sigmoid loss(bce)",
    "input(6) dense(5) tanh dense(3) sigmoid loss(bce)",
]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("n", [1, 17])
def test_forward_and_gradients(spec: str, n: int) -> None:
    net = Network(spec, seed=1)
    check_gradients(net, *batch(net, n))


@pytest.mark.parametrize("spec", SPECS)
def test_ten_steps(spec: str) -> None:
    check_steps(Network(spec, seed=1), SGD(0.1), lambda twin: torch.optim.SGD(twin.parameters(), lr=0.1))
