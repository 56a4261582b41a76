"""Weights of samples and classes against PyTorch's losses, weighted there by hand or by its own class weights."""

from __future__ import annotations

import numpy as np
import torch
from helpers.torch_twin import TorchNet, agree, batch, check_gradients

from pynet import SGD, Network

SPEC = "input(6) dense(5) tanh dense(4) softmax"


def test_sample_weight() -> None:
    net = Network(SPEC, seed=1)
    x, y = batch(net, 20)
    check_gradients(net, x, y, np.random.default_rng(1).random(20))


def test_class_weight() -> None:
    """PyTorch divides by the sum of the weights, pynet by the number of samples."""
    net = Network(SPEC, seed=1)
    x, y = batch(net, 20)
    twin = TorchNet(net)
    classes = torch.tensor([1.0, 0.5, 3.0, 2.0], dtype=torch.float64)
    loss = torch.nn.functional.cross_entropy(twin.outputs(x, logits=True), torch.from_numpy(y), classes)
    (loss * classes[y].sum() / 20).backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for tensor, _ in twin.tensors.values():
            tensor -= 0.5 * tensor.grad
    net.fit(x, y, epochs=1, batch_size=20, optimizer=SGD(0.5), class_weight=classes.tolist())
    for name, expected in twin.arrays(lambda tensor: tensor).items():
        agree(net.tensors[name], expected, name)
