"""pynet as its users call it: Network.fit and Network.predict."""

from __future__ import annotations

import pynet
from bench.peers import LEARNING_RATE, Array, Weights


class PynetNet:
    """Network.fit on the data without conversion: bytes stay bytes."""

    def __init__(self, weights: Weights) -> None:
        hidden = " ".join(f"dense({W.shape[1]}) relu" for W, _ in weights[:-1])
        features, outputs = weights[0][0].shape[0], weights[-1][0].shape[1]
        self.take(pynet.Network(f"input({features}) {hidden} dense({outputs}) softmax"), weights)

    def take(self, net: pynet.Network, weights: Weights) -> None:
        """Uses this network, with these weights."""
        self.net = net
        for tensor, value in zip(net.tensors.values(), [a for pair in weights for a in pair], strict=True):
            tensor[...] = value
        self.epochs = 0

    def load(self, x: Array, y: Array) -> None:
        self.x, self.y = x, y

    def epoch(self, batch: int, order: Array | None = None) -> float:
        """The history's seconds: shuffling and training, without the look for NaN in float data that `fit` begins with.

        The order is pynet's own; the check gives it to the others.
        """
        self.epochs += 1
        history = self.net.fit(
            self.x, self.y, epochs=1, batch_size=batch, optimizer=pynet.SGD(LEARNING_RATE), seed=self.epochs
        )
        return history.seconds[0]

    def epochs_at_once(self, batch: int, epochs: int) -> None:
        """One call of fit; its whole time is what a user waits for."""
        self.net.fit(self.x, self.y, epochs=epochs, batch_size=batch, optimizer=pynet.SGD(LEARNING_RATE))

    def weights(self) -> Weights:
        copies = [tensor.copy() for tensor in self.net.tensors.values()]
        return list(zip(copies[::2], copies[1::2], strict=True))

    def ready(self, x: Array) -> Array:
        return x

    def predict(self, x: Array) -> Array:
        return self.net.predict(x)

    def probabilities(self, x: Array) -> Array:
        return self.net.predict_proba(x)
