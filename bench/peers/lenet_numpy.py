"""NumPy: patches are copied to a matrix (im2col), so that a convolution is one product; the rest as people write it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bench.peers import LEARNING_RATE, Array, Weights, to_float
from bench.peers.numpy_net import MiniBatches


def patches(x: Array, kernel: int) -> Array:
    """x (m, height, width, channels) as (m, out_height, out_width, kernel kernel channels)."""
    windows = sliding_window_view(x, (kernel, kernel), axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3)
    return windows.reshape(*windows.shape[:3], -1)


class NumpyLenet(MiniBatches):
    """Images are (m, height, width, channels), the fastest order for NumPy: products run over whole rows of patches."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.shapes = [W.shape for W, _ in weights]
        self.W = [W.reshape(-1, W.shape[-1]).copy() for W, _ in weights]
        self.b = [b.copy() for _, b in weights]
        # rows of dense weights are in the order (channels, height, width); images here are (height, width, channels)
        self.transposed = np.arange(256).reshape(16, 4, 4).transpose(1, 2, 0).ravel()
        self.W[2] = self.W[2][self.transposed]

    def load(self, x: Array, y: Array) -> None:
        self.x, self.y = to_float(x).reshape(-1, 28, 28, 1), y

    def forward(self, x: Array) -> list[Any]:
        """The arrays that backward needs, layer by layer, and last the logits."""
        kept: list[Any] = []
        for W, b in zip(self.W[:2], self.b[:2], strict=True):
            columns = patches(x, 5)
            h = np.maximum(columns @ W + b, 0)
            m, height, width, n = h.shape
            windows = h.reshape(m, height // 2, 2, width // 2, 2, n)
            x = windows.max(axis=(2, 4))
            kept.append((columns, windows, x))
        flat = x.reshape(len(x), -1)
        h = np.maximum(flat @ self.W[2] + self.b[2], 0)
        return [*kept, flat, h, h @ self.W[3] + self.b[3]]

    def step(self, index: Array) -> None:
        x, y = self.x[index], self.y[index]
        first, second, flat, h, logits = self.forward(x)
        d = np.exp(logits - logits.max(axis=1, keepdims=True))
        d /= d.sum(axis=1, keepdims=True)
        d[np.arange(len(y)), y] -= 1
        d /= len(y)
        gradients: list[Any] = [None, None, flat.T, (h.T @ d, d.sum(axis=0))]
        d = (d @ self.W[3].T) * (h > 0)
        gradients[2] = (flat.T @ d, d.sum(axis=0))
        d = d @ self.W[2].T
        for i, (columns, windows, pooled) in ((1, second), (0, first)):
            d = d.reshape(pooled.shape) * (pooled > 0)
            d = self.to_largest(d, windows, pooled).reshape(-1, pooled.shape[-1])
            gradients[i] = (columns.reshape(len(d), -1).T @ d, d.sum(axis=0))
            if i:
                d = self.scatter((d @ self.W[i].T).reshape(*columns.shape[:3], 5, 5, -1))
        for W, b, (dW, db) in zip(self.W, self.b, gradients, strict=True):
            W -= LEARNING_RATE * dW
            b -= LEARNING_RATE * db

    @staticmethod
    def to_largest(d: Array, windows: Array, pooled: Array) -> Array:
        """Gives each gradient to the first maximum of its window; black corners have many equal numbers."""
        dx, left = np.zeros_like(windows), d
        for i in range(2):
            for j in range(2):
                dx[:, :, i, :, j] = np.where(windows[:, :, i, :, j] == pooled, left, 0)
                left = left - dx[:, :, i, :, j]
        return dx

    @staticmethod
    def scatter(d: Array) -> Array:
        """Adds the gradients of all patches at their positions (col2im)."""
        m, height, width, kernel, _, channels = d.shape
        dx = np.zeros((m, height + kernel - 1, width + kernel - 1, channels), d.dtype)
        for i in range(kernel):
            for j in range(kernel):
                dx[:, i : i + height, j : j + width] += d[:, :, :, i, j]
        return dx

    def weights(self) -> Weights:
        copies = [W.copy() for W in self.W]
        copies[2][self.transposed] = self.W[2]
        return [(W.reshape(shape), b.copy()) for W, shape, b in zip(copies, self.shapes, self.b, strict=True)]

    def ready(self, x: Array) -> Array:
        return to_float(x).reshape(-1, 28, 28, 1)

    def predict(self, x: Array) -> Array:
        return np.concatenate(
            [self.forward(part)[-1].argmax(axis=1) for part in np.array_split(x, max(1, len(x) // 500))]
        )
