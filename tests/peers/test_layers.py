"""Every layer against PyTorch: forward, all gradients, ten steps of gradient descent from equal weights."""

from __future__ import annotations

import pytest
import torch
from helpers.networks import scaled
from helpers.torch_twin import batch, check_gradients, check_steps

from pynet import SGD, Network

SPECS = [
    "input(3,8,7) conv(9,3,bias=no) batchnorm relu maxpool(2) layernorm dropout(0.25) flatten dense(4) softmax",
    "input(2,6,6) residual(conv(2,3,pad=same) relu conv(2,1)) relu avgpool(2) dense(3) softmax",
    "input(1,28,28) conv(8,5) relu maxpool(2) conv(16,5) relu maxpool(2) dense(128) relu dense(10) softmax",
    "input(3,9,11) conv(5,3,stride=2,pad=1) tanh avgpool(2,stride=1) conv(4,3,pad=same,bias=no) globalavgpool dense(4)",
    "input(2,8,7) maxpool(3,stride=2) conv(17,3,pad=same) relu avgpool(2) dense(3) softmax",
    "input(20) dense(16) relu dense(5) softmax",
    "input(784) dense(128) relu dense(64) relu dense(10) softmax",
    "input(2,3,4) dense(7) tanh dense(4)",
    "input(9) dense(8) sigmoid dense(3) sigmoid loss(mse)",
    "input(6) dense(5) softmax dense(4) softmax loss(mse)",
    "input(6) dense(5) tanh dense(4) softmax loss(cross_entropy,smoothing=0.1)",
    "input(6) dense(5) tanh dense(1) sigmoid loss(bce)",
    "input(6) dense(5) tanh dense(3) sigmoid loss(bce)",
    "input(6) dense(5) tanh dense(3) loss(mae)",
    "input(6) dense(5) tanh dense(3) loss(huber)",
    "input(6) standardize dense(5) tanh dense(3) rescale loss(huber,delta=0.3)",
    "input(2,6,5) standardize conv(3,3,pad=1) relu conv(2,2) rescale",
    "input(20) dense(16,bias=no) leaky_relu(0.2) dense(16) leaky_relu dense(5) softmax",
    "input(20) dense(16) gelu dense(5) softmax",
    "input(2,3,4) flatten dense(7) tanh flatten dense(4)",
    "input(20) dense(30) dropout(0.4) relu dense(30) dropout(0.1) dense(5) softmax",
    "input(20) layernorm dense(16) layernorm(eps=0.001) gelu dense(5) softmax",
    "input(2,3,4) layernorm dense(5) softmax",
    "input(20) dense(16) relu residual(dense(16) relu dense(16)) relu residual(dense(30) relu) dense(5) softmax",
    "input(20) dense(16) residual(residual(dense(8) gelu) layernorm) relu dense(5) softmax",
]
# without biases before batchnorm, which cancels them, so that their gradient is only rounding
BATCHNORM = [
    "input(9) dense(8,bias=no) batchnorm relu dense(8,bias=no) batchnorm(eps=0.001,momentum=0.3) relu dense(5) softmax",
    "input(20) batchnorm dense(5) softmax",
    "input(9) dense(8,bias=no) residual(batchnorm relu dropout(0.2) dense(8,bias=no)) batchnorm relu dense(5) softmax",
]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("n", [1, 17])
def test_forward_and_gradients(spec: str, n: int) -> None:
    net = scaled(Network(spec, seed=1))
    check_gradients(net, *batch(net, n))


@pytest.mark.parametrize("spec", BATCHNORM)
@pytest.mark.parametrize("n", [5, 17])
def test_forward_and_gradients_over_the_batch(spec: str, n: int) -> None:
    net = Network(spec, seed=1)
    check_gradients(net, *batch(net, n))


@pytest.mark.parametrize("spec", [*SPECS, *BATCHNORM])
def test_ten_steps(spec: str) -> None:
    check_steps(scaled(Network(spec, seed=1)), SGD(0.1), lambda twin: torch.optim.SGD(twin.parameters(), lr=0.1))
