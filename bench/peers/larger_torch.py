"""PyTorch as people write it: an nn.Sequential, a fused optimizer, batches cut from a tensor in a random order."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
import torch
from torch import nn

import pynet
from bench.peers import LEARNING_RATE, Array
from bench.peers.larger import ADAM, Case
from tests.helpers.torch_twin import TorchNet

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


class TorchLarger:
    """Images as PyTorch stores them."""

    memory: Any = torch.contiguous_format

    def __init__(self, case: Case, net: pynet.Network, x: Array, y: Array) -> None:
        layers = {layer.path: layer for layer in net.layers}
        modules = [_dropout(t.module, layers[path]) for path, t in TorchNet(net).twins.items() if "." not in path]
        softmax = isinstance(modules[-1], nn.Softmax)
        self.model = nn.Sequential(*modules[: len(modules) - softmax]).float().to(memory_format=self.memory)
        self.last = nn.Softmax(dim=1) if softmax else nn.Identity()
        self.loss: Any = nn.CrossEntropyLoss() if softmax else _half_squares
        self.x = torch.from_numpy(x)
        if x.ndim == 4:
            self.x = self.x.contiguous(memory_format=self.memory)
        self.y, self.batch = torch.from_numpy(y), case.batch
        parameters = self.model.parameters()
        self.optimizer: Any = (
            torch.optim.Adam(parameters, lr=ADAM, fused=True)
            if case.optimizer == "adam"
            else torch.optim.SGD(parameters, lr=LEARNING_RATE, fused=True)
        )

    def train(self, epochs: int) -> float:
        begin = time.perf_counter()
        self.model.train()
        for _ in range(epochs):
            for index in torch.randperm(len(self.x)).split(self.batch):
                self.optimizer.zero_grad()
                self.loss(self.model(self.x[index]), self.y[index]).backward()
                self.optimizer.step()
        return time.perf_counter() - begin

    def predict(self, rows: int) -> Array:
        self.model.eval()
        with torch.inference_mode():
            return np.asarray(self.last(self.model(self.x[:rows])))


class TorchLargerChannelsLast(TorchLarger):
    """Images with channels last."""

    memory = torch.channels_last


def _half_squares(p: Any, y: Any) -> Any:
    """pynet's squared error: the mean over the batch of half the sum over the outputs."""
    return 0.5 * nn.functional.mse_loss(p, y, reduction="sum") / len(p)


def _dropout(module: Any, layer: Any) -> Any:
    """The twin's dropout has pynet's masks; here PyTorch draws its own."""
    return nn.Dropout(layer.options["p"]) if layer.kind == "dropout" else module
