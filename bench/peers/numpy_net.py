"""NumPy twice: as people write it, and with every array written into a buffer that was made before."""

from __future__ import annotations

import numpy as np

from bench.peers import LEARNING_RATE, Array, Weights, to_float


class MiniBatches:
    """The loop over an epoch; step(index) trains on the samples of one batch."""

    x: Array

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def step(self, index: Array) -> None:
        raise NotImplementedError

    def epoch(self, batch: int, order: Array | None = None) -> None:
        order = self.rng.permutation(len(self.x)) if order is None else order
        for start in range(0, len(order), batch):
            self.step(order[start : start + batch])


class NumpyNet(MiniBatches):
    """As people write it, in float32 (they often leave float64 in, which takes twice as long)."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.W = [W.copy() for W, _ in weights]
        self.b = [b.copy() for _, b in weights]

    def load(self, x: Array, y: Array) -> None:
        self.x = to_float(x)
        self.y = np.eye(self.W[-1].shape[1], dtype=np.float32)[y]

    def forward(self, x: Array) -> list[Array]:
        """The input and the activations of each layer; the last are probabilities."""
        layers = [x]
        for W, b in zip(self.W[:-1], self.b[:-1], strict=True):
            layers.append(np.maximum(layers[-1] @ W + b, 0))
        z = layers[-1] @ self.W[-1] + self.b[-1]
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return [*layers, e / e.sum(axis=1, keepdims=True)]

    def step(self, index: Array) -> None:
        *layers, p = self.forward(self.x[index])
        d = (p - self.y[index]) / np.float32(len(index))
        for i in reversed(range(len(self.W))):
            dW, db = layers[i].T @ d, d.sum(axis=0)
            if i:
                d = (d @ self.W[i].T) * (layers[i] > 0)
            self.W[i] -= np.float32(LEARNING_RATE) * dW
            self.b[i] -= np.float32(LEARNING_RATE) * db

    def weights(self) -> Weights:
        return [(W.copy(), b.copy()) for W, b in zip(self.W, self.b, strict=True)]

    def ready(self, x: Array) -> Array:
        return to_float(x)

    def predict(self, x: Array) -> Array:
        """The class of the largest logit, which softmax does not change."""
        for W, b in zip(self.W[:-1], self.b[:-1], strict=True):
            x = x @ W
            x += b
            np.maximum(x, 0, out=x)
        return np.asarray((x @ self.W[-1] + self.b[-1]).argmax(axis=1))

    def probabilities(self, x: Array) -> Array:
        return self.forward(x)[-1]


class Buffers:
    """Buffers for one batch of m rows."""

    def __init__(self, m: int, W: list[Array]) -> None:
        self.x = np.empty((m, W[0].shape[0]), np.float32)
        self.h = [np.empty((m, w.shape[1]), np.float32) for w in W]
        self.d = [np.empty((m, w.shape[1]), np.float32) for w in W]
        self.off = [np.empty((m, w.shape[1]), bool) for w in W]
        self.row = np.empty((m, 1), np.float32)
        self.rows = np.arange(m)


class NumpyOutNet(NumpyNet):
    """By hand: nothing is allocated in a step, every product and every pass writes to a buffer."""

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        self.dW, self.db = [np.empty_like(W) for W in self.W], [np.empty_like(b) for b in self.b]
        self.buffers: dict[int, Buffers] = {}

    def load(self, x: Array, y: Array) -> None:
        self.x, self.y = to_float(x), y.astype(np.intp)

    def buffer(self, m: int) -> Buffers:
        if m not in self.buffers:
            self.buffers[m] = Buffers(m, self.W)
        return self.buffers[m]

    def logits(self, x: Array, t: Buffers) -> Array:
        for i, (W, b, h) in enumerate(zip(self.W, self.b, t.h, strict=True)):
            np.matmul(x, W, out=h)
            np.add(h, b, out=h)
            if i < len(self.W) - 1:
                np.maximum(h, 0, out=h)
            x = h
        return x

    def step(self, index: Array) -> None:
        t = self.buffer(len(index))
        np.take(self.x, index, axis=0, out=t.x, mode="clip")  # "raise" would go through a copy
        z, d = self.logits(t.x, t), t.d[-1]
        np.maximum.reduce(z, axis=1, keepdims=True, out=t.row)
        np.subtract(z, t.row, out=d)
        np.exp(d, out=d)
        np.add.reduce(d, axis=1, keepdims=True, out=t.row)
        np.multiply(t.row, len(index), out=t.row)
        np.divide(d, t.row, out=d)
        d[t.rows, self.y[index]] -= np.float32(1 / len(index))
        for i in reversed(range(len(self.W))):
            np.matmul((t.h[i - 1] if i else t.x).T, t.d[i], out=self.dW[i])
            np.add.reduce(t.d[i], axis=0, out=self.db[i])
            if i:
                np.matmul(t.d[i], self.W[i].T, out=t.d[i - 1])
                np.less_equal(t.h[i - 1], 0, out=t.off[i - 1])
                np.copyto(t.d[i - 1], 0, where=t.off[i - 1])
            for w, dw in ((self.W[i], self.dW[i]), (self.b[i], self.db[i])):
                np.multiply(dw, np.float32(LEARNING_RATE), out=dw)
                np.subtract(w, dw, out=w)

    def predict(self, x: Array) -> Array:
        return np.asarray(self.logits(x, self.buffer(len(x))).argmax(axis=1))
