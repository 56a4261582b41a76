"""PyTorch on images: nn.Sequential as people write it, in both orders of memory that its convolutions take."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from bench.peers import LEARNING_RATE, Array, Weights, to_float
from bench.peers.torch_net import TorchNet


class TorchLenet(TorchNet):
    """Images in PyTorch's default layout, channels first."""

    memory = torch.contiguous_format

    def __init__(self, weights: Weights) -> None:
        self.model = nn.Sequential(
            nn.Conv2d(1, 8, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10),
        )  # fmt: skip
        for layer, (W, b) in zip(self.trained(), weights, strict=True):
            layer.weight.data = torch.from_numpy(np.ascontiguousarray(W.T if W.ndim == 2 else W.transpose(3, 2, 0, 1)))
            layer.bias.data = torch.from_numpy(b.copy())
        self.model = self.model.to(memory_format=self.memory)
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=LEARNING_RATE)

    def trained(self) -> list[Any]:
        return [layer for layer in self.model if isinstance(layer, nn.Conv2d | nn.Linear)]

    def images(self, x: Array) -> Any:
        return torch.from_numpy(to_float(x).reshape(-1, 1, 28, 28)).contiguous(memory_format=self.memory)

    def load(self, x: Array, y: Array) -> None:
        self.x, self.y = self.images(x), torch.from_numpy(y.astype(np.int64))

    def weights(self) -> Weights:
        return [
            (
                np.array(layer.weight.detach().numpy().transpose((2, 3, 1, 0) if layer.weight.ndim == 4 else (1, 0))),
                layer.bias.detach().numpy().copy(),
            )
            for layer in self.trained()
        ]

    def ready(self, x: Array) -> Any:
        return self.images(x)


class TorchChannelsLast(TorchLenet):
    """Images with channels last."""

    memory = torch.channels_last
