"""PyTorch twice: nn.Module with its own SGD, as people write it, and a backward by hand into buffers.

OMP_NUM_THREADS, set before the import, is what torch.set_num_threads takes here.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.peers import LEARNING_RATE, Array, Weights, to_float

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


class MiniBatches:
    """The loop over an epoch; step(index) trains on the samples of one batch."""

    x: Any

    def step(self, index: Any) -> None:
        raise NotImplementedError

    def epoch(self, batch: int, order: Array | None = None) -> None:
        indices = torch.randperm(len(self.x)) if order is None else torch.from_numpy(order.astype(np.int64))
        for index in indices.split(batch):
            self.step(index)

    def ready(self, x: Array) -> Any:
        return torch.from_numpy(to_float(x))


class TorchNet(MiniBatches):
    """nn.Sequential, CrossEntropyLoss, optim.SGD; rows by index: a DataLoader would cost far more."""

    def __init__(self, weights: Weights) -> None:
        layers: list[nn.Module] = []
        for W, b in weights:
            linear = nn.Linear(*W.shape)
            linear.weight.data = torch.from_numpy(W.T.copy())
            linear.bias.data = torch.from_numpy(b.copy())
            layers += [linear, nn.ReLU()]
        self.model = nn.Sequential(*layers[:-1])
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=LEARNING_RATE)

    def load(self, x: Array, y: Array) -> None:
        self.x, self.y = torch.from_numpy(to_float(x)), torch.from_numpy(y.astype(np.int64))

    def step(self, index: Any) -> None:
        self.optimizer.zero_grad()
        self.loss(self.model(self.x[index]), self.y[index]).backward()
        self.optimizer.step()

    def weights(self) -> Weights:
        linears = [layer for layer in self.model if isinstance(layer, nn.Linear)]
        return [(layer.weight.detach().numpy().T.copy(), layer.bias.detach().numpy().copy()) for layer in linears]

    def predict(self, x: Any) -> Array:
        with torch.inference_mode():
            return np.asarray(self.model(x).argmax(1))


class TorchOutNet(MiniBatches):
    """By hand: buffers for everything, bias and product in one addmm, the update as alpha of the gradient's product."""

    def __init__(self, weights: Weights) -> None:
        self.W = [torch.from_numpy(W.copy()) for W, _ in weights]
        self.b = [torch.from_numpy(b.copy()) for _, b in weights]
        self.buffers: dict[int, list[list[Any]]] = {}

    def load(self, x: Array, y: Array) -> None:
        self.x = torch.from_numpy(to_float(x))
        self.y = torch.from_numpy(np.eye(self.W[-1].shape[1], dtype=np.float32)[y])

    def buffer(self, m: int) -> list[list[Any]]:
        """Activations, their gradients, the batch and its one-hot rows."""
        if m not in self.buffers:
            shapes = [(m, W.shape[1]) for W in self.W]
            batch = [torch.empty(m, self.W[0].shape[0]), torch.empty(m, self.W[-1].shape[1])]
            self.buffers[m] = [[torch.empty(s) for s in shapes], [torch.empty(s) for s in shapes], batch]
        return self.buffers[m]

    def logits(self, x: Any, h: list[Any]) -> Any:
        for i, (W, b) in enumerate(zip(self.W, self.b, strict=True)):
            torch.addmm(b, x, W, out=h[i])
            if i < len(self.W) - 1:
                h[i].relu_()
            x = h[i]
        return x

    def step(self, index: Any) -> None:
        h, d, (x, y) = self.buffer(len(index))
        rate = -LEARNING_RATE / len(index)
        torch.index_select(self.x, 0, index, out=x)
        torch.index_select(self.y, 0, index, out=y)
        torch.softmax(self.logits(x, h), 1, out=d[-1])
        d[-1].sub_(y)
        for i in reversed(range(len(self.W))):
            if i:  # before W changes
                torch.mm(d[i], self.W[i].T, out=d[i - 1])
                d[i - 1].mul_(h[i - 1] > 0)
            self.W[i].addmm_((h[i - 1] if i else x).T, d[i], alpha=rate)
            self.b[i].add_(d[i].sum(0), alpha=rate)

    def epoch(self, batch: int, order: Array | None = None) -> None:
        with torch.inference_mode():
            super().epoch(batch, order)

    def weights(self) -> Weights:
        return [(W.numpy().copy(), b.numpy().copy()) for W, b in zip(self.W, self.b, strict=True)]

    def predict(self, x: Any) -> Array:
        with torch.inference_mode():
            return np.asarray(self.logits(x, self.buffer(len(x))[0]).argmax(1))
